"""DVC's cache as a store that is only read: contents by MD5, verified, taken into ours without a copy where that is possible.

A name of it is believed as little as any other: what comes in is hashed as DVC hashed it and as we do, in one go."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from mlops_cli.adopt.dvc.hashes import CHUNK, Md5, chunks, folder_md5
from mlops_cli.adopt.dvc.recorded import LEGACY
from mlops_cli.adopt.dvc.stages import Hash
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, hasher
from mlops_cli.core.layout import TEMPORARY
from mlops_cli.core.paths import check_path
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops, temporaries
from mlops_cli.fsio.durable import OBJECTS
from mlops_cli.fsio.paths import Root
from mlops_cli.store import tree
from mlops_cli.store.local import LocalStore

FOLDER_LIMIT = 512 << 20  # bytes of the list of a folder
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_LINK = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP))


def places(oid: str, name: str) -> tuple[str, ...]:
    """Where an object may lie, relative to a cache or remote of DVC's: that of its version, then the other."""
    new, old = f'files/md5/{oid[:2]}/{oid[2:]}', f'{oid[:2]}/{oid[2:]}'
    return (old, new) if name == LEGACY else (new, old)


@dataclass
class Counts:
    """``linked``, ``copied``: contents taken in, ``bytes`` of them.  ``left``: those on another disk, not copied.
    ``fetched``: those that a remote had."""

    linked: int = 0
    copied: int = 0
    present: int = 0
    bytes: int = 0
    left: int = 0
    left_bytes: int = 0
    damaged: int = 0
    fetched: int = 0


class Cache:
    """``folder``: of DVC's cache; nothing is in it where it is not there, or not to be read."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self.root: Root | None = None
        if folder is not None:
            with suppress(OSError):
                self.root = Root(os.path.realpath(folder))

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        if self.root is not None:
            self.root.close()

    def open(self, oid: str, name: str) -> tuple[int, str] | None:
        """(descriptor, path in the cache) of an object, not verified; the caller closes."""
        for path in places(oid, name) if self.root is not None else ():
            try:
                fd = ops.open_with(path, _READ, dir_fd=self.root.fd)  # type: ignore[union-attr]
            except OSError:
                continue
            if stat.S_ISREG(ops.fstat(fd).st_mode):
                return fd, path
            os.close(fd)
        return None

    def has(self, oid: str, name: str) -> bool:
        found = self.open(oid, name)
        if found is not None:
            os.close(found[0])
        return found is not None

    def rows(self, hash_: Hash) -> list[tuple[str, str]] | None:
        """(path in it, md5) of the files of a folder; None where its list is not here, or not what its name says."""
        if hash_.files:
            return list(hash_.files)
        found = self.open(hash_.value, hash_.name)
        if found is None:
            return None
        with open(found[0], 'rb') as file:
            data = file.read(FOLDER_LIMIT + 1)
        rows = rows_of(data) if len(data) <= FOLDER_LIMIT else None
        return rows if rows is not None and folder_md5(rows) == hash_.value else None

    def lacks(self, hash_: Hash) -> list[str]:
        """The objects of a content that are not here."""
        if not hash_.is_folder and not hash_.files:
            return [] if self.has(hash_.value, hash_.name) else [hash_.value]
        rows = self.rows(hash_)
        if rows is None:
            return [hash_.value]
        return [md5 for _, md5 in rows if not self.has(md5, hash_.name)]


def rows_of(data: bytes) -> list[tuple[str, str]] | None:
    """The list of a folder; None for what is none, or names a path that is not inside."""
    try:
        value: Any = json.loads(data)
        rows = [(row['relpath'], row['md5']) for row in value]
        if not all(isinstance(rel, str) and isinstance(md5, str) and check_path(rel) == rel for rel, md5 in rows):
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return rows


class Far(Protocol):
    """Who may have what a cache lacks (remote.py)."""

    def find(self, oid: str, name: str) -> tuple[str, int] | None: ...
    def pieces(self, key: str, size: int) -> Iterator[bytes]: ...
    def small(self, oid: str, name: str) -> bytes | None: ...


class Taking:
    """Takes contents of DVC's cache into a store.  ``copy``: also where neither blocks nor names can be shared.  ``far``: who
    is asked for what the cache lacks."""

    def __init__(self, cache: Cache, store: LocalStore, *, copy: bool, far: Far | None = None) -> None:
        self.cache, self.store, self.copy, self.far = cache, store, copy, far
        self.counts = Counts()
        self._known: dict[tuple[str, str], tuple[Digest, int] | None] = {}

    def near(self, hash_: Hash) -> None:
        """Takes what the cache has of a content that the workspace has too: no remote is asked for the rest."""
        far, self.far = self.far, None
        try:
            self.content(hash_)
        finally:
            self.far = far
            if far is not None:  # it may have what the cache lacks
                self._known = {key: found for key, found in self._known.items() if found is not None}

    def content(self, hash_: Hash) -> ObjectRef | None:
        """What a recorded hash stands for; None where something of it is not here.  Raises OSError, UserError."""
        if not hash_.value:
            return None
        if not hash_.is_folder and not hash_.files:
            found = self.file(hash_.value, hash_.name)
            return None if found is None else ObjectRef(*found, 'exec' if hash_.executable else 'file')
        rows = self._rows(hash_)
        if rows is None:
            return None
        content: dict[str, ObjectRef] = {}
        for rel, md5 in rows:
            one = self.file(md5, hash_.name)
            if one is None:
                return None
            content[rel] = ObjectRef(*one, 'file')
        ref, nodes = tree.build(content)
        self.store.add_nodes(nodes.values())
        return ref

    def _rows(self, hash_: Hash) -> list[tuple[str, str]] | None:
        rows = self.cache.rows(hash_)
        if rows is not None or self.far is None:
            return rows
        rows = rows_of(self.far.small(hash_.value, hash_.name) or b'')
        return rows if rows is not None and folder_md5(rows) == hash_.value else None

    def file(self, md5: str, name: str) -> tuple[Digest, int] | None:
        if (md5, name) not in self._known:
            self._known[md5, name] = self._file(md5, name)
        return self._known[md5, name]

    def _file(self, md5: str, name: str) -> tuple[Digest, int] | None:
        found = self.cache.open(md5, name)
        if found is None:
            return self._fetched(md5, name)
        fd, path = found
        try:
            before = ops.fstat(fd)
            ours, theirs, size = hasher(), Md5(name), 0
            for chunk in chunks(fd, before.st_size):
                ours.update(chunk)
                theirs.update(chunk)
                size += len(chunk)
            if theirs.hex != md5 or size != before.st_size:
                self.counts.damaged += 1
                return None
            digest = Digest(ours.hexdigest())
            if self.store.sound(digest, size) and self.store.freshen(digest):
                self.counts.present += 1
            else:
                self._take(fd, path, digest, size)
            return digest, size
        finally:
            os.close(fd)

    def _fetched(self, md5: str, name: str) -> tuple[Digest, int] | None:
        """From the remote, verified while it comes."""
        found = self.far.find(md5, name) if self.far is not None else None
        if found is None or self.far is None:
            return None
        new, temporary = self.store.new_temporary()
        ours, theirs, size = hasher(), Md5(name), 0
        try:
            for piece in self.far.pieces(*found):
                ops.write(new, piece)
                ours.update(piece)
                for start in range(0, len(piece), CHUNK):
                    theirs.update(piece[start : start + CHUNK])
                size += len(piece)
        except BaseException:
            os.close(new)
            self.store.drop(temporary)
            raise
        if theirs.hex != md5:
            os.close(new)
            self.store.drop(temporary)
            self.counts.damaged += 1
            return None
        self.store.adopt(Digest(ours.hexdigest()), new, temporary, OBJECTS)
        self.counts.fetched += 1
        self.counts.bytes += size
        return Digest(ours.hexdigest()), size

    def _take(self, fd: int, path: str, digest: Digest, size: int) -> None:
        new, temporary = self.store.new_temporary()
        if ops.reflink(fd, new):
            self.store.adopt(digest, new, temporary, OBJECTS)
            self.counts.linked += 1
        elif self._linked(path, digest, new, temporary):
            self.counts.linked += 1
        elif self.copy:
            self.store.put([(digest, _chunks(fd))])
            self.counts.copied += 1
        else:
            self.counts.left += 1
            self.counts.left_bytes += size
            return
        self.counts.bytes += size

    def _linked(self, path: str, digest: Digest, new: int, temporary: str) -> bool:
        """A second name for DVC's own file, if it is read-only and ours; the empty temporary is removed in any case."""
        assert self.cache.root is not None
        os.close(new)
        self.store.drop(temporary)
        facts = os.stat(path, dir_fd=self.cache.root.fd, follow_symlinks=False)
        if stat.S_IMODE(facts.st_mode) != 0o444 or facts.st_uid != os.geteuid():
            return False
        temporary = f'{TEMPORARY}/{temporaries.new_name()}'
        try:
            ops.link(path, temporary, src_dir_fd=self.cache.root.fd, dst_dir_fd=self.store.root.fd)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        self.store.adopt(digest, ops.open_with(temporary, _READ, dir_fd=self.store.root.fd), temporary, OBJECTS)
        return True


def _chunks(fd: int) -> Any:
    os.lseek(fd, 0, os.SEEK_SET)
    return iter(lambda: os.read(fd, CHUNK), b'')
