"""Local tables that can be made again from what git tracks (SQLite in ``.mlops/local``): lost, they cost time; damaged, or of
another version, they are thrown away; where the disk cannot be written, or nothing of ours is there yet, they live in
memory for one command.

Whoever has such tables fills and asks them in one piece of work, which then never sees half of them.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import filesystem, ops, wal
from mlops_cli.fsio.paths import Root

WAIT_SECONDS = 10.0  # for another command that writes the same tables
SIDE_FILES = ('', '-wal', '-shm')
Found = TypeVar('Found')


def local_path(root: Root, environ: Mapping[str, str], name: str) -> str:
    """Where tables called ``name`` belong: in the project, but in the user's cache folder if the project lies on a network
    file system, where SQLite cannot lock."""
    if not filesystem.probe(root.fd).network:
        return root.full(f'{layout.LOCAL}/{name}')
    cache = environ.get('XDG_CACHE_HOME') or os.path.join(environ.get('HOME') or os.path.expanduser('~'), '.cache')
    project = digest_of(os.path.realpath(root.path).encode('utf-8', 'surrogateescape')).hex[:16]
    return os.path.join(cache, 'mlops', f'{project}-{name}')


def remove(path: str) -> None:
    """The names of a table's files, as far as they are there and may go."""
    for suffix in SIDE_FILES:
        ops.remove_quietly(f'{path}{suffix}')


class Database:
    """``path``: the file; folders on the way are made.  ``statements``: one CREATE each, exactly as SQLite keeps them.
    ``version``: raise it when the meaning of a row changes.  ``warn``: told, once, if the tables cannot be kept.
    ``keeps``: whether the file may be made.

    Thread safe.  Raises UserError (exit 5) where the file is a symbolic link, as a branch may bring one."""

    def __init__(
        self,
        path: str,
        statements: Sequence[str],
        *,
        version: int = 1,
        warn: Callable[[str], None] = lambda _text: None,
        keeps: bool = True,
    ) -> None:
        self.path = path
        self._statements, self._version, self._warn = tuple(statements), version, warn
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._in_memory = not keeps
        self._rebuilt = False

    def use(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        """What ``work`` returns; what it wrote is committed then.  It is called again, with empty tables, if these had to be
        thrown away, so it must fill them itself.  Raises sqlite3.Error for a mistake in ``work``, and what that raises."""
        with self._lock:
            while True:
                try:
                    connection = self._open()
                    with connection:
                        return work(connection)
                except sqlite3.Error as error:
                    if self._in_memory:
                        raise
                    self._recover(error)

    def close(self) -> None:
        """Lets go of the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._in_memory:
                self._connection = self._empty(sqlite3.connect(':memory:', check_same_thread=False))
            else:
                self._refuse_links()
                with suppress(OSError):
                    os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
                with wal.in_place(self.path):
                    self._connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, check_same_thread=False)
                    self._prepare(self._connection)
        return self._connection

    def _refuse_links(self) -> None:
        """SQLite would write through them.  Of a file with another name this one goes: what is in it is made again."""
        for suffix in SIDE_FILES:
            with suppress(OSError):
                facts = os.lstat(self.path + suffix)
                if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
                    remove(self.path)
                if stat.S_ISLNK(facts.st_mode):
                    raise UserError(
                        f'{self.path}{suffix} is a symbolic link, through which mlops would write elsewhere',
                        exit_code=ExitCode.REFUSED,
                        hint='remove it: the file is made again when it is needed',
                    )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Raises sqlite3.DatabaseError for tables that are not ours, which are then thrown away."""
        connection.execute('PRAGMA trusted_schema = OFF')  # whoever sends a file with triggers in it
        if connection.execute('PRAGMA user_version').fetchone()[0] == 0:
            wal.use(connection, WAIT_SECONDS)
        connection.execute('PRAGMA synchronous = NORMAL')
        if self._state(connection) == (0, set()):
            self._empty(connection)
        if self._state(connection) != (self._version, set(self._statements)):
            raise sqlite3.DatabaseError('written by another version')

    def _state(self, connection: sqlite3.Connection) -> tuple[int, set[str]]:
        """Version and statements of the tables as they are at one moment: another command may just be making them."""
        connection.execute('BEGIN')
        with connection:
            version = connection.execute('PRAGMA user_version').fetchone()[0]
            found = connection.execute('SELECT sql FROM sqlite_master WHERE sql IS NOT NULL').fetchall()
        return version, {sql for (sql,) in found}

    def _empty(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        with connection:
            connection.execute('BEGIN IMMEDIATE')
            if not connection.execute('SELECT 1 FROM sqlite_master').fetchone():
                for statement in self._statements:
                    connection.execute(statement)
                connection.execute(f'PRAGMA user_version = {self._version}')
        return connection

    def _recover(self, error: sqlite3.Error) -> None:
        """The next use finds new tables: in the same place if these are damaged, in memory if the disk is in the way."""
        self.close()
        if self._rebuilt or (isinstance(error, sqlite3.OperationalError) and 'malformed' not in str(error)):
            self._in_memory = True
            self._warn(f'{self.path} cannot be used ({error}): what it would hold is read anew by each command')
        else:
            self._rebuilt = True
            remove(self.path)
