"""The store of this machine: a shelf of objects, and the ways in and out of a workspace."""
from __future__ import annotations

import builtins
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mlops_cli.core.digest import Digest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import ingest, tree
from mlops_cli.store.ingest import Added, Ingest, Known
from mlops_cli.store.objects import CHUNK, Chunks, Damage, Damaged, MissingObject, checked
from mlops_cli.store.shelf import Shelf, Verified, hash_rest, object_path

if TYPE_CHECKING:
    from mlops_cli.store.materialise import LinkMode, Materialise

DEFAULT_LINKS: tuple[LinkMode, ...] = ('reflink', 'copy')


def _lies_in(cache: int, entry: tree.TreeEntry) -> bool:
    """Whether an object of an entry's size has its name: what most are, told in half the time of finding out what is not so."""
    assert entry.digest is not None
    try:
        facts = ops.lstat(object_path(entry.digest), cache)
    except OSError:
        return False
    return facts.st_size == entry.size and stat.S_ISREG(facts.st_mode)


def _unknown(_path: str, _facts: os.stat_result) -> None:
    return None


class LocalStore(Shelf):
    """``links``: how files come into a workspace, best first.  See Shelf for the rest."""

    def __init__(self, cache: str | os.PathLike[str], *, batch: Batch,
                 links: Sequence[LinkMode] = DEFAULT_LINKS, verified: Verified | None = None) -> None:
        super().__init__(cache, batch=batch, verified=verified)
        self.links = tuple(links)
        self._whole: set[Digest] = set()  # trees all of whose objects were here

    # As every store

    def has(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of them that are here, pending ones too."""
        return {digest for digest in digests if self.stat(digest) is not None}

    def get(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, Iterator[bytes]]]:
        """As the protocol; a damaged object is put aside."""
        for digest in digests:
            fd, _ = self.open(digest)
            try:
                yield digest, self._chunks(digest, fd)
            finally:
                os.close(fd)

    def _chunks(self, digest: Digest, fd: int) -> Iterator[bytes]:
        try:
            with ops.Naming(fd):
                yield from checked(digest, iter(lambda: os.read(fd, CHUNK), b''), 'the cache')
        except Damaged as error:
            raise self.quarantine(digest, error.problem) from None

    def put(self, objects: Iterable[tuple[Digest, Chunks]]) -> None:
        """As the protocol; the objects get their names with the batch."""
        from mlops_cli.store.beside import Flowing  # most commands store nothing so

        for digest, chunks in objects:
            fd, temporary = self.new_temporary()
            level = None
            flowing = Flowing(fd)
            try:
                for chunk in checked(digest, chunks, 'what was sent'):
                    level = ingest.level_of(chunk) if level is None and chunk else level
                    flowing.write(chunk)
                present = self.sound(digest) and self.freshen(digest)
            except BaseException:
                os.close(fd)
                self.drop(temporary)
                raise
            if present:
                os.close(fd)
                self.drop(temporary)
            else:
                self.adopt(digest, fd, temporary, level or 0)

    def list(self) -> Iterator[tuple[Digest, int]]:
        """Every object that has its name; flush the batch first to see those that wait."""
        for digest in self.listed():
            facts = self.stat(digest)
            if facts is not None:
                yield digest, facts.st_size

    def delete(self, digests: Iterable[Digest]) -> None:
        """Remove objects for good; only for what nothing refers to."""
        for digest in digests:
            if self.is_pending(digest):
                self.batch.flush()
            self._whole.clear()
            self.remove(digest)

    # Into the store

    def add_bytes(self, data: bytes) -> ObjectRef:
        """Store bytes.  Raises OSError."""
        return ingest.add_bytes(self, data)

    def add_chunks(self, chunks: Iterable[bytes]) -> ObjectRef:
        """Store what comes a piece at a time, as it comes from elsewhere.  Raises what ``chunks`` raises, OSError."""
        return ingest.add_chunks(self, chunks)

    def add_nodes(self, nodes: Iterable[bytes]) -> None:
        """Store the nodes of trees, those of children before or in the same flush as those of their parents."""
        for node in nodes:
            ingest.add_bytes(self, node)

    def add_file(self, root: Root, rel: str) -> ObjectRef:
        """Store a regular file.  Raises UserError (exit 5 if it is something else, 1 if it changes all the time), OSError."""
        fd = root.open(rel)
        try:
            return ingest.add_open_file(self, fd, rel, reflink='reflink' in self.links)[0]
        finally:
            os.close(fd)

    def add_path(self, root: Root, rel: str, *, known: Known = _unknown, sure: bool = False,
                 seen: Callable[[int], object] = lambda _count: None, go_on: ingest.GoOn = lambda: None,
                 listed: ingest.Listed = lambda _listing: None) -> Added:
        """Store a file, or a folder with all that is in it.

        ``known(path, stat)``: the content of a file in this state, or None; known files are not read while their object is
        here with the right size, with ``sure`` while it was found sound byte for byte: ask for that before destroying the
        file.  ``seen``: told of files read that ``known`` is not asked about.  ``go_on``: called often, to raise where it is
        not wanted any more.  ``listed``: told of each folder, again where one is added anew.  What comes back goes into the
        index: ``put_added(added)``.

        Raises UserError for links out of the folder, pipes, devices, sockets, names that a stored folder cannot hold, and
        files that change all the time; OSError, FileNotFoundError if there is nothing."""
        moment = self.verified.moment() if self.verified else None
        begin = partial(Ingest, self, known=known, reflink='reflink' in self.links, sure=sure, go_on=go_on, listed=listed)
        run = begin()
        found = run.file(root, rel)
        if isinstance(found, ObjectRef):
            return Added(found, run.files, moment)
        from mlops_cli.store.bulk import add_folder  # most commands have no use for it

        return add_folder(self, root, rel, found, begin=begin, known=known, moment=moment, seen=seen, go_on=go_on)

    # Out of the store

    @contextmanager
    def awaited(self, root: Root, paths: Iterable[str]) -> Iterator[None]:
        """Within, large files that come for these paths, which a workspace waits for, are written there at once, to get their
        names when they are placed.  Where links are made in place of copies nothing is."""
        if next((way for way in self.links if way != 'reflink'), 'copy') != 'copy':
            yield
            return
        from mlops_cli.store.twins import Twins  # most commands bring nothing

        with Twins(root, frozenset(paths)) as self.twins:
            try:
                yield
            finally:
                self.twins = None

    def materialise(self, ref: ObjectRef, root: Root, rel: str, *, links: Sequence[LinkMode] | None = None,
                    replace: bool = False, read_only: bool = False) -> Added:
        """Put a file or folder into a workspace.  What comes back goes into the index: ``put_added(added)``.

        Built beside its place and swapped in; with ``replace`` what was there is removed afterwards, so save it before.
        Folders on the way are made, links on the way refused.  Raises MissingObject, Damaged, UserError, OSError; then what
        was there still is, unless the error came from its removal, after the swap."""
        from mlops_cli.store.materialise import Materialise  # most commands bring nothing

        with Materialise(self, root, links=self.links if links is None else links, read_only=read_only) as run:
            return run.place(ref, rel, replace=replace)

    def placing(self, root: Root, told: Callable[[int, int], object] = lambda _files, _bytes: None) -> Materialise:
        """For many placements one after the other, each as :meth:`materialise`; use as a context manager.

        ``told``: of files and bytes, as they come."""
        from mlops_cli.store.materialise import Materialise

        return Materialise(self, root, links=self.links, told=told)

    def missing(self, refs: Iterable[ObjectRef], *, sure: bool = False) -> builtins.list[Digest]:
        """Every object these need that is not here, children of trees included; one of a wrong size is missing, and put aside
        if its bytes are wrong too.

        ``sure``: so is one whose bytes are wrong: ask for that before destroying the only other copy; gc then takes them for
        wanted.  Else a tree once found whole is not looked at again by this store."""
        found: dict[Digest, None] = {}
        for ref in refs:
            if ref.kind == 'tree':
                self._missing_below(ref, found, sure)
            elif not self._has_file(ref, sure):
                found[ref.digest] = None
        return [*found]

    def _has_file(self, ref: ObjectRef, sure: bool) -> bool:
        if sure:
            if not self.sound(ref.digest, ref.size):
                return False
            self.freshen(ref.digest)
            return True
        facts = self.stat(ref.digest)
        if facts is not None and facts.st_size != ref.size:
            return self.sound(ref.digest, ref.size)
        return facts is not None

    def _missing_below(self, ref: ObjectRef, found: dict[Digest, None], sure: bool, depth: int = 0) -> bool:
        """Whether anything is; what is goes into ``found``."""
        if ref.digest in self._whole and not sure:
            return False
        if depth > tree.DEPTH_LIMIT:
            raise tree.MalformedTree('it lies too deep')
        try:
            entries = tree.decode(self.read(ref.digest))
        except (MissingObject, Damaged):
            found[ref.digest] = None
            return True
        if sure:
            self.freshen(ref.digest)
        lacks = False
        cache = self.root.fd
        for entry in entries:
            if entry.kind == 'dir':
                lacks |= self._missing_below(entry.ref, found, sure, depth + 1)
            elif entry.kind != 'link' and (sure or not _lies_in(cache, entry)) and not self._has_file(entry.ref, sure):
                found[entry.ref.digest] = None
                lacks = True
        if not lacks:
            self._whole.add(ref.digest)
        return lacks

    # Looking after it

    def verify(self, chosen: Callable[[Digest], bool] = lambda _digest: True, *,
               seen: Callable[[Digest, int], None] = lambda _digest, _size: None) -> Iterator[Damage]:
        """Hash every object for which ``chosen`` says so, and yield what is wrong; damaged ones are put aside.

        ``seen``: told each object looked at, with its size, for counts and progress."""
        for digest in self.listed():
            if chosen(digest):
                size, damage = self._verify_one(digest)
                seen(digest, size)
                if damage:
                    yield damage

    def _verify_one(self, digest: Digest) -> tuple[int, Damage | None]:
        moment = self.verified.moment() if self.verified else None
        try:
            fd, facts = self.open(digest)
        except MissingObject:
            return 0, None  # removed meanwhile, by gc
        except Damaged as error:
            return 0, Damage(digest, error.problem)
        except PermissionError:
            if self._permit(digest):
                size, damage = self._verify_one(digest)
                return size, damage or Damage(digest, 'nobody was allowed to read it', mended=True)
            return 0, Damage(digest, 'it cannot be opened: Permission denied', unreadable=True)
        except OSError as error:
            return 0, Damage(digest, f'it cannot be opened: {error.strerror}', unreadable=True)
        try:
            found, size = hash_rest(fd, facts.st_size)
        except OSError as error:
            return facts.st_size, Damage(digest, f'it cannot be read: {error.strerror}', unreadable=True)
        finally:
            os.close(fd)
        if found != digest:
            problem = f'its {size} bytes hash to {found.short}...'
            self.quarantine(digest, problem)
            return size, Damage(digest, problem)
        if not facts.st_mode & stat.S_IRUSR and self._permit(digest):  # found by one who may read everything
            return facts.st_size, Damage(digest, 'nobody was allowed to read it', mended=True)
        if self.verified:
            self.verified.set_verified(digest, facts, moment)
        return facts.st_size, None

    def _permit(self, digest: Digest) -> bool:
        """Whether an object has the permissions that objects have back; only where that is ours to do."""
        facts = self.stat(digest)
        if facts is None or facts.st_mode & stat.S_IRUSR or facts.st_uid != os.geteuid():
            return False
        ops.chmod(object_path(digest), 0o444, dir_fd=self.root.fd)
        return True
