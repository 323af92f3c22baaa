"""Local tables: made again whenever something is wrong with them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import wal
from mlops_cli.fsio.paths import Root
from mlops_cli.records.database import Database, local_path

TABLES = ('CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER)', 'CREATE INDEX by_size ON things (size)')


def count(connection: sqlite3.Connection) -> int:
    """A piece of work that fills what it finds empty."""
    if not connection.execute('SELECT 1 FROM things').fetchone():
        connection.executemany('INSERT INTO things VALUES (?, ?)', [(str(n), n) for n in range(5)])
    return int(connection.execute('SELECT count(*) FROM things').fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'local' / 'things-v1.sqlite'


def opened(path: Path, **more: object) -> Database:
    return Database(str(path), TABLES, **more)  # type: ignore[arg-type]


def test_what_was_written_is_there_next_time(path: Path) -> None:
    first = opened(path)
    assert first.use(count) == 5
    first.use(lambda db: db.execute('DELETE FROM things WHERE size > 2'))
    first.close()
    assert first.use(count) == 3  # closed is not over
    first.close()
    again = opened(path)
    assert again.use(count) == 3
    again.close()


def test_a_piece_of_work_counts_whole_or_not_at_all(path: Path) -> None:
    database = opened(path)
    database.use(count)

    def half(db: sqlite3.Connection) -> None:
        db.execute('DELETE FROM things')
        raise UserError('in the middle')

    with pytest.raises(UserError, match='in the middle'):
        database.use(half)
    assert database.use(lambda db: db.execute('SELECT count(*) FROM things').fetchone()) == (5,)
    database.close()


@pytest.mark.parametrize('damage', ['garbage', 'empty', 'torn', 'other tables', 'other version', 'a trigger', 'a folder of it'])
def test_damaged_tables_are_made_again(path: Path, damage: str) -> None:
    database = opened(path)
    database.use(count)
    database.close()
    data = path.read_bytes()
    if damage == 'garbage':
        path.write_bytes(b'no database at all' * 500)
    elif damage == 'empty':
        path.write_bytes(b'')
    elif damage == 'torn':
        path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    elif damage == 'a folder of it':
        path.unlink()
        path.mkdir()
    else:
        with sqlite3.connect(path) as other:
            if damage == 'other tables':
                other.execute('ALTER TABLE things ADD COLUMN colour TEXT')
            elif damage == 'other version':
                other.execute('PRAGMA user_version = 7')
            else:
                other.execute('CREATE TRIGGER harm AFTER INSERT ON things BEGIN DELETE FROM things; END')
        other.close()
    told: list[str] = []
    database = opened(path, warn=told.append)
    assert database.use(count) == 5
    database.close()
    assert bool(told) == (damage == 'a folder of it')


def test_on_a_disk_that_cannot_be_written_the_tables_live_in_memory(tmp_path: Path) -> None:
    told: list[str] = []
    database = opened(Path('/proc/nowhere/things.sqlite'), warn=told.append)
    assert database.use(count) == 5
    database.use(lambda db: db.execute('DELETE FROM things WHERE size > 2'))
    assert database.use(count) == 3
    assert len(told) == 1 and 'read anew' in told[0]
    database.close()


def test_a_mistake_in_the_work_is_told(path: Path) -> None:
    database = opened(path)
    with pytest.raises(sqlite3.Error):
        database.use(lambda db: db.execute('SELECT colour FROM things'))
    database.close()


@pytest.mark.parametrize('suffix', ['', '-wal', '-shm'])
def test_links_are_refused(path: Path, tmp_path: Path, suffix: str) -> None:
    path.parent.mkdir()
    target = tmp_path / 'precious'
    target.write_text('mine')
    path.with_name(path.name + suffix).symlink_to(target)
    with pytest.raises(UserError) as error:
        opened(path).use(count)
    assert error.value.exit_code == ExitCode.REFUSED
    assert target.read_text() == 'mine'


def test_several_write_at_once(path: Path) -> None:
    def add(name: str) -> None:
        database = opened(path)
        for number in range(20):
            database.use(lambda db, n=number: db.execute('INSERT INTO things VALUES (?, ?)', (f'{name}{n}', n)))
        database.close()

    threads = [threading.Thread(target=add, args=(name,)) for name in 'abcd']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = opened(path)
    assert database.use(lambda db: db.execute('SELECT count(*) FROM things').fetchone()) == (80,)
    database.close()


def test_who_makes_it_at_the_same_time_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute('BEGIN IMMEDIATE')  # SQLite itself does not wait for one who does this, where the mode is to be changed
    told: list[str] = []
    waits = iter(['COMMIT'])
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: [other.execute(what) for what in waits])
    monkeypatch.setattr(wal, 'time', clock)
    database = opened(path, warn=told.append)
    assert database.use(count) == 5 and told == []
    assert not [*waits], 'it was not waited for'
    other.close()
    database.close()
    again = opened(path)
    assert again.use(lambda db: db.execute('SELECT count(*) FROM things').fetchone()) == (5,)
    again.close()


def test_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Root(str(tmp_path)) as root:
        assert local_path(root, {}, 'x.sqlite') == f'{tmp_path}/.mlops/local/x.sqlite'
        from mlops_cli.fsio import filesystem

        monkeypatch.setattr(filesystem, 'probe', lambda fd: filesystem.FileSystem('nfs', ordered=False, network=True))
        there = local_path(root, {'HOME': '/home/ada'}, 'x.sqlite')
        assert there.startswith('/home/ada/.cache/mlops/') and there.endswith('-x.sqlite')
