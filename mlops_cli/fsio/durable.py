"""Durability in groups: new files become durable together, then get their names, what is named before what names it.

Knows levels, not what the files mean.  Three facts it rests on: a file gets its final name only when its data is on the
medium; names are given in the order of levels; where the file system keeps its own order (see filesystem.FileSystem.ordered),
one fsync of a file changed last makes everything before it durable.
"""
from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.paths import Root

Durability = Literal['batch', 'full', 'none']
OBJECTS, TREES, RESULTS, RECORDS = range(4)

_OPEN_LIMIT = 128  # descriptors kept for the coming flush; the files beyond it are opened again then
_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES))
_REOPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(slots=True, eq=False)
class _Item:
    temporary: str
    final: str
    level: int
    replace: bool
    fd: int | None
    root: Root | None
    after: Callable[[], None] | None
    published: bool = False

    @property
    def key(self) -> str:
        return self.root.full(self.final) if self.root else self.final

    @property
    def folder(self) -> str:
        return os.path.dirname(self.key)


@contextmanager
def _parent(root: Root | None, path: str, create: bool = False) -> Iterator[tuple[int | None, str]]:
    """(folder descriptor or None for the working directory, name) of a path below ``root``, or of a plain one without."""
    if root is None:
        if create:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        yield None, path
    else:
        with root.parent(path, create, 0o700) as found:
            yield found


class Batch:
    """A queue of finished temporary files on their way to their names.

    ``durability``: ``batch`` as above; ``full`` an fsync for each file and folder; ``none`` no fsync at all.
    ``root``: where paths are relative to and resolved without following links; None takes absolute paths as they are.
    ``quarantine``: from the final path of a damaged object to where it is moved; by default a name beside it.

    After a failed flush its temporaries are gone and every later call raises the same error: what came later may
    lean on what was lost.  Thread safe.  Not for use in a forked child."""

    def __init__(self, durability: Durability = 'batch', *, root: Root | None = None,
                 quarantine: Callable[[str], str] | None = None) -> None:
        self.durability = durability
        self._root = root
        self._quarantine = quarantine or _beside
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._flushing = threading.RLock()
        self._waiting: list[_Item] = []
        self._pending: dict[str, _Item] = {}
        self._oldest = 0.0
        self._open = 0
        self._last_folders: dict[int, int] = {}  # device -> folder whose newest name no fsync has covered yet
        self._error: BaseException | None = None

    # Filling

    def add(self, temporary: str, final: str, level: int, *, replace: bool = False, fd: int | None = None,
            root: Root | None = None, after: Callable[[], None] | None = None) -> None:
        """Take over a finished temporary file, to be named ``final`` at a coming flush.

        ``level``: 0 objects, 1 trees, 2 results, 3 pins and records; lower ones are named first within a flush.  Levels 0 and
        1 are content by digest: an existing name stays, freshened, unless its size is wrong or ``replace`` is given.  Levels 2
        and 3 replace.  ``fd``: an open descriptor of the temporary, closed here in any case; with it the write-out starts at
        once.  ``root``: in place of the batch's own.  ``after``: called in the flushing thread once the file is named.

        Raises OSError, also of an earlier flush; the temporary is removed then."""
        item = _Item(temporary, final, level, replace, fd, root or self._root, after)
        try:
            self._check()
            if fd is not None and self.durability != 'none':
                ops.sync_range(fd)
        except BaseException:
            self._drop(item)
            raise
        with self._lock:
            if fd is not None and (self.durability == 'none' or self._open >= _OPEN_LIMIT):
                os.close(fd)
                item.fd = None
            elif fd is not None:
                self._open += 1
            if not self._waiting:
                self._oldest = time.monotonic()
            self._waiting.append(item)
            self._pending[item.key] = item
            self._changed.notify_all()

    def pending(self, final: str, *, root: Root | None = None) -> str | None:
        """The temporary path, as given to add, of a file that does not have its final name yet; None if it has or was never
        added."""
        root = root or self._root
        with self._lock:
            item = self._pending.get(root.full(final) if root else final)
            return item.temporary if item else None

    def __len__(self) -> int:
        """How many files wait for the next flush."""
        return len(self._waiting)

    # Flushing

    def flush(self) -> None:
        """Make all that waits durable, then name it.  Its names are durable with the next flush or close.  Raises OSError."""
        with self._flushing:
            self._check()
            with self._lock:
                group, self._waiting = self._waiting, []
                self._open -= sum(item.fd is not None for item in group)
            if group:
                self._flush(group)

    def flush_if_due(self, max_files: int = 256, max_age_seconds: float = 0.5) -> bool:
        """Flush if so many files wait, or the first of them has waited so long.  True if it did.  Raises OSError."""
        self._check()
        with self._lock:
            due = self._seconds_until_due(max_files, max_age_seconds) <= 0
        if due:
            self.flush()
        return due

    def wait_until_due(self, max_files: int, max_age_seconds: float, stopped: Callable[[], bool]) -> None:
        """Sleep until a flush is due, as for flush_if_due, or ``stopped`` says so after a wake."""
        with self._changed:
            while not stopped():
                seconds = self._seconds_until_due(max_files, max_age_seconds)
                if seconds <= 0:
                    return
                self._changed.wait(None if seconds == float('inf') else seconds)

    def wake(self) -> None:
        """Make wait_until_due look at ``stopped`` again."""
        with self._changed:
            self._changed.notify_all()

    def _seconds_until_due(self, max_files: int, max_age_seconds: float) -> float:
        if not self._waiting:
            return float('inf')
        if len(self._waiting) >= max_files:
            return 0.0
        return self._oldest + max_age_seconds - time.monotonic()

    def close(self) -> None:
        """Flush, then make the last names durable.  Raises OSError, also of an earlier flush that nobody has seen yet."""
        try:
            self.flush()
            with self._flushing:
                for device in list(self._last_folders):
                    self._settle(device)
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop all that has not got its name; nothing is flushed."""
        with self._flushing:
            with self._lock:
                group, self._waiting = self._waiting, []
                self._open = 0
            for item in group:
                self._drop(item)
            self._forget(group)
            while self._last_folders:
                os.close(self._last_folders.popitem()[1])

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _flush(self, group: list[_Item]) -> None:
        try:
            if self.durability != 'none':
                self._write_out(group)
            for level, items in groupby(sorted(group, key=_order), key=lambda item: item.level):
                self._publish(level, items)
        except BaseException as error:
            self._error = error
            for item in group:
                if not item.published:
                    self._drop(item)
            raise
        finally:
            self._forget(group)
        for item in group:
            if item.after:
                item.after()

    def _forget(self, group: Iterable[_Item]) -> None:
        with self._lock:
            for item in group:
                if self._pending.get(item.key) is item:
                    del self._pending[item.key]

    @staticmethod
    def _drop(item: _Item) -> None:
        if item.fd is not None:
            os.close(item.fd)
            item.fd = None
        with suppress(OSError), _parent(item.root, item.temporary) as (dir_fd, name):
            ops.unlink(name, dir_fd=dir_fd)

    # Data

    def _write_out(self, group: list[_Item]) -> None:
        """All data of the group on the medium, and with it every name given before, where the file system is ordered."""
        newest: dict[int, _Item] = {}
        for start in range(0, len(group), _OPEN_LIMIT):
            part = group[start:start + _OPEN_LIMIT]
            for item in part:
                if item.fd is None:
                    with _parent(item.root, item.temporary) as (dir_fd, name):
                        item.fd = os.open(name, _REOPEN, dir_fd=dir_fd)
                    ops.sync_range(item.fd)
            for item in part:
                assert item.fd is not None
                if self._grouped(item.fd) and ops.sync_range(item.fd, wait=True):
                    device = os.fstat(item.fd).st_dev
                    self._close(newest.pop(device, None))
                    newest[device] = item
                else:
                    ops.fsync(item.fd)
                    self._close(item)
        for device, item in newest.items():
            assert item.fd is not None
            # The change of mode, to what it is, makes this file the newest change: its fsync then covers the others.
            ops.fchmod(item.fd, stat.S_IMODE(os.fstat(item.fd).st_mode))
            ops.fsync(item.fd)
            self._close(item)
            folder = self._last_folders.pop(device, None)
            if folder is not None:
                os.close(folder)

    @staticmethod
    def _close(item: _Item | None) -> None:
        if item is not None and item.fd is not None:
            os.close(item.fd)
            item.fd = None

    def _grouped(self, fd: int) -> bool:
        return self.durability == 'batch' and filesystem.probe(fd).ordered

    # Names

    def _publish(self, level: int, items: Iterable[_Item]) -> None:
        for _, in_folder in groupby(items, key=lambda item: item.folder):
            part = list(in_folder)
            with self._target(part[0]) as (folder, device):
                for other in [known for known in self._last_folders if known != device]:
                    self._settle(other)  # what lies elsewhere and may be named here must not vanish first
                for item in part:
                    self._name(item, level, folder)
                    item.published = True
                self._named_in(folder, device)

    @contextmanager
    def _target(self, item: _Item) -> Iterator[tuple[int, int]]:
        """(descriptor, device) of the folder the item's final name goes to, made if absent."""
        folder = self._open_target(item)
        try:
            yield folder, os.fstat(folder).st_dev
        finally:
            os.close(folder)

    def _open_target(self, item: _Item) -> int:
        folder = os.path.dirname(item.final)
        if item.root is not None:
            try:
                return item.root.open_dir(folder)
            except FileNotFoundError:
                item.root.makedirs(folder, 0o700)
                return item.root.open_dir(folder)
        os.makedirs(folder, 0o700, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _name(self, item: _Item, level: int, folder: int) -> None:
        name = os.path.basename(item.final)
        with _parent(item.root, item.temporary) as (source, temporary):
            if level > TREES or item.replace:
                ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
            elif not _name_new(temporary, source, name, folder):
                self._keep_or_replace(item, temporary, source, name, folder)

    def _keep_or_replace(self, item: _Item, temporary: str, source: int | None, name: str, folder: int) -> None:
        """The name is taken, so the content is there already, unless its size says that it is damaged."""
        size = os.stat(temporary, dir_fd=source, follow_symlinks=False).st_size
        present = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(present.st_mode) and present.st_size == size:
            ops.utime(name, dir_fd=folder)
            ops.unlink(temporary, dir_fd=source)
            return
        with _parent(item.root, self._quarantine(item.final), create=True) as (aside_folder, aside):
            ops.rename(name, aside, src_dir_fd=folder, dst_dir_fd=aside_folder)
        ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)

    def _named_in(self, folder: int, device: int) -> None:
        if self.durability == 'none':
            return
        if not self._grouped(folder):
            ops.fsync(folder)
            return
        former = self._last_folders.pop(device, None)
        self._last_folders[device] = os.dup(folder)
        if former is not None:
            os.close(former)

    def _settle(self, device: int) -> None:
        folder = self._last_folders.pop(device)
        try:
            ops.fsync(folder)
        finally:
            os.close(folder)


def _order(item: _Item) -> tuple[int, str]:
    return item.level, item.folder


def _beside(final: str) -> str:
    return f'{final}.damaged-{time.time_ns():x}'


def _name_new(temporary: str, source: int | None, name: str, folder: int) -> bool:
    """Give the file a name that nobody has; False if it is taken."""
    try:
        ops.link(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_new(temporary, source, name, folder)
    ops.unlink(temporary, dir_fd=source)
    return True


def _rename_new(temporary: str, source: int | None, name: str, folder: int) -> bool:
    try:
        ops.rename_noreplace(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)  # if somebody was faster, with the same content
    return True
