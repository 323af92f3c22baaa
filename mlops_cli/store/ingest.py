"""Files and folders of a workspace into objects.  What is hashed is what was copied; user files are only ever read."""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest, digest_of, hasher
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import Kind, ObjectRef
from mlops_cli.core.states import record_parts
from mlops_cli.fsio import ops, pieces, temporaries
from mlops_cli.fsio.durable import OBJECTS, TREES
from mlops_cli.fsio.paths import Root
from mlops_cli.store import tree
from mlops_cli.store.shelf import BESIDE, SMALL, Shelf, hash_beside, hash_rest, linked_object, read_all
from mlops_cli.store.tree import DEPTH_LIMIT, TreeEntry

TRIES = 3
Known = Callable[[str, os.stat_result], ObjectRef | None]
Read = Callable[[str, os.stat_result], dict[str, bytes]]
GoOn = Callable[[], object]  # called often, to raise where it is not wanted any more
Listed = Callable[['Listing'], object]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Added:
    """What was added.  ``files``: path relative to the root, stat taken after it was read, content, of every regular file
    that is not in ``records``: folder, name, and what the index keeps of it (core/states.py).
    ``whole``: the folders in ``records`` are new, and these are all their files.  ``moment``: what the clock of the store's
    ``verified`` said before the first of them was read; None without one."""

    ref: ObjectRef
    files: list[tuple[str, os.stat_result, ObjectRef]]
    moment: Any = None
    records: dict[str, dict[str, bytes]] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder that was added.  ``names``: in the order in which the system lists them.  ``records``: of files, those that
    others have read; what the index keeps of them, by name."""

    path: str
    names: list[str]
    entries: list[TreeEntry]
    records: dict[str, bytes]
    ref: ObjectRef


def kind_of(facts: os.stat_result) -> Kind:
    """``exec`` if its owner may execute it."""
    return 'exec' if facts.st_mode & stat.S_IXUSR else 'file'


def same_state(one: os.stat_result, two: os.stat_result) -> bool:
    """Whether a file was left alone between two looks."""
    return (one.st_ino == two.st_ino and one.st_size == two.st_size and one.st_mtime_ns == two.st_mtime_ns
            and one.st_ctime_ns == two.st_ctime_ns)


def special_file(path: str, facts: os.stat_result) -> UserError:
    """For what is neither file, folder nor link."""
    names = {stat.S_IFIFO: 'a named pipe', stat.S_IFSOCK: 'a socket', stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device'}
    what = names.get(stat.S_IFMT(facts.st_mode), 'not a regular file')
    return UserError(f'{path} is {what}: only files and folders have content to keep', exit_code=ExitCode.REFUSED,
                     hint='leave it out, or move it away')


def changed_while_reading(path: str) -> UserError:
    """For a file that does not hold still."""
    return UserError(f'{path} changed while reading it, {TRIES} times', exit_code=ExitCode.FAILED,
                     hint='wait until nothing writes to it, then try again')


def too_deep(path: str) -> UserError:
    return UserError(f'{path} lies more than {DEPTH_LIMIT} folders deep', exit_code=ExitCode.REFUSED,
                     hint='arrange the files in fewer levels')


def check_names(path: str, entries: list[TreeEntry]) -> None:
    """Raises UserError (exit 5) on names that a tree cannot hold, or that some file systems take for one."""
    names = [entry.name for entry in entries]
    if tree.all_plain(names):
        return
    for name in names:
        if problem := tree.name_problem(name):
            raise UserError(f'{path or "."} holds {problem}: a stored folder cannot', exit_code=ExitCode.REFUSED,
                            hint='rename it, move it away, or name the files you mean one by one')
    if both := tree.collision(names):
        raise UserError(f'{path or "."} holds both {both[0]!r} and {both[1]!r}: they differ in case or accents only',
                        exit_code=ExitCode.REFUSED, hint='macOS and Windows take them for one file: rename one of them')


def check_link(path: str, target: str, depth: int) -> None:
    """Raises UserError (exit 5) for a link that a tree cannot hold, ``depth`` folders below its root."""
    if problem := tree.link_problem(target, depth):
        raise UserError(f'{path} is a symbolic link to {target!r}: {problem}', exit_code=ExitCode.REFUSED,
                        hint='put a copy in its place, or make it a relative link to something in the same folder')


def hash_open_file(source: int, path: str) -> tuple[ObjectRef, os.stat_result]:
    """The content of the file behind a descriptor, and its stat after the reading.  ``path``: for messages.  Raises UserError
    if it is not a regular file or changes all the time, OSError."""
    before = ops.fstat(source)
    for _ in range(TRIES):
        if not stat.S_ISREG(before.st_mode):
            raise special_file(path, before)
        digest, size = hash_rest(source, before.st_size)
        after = ops.fstat(source)
        if size == after.st_size and same_state(before, after):
            return ObjectRef(digest, size, kind_of(after)), after
        before = after
        os.lseek(source, 0, os.SEEK_SET)
    raise changed_while_reading(path)


def level_of(data: bytes) -> int:
    """When an object may get its name: what looks like the node of a tree only after all that is no node."""
    return TREES if data.startswith(tree.PREFIX) else OBJECTS


def add_bytes(shelf: Shelf, data: bytes) -> ObjectRef:
    """Store bytes as an object, unless it is there."""
    digest = digest_of(data)
    if not (shelf.sound(digest, len(data)) and shelf.freshen(digest)):
        fd, temporary = shelf.new_temporary()
        try:
            ops.write(fd, data)
        except BaseException:
            os.close(fd)
            shelf.drop(temporary)
            raise
        shelf.adopt(digest, fd, temporary, level_of(data))
    return ObjectRef(digest, len(data), 'file')


def add_chunks(shelf: Shelf, chunks: Iterable[bytes]) -> ObjectRef:
    """Store what comes, whatever it is; a piece of it at a time is in memory.  Raises what ``chunks`` raises, OSError."""
    fd, temporary = shelf.new_temporary()
    seen, size, level = hasher(), 0, OBJECTS
    with _dropped_on_error(shelf, fd, temporary):
        for chunk in chunks:
            level = level_of(chunk) if not size and chunk else level
            seen.update(chunk)
            pieces.write(fd, chunk)
            size += len(chunk)
        digest = Digest(seen.hexdigest())
        present = shelf.sound(digest, size) and shelf.freshen(digest)
    if present:
        os.close(fd)
        shelf.drop(temporary)
    else:
        shelf.adopt(digest, fd, temporary, level)
    return ObjectRef(digest, size, 'file')


@contextmanager
def _dropped_on_error(shelf: Shelf, fd: int, temporary: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        shelf.drop(temporary)
        raise


def add_open_file(shelf: Shelf, source: int, path: str, *, reflink: bool,
                  go_on: GoOn = lambda: None) -> tuple[ObjectRef, os.stat_result]:
    """Store the file behind a descriptor: (content, its stat after the reading).  ``path``: for messages.

    Raises UserError if it is not a regular file, or will not hold still for as long as it takes to read it."""
    before = ops.fstat(source)
    for _ in range(TRIES):
        if not stat.S_ISREG(before.st_mode):
            raise special_file(path, before)
        small = before.st_size <= SMALL
        found = _add_small(shelf, source, before) if small else _add_large(shelf, source, before, reflink, go_on)
        after = ops.fstat(source)
        if found is not None and found[1] == after.st_size and same_state(before, after):
            return ObjectRef(found[0], found[1], kind_of(after)), after
        before = after
        os.lseek(source, 0, os.SEEK_SET)
    raise changed_while_reading(path)


def _add_small(shelf: Shelf, source: int, before: os.stat_result) -> tuple[Digest, int] | None:
    """None if it changed meanwhile; then nothing was stored."""
    data = read_all(source, before.st_size)
    if not same_state(before, ops.fstat(source)):
        return None
    return add_bytes(shelf, data).digest, len(data)


def _add_large(shelf: Shelf, source: int, before: os.stat_result, reflink: bool, go_on: GoOn) -> tuple[Digest, int] | None:
    fd, temporary = shelf.new_temporary()
    with _dropped_on_error(shelf, fd, temporary):
        if reflink and ops.reflink(source, fd):
            digest, size = hash_rest(fd, ops.fstat(fd).st_size)
        elif before.st_size >= BESIDE:
            digest, size = _copy_huge(source, fd, before.st_size, shelf.batch.durability != 'none', go_on)
        else:
            digest, size = _copy_flowing(source, fd, before.st_size, go_on)
        changed = not same_state(before, ops.fstat(source))
        present = not changed and shelf.sound(digest, size) and shelf.freshen(digest)
    if changed or present:
        os.close(fd)
        shelf.drop(temporary)
    else:
        shelf.adopt(digest, fd, temporary, OBJECTS)
    return None if changed else (digest, size)


def _copy_huge(source: int, target: int, size: int, durable: bool, go_on: GoOn) -> tuple[Digest, int]:
    """The quickest of three ways: what has to wait for the medium goes straight there."""
    from mlops_cli.fsio import direct  # few files are so large
    from mlops_cli.store.arriving import copy_hashed

    if not (durable and (straight := direct.Direct(target)).on):
        return copy_hashed(source, target, size, go_on) or _copy_flowing(source, target, size, go_on)

    def put(part: memoryview) -> None:
        go_on()
        straight.write(part)

    try:
        return hash_beside(source, put, direct.BLOCK)
    finally:
        straight.end()


def _copy_flowing(source: int, target: int, size: int, go_on: GoOn) -> tuple[Digest, int]:
    from mlops_cli.store.beside import Flowing

    flowing = Flowing(target)

    def put(part: memoryview) -> None:
        go_on()
        flowing.write(part)

    return hash_rest(source, size, put)


def _recorded(name: str, record: bytes) -> TreeEntry:
    digest, size, kind = record_parts(record)
    return TreeEntry(name, kind, digest, size)


class Ingest:
    """One addition of a file or folder.  ``known``: the content of a file in this state, if that is known; then it is not
    read as long as the object is here.  ``sure``: only if that object is also found sound, byte for byte.  ``read``: what
    others have read and stored of the files of a folder in this state, by name.  ``keep``: stores a node.  ``go_on``: called
    before each file, and all along a large one.  ``listed``: told of each folder, those in a folder before it."""

    def __init__(self, shelf: Shelf, *, known: Known, reflink: bool, sure: bool,
                 read: Read = lambda _folder, _facts: {}, keep: Callable[[bytes], object] | None = None,
                 go_on: GoOn = lambda: None, listed: Listed = lambda _listing: None) -> None:
        self.shelf, self.known, self.reflink, self.sure, self._read = shelf, known, reflink, sure, read
        self._go_on, self._listed = go_on, listed
        self._keep = keep or (lambda node: add_bytes(shelf, node))
        self.files: list[tuple[str, os.stat_result, ObjectRef]] = []
        self.records: dict[str, dict[str, bytes]] = {}

    def path(self, root: Root, rel: str) -> ObjectRef:
        """The file or folder at ``rel``.  Raises UserError; OSError, FileNotFoundError if there is none."""
        found = self.file(root, rel)
        return found if isinstance(found, ObjectRef) else self.folder(found, rel)

    def file(self, root: Root, rel: str) -> ObjectRef | int:
        """As :meth:`path`, but of a folder only its descriptor, which the caller closes."""
        with root.parent_to_read(rel) as (folder, name), ops.Naming(folder):
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                return os.open(name, _FOLDER, dir_fd=folder)
            if not stat.S_ISLNK(facts.st_mode):
                return self._file(folder, name, rel, facts)
            if stored := self._stored(os.readlink(name, dir_fd=folder)):
                return stored
            raise UserError(f'{rel} is a symbolic link', exit_code=ExitCode.REFUSED,
                            hint='write a regular file or a folder there: a link has no content of its own to keep')

    def _stored(self, target: str) -> ObjectRef | None:
        """The content behind a link of ours into the cache, if it can be relied on as asked."""
        ref = linked_object(self.shelf.objects, target)
        return ref if ref and (not self.sure or self.shelf.sound(ref.digest, ref.size)) else None

    def _file(self, folder: int, name: str, path: str, facts: os.stat_result) -> ObjectRef:
        if not stat.S_ISREG(facts.st_mode):
            raise special_file(path, facts)
        self._go_on()
        ref = self.known(path, facts)
        if ref is None or not self._present(ref, facts):
            source = os.open(name, _READ, dir_fd=folder)
            try:
                ref, facts = add_open_file(self.shelf, source, path, reflink=self.reflink, go_on=self._go_on)
            finally:
                os.close(source)
        self.files.append((path, facts, ref))
        return ref

    def _present(self, ref: ObjectRef, facts: os.stat_result) -> bool:
        if ref.size != facts.st_size or ref.kind != kind_of(facts):
            return False
        if self.sure:
            return self.shelf.sound(ref.digest, ref.size) and self.shelf.freshen(ref.digest)
        found = self.shelf.stat(ref.digest)
        return found is not None and found.st_size == ref.size and self.shelf.freshen(ref.digest, found)

    def folder(self, fd: int, path: str, depth: int = 0) -> ObjectRef:
        """The folder behind a descriptor, which is taken over.  Raises UserError, OSError."""
        try:
            if depth > DEPTH_LIMIT:
                raise too_deep(path)
            before = ops.fstat(fd)
            read = self._read(path, before)
            for _ in range(TRIES):
                read_so_far = len(self.files)
                with ops.Naming(fd):
                    names = os.listdir(fd)
                    entries = self._entries(fd, names, path, depth, read)
                after = ops.fstat(fd)
                if entries is not None and same_state(before, after):
                    break
                before, read = after, {}
                del self.files[read_so_far:]
            else:
                raise changed_while_reading(path)
            if read:
                self.records[path] = read
        finally:
            os.close(fd)
        check_names(path, entries)
        node = tree.encode(entries)
        ref = tree.tree_ref(node, entries)
        self._keep(node)
        self._listed(Listing(path, names, entries, read, ref))
        return ref

    def _entries(self, fd: int, names: list[str], path: str, depth: int, read: dict[str, bytes]) -> list[TreeEntry] | None:
        """None if something vanished meanwhile."""
        try:
            return [entry for name in sorted(names) if (entry := _recorded(name, read[name]) if name in read
                                                        else self._entry(fd, name, f'{path}/{name}', depth))]
        except FileNotFoundError:
            return None

    def _entry(self, fd: int, name: str, path: str, depth: int) -> TreeEntry | None:
        if name.startswith(temporaries.PREFIX) and temporaries.owner_in(name):
            return None  # what a killed command of ours left behind
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(facts.st_mode):
            return tree.entry_of(name, self.folder(os.open(name, _FOLDER, dir_fd=fd), path, depth + 1))
        if stat.S_ISLNK(facts.st_mode):
            target = os.readlink(name, dir_fd=fd)
            if stored := self._stored(target):
                return tree.entry_of(name, stored)
            check_link(path, target, depth)
            return TreeEntry(name, 'link', None, 0, target)
        return tree.entry_of(name, self._file(fd, name, path, facts))
