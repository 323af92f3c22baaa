"""What was moved out of the way: what it holds is asked of the moved copy itself, since what was known of it before may have
been edited just before it was moved, or through a descriptor afterwards.

A folder costs one stat a file, as at its old place: what lies in it keeps its state.  A file's state changes as it is moved, so
it is read again, unless it is large."""

from __future__ import annotations

import os
import stat

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.index import Index
from mlops_cli.fingerprint.scan import Scan
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.store.ingest import hash_open_file
from mlops_cli.store.shelf import linked_digest, linked_object

LARGE = 16 << 20  # bytes of a file beyond which its state has to do where that proves it
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Apart:
    """``objects``: absolute path of the cache's folder of objects, into which outputs may be links."""

    def __init__(self, root: Root, index: Index, objects: str) -> None:
        self._root, self._index, self._objects = root, index, objects

    def carries(self, facts: os.stat_result) -> bool:
        """Whether it is worth to :meth:`carry` what is in this state."""
        return stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode) and facts.st_size > LARGE)

    def carry(self, path: str, place: str, before: os.stat_result, after: os.stat_result) -> None:
        """What was at ``path`` is at ``place`` now.  ``before``, ``after``: at once before and after it was moved."""
        if stat.S_ISDIR(after.st_mode):
            self._index.carry(path, place)
        elif stat.S_ISREG(after.st_mode):
            self._index.carry_file(path, place, before, after)

    def content(self, place: str, near: Nearby, nodes: dict[Digest, bytes] | None = None) -> ObjectRef | None:
        """What is at a place to which something was moved, complete; None where that cannot be said, as of a pipe or of what
        cannot be read.  ``nodes``: takes the tree nodes of a folder."""
        try:
            facts = near.stat(place)
            if facts is None:
                return None
            folder, name = near.parent(place)
            if stat.S_ISLNK(facts.st_mode):
                return linked_object(self._objects, os.readlink(name, dir_fd=folder))
            if stat.S_ISDIR(facts.st_mode):
                return self._folder(place, nodes)
            if not stat.S_ISREG(facts.st_mode):
                return None
            return self._file(folder, name, place, facts)
        except (UserError, OSError):
            return None

    def _file(self, folder: int, name: str, place: str, facts: os.stat_result) -> ObjectRef:
        if facts.st_size > LARGE:
            ref = self._index.get(place, facts)
            self._index.drop(place)
            if ref is not None:
                return ref
        fd = os.open(name, _READ, dir_fd=folder)
        try:
            return hash_open_file(fd, place)[0]
        finally:
            os.close(fd)

    def _folder(self, place: str, nodes: dict[Digest, bytes] | None) -> ObjectRef:
        def stored(target: str) -> ObjectRef | None:
            return linked_object(self._objects, target)

        def lost(target: str) -> bool:
            return linked_digest(self._objects, target) is not None and not os.path.lexists(target)

        try:
            scan = Scan(self._index, None, follow=lambda _: None, stored=stored, lost=lost, nodes=nodes)
            return scan.folder(self._root.open_dir_to_read(place), place)
        finally:
            self._index.drop(place)
