"""Other projects' indexes are read without waiting for anybody, and without following a link."""
from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fingerprint.indexed import sealed
from mlops_cli.fingerprint.remembered import placed_values


@pytest.mark.parametrize('ending', ['', '-wal', '-shm'])
@pytest.mark.parametrize('kind', ['pipe', 'link', 'folder'])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, ending: str, kind: str) -> None:
    database = tmp_path / 'index-v1.sqlite'
    database.touch()
    place = Path(f'{database}{ending}')
    place.unlink(missing_ok=True)
    if kind == 'pipe':
        os.mkfifo(place)
    elif kind == 'link':
        (tmp_path / 'other').touch()
        place.symlink_to(tmp_path / 'other')
    else:
        place.mkdir()
    with pytest.raises(UserError, match='is no regular file') as caught:
        placed_values(str(database))
    assert caught.value.exit_code == ExitCode.REFUSED


def test_nothing_is_remembered_where_there_is_no_index(tmp_path: Path) -> None:
    assert placed_values(str(tmp_path / 'none')) == []


@pytest.mark.parametrize('logged', [False, True])
def test_on_a_full_disk_what_is_in_no_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: bool) -> None:
    """There SQLite cannot make the file beside it that it wants even to read; what stands in a log only would be missed."""
    database = tmp_path / 'index'
    with closing(sqlite3.connect(database)) as connection:
        connection.execute('PRAGMA journal_mode = WAL')
        connection.execute('CREATE TABLE placed (stage BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID')
        connection.execute('INSERT INTO placed VALUES (?, ?)', (b's', sealed(b's', b'what')))
        connection.commit()
    if logged:
        (tmp_path / 'index-wal').write_bytes(b'x')
    real = sqlite3.connect

    def full(place: str, **options: Any) -> sqlite3.Connection:
        if 'immutable' not in place:
            raise sqlite3.OperationalError('disk I/O error')
        return real(place, **options)

    monkeypatch.setattr(sqlite3, 'connect', full)
    if not logged:
        assert placed_values(str(database)) == [b'what']
        return
    with pytest.raises(UserError, match='nobody knows'):
        placed_values(str(database))


def test_whoever_closes_the_index_last_takes_its_log_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just after it was seen."""
    database = tmp_path / 'index'
    connection = sqlite3.connect(database)
    connection.execute('PRAGMA journal_mode = WAL')
    connection.execute('CREATE TABLE placed (stage BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID')
    connection.execute('INSERT INTO placed VALUES (?, ?)', (b's', sealed(b's', b'what')))
    connection.commit()
    log = f'{database}-wal'
    gone: list[bool] = []
    usual = os.lstat

    def lstat(path: str | os.PathLike[str]) -> os.stat_result:
        facts = usual(path)
        if os.fspath(path) == log and not gone:
            connection.close()
            gone.append(not os.path.exists(log))
        return facts

    monkeypatch.setattr(os, 'lstat', lstat)
    assert placed_values(str(database)) == [b'what'] and gone == [True]
