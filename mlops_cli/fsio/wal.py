"""SQLite as it is used here: in the mode in which nobody who reads waits for those who write, and where its files belong."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError

_PAUSE_SECONDS = 0.002


@contextmanager
def in_place(database: str | os.PathLike[str]) -> Iterator[None]:
    """Around opening one.  SQLite goes by the path, whatever lies on its way; so the folders of a project's own are looked at
    right before, where links are refused (UserError, exit 5), and right after: sqlite3.OperationalError if others are there."""
    before = _folders(os.fspath(database))
    yield
    if _folders(os.fspath(database)) != before:
        raise sqlite3.OperationalError('the folder that it is in was moved meanwhile')


def _folders(database: str) -> tuple[tuple[int, int], ...]:
    folder = os.path.dirname(database)
    if not folder.endswith(f'/{layout.LOCAL}'):
        return ()
    found = []
    for path in (os.path.dirname(folder), folder):
        try:
            facts = os.lstat(path)
        except OSError as error:
            raise sqlite3.OperationalError(f'{path}: {error.strerror}') from error
        if stat.S_ISLNK(facts.st_mode):
            raise UserError(f'{path} is a symbolic link, through which mlops would write elsewhere', exit_code=ExitCode.REFUSED,
                            hint='remove it: the folder is made again when it is needed')
        found.append((facts.st_dev, facts.st_ino))
    return tuple(found)


def use(connection: sqlite3.Connection, seconds: float) -> None:
    """Change to it.  SQLite waits for nobody there, whatever timeout the connection has: several commands that make the same
    file at once would find it locked.  Raises sqlite3.Error, also where others hold it for longer than ``seconds``."""
    until = time.monotonic() + seconds
    while True:
        try:
            connection.execute('PRAGMA journal_mode = WAL')
            return
        except sqlite3.OperationalError as error:
            if 'locked' not in str(error) or time.monotonic() > until:
                raise
        time.sleep(_PAUSE_SECONDS)
