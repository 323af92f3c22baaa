"""Large files copied by the system while this process hashes what has arrived, through a map: no byte passes it twice."""
from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Callable

from mlops_cli.core.digest import Digest, Hasher, hasher
from mlops_cli.fsio import filesystem, ops

WINDOW = 32 << 20  # bytes that are copied, sent on to the medium and hashed at a time

_POPULATE = mmap.MAP_SHARED | getattr(mmap, 'MAP_POPULATE', 0)


def copy_hashed(source: int, target: int, size: int, step: Callable[[], object]) -> tuple[Digest, int] | None:
    """(digest, bytes) of all of a file of about that size, as it is now in a new file of ours, which nobody else cuts short:
    that would kill who reads a map of it.  None, and the target is empty, where the system does not copy, or a map is slow.

    ``step``: called for each window, to raise where it is not wanted any more.  Raises that, OSError."""
    if filesystem.probe(target).network:
        return None
    begun = ops.copy_range(source, target, 0, min(size, WINDOW))
    if begun <= 0:  # what is no file to the system, as those of /proc, has no size either
        return None
    copying = _Copying(source, target, begun)
    seen, done = hasher(), 0
    try:
        while (until := copying.next()) is not None:
            step()
            _update(seen, target, done, until)
            done = until
    finally:
        copying.end()
    return Digest(seen.hexdigest()), done


def _update(seen: Hasher, target: int, start: int, end: int) -> None:
    first = start - start % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(target, end - first, flags=_POPULATE, prot=mmap.PROT_READ, offset=first) as mapped:
        view = memoryview(mapped)
        part = view[start - first:]
        try:
            seen.update(part)
        finally:
            part.release()
            view.release()


class _Copying:
    """The rest of a file of which ``begun`` bytes are copied, in a thread of its own."""

    def __init__(self, source: int, target: int, begun: int) -> None:
        self._source, self._target = source, target
        self._unwanted = False
        self._error: BaseException | None = None
        self._reached: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(begun,), name='copying', daemon=True)
        self._thread.start()

    def next(self) -> int | None:
        """Up to where the target is written now; None when all is.  Raises OSError."""
        found = self._reached.get()
        if found is None and self._error is not None:
            raise self._error
        return found

    def end(self) -> None:
        """Nothing is written any more."""
        self._unwanted = True
        self._thread.join()

    def _work(self, at: int) -> None:
        try:
            more = at
            while more > 0 and not self._unwanted:
                self._reached.put(at)
                ops.sync_range(self._target)
                more = ops.copy_range(self._source, self._target, at, WINDOW)
                at += max(more, 0)
            if more < 0:
                raise OSError(5, 'the system stopped copying', ops.path_of(self._target))
        except BaseException as error:  # noqa: BLE001 - it is raised where the next window is asked for
            self._error = error
        finally:
            self._reached.put(None)
