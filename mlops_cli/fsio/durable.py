"""Durability in groups: new files become durable together, then get their names, what is named before what names it.

Knows levels, not what the files mean.  A file gets its final name only when its data is on the medium; names are given in
the order of levels, and one level is as durable as it will be before the next is begun.
"""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import filesystem, naming, ops, syncing
from mlops_cli.fsio.naming import Folders
from mlops_cli.fsio.paths import Root

Durability = Literal['batch', 'full', 'none']
OBJECTS, TREES, RESULTS, RECORDS = range(4)

MAX_FILES = 1024
MAX_AGE_SECONDS = 0.5
_MOST_OPEN = 512  # descriptors kept for the coming flush; the files beyond it are opened again then
_LARGE = 1 << 20  # bytes from which a file's write-out starts as soon as it is here, whatever the file system
_REOPEN = os.O_RDONLY | os.O_NONBLOCK


@dataclass(slots=True, eq=False)
class _Item:
    temporary: str
    final: str
    level: int
    replace: bool
    fd: int | None
    root: Root | None
    after: Callable[[], None] | None
    named: bool = False
    key: str = field(init=False)  # the final path, full
    folder: tuple[int, str] = field(init=False)

    def __post_init__(self) -> None:
        self.key = f'{self.root.path}/{self.final}' if self.root else self.final
        self.folder = id(self.root), self.final.rpartition('/')[0] if self.root else os.path.dirname(self.final)

    def close(self) -> None:
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)


class Batch:
    """A queue of finished temporary files on their way to their names.

    ``durability``: ``batch``, an fsync per group where the file system orders its changes and per file elsewhere; ``full``, one
    for each file and folder at each flush; ``none``, no fsync at all.  ``root``: where paths are relative to and resolved
    without following links; None takes absolute paths as they are.  ``quarantine``: from the final path of a damaged object
    to where it is moved, by default a name beside it.  ``folder_mode``: of folders made here, less the umask.

    After a failed flush its temporaries are gone and every later call raises the same error: what came later may lean on what
    was lost.  Thread safe.  Not for use in a forked child.  As a context manager it closes, or after an exception discards."""

    def __init__(self, durability: Durability = 'batch', *, root: Root | None = None,
                 quarantine: Callable[[str], str] | None = None, folder_mode: int = 0o755) -> None:
        self.durability = durability
        self._folder_mode = folder_mode
        self._order = syncing.Order(durability == 'batch')
        self._root = root
        self._quarantine = quarantine or _beside
        self._lock = threading.Lock()
        self._flushing = threading.RLock()
        self._waiting: list[_Item] = []
        self._pending: dict[str, _Item] = {}
        self._oldest = 0.0
        self._open = 0
        self._most_open = max(64, min(_MOST_OPEN, _free_descriptors() // 3))
        self._unsettled: dict[int, int] = {}  # device -> the folder of its newest name, which no fsync has covered yet
        self._error: BaseException | None = None

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add(self, temporary: str, final: str, level: int, *, replace: bool = False, fd: int | None = None,
            root: Root | None = None, after: Callable[[], None] | None = None) -> None:
        """Take over a finished temporary file, to be named ``final`` at a coming flush, which makes missing folders.

        ``level``: 0 objects, 1 trees, 2 results, 3 pins and records; lower ones are named first within a flush, and trees in
        the order in which they were added: below comes before above.  Levels 0 and 1 are content by digest: an existing name
        stays, freshened, unless its size is wrong or ``replace`` is given.  Levels 2 and 3 replace.  ``fd``: an open
        descriptor of the temporary, closed here in any case; with it the write-out starts at once.  ``root``: in place of the
        batch's own.  ``after``: called in the flushing thread once the group is named.

        Raises OSError, also of an earlier flush; the temporary is removed then."""
        item = _Item(temporary, final, level, replace, fd, root or self._root, after)
        try:
            self._check()
            if fd is not None and self.durability != 'none' and self._is_worth_a_start(fd):
                ops.sync_range(fd)
        except BaseException:
            _drop(item)
            raise
        with self._lock:
            if self.durability == 'none' or self._open >= self._most_open:
                item.close()
            self._open += item.fd is not None
            if not self._waiting:
                self._oldest = time.monotonic()
            self._waiting.append(item)
            self._pending[item.key] = item

    def _is_worth_a_start(self, fd: int) -> bool:
        """Where each file gets an fsync of its own, that starts the write-out of a small one soon enough, beside others."""
        facts = ops.fstat(fd)
        return facts.st_size >= _LARGE or self._order.is_kept(facts.st_dev, fd)

    def pending(self, final: str, *, root: Root | None = None) -> str | None:
        """The temporary path, as given to add, of a file that has not got its final name yet; None if it has, or was never
        added.  It may get it at any moment: who does not find the temporary looks for the final name."""
        root = root or self._root
        item = self._pending.get(f'{root.path}/{final}' if root else final)
        return item.temporary if item else None

    def __len__(self) -> int:
        """How many files wait for the next flush."""
        return len(self._waiting)

    def flush(self) -> None:
        """Make all that waits durable, then name it.  The names are durable with the next flush or close.  Raises OSError."""
        with self._flushing:
            self._check()
            with self._lock:
                group, self._waiting, self._open = self._waiting, [], 0
            if group:
                self._flush(group)

    def flush_if_due(self, max_files: int = MAX_FILES, max_age_seconds: float = MAX_AGE_SECONDS) -> bool:
        """Flush if so many files wait, or the first of them has waited so long.  True if it did.  Raises OSError."""
        self._check()
        waiting = len(self._waiting)
        due = waiting >= max_files or (waiting > 0 and time.monotonic() >= self._oldest + max_age_seconds)
        if due:
            self.flush()
        return due

    def close(self) -> None:
        """Flush, then make the last names durable.  Raises OSError, also of an earlier flush."""
        try:
            self.flush()
            with self._flushing:
                for device in list(self._unsettled):
                    self._settle(device)
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop all that has not got its name; nothing is flushed."""
        with self._flushing:
            with self._lock:
                group, self._waiting, self._open = self._waiting, [], 0
            for item in group:
                _drop(item)
            self._forget(group)
            while self._unsettled:
                os.close(self._unsettled.popitem()[1])

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _flush(self, group: list[_Item]) -> None:
        try:
            with Folders(self._folder_mode) as folders:
                if self.durability != 'none':
                    self._write_out(group, folders)
                for fence in ops.fences:
                    fence()
                for _, items in groupby(sorted(group, key=_naming_order), key=lambda item: item.level):
                    self._name_level(items, folders)
        except BaseException as error:
            self._error = error
            for item in group:
                if not item.named:
                    _drop(item)
            raise
        finally:
            for item in group:
                item.close()
            self._forget(group)
        for item in group:
            if item.after:
                item.after()

    def _forget(self, group: Iterable[_Item]) -> None:
        with self._lock:
            for item in group:
                if self._pending.get(item.key) is item:
                    del self._pending[item.key]

    def _write_out(self, group: list[_Item], folders: Folders) -> None:
        """The data of the group to the medium, and with it, where the file system is ordered, every name given before."""
        covered: set[int] = set()
        for start in range(0, len(group), self._most_open):
            part = group[start:start + self._most_open]
            fds = []
            for item in part:
                if item.fd is None:
                    folder, name = os.path.split(item.temporary)
                    item.fd = ops.open_with(name, _REOPEN, dir_fd=folders.open(item.root, folder))
                fds.append(item.fd)
            covered.update(syncing.sync_files(fds, self._order))
            for item in part:
                item.close()
        for device in covered:
            self._close_unsettled(device)

    def _name_level(self, items: Iterable[_Item], folders: Folders) -> None:
        """Name the files of one level in this order; those of a folder are quickest together."""
        to_sync: dict[tuple[int, int], int] = {}  # device and inode -> a descriptor of our own
        try:
            for (_, path), in_folder in groupby(items, key=lambda item: item.folder):
                part = list(in_folder)
                root = part[0].root
                folder = self._target(root, path, folders, to_sync)
                if self._unsettled:
                    self._settle_all_but(ops.fstat(folder).st_dev)
                for item in part:
                    self._name(item, folder, folders)
                    item.named = True
                self._note(folder, to_sync)
            syncing.sync_each(list(to_sync.values()))
        finally:
            for fd in to_sync.values():
                os.close(fd)

    def _target(self, root: Root | None, path: str, folders: Folders, to_sync: dict[tuple[int, int], int]) -> int:
        return folders.open_made(root, path, lambda parent: self._note(parent, to_sync))

    def _name(self, item: _Item, folder: int, folders: Folders) -> None:
        name = os.path.basename(item.final)
        at, temporary = os.path.split(item.temporary)
        source = folders.open(item.root, at)
        if item.level <= TREES and not item.replace:
            if naming.name_new(source, temporary, folder, name):
                return
            if naming.is_damaged(source, temporary, folder, name):
                self._set_aside(item, folder, name)
            elif naming.freshen(folder, name):
                ops.unlink(temporary, dir_fd=source)
                return
        ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)

    def _set_aside(self, item: _Item, folder: int, name: str) -> None:
        path, aside = os.path.split(self._quarantine(item.final))
        with Folders(self._folder_mode) as others:
            target = others.open_made(item.root, path, lambda _: None)
            ops.rename(name, aside, src_dir_fd=folder, dst_dir_fd=target)

    def _note(self, folder: int, to_sync: dict[tuple[int, int], int]) -> None:
        """Remember that a folder got a new name, as far as an fsync of it will be needed."""
        if self.durability == 'none':
            return
        facts = ops.fstat(folder)
        if self._order.is_kept(facts.st_dev, folder):
            self._close_unsettled(facts.st_dev)
            self._unsettled[facts.st_dev] = os.dup(folder)
            return
        if (key := (facts.st_dev, facts.st_ino)) not in to_sync:
            if len(to_sync) >= self._most_open:
                syncing.sync_each(list(to_sync.values()))
                while to_sync:
                    os.close(to_sync.popitem()[1])
            to_sync[key] = os.dup(folder)

    def _settle_all_but(self, device: int) -> None:
        """Names on other file systems first become durable: no order holds between two of them."""
        for other in list(self._unsettled):
            if other != device:
                self._settle(other)

    def _settle(self, device: int) -> None:
        ops.fsync(self._unsettled[device])
        self._close_unsettled(device)

    def _close_unsettled(self, device: int) -> None:
        fd = self._unsettled.pop(device, None)
        if fd is not None:
            os.close(fd)


def _naming_order(item: _Item) -> tuple[int, int, str]:
    """By folder, but trees as they came: a folder's node comes before that of the folder above it, which names it."""
    return (item.level, 0, '') if item.level == TREES else (item.level, *item.folder)


def _beside(final: str) -> str:
    return f'{final}.damaged-{time.time_ns():x}'


def _drop(item: _Item) -> None:
    """Close and remove a temporary, as far as that works: the error to tell is another."""
    item.close()
    folder, name = os.path.split(item.temporary)
    with suppress(OSError, UserError), Folders() as folders:
        ops.unlink(name, dir_fd=folders.open(item.root, folder))


def _free_descriptors() -> int:
    """How many more this process may open."""
    used = 0
    with suppress(OSError):
        used = len(os.listdir(filesystem.DESCRIPTORS))
    return os.sysconf('SC_OPEN_MAX') - used
