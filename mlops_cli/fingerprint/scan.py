"""One look at a folder with all that is in it: its content as a tree.

Fast while nothing changed: one stat a file, its bytes joined and compared with what the index keeps for the whole folder.
Where they differ, only what the index does not know is opened.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import SIGNATURE, make_record, pack, record_is, record_ref
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index, Seal
from mlops_cli.fsio import ops, temporaries
from mlops_cli.store import tree
from mlops_cli.store.ingest import check_link, check_names, hash_open_file, special_file, too_deep
from mlops_cli.store.tree import DEPTH_LIMIT, TreeEntry

Follow = Callable[[str], ObjectRef | None]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Listing:
    """What one folder held: ``names`` of files and ``parts``, each a name and a signature; ``others``, folders and links."""

    __slots__ = ('foreign', 'names', 'newest', 'others', 'parts')

    def __init__(self) -> None:
        self.names: list[str] = []
        self.parts: list[bytes] = []
        self.others: list[TreeEntry] = []
        self.newest = 0
        self.foreign = False

    @property
    def files(self) -> dict[str, bytes]:
        """Name -> signature."""
        return {name: part[-SIGNATURE.size:] for name, part in zip(self.names, self.parts, strict=True)}

    @property
    def signature(self) -> bytes:
        return signature_of(self.parts, self.others)


def signature_of(parts: Iterable[bytes], others: Iterable[TreeEntry]) -> bytes:
    """32 bytes for the state of all that a folder holds.  ``parts``: of files, each a name, NUL and a signature; ``others``:
    folders and links; both in the order in which the system lists them."""
    texts = [f'{name}\0{kind} {digest} {size} {target}\0'.encode('utf-8', 'surrogateescape')
             for name, kind, digest, size, target in others]
    return bytes.fromhex(digest_of(b''.join(parts) + b'\0' + b''.join(texts)).hex)


class Scan:
    """``ignore``: what does not count; None for the complete content.  ``follow``: the content behind a link that leaves
    the tree; used only with ``ignore``, else such links are refused.  ``stored``: the object that a link into the cache
    means; ``lost``: whether that is gone: in the complete content its file then counts as absent.  ``nodes``: takes all
    tree nodes; without it, nodes of unchanged folders are not made.  ``unsettled``: afterwards, files that must be hashed
    again at the next look.  ``verified``: folders that hold files alone, and are as they were when nothing was to be done.
    ``single``: make the node of this one folder, of what is in it take what the index has.  ``read``: the records that others
    have made of the files in a folder that the index does not know."""

    def __init__(self, index: Index, ignore: Ignore | None, *, follow: Follow, stored: Follow, lost: Callable[[str], bool],
                 nodes: dict[Digest, bytes] | None = None, verified: Collection[str] = (), single: bool = False,
                 read: Callable[[str], Mapping[str, bytes]] | None = None) -> None:
        self.index, self.ignore, self.follow, self.stored, self.nodes = index, ignore, follow, stored, nodes
        self.lost, self.verified, self.single, self._read = lost, verified, single, read
        self.made: dict[Digest, bytes] = {}  # nodes of the folders that were not as the index had them
        self.unsettled: set[str] = set()
        self._view = bytes.fromhex(ignore.digest.hex) if ignore else b''
        self._moment = index.moment()

    def folder(self, fd: int, rel: str, depth: int = 0) -> ObjectRef:
        """The tree of an open folder (taken over), which lies at ``rel``.  Raises UserError, OSError."""
        try:
            if depth > DEPTH_LIMIT:
                raise too_deep(rel)
            trusted = rel in self.verified if not self.single else bool(depth)
            if trusted and self.nodes is None and (seal := self.index.seal(rel, self._view)):
                return seal.ref
            with ops.Naming(fd):
                listing = self._list(fd, rel, depth)
            signature = listing.signature
            seal = self.index.seal(rel, self._view)
            limit = self._moment.foreign_before_ns if listing.foreign else self._moment.before_ns
            if self.nodes is None and not self.single and seal and seal.signature == signature and listing.newest < limit:
                return seal.ref
            return self._rebuild(fd, rel, listing, signature)
        finally:
            os.close(fd)

    def _list(self, fd: int, rel: str, depth: int) -> _Listing:
        """The one loop that runs once for each file of the workspace: every line in it counts."""
        listing = _Listing()
        take_name, take_part = listing.names.append, listing.parts.append
        ignore, stat_filter, device, newest = self.ignore, self.index.stat_filter, self._moment.device, 0
        may_ignore = ignore.may_ignore if ignore else str
        packed = SIGNATURE.pack
        with os.scandir(fd) as found:
            entries = list(found)
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                self._list_other(fd, entry, rel, depth, listing)
                continue
            name = entry.name
            if may_ignore(name) and ((ignore and ignore.entry_ignored(rel, name, False)) or _is_ours(name)):
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat_filter is not None:
                facts = stat_filter(facts)
            changed, touched = facts.st_ctime_ns, facts.st_mtime_ns
            if changed > newest:
                newest = changed
            if touched > newest:
                newest = touched
            if facts.st_dev != device:
                listing.foreign = True
            state = packed(facts.st_dev, facts.st_ino, facts.st_size, touched, changed, facts.st_mode)
            take_name(name)
            take_part(name.encode('utf-8', 'surrogateescape') + b'\0' + state)
        listing.newest = newest
        return listing

    def _list_other(self, fd: int, entry: os.DirEntry[str], rel: str, depth: int, listing: _Listing) -> None:
        name = entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if self.ignore is not None and self.ignore.entry_ignored(rel, name, is_folder):
            return
        if _is_ours(name):
            return
        path = f'{rel}/{name}' if rel else name
        if is_folder:
            found = tree.entry_of(name, self.folder(ops.open_with(name, _FOLDER, dir_fd=fd), path, depth + 1))
        elif entry.is_symlink():
            if self.ignore is None and self.lost(os.readlink(name, dir_fd=fd)):
                return
            found = self._link(fd, name, path, depth)
        else:
            raise special_file(path, entry.stat(follow_symlinks=False))
        listing.others.append(found)

    def _link(self, fd: int, name: str, path: str, depth: int) -> TreeEntry:
        target = os.readlink(name, dir_fd=fd)
        if tree.link_problem(target, depth) is None:
            return TreeEntry(name, 'link', None, 0, target)
        ref = self.stored(target)
        if ref is not None:
            return tree.entry_of(name, ref)
        if self.ignore is None:
            check_link(path, target, depth)
        ref = self.follow(path)
        if ref is None:
            raise UserError(f'{path} is a symbolic link to {target!r}, where nothing is', exit_code=ExitCode.REFUSED,
                            hint='remove it, name it in .mlopsignore, or put there what it leads to')
        return tree.entry_of(name, ref)

    def _rebuild(self, fd: int, rel: str, listing: _Listing, signature: bytes) -> ObjectRef:
        known = self.index.folder(rel)
        fresh: dict[str, bytes] = {}
        entries = list(listing.others)
        sealable = True
        files = listing.files
        read = self._read(rel) if self._read and not known else {}
        for name, state in files.items():
            record = known.get(name)
            if record is None or not record_is(record, state) or not self._settled(state):
                path = f'{rel}/{name}' if rel else name
                record = read.get(name, b'')
                if not record.startswith(state):
                    record = self._hash(fd, name, path)
                elif not record_is(record, state):
                    self.unsettled.add(path)
                fresh[name] = record
                sealable = sealable and record_is(record, state)
            entries.append(tree.entry_of(name, record_ref(record)))
        check_names(rel, entries)
        node = tree.encode(entries)
        ref = tree.tree_ref(node, entries)
        self.made[ref.digest] = node
        if self.nodes is not None:
            self.nodes[ref.digest] = node
        if fresh:
            self.index.put_folder(rel, fresh, files)
        self.index.put_seal(rel, self._view, Seal(signature, ref) if sealable else None)
        return ref

    def _settled(self, state: bytes) -> bool:
        device, _, _, touched, changed, _ = SIGNATURE.unpack(state)
        limit = self._moment.before_ns if device == self._moment.device else self._moment.foreign_before_ns
        return bool(touched < limit and changed < limit)

    def _hash(self, fd: int, name: str, path: str) -> bytes:
        """The record of a file that has to be read."""
        moment = self.index.moment()
        source = ops.open_with(name, _READ, dir_fd=fd)
        try:
            ref, facts = hash_open_file(source, path)
        finally:
            os.close(source)
        if self.index.stat_filter:
            facts = self.index.stat_filter(facts)
        settled = moment.settled(facts)
        if not settled:
            self.unsettled.add(path)
        return make_record(pack(facts), ref, settled)


def _is_ours(name: str) -> bool:
    """Whether a killed command of ours left it behind; a name that only looks a little like one is the user's."""
    return name.startswith(temporaries.PREFIX) and bool(temporaries.owner_in(name))
