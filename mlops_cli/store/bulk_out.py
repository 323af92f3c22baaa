"""A folder out of the store, by a crew of processes where that is worth it: what they leave, the ordinary way does."""
from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops, removal
from mlops_cli.fsio.paths import Root
from mlops_cli.store import tree
from mlops_cli.store.crew import ENOUGH, CrewLost, Placers
from mlops_cli.store.hand_out import item
from mlops_cli.store.ingest import Added, check_link
from mlops_cli.store.shelf import Shelf

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PlaceOne = Callable[[ObjectRef, int, str], bytes | None]
Folder = tuple[str, list[tree.TreeEntry], list[str]]  # its path, the files in it, and as what a crew is asked for them


def place_folder(shelf: Shelf, folders: Folders, place: int, name: str, added: Added, *, ways: Sequence[str],
                 modes: tuple[int, int], one: PlaceOne, told: Callable[[int, int], object]) -> bool:
    """Make a folder, and all that is in it, as ``name`` in the folder ``place``.  False, and nothing is there, where the crew
    failed.

    ``added``: gets the records of its files.  ``ways``, ``modes``: as those of Placers.  ``one``: brings a file in the ordinary
    way: into which folder, under which name.  ``told``: of files and bytes that the crew brought.  Raises what ``one`` raises,
    MissingObject, Damaged, MalformedTree, UserError, OSError; then a part may be there."""
    ops.mkdir(name, 0o755, dir_fd=place)
    with Root.of(name, ops.open_with(name, _FOLDER, dir_fd=place)) as top:
        folders.top = top
        try:
            with Placers(shelf.root.fd, top.fd, folders, ways, modes) as crew:
                while (folder := folders.take()) is not None:
                    _collect(crew, folder, top, added, folders.rel, one, told)
                crew.finish()
            return True
        except CrewLost:  # whatever was in its way, the ordinary way meets it too, and says what it is
            added.records.clear()
    removal.remove_tree(name, place)
    return False


def _collect(crew: Placers, folder: Folder, top: Root, added: Added, rel: str, one: PlaceOne,
             told: Callable[[int, int], object]) -> None:
    path, files, items = folder
    found = crew.records(path) if items else {}  # of a folder without files it knows nothing
    records = added.records[_below(rel, path)] = {}
    fd = None
    size = 0
    try:
        for entry, one_item in zip(files, items, strict=True):
            record = found.get(one_item)
            if record is not None:
                records[entry.name] = record
                size += entry.size
                continue
            if fd is None:
                fd = top.open_dir(path)
            record = one(entry.ref, fd, entry.name)
            if record is not None:
                records[entry.name] = record
    finally:
        if fd is not None:
            os.close(fd)
    told(len(found), size)


def _item(entry: tree.TreeEntry) -> str:
    assert entry.digest is not None
    return item(entry.digest.hex, entry.kind == 'exec', entry.size, entry.name)


def _below(folder: str, path: str) -> str:
    return f'{folder}/{path}' if path and folder else path or folder


class Folders:
    """The folders of a tree, one before those in it.  Iterated over by the crew, they are made, and what it has to do in each
    is told; :meth:`take` gives them in the same order to who asks for what it did.

    ``rel``: what to call the tree.  ``top``: where they are made."""

    top: Root

    def __init__(self, shelf: Shelf, ref: ObjectRef, rel: str) -> None:
        self._shelf, self.rel = shelf, rel
        self._waiting = [('', ref, 0)]
        self._read: deque[tuple[str, tuple[tree.TreeEntry, ...], int]] = deque()  # and not made yet; how deep they lie
        self._work: deque[Folder] = deque()
        self._made: deque[Folder] = deque()

    def enough(self) -> bool:
        """Whether there are so many files that a crew is worth it."""
        count = 0
        while count < ENOUGH and (folder := self._step()) is not None:
            self._read.append(folder)
            count += sum(entry.kind in ('file', 'exec') for entry in folder[1])
        return count >= ENOUGH

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        while self._work or self._make():
            path, _, items = self._work.popleft()
            if items:
                yield path, items

    def take(self) -> Folder | None:
        """The next folder, now made; None after the last."""
        return self._made.popleft() if self._made or self._make() else None

    def _make(self) -> bool:
        found = self._read.popleft() if self._read else self._step()
        if found is None:
            return False
        path, entries, depth = found
        if path:
            with self.top.parent(path) as (above, name):
                ops.mkdir(name, 0o755, dir_fd=above)
        links = [entry for entry in entries if entry.kind == 'link']
        if links:
            fd = self.top.open_dir(path)
            try:
                for entry in links:
                    check_link(_below(self.rel, _below(path, entry.name)), entry.target, depth)
                    ops.symlink(entry.target, entry.name, dir_fd=fd)
            finally:
                os.close(fd)
        files = [entry for entry in entries if entry.kind in ('file', 'exec')]
        folder = path, files, [_item(entry) for entry in files]
        self._work.append(folder)
        self._made.append(folder)
        return True

    def _step(self) -> tuple[str, tuple[tree.TreeEntry, ...], int] | None:
        """Read the node of one more folder."""
        if not self._waiting:
            return None
        path, ref, depth = self._waiting.pop()
        if depth > tree.DEPTH_LIMIT:
            raise tree.MalformedTree(f'{_below(self.rel, path)} lies too deep')
        entries = tree.decode(self._shelf.read(ref.digest))
        self._shelf.freshen(ref.digest)
        inside = [entry for entry in reversed(entries) if entry.kind == 'dir']
        self._waiting += [(_below(path, entry.name), entry.ref, depth + 1) for entry in inside]
        return path, entries, depth
