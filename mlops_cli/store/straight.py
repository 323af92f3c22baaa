"""Large objects that come from elsewhere written past memory, by another thread (docs/decisions/0064)."""

from __future__ import annotations

from contextlib import ExitStack
from mmap import mmap

from mlops_cli.fsio import direct
from mlops_cli.store.beside import Beside


class Straight:
    """What comes in parts of any length goes to a new file past memory, in another thread.  A context manager, which lets all
    that came out before it ends, also after an error: a later command goes on from there.  Raises OSError of what was written
    before."""

    def __init__(self, fd: int) -> None:
        self._out = direct.Direct(fd)
        self.on = self._out.on
        self._views = [memoryview(mmap(-1, direct.BLOCK)) for _ in range(2)] if self.on else []
        self._filled = 0
        self._stack = ExitStack()

    def __enter__(self) -> Straight:
        self._stack.callback(self._out.end)
        self._beside = self._stack.enter_context(Beside(self._out.write))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._filled:
                self._put()
        finally:
            self._stack.__exit__(None, None, None)

    def write(self, part: memoryview) -> None:
        at = 0
        while at < len(part):
            count = min(len(part) - at, direct.BLOCK - self._filled)
            self._views[0][self._filled : self._filled + count] = part[at : at + count]
            self._filled += count
            at += count
            if self._filled == direct.BLOCK:
                self._put()

    def _put(self) -> None:
        full, self._filled = self._views[0][: self._filled], 0
        self._beside.put(full)
        self._views.reverse()
