"""Who holds a lock, for people who wait: a table of fixed slots beside the lock file.

Advisory only.  A slot is overwritten by whoever takes a lock that falls on it, and never cleaned: who reads checks that the
lock is taken and that the process named still runs.
"""
from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import TypedDict

from mlops_cli.core.clock import check_moment
from mlops_cli.fsio import ops, temporaries

SLOTS = 1024
SLOT_SIZE = 512
_CRC_SIZE = 9  # eight hex digits and a space
_COMMAND_LIMIT = 240


class Holder(TypedDict):
    """``since``: seconds since 1970."""

    host: str
    pid: int
    command: str
    since: float


class HolderTable:
    """The table beside one lock file.  ``open_file``: opens it for reading and writing; called at the first use."""

    def __init__(self, open_file: Callable[[], int], command: str) -> None:
        self._open_file = open_file
        self._command = command
        self._fd = -1
        self._constant = ''

    def close(self) -> None:
        """Close the file and forget who we are (a forked child is somebody else)."""
        self._constant = ''
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _file(self) -> int:
        if self._fd < 0:
            self._fd = self._open_file()
        return self._fd

    def put(self, byte: int) -> None:
        """Note this process as the holder of the lock on ``byte``.  A failure is of no consequence: the lock is what counts."""
        if not self._constant:
            self._constant = _constant(self._command)
        text = f'{{"byte":{byte},"since":{time.time():.0f},{self._constant}'.encode()
        with suppress(OSError):
            ops.pwrite(self._file(), (b'%08x ' % zlib.crc32(text) + text).ljust(SLOT_SIZE, b'\0'), _offset(byte))

    def get(self, byte: int) -> Holder | None:
        """The last known holder of the lock on ``byte``, unless it is known to have ended."""
        try:
            slot = os.pread(self._file(), SLOT_SIZE, _offset(byte)).rstrip(b'\0')
        except OSError:
            return None
        text = slot[_CRC_SIZE:]
        if slot[:_CRC_SIZE] != b'%08x ' % zlib.crc32(text):
            return None
        try:
            found = json.loads(text)
            if found['byte'] != byte or temporaries.process_alive(found['owner']) is False:
                return None
            return Holder(host=str(found['host']), pid=int(found['pid']), command=str(found['command']),
                          since=check_moment(found['since']))
        except (ValueError, KeyError, TypeError):
            return None


def _offset(byte: int) -> int:
    return byte % SLOTS * SLOT_SIZE


def _constant(command: str) -> str:
    """The part of a slot's JSON that is the same for all locks of this process, short enough for a slot."""
    facts = {'host': os.uname().nodename[:64], 'pid': os.getpid(), 'owner': temporaries.owner(), 'command': command}
    while len(text := json.dumps(facts, separators=(',', ':'))) > SLOT_SIZE - _CRC_SIZE - 60:
        command = command[:len(command) - max(1, (len(text) - _COMMAND_LIMIT) // 6)]
        facts['command'] = command + '…'
    return text[1:]
