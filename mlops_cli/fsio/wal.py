"""SQLite's mode in which nobody who reads waits for those who write."""

from __future__ import annotations

import sqlite3
import time

_PAUSE_SECONDS = 0.002


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
