"""Objects into a workspace: built aside, every byte verified, then swapped in by one rename."""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import make_record, pack, settled_before
from mlops_cli.fsio import ops, pieces, removal, temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.fsio.scratch import Scratch
from mlops_cli.store import tree
from mlops_cli.store.ingest import Added, check_link
from mlops_cli.store.objects import Damaged
from mlops_cli.store.shelf import BESIDE, SMALL, Shelf, hash_rest, object_path

Told = Callable[[int, int], object]
LinkMode = Literal['reflink', 'copy', 'hardlink', 'symlink']

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_HERE = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EACCES})


class Taken(UserError):
    """Something is where content is to be put, and it is not to be overwritten (exit 5)."""

    def __init__(self, rel: str) -> None:
        self.rel = rel
        super().__init__(f'{rel} is there already, and is not to be overwritten', exit_code=ExitCode.REFUSED,
                         hint='move it away, or add it first so that nothing is lost')


@dataclass(frozen=True, slots=True)
class Built:
    """Content that is whole, and has not got its name yet.  ``beside``: it was made beside its place.

    ``added.records`` say of files that were written here, and that nobody else has seen so far, that they have settled: so it
    is, when all get their names, of those that were not touched in the last moment before that."""

    ref: ObjectRef
    rel: str
    temporary: str
    added: Added
    beside: bool


class Materialise:
    """Placements in one workspace, one after the other; their folders are held open, so not for longer than that takes.

    ``links``: ways to bring a file's bytes, in order of preference; copying is always the last.  ``read_only``: files without
    write permission.  ``told``: of files and bytes that are there now, as they come."""

    def __init__(self, shelf: Shelf, root: Root, *, links: Sequence[LinkMode], read_only: bool = False,
                 told: Told = lambda _files, _bytes: None) -> None:
        self.shelf = shelf
        self._told = told
        self._links = tuple(dict.fromkeys((*links, 'copy')))
        self._ways: list[str] = []  # those of them that this placement may try
        self._ways_in: dict[str, list[str]] = {}  # by folder
        self._unshared: set[int] = set()  # devices that have no reflinks
        self._mode = {'file': 0o444, 'exec': 0o555} if read_only else {'file': 0o644, 'exec': 0o755}
        self._near = Nearby(root)
        self._scratch = Scratch(root)
        self._served: dict[str, bool] = {}  # by folder, whether it is built there

    def __enter__(self) -> Materialise:
        return self

    def __exit__(self, *_: object) -> None:
        self._near.__exit__()
        self._scratch.close()
        self._served.clear()

    def place(self, ref: ObjectRef, rel: str, *, replace: bool = False) -> Added:
        """Put content at ``rel``.  What comes back is for the index, as of what is added to the store.

        Raises Taken if something is there and ``replace`` is not given; UserError (exit 5) if a folder on the way is a link;
        MissingObject; Damaged; OSError.  Then what was there is still there."""
        if not replace and (ref.kind == 'tree' or ref.size > SMALL):
            folder, name = self._near.parent(rel, create=True)
            if _exists(name, folder):
                raise Taken(rel)
        return self.put(self.build(ref, rel), replace=replace)

    @contextmanager
    def building(self, wanted: Iterable[tuple[str, ObjectRef]]) -> Iterator[list[Built]]:
        """Within, all of it is built, to be :meth:`put`: so what makes room for it is away for no longer than it takes to
        rename.  Dropped if that raises.  Raises as :meth:`build`."""
        built: list[Built] = []
        try:
            for rel, ref in wanted:
                built.append(self.build(ref, rel))
            yield built
        except BaseException:
            for one in built:
                self._drop(one)
            raise

    def build(self, ref: ObjectRef, rel: str) -> Built:
        """Content for ``rel``, verified; what stands there is left alone.  To be :meth:`put`, once.

        Raises UserError (exit 5) if a folder on the way is a link; MissingObject; Damaged; OSError."""
        folder, _ = self._near.parent(rel, create=True)
        path = rel.rpartition('/')[0]
        served = self._served.get(path)
        if served is None:
            served = self._served[path] = self._scratch.serves(folder)
        return self._build(ref, rel, folder, self._scratch.fd if served else folder)

    def _build(self, ref: ObjectRef, rel: str, folder: int, place: int) -> Built:
        self._ways = self._ways_into(rel.rpartition('/')[0], folder)
        built = Built(ref, rel, temporaries.new_name(temporaries.PREFIX), Added(ref, [], whole=True), place == folder)
        try:
            if ref.kind == 'tree':
                self._tree(ref, place, built.temporary, rel, built.added)
            else:
                self._file(ref, place, built.temporary)
        except BaseException:
            with suppress(OSError):
                removal.remove_tree(built.temporary, place)
            raise
        return built

    def put(self, built: Built, *, replace: bool = False) -> Added:
        """Give it its name.  Raises as :meth:`place`; then nothing is left of it."""
        rel = built.rel
        folder, name = self._near.parent(rel, create=True)
        place = folder if built.beside else self._scratch.fd
        self._settle(built.added, place)
        try:
            swap(place, built.temporary, folder, name, rel, replace=replace)
        except BaseException as error:
            with suppress(OSError):
                removal.remove_tree(built.temporary, place)
            if not isinstance(error, OSError) or error.errno != errno.EXDEV or built.beside:
                raise
            return self.put(self._build(built.ref, rel, folder, folder), replace=replace)  # one file system, mounted twice
        if built.ref.kind != 'tree':  # its new name has changed its ctime
            with suppress(FileNotFoundError):
                facts = ops.lstat(name, folder)
                if stat.S_ISREG(facts.st_mode):
                    built.added.files.append((rel, facts, built.ref))
        return built.added

    def _settle(self, added: Added, place: int) -> None:
        """Say of what is still to get its name which files nobody can change any more without changing their times, too."""
        if not added.records:
            return
        limit = self.shelf.verified.settled_before(ops.fstat(place).st_dev) if self.shelf.verified else 0
        for records in added.records.values():
            for name, record in records.items():
                records[name] = settled_before(record, limit)

    def _drop(self, built: Built) -> None:
        """What was put is not there any more."""
        with suppress(OSError, UserError):
            folder, _ = self._near.parent(built.rel)
            removal.remove_tree(built.temporary, folder if built.beside else self._scratch.fd)

    def _ways_into(self, path: str, folder: int) -> list[str]:
        ways = self._ways_in.get(path)
        if ways is None:
            unshared = ops.fstat(folder).st_dev in self._unshared
            ways = self._ways_in[path] = [way for way in self._links if way != 'reflink' or not unshared]
        return ways

    def _tree(self, ref: ObjectRef, folder: int, name: str, rel: str, added: Added) -> None:
        from mlops_cli.store.bulk_out import Folders, place_folder  # most commands place files only

        folders = Folders(self.shelf, ref, rel)
        if folders.enough() and not self._shares(ref, folder) and self._ways[0] != 'symlink':
            modes = self._mode['file'], self._mode['exec']
            if place_folder(self.shelf, folders, folder, name, added, ways=self._ways, modes=modes, one=self._file,
                            told=self._told):
                return
        self._folder(ref, folder, name, rel, 0, added)

    def _shares(self, ref: ObjectRef, folder: int) -> bool:
        """Whether files in a folder can share blocks with objects, and are to.  ``ref``: an object to try it with."""
        if self._ways[0] != 'reflink':
            return False
        name = temporaries.new_name(temporaries.PREFIX)
        try:
            return self._copy(ObjectRef(ref.digest, len(self.shelf.read(ref.digest)), 'file'), folder, name, reflink=True)
        finally:
            ops.remove_quietly(name, dir_fd=folder)

    def _folder(self, ref: ObjectRef, folder: int, name: str, path: str, depth: int, added: Added) -> None:
        if depth > tree.DEPTH_LIMIT:
            raise tree.MalformedTree(f'{path} lies too deep')
        entries = tree.decode(self.shelf.read(ref.digest))
        self.shelf.freshen(ref.digest)
        ops.mkdir(name, 0o755, dir_fd=folder)
        here = ops.open_with(name, _FOLDER, dir_fd=folder)
        records = added.records[path] = {}
        try:
            for entry in entries:
                if entry.kind == 'link':
                    check_link(f'{path}/{entry.name}', entry.target, depth)
                    ops.symlink(entry.target, entry.name, dir_fd=here)
                elif entry.kind == 'dir':
                    self._folder(entry.ref, here, entry.name, f'{path}/{entry.name}', depth + 1, added)
                else:
                    content = entry.ref
                    record = self._file(content, here, entry.name)
                    if record is not None:
                        records[entry.name] = record
        finally:
            os.close(here)

    def _file(self, ref: ObjectRef, folder: int, name: str) -> bytes | None:
        """Its record, a fifth of what its stat takes: there may be many; None for a link."""
        ours = False
        for way in tuple(self._ways):
            if way == 'copy' and ref.size <= SMALL and (data := self.shelf.read_published(ref.digest, ref.size)) is not None:
                self._told(1, ref.size)
                return make_record(pack(self._write(data, ref, folder, name)), ref, True)
            if way == 'hardlink' and ref.kind == 'file' and self._hardlink(ref, folder, name):
                break
            if way == 'symlink' and ref.kind == 'file' and self._symlink(ref, folder, name):
                self._told(1, ref.size)
                return None
            if way == 'copy' and self.shelf.twins and self.shelf.twins.give(ref.digest, self._mode[ref.kind], folder, name):
                break
            if way in ('reflink', 'copy') and self._copy(ref, folder, name, reflink=way == 'reflink'):
                ours = True
                break
        self._told(1, ref.size)
        with ops.Naming(folder):
            return make_record(pack(ops.lstat(name, folder)), ref, ours)

    def _write(self, data: bytes, ref: ObjectRef, folder: int, name: str) -> os.stat_result:
        target = ops.open_new(name, self._mode[ref.kind], dir_fd=folder)
        try:
            ops.write(target, data)
            return ops.fstat(target)
        finally:
            os.close(target)

    def _hardlink(self, ref: ObjectRef, folder: int, name: str) -> bool:
        if not self._publishable(ref):
            return False
        try:
            ops.link(object_path(ref.digest), name, src_dir_fd=self.shelf.root.fd, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            return False
        return True

    def _symlink(self, ref: ObjectRef, folder: int, name: str) -> bool:
        if not self._publishable(ref):
            return False
        ops.symlink(f'{self.shelf.objects}/{ref.digest.hex[:2]}/{ref.digest.hex[2:]}', name, dir_fd=folder)
        return True

    def _publishable(self, ref: ObjectRef) -> bool:
        """Sound under its final name; what still waits in the batch can only be copied."""
        if self.shelf.is_pending(ref.digest):
            return False
        if not self.shelf.sound(ref.digest, ref.size):
            fd, facts = self.shelf.open(ref.digest)  # raises MissingObject unless it was put back meanwhile
            os.close(fd)
            if facts.st_size != ref.size:
                raise self._damaged(ref, facts, ref.digest)
        self.shelf.freshen(ref.digest)
        return True

    def _copy(self, ref: ObjectRef, folder: int, name: str, *, reflink: bool) -> bool:
        """A file of its own with the object's bytes, hashed as they are written.  False: the file system has no reflinks."""
        source, facts = self.shelf.open(ref.digest)
        try:
            self.shelf.freshen(ref.digest, facts)
            target = ops.open_new(name, self._mode[ref.kind], dir_fd=folder)
            try:
                if reflink:
                    if not ops.reflink(source, target):
                        ops.unlink(name, dir_fd=folder)
                        self._ways.remove('reflink')
                        self._unshared.add(ops.fstat(folder).st_dev)
                        return False
                    os.lseek(target, 0, os.SEEK_SET)
                    found, _ = hash_rest(target, facts.st_size)
                else:
                    found = _copied(source, target, facts.st_size, lambda: self._told(0, 0))
            finally:
                os.close(target)
        finally:
            os.close(source)
        if found != ref.digest or facts.st_size != ref.size:
            ops.unlink(name, dir_fd=folder)
            raise self._damaged(ref, facts, found)
        return True

    def _damaged(self, ref: ObjectRef, facts: os.stat_result, found: Digest) -> Damaged:
        if found == ref.digest:
            return Damaged(ref.digest, f'it has {facts.st_size} bytes where {ref.size} were expected')
        return self.shelf.quarantine(ref.digest, f'its {facts.st_size} bytes hash to {found.short}...')


def _copied(source: int, target: int, size: int, step: Callable[[], object]) -> Digest:
    """The digest of what was written.  ``step``: called now and then."""
    if size >= BESIDE:
        from mlops_cli.store.arriving import copy_hashed  # few files are so large

        if (found := copy_hashed(source, target, size, step)) is not None:
            return found[0]
    return hash_rest(source, size, lambda part: pieces.write(target, part))[0]


def _exists(name: str, folder: int) -> bool:
    try:
        ops.lstat(name, folder)
    except FileNotFoundError:
        return False
    return True


def swap(place: int, temporary: str, folder: int, name: str, rel: str, *, replace: bool) -> None:
    """Give a finished file or folder, in the folder ``place``, its name in another; what had that is removed afterwards.

    Raises UserError if the name is taken and ``replace`` is not given; OSError.  Then nothing has changed."""
    if not replace:
        try:
            ops.rename_noreplace(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
        except FileExistsError:
            raise Taken(rel) from None
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            if _exists(name, folder):
                raise Taken(rel) from None
            ops.rename(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
        return
    both = [_is_folder(temporary, place), _is_folder(name, folder)]
    if both[1] is None or both == [False, False]:
        ops.rename(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
        return
    try:
        ops.exchange(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    else:
        removal.remove_tree(temporary, place)
        return
    old = temporaries.new_name(temporaries.PREFIX)
    ops.rename(name, old, src_dir_fd=folder, dst_dir_fd=folder)  # not to where temporaries are swept up
    try:
        ops.rename(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
    except BaseException:
        ops.rename(old, name, src_dir_fd=folder, dst_dir_fd=folder)
        raise
    removal.remove_tree(old, folder)


def _is_folder(name: str, folder: int) -> bool | None:
    """None if there is nothing of that name."""
    try:
        return stat.S_ISDIR(ops.lstat(name, folder).st_mode)
    except FileNotFoundError:
        return None
