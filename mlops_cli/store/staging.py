"""Thousands of new objects at once: written where nobody looks, by their names, then moved to their places a folder at a time.

A folder ``tmp/<owner>-<number>/`` holds folders like those of ``objects-v1``.  What is in it is no object until all of it is
durable; then a folder that has no counterpart gets its place in one step, and of the others each file does.  So a killed
command leaves one temporary, and no object that is not whole.
"""
from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import suppress
from types import TracebackType

from mlops_cli.core.digest import Digest
from mlops_cli.core.layout import OBJECTS, TEMPORARY
from mlops_cli.fsio import filesystem, naming, ops, removal, syncing, temporaries
from mlops_cli.store.shelf import FRESH_SECONDS, Shelf, read_all

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_ONCE = 256  # files and folders held open for an fsync each, where so many may be
_SHARE = 4  # one of so many descriptors that a process may have is for what is done here
_WHOLE = frozenset(('ext4', 'xfs', 'btrfs', 'tmpfs'))  # where to sync all of the file system makes all in it durable
_WORTH = 16_000  # files
_OTHERS_BYTES = 16 << 10  # of others', for each file of ours, that may have to be written out with them


class Writer:
    """Puts objects into a staging folder.  ``stage``, ``cache``: descriptors of it and of the folder of the cache.
    ``exact``: the process has no umask, so that the modes asked for are those that files get.  ``most_open``: descriptors to
    keep at most.

    Raises OSError from all its methods; after one of them the staging folder is worth nothing where ``half`` says that a file
    in it may be only begun."""

    def __init__(self, stage: int, cache: int, *, exact: bool = False, folder_mode: int = 0o755,
                 most_open: int | None = None) -> None:
        self._stage, self._cache, self._exact, self._folder_mode = stage, cache, exact, folder_mode
        self._most = max(1, (_share() if most_open is None else most_open) // 2)  # folders, each with its counterpart
        self._open: dict[str, tuple[int, int]] = {}
        self.half = False

    def put(self, digest: str, data: bytes) -> bool:
        """``digest``: hex.  False where an object of that name is not what it should be, and nothing was done."""
        shard, name = digest[:2], digest[2:]
        folders = self._open.get(shard) or self._enter(shard)
        if folders[1] >= 0 and (found := self._present(folders[1], name, data)) is not None:
            return found
        self.half = True
        try:
            fd = ops.open_new(name, 0o444, folders[0])
        except FileExistsError:
            self.half = False
            return True  # it was put here before, or is being put by a process beside this one
        try:
            ops.write(fd, data)
            if not self._exact:
                ops.fchmod(fd, 0o444)
        except OSError:
            with suppress(OSError):  # the error to tell is the first one
                ops.unlink(name, dir_fd=folders[0])
                self.half = False
            raise
        finally:
            os.close(fd)
        self.half = False
        return True

    def _enter(self, shard: str) -> tuple[int, int]:
        while len(self._open) >= self._most:
            self._leave(next(iter(self._open)))
        with suppress(FileExistsError):
            ops.mkdir(shard, self._folder_mode, dir_fd=self._stage)
        staged = ops.open_with(shard, _FOLDER, dir_fd=self._stage)
        try:
            placed = ops.open_with(f'{OBJECTS}/{shard}', _FOLDER, dir_fd=self._cache)
        except FileNotFoundError:
            placed = -1
        except BaseException:
            os.close(staged)
            raise
        found = self._open[shard] = staged, placed
        return found

    def _leave(self, shard: str) -> None:
        for fd in self._open.pop(shard):
            if fd >= 0:
                os.close(fd)

    def _present(self, folder: int, name: str, data: bytes) -> bool | None:
        """Whether the object is there and sound; None if it is not there."""
        try:
            fd = os.open(name, _READ, dir_fd=folder)  # mostly it is not there, and finding out where takes longer than that
        except FileNotFoundError:
            return None
        except OSError:
            return False
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != len(data) or read_all(fd, len(data)) != data:
                return False
        finally:
            os.close(fd)
        if time.time() - facts.st_mtime > FRESH_SECONDS and not naming.freshen(folder, name):
            return None  # it belongs to somebody else, or gc took it: one of our own takes its place
        return True

    def close(self) -> None:
        """Let go of the folders."""
        for shard in list(self._open):
            self._leave(shard)


class Stage:
    """A staging folder in a cache.  As a context manager it goes with all that has not been placed.  ``fd``: its descriptor."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._durability = shelf.batch.durability
        self._path = f'{TEMPORARY}/{temporaries.new_name()}'
        self._begun = 0
        self._ahead: threading.Thread | None = None
        self._failure: OSError | None = None
        ops.mkdir(self._path, 0o700, dir_fd=shelf.root.fd)
        try:  # before anything is in it: errors from here on are told
            self.fd = ops.open_with(self._path, _FOLDER, dir_fd=shelf.root.fd)
        except OSError:
            ops.rmdir(self._path, dir_fd=shelf.root.fd)
            raise

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._ahead:
            self._ahead.join()
        os.close(self.fd)
        folder, _, name = self._path.rpartition('/')
        fd = ops.open_with(folder, _FOLDER, dir_fd=self._shelf.root.fd)
        try:
            with suppress(OSError):
                removal.remove_tree(name, fd)
        finally:
            os.close(fd)

    def begin(self, count: int) -> None:
        """Write out what is in it so far beside whatever else goes on, if that is worth it.  ``count``: files up to now."""
        if self._durability != 'batch' or count - self._begun < _WORTH or (self._ahead and self._ahead.is_alive()):
            return
        self._begun = count  # also where it is not worth it now: asking takes longer than writing a file
        if self._failure is None and self._may_sync_whole(count):
            self._ahead = threading.Thread(target=self._write_out, name='write-out', daemon=True)
            self._ahead.start()

    def _write_out(self) -> None:
        try:
            ops.sync_filesystem(self.fd)
        except OSError as error:
            self._failure = error

    def settle(self, count: int) -> None:
        """Make all in it durable, some ``count`` files.  Raises OSError."""
        if self._ahead:
            self._ahead.join()
            if self._failure:
                raise self._failure
        if self._durability == 'none' or (self._durability == 'batch' and self._sync_whole(count)):
            return
        for shard in _names_in(self.fd):
            folder = ops.open_with(shard, _FOLDER, dir_fd=self.fd)
            try:
                names = _names_in(folder)
                _sync_all(names, _READ, folder)
                ops.fsync(folder)
            finally:
                os.close(folder)
        ops.fsync(self.fd)

    def _sync_whole(self, count: int) -> bool:
        """One call in place of thousands, where nobody else has so much to write that it would take longer."""
        if not self._may_sync_whole(count) or not ops.sync_filesystem(self.fd):
            return False
        ops.fsync(self.fd)  # what the call wrote last may still be in the medium's own memory
        return True

    def _may_sync_whole(self, count: int) -> bool:
        return filesystem.probe(self.fd).type in _WHOLE and _to_be_written() <= count * _OTHERS_BYTES

    def place(self, count: int) -> None:
        """Give all that is in it, and is durable, its places; those are durable afterwards.  Raises OSError."""
        for fence in ops.fences:
            fence()
        objects = ops.open_with(OBJECTS, _FOLDER, dir_fd=self._shelf.root.fd)
        touched: list[str] = []
        try:
            for shard in sorted(_names_in(self.fd)):
                if not self._place_whole(shard, objects):
                    self._place_each(shard, objects)
                    touched.append(shard)
            if self._durability == 'none' or (self._durability == 'batch' and self._sync_whole(count)):
                return
            _sync_all(touched, _FOLDER, objects)
            ops.fsync(objects)
        finally:
            os.close(objects)

    def _place_whole(self, shard: str, objects: int) -> bool:
        try:
            ops.rename_noreplace(shard, shard, src_dir_fd=self.fd, dst_dir_fd=objects)
        except OSError:  # it is there, or the system lacks the call: the other way says what is wrong
            return False
        return True

    def _place_each(self, shard: str, objects: int) -> None:
        source = ops.open_with(shard, _FOLDER, dir_fd=self.fd)
        try:
            with suppress(FileExistsError):
                ops.mkdir(shard, 0o755, dir_fd=objects)
            target = ops.open_with(shard, _FOLDER, dir_fd=objects)
            try:
                for name in _names_in(source):
                    self._place_one(source, target, shard, name)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _place_one(self, source: int, target: int, shard: str, name: str) -> None:
        if naming.name_new(source, name, target, name):
            return
        if naming.is_damaged(source, name, target, name):
            self._shelf.quarantine(Digest(shard + name), 'it has the wrong size')
        elif naming.freshen(target, name):
            ops.unlink(name, dir_fd=source)
            return
        ops.rename(name, name, src_dir_fd=source, dst_dir_fd=target)


def _names_in(folder: int) -> list[str]:
    with ops.Naming(folder):
        return os.listdir(folder)


def descriptors() -> int:
    """How many this process may have: 256 on macOS, if nobody asked for more."""
    found = os.sysconf('SC_OPEN_MAX')
    return found if found > 0 else 1 << 16


def _share() -> int:
    return max(16, descriptors() // _SHARE)


def _sync_all(names: list[str], flags: int, folder: int) -> None:
    """fsync what has these names in a folder.  Raises OSError."""
    at_once = min(_AT_ONCE, _share())
    for start in range(0, len(names), at_once):
        fds: list[int] = []
        try:
            for name in names[start:start + at_once]:
                fds.append(ops.open_with(name, flags, dir_fd=folder))
            syncing.sync_each(fds)
        finally:
            for fd in fds:
                os.close(fd)


def _to_be_written() -> int:
    """Bytes in memory that wait to be written, of all file systems together; without end where the system does not say."""
    found = []
    with suppress(OSError, ValueError, IndexError), open('/proc/meminfo', encoding='ascii') as file:
        for line in file:
            name, _, value = line.partition(':')
            if name in ('Dirty', 'Writeback'):
                found.append(int(value.split()[0]) << 10)
    return sum(found) if len(found) == 2 else 1 << 62
