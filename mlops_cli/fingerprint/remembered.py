"""What an index remembers of what was put into a workspace, read without touching it: for those who look at other projects."""
from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from urllib.parse import quote

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fingerprint.indexed import unsealed


def placed_values(database: str) -> list[bytes]:
    """The values that Index.set_placed was given; none where there is no index.

    Raises UserError (exit 5) for one that cannot be read."""
    if _facts(database) is None:
        return []
    for path in (database, f'{database}-wal', f'{database}-shm'):  # SQLite would wait for a pipe, and follow a link
        facts = _facts(path)
        if facts is not None and not stat.S_ISREG(facts.st_mode):
            raise _unreadable(database, f'{os.path.basename(path)} is no regular file')
        if facts is not None and facts.st_nlink > 1:  # what SQLite notes in it, even to read, would be noted elsewhere
            raise _unreadable(database, f'{os.path.basename(path)} has another name')
    try:
        rows = _rows(database)
    except sqlite3.Error as error:
        if 'no such table' in str(error):  # it has just been made
            return []
        raise _unreadable(database, error) from error
    found = (unsealed(path, stored) for path, stored in rows)
    return [value for value in found if value is not None]


def _rows(database: str) -> list[tuple[bytes, bytes]]:
    uri = f'file:{quote(os.fsencode(database))}?mode=ro'
    question = 'SELECT stage, value FROM placed'
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            return connection.execute(question).fetchall()
    except sqlite3.OperationalError:
        # Even to read, SQLite makes a file beside it, for which there is no room on a full disk: just when gc is wanted.
        # Without one, all that is not in the log is read as it stands.
        log = _facts(f'{database}-wal')
        if log is not None and log.st_size:
            raise
    with closing(sqlite3.connect(f'{uri}&immutable=1', uri=True)) as connection:
        return connection.execute(question).fetchall()


def _facts(path: str) -> os.stat_result | None:
    """None where there is nothing: whoever closes an index last takes its log away, at any moment."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _unreadable(database: str, problem: object) -> UserError:
    return UserError(f'{database} cannot be read, so nobody knows what lies in that workspace: {problem}',
                     hint='mlops status mends it, in its project', exit_code=ExitCode.REFUSED)
