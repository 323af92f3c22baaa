"""What gc took out of a cache and has not deleted yet (docs/formats/trash.md): where it lies, and the way back.

``trash/<UTC stamp>/`` holds folders like those of the cache.  Whoever misses something in the cache looks here too, so what was
taken out by mistake, or is wanted again, is back before anybody notices.  Knows nothing of what is wanted, nor by whom.
"""
from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.layout import TRASH
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio import naming, ops
from mlops_cli.fsio.paths import Root

SETTLED_NS = 2_000_000_000  # a folder touched so shortly before it was listed may change again with the same times
_STAMP = pattern(r'([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z(?:-[0-9]+)?')
_NO_WRITING = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))


def new_stamp(now: float) -> str:
    """The name of a folder of what is thrown away at this moment, in seconds since 1970: ``20261120T101522Z``."""
    return iso(now).replace('-', '').replace(':', '')


def moment_of(stamp: str) -> float | None:
    """When it was thrown away, in seconds since 1970; None for what is no folder of ours."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None
    year, month, day, hour, minute, second = found.groups()
    try:
        return from_iso(f'{year}-{month}-{day}T{hour}:{minute}:{second}Z')
    except ValueError:
        return None


def folders(cache: Root) -> tuple[str, ...]:
    """The stamps of what is in the trash, newest first.  Raises OSError, UserError for a link in place of a folder."""
    try:
        found = cache.scandir(TRASH)
    except FileNotFoundError:
        return ()
    return tuple(sorted((one.name for one in found if one.is_dir() and moment_of(one.name) is not None), reverse=True))


class Trash:
    """The trash of one cache, for those who miss something.  Thread safe."""

    def __init__(self) -> None:
        self._known: tuple[tuple[int, int], tuple[str, ...]] | None = None

    def folders(self, cache: Root) -> tuple[str, ...]:
        """As :func:`folders`, listed again only where something changed; one system call where there is no trash."""
        try:
            facts = ops.lstat(TRASH, cache.fd)
        except FileNotFoundError:
            return ()
        state = facts.st_ino, facts.st_mtime_ns
        known = self._known
        if known is not None and known[0] == state:
            return known[1]
        found = folders(cache)
        if time.time_ns() - facts.st_mtime_ns > SETTLED_NS:
            self._known = state, found
        return found

    def bring_back(self, cache: Root, path: str) -> bool:
        """Put what had this path in the cache back there, its time set to now; whether it is there.  False, too, where this
        process may not write.  Raises OSError, UserError for a link in place of a folder."""
        for stamp in self.folders(cache):
            source = f'{TRASH}/{stamp}/{path}'
            facts = cache.stat(source)
            if facts is None or not stat.S_ISREG(facts.st_mode):
                continue
            try:
                freshen(cache, source)
                put_back(cache, source, path)
            except FileNotFoundError:  # another process was faster; or it is being deleted
                if cache.stat(path) is None:
                    continue
            except OSError as error:
                if error.errno not in _NO_WRITING:
                    raise
                return False
            return True
        return False

    def bring_back_entries(self, cache: Root, folder: str, start: str) -> bool:
        """The same of all whose names in this folder begin so; whether there were any."""
        found = False
        for stamp in self.folders(cache):
            for name in names_in(cache, f'{TRASH}/{stamp}/{folder}'):
                if name.startswith(start):
                    found |= self.bring_back(cache, f'{folder}/{name}')
        return found


def names_in(cache: Root, folder: str) -> list[str]:
    """The names in a folder of the cache; none if it is not there.  Raises OSError, UserError for a link in its place."""
    try:
        fd = cache.open_dir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with ops.Naming(fd):
            return os.listdir(fd)
    finally:
        os.close(fd)


def freshen(cache: Root, path: str) -> None:
    """Set its times to now, so that the next gc takes it for wanted; what belongs to somebody else keeps its own.
    Raises OSError."""
    with cache.parent(path) as (folder, name), suppress(PermissionError):
        ops.utime(name, dir_fd=folder)


def put_back(cache: Root, source: str, path: str) -> bool:
    """Move something to its place; False, and it stays where it is, if something has that place.  Raises OSError."""
    with cache.parent(source) as (from_fd, name), cache.parent(path, create=True) as (to_fd, target):
        try:
            ops.rename_noreplace(name, target, src_dir_fd=from_fd, dst_dir_fd=to_fd)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            return naming.name_new(from_fd, name, to_fd, target)
    return True


def paths(cache: Root, stamp: str) -> Iterator[str]:
    """All that was thrown away then and is still there: paths as they were in the cache.  Raises OSError, UserError."""
    base = f'{TRASH}/{stamp}'
    for part in sorted(names_in(cache, base)):
        for shard in sorted(names_in(cache, f'{base}/{part}')):
            for name in sorted(names_in(cache, f'{base}/{part}/{shard}')):
                yield f'{part}/{shard}/{name}'
