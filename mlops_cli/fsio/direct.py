"""Large new files written past the memory that the system keeps of files (O_DIRECT).

For what is made durable right after it is written: it waits for the medium anyway, and the pages that a write through memory
takes cost more than hashing does (docs/decisions/0037).
"""
from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from mlops_cli.fsio import filesystem, ops

BLOCK = 16 << 20  # bytes that go out by one call; two such buffers are held
ALIGNED = 4096  # bytes, of memory, place and length: no medium in use asks for more
_FLAG = getattr(os, 'O_DIRECT', 0)
# Where it is known to go straight to the medium: elsewhere it is refused, ignored, or slower than memory.
_KINDS = frozenset(('ext4', 'xfs'))


class Direct:
    """Writes to a new, empty file, whose descriptor has its place at its end.  ``on``: past memory; turned off, for good, by
    the first part that cannot go so.  Nothing is durable before an fsync, as ever."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.on = bool(_FLAG) and filesystem.probe(fd).type in _KINDS and self._set(_FLAG)

    def _set(self, flag: int) -> bool:
        with suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~_FLAG | flag)
            return True
        return False

    def write(self, part: memoryview) -> None:
        """All of a part that lies in memory at a multiple of ALIGNED.  Raises OSError."""
        if self.on and len(part) % ALIGNED:
            self.end()
        before = os.lseek(self._fd, 0, os.SEEK_CUR) if self.on else 0
        try:
            ops.write(self._fd, part)
        except OSError as error:
            if not self.on or error.errno != errno.EINVAL:
                raise
            self.end()  # the medium asks for more; or some was written, as much as there was room
            ops.write(self._fd, part[os.lseek(self._fd, 0, os.SEEK_CUR) - before:])

    def end(self) -> None:
        """From here on the descriptor is as any other."""
        if self.on:
            self.on = False
            self._set(0)
