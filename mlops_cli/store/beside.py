"""Large files written by another thread while this one hashes what comes next, and sent on to the medium meanwhile."""
from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from mlops_cli.fsio import ops, pieces

WRITE_OUT = 32 << 20  # bytes after which the write-out of a new file is begun, so that little is left for its fsync


class Beside:
    """Calls ``write`` for one part after the other, one of which may be under way.  Use as a context manager.

    A part must stay as it is until the next one is given, or the end."""

    def __init__(self, write: Callable[[memoryview], object]) -> None:
        self._write = write
        self._part: memoryview | None = None
        self._error: BaseException | None = None
        self._given, self._taken = threading.Semaphore(0), threading.Semaphore(1)
        self._thread = threading.Thread(target=self._work, name='writing', daemon=True)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._taken.acquire()
        self._part = None
        self._given.release()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, part: memoryview) -> None:
        """Waits for the one before.  Raises what ``write`` raised."""
        self._taken.acquire()
        if self._error is not None:
            self._taken.release()
            raise self._error
        self._part = part
        self._given.release()

    def _work(self) -> None:
        while True:
            self._given.acquire()
            if self._part is None:
                return
            try:
                self._write(self._part)
            except BaseException as error:  # noqa: BLE001 - it is raised where the next part is put, or at the end
                self._error = error
            finally:
                self._taken.release()


class Flowing:
    """Writes to a new file, and begins its write-out every now and then."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = 0

    def write(self, part: bytes | memoryview) -> None:
        """Raises OSError."""
        pieces.write(self._fd, part)
        self._waiting += len(part)
        if self._waiting >= WRITE_OUT:
            self._waiting = 0
            ops.sync_range(self._fd)
