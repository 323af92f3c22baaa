"""Other projects' indexes are read without waiting for anybody, and without following a link."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
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
