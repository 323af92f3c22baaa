"""Where SQLite opens a table: in the project's own folder, or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import wal


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / 'outside').mkdir()
    made = tmp_path / 'project/.mlops/local/x.sqlite'
    made.parent.mkdir(parents=True)
    return made


@pytest.mark.parametrize('link', ['.mlops', '.mlops/local'])
def test_a_folder_that_is_a_link_is_refused_before_anything_is_opened(table: Path, link: str) -> None:
    project, outside = table.parents[2], table.parents[3] / 'outside'
    (outside / 'local').mkdir()
    shutil.rmtree(project / link)
    (project / link).symlink_to(outside)
    with pytest.raises(UserError, match='is a symbolic link') as raised, wal.in_place(table):
        raise AssertionError('it was opened')
    assert raised.value.exit_code == ExitCode.REFUSED


def test_another_folder_in_its_place_meanwhile_is_no_place(table: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match='was moved meanwhile'), wal.in_place(table):
        table.parent.rename(table.parents[1] / 'aside')
        table.parent.mkdir()


def test_no_folder_is_told_as_sqlite_does(table: Path) -> None:
    table.parent.rmdir()
    with pytest.raises(sqlite3.OperationalError, match='No such file'), wal.in_place(table):
        pass


def test_what_is_no_project_s_may_lie_behind_links(tmp_path: Path) -> None:
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    with wal.in_place(tmp_path / 'link/x.sqlite'), closing(sqlite3.connect(tmp_path / 'link/x.sqlite')) as connection:
        wal.use(connection, 1)
    assert (tmp_path / 'real/x.sqlite').exists()
