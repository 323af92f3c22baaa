"""Records what a command of mlops does to a project: each change of the disk as mlops makes it, and what others do in
between, such as the programs of stages, as it is found."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.faults import warm
from tests.faults.medium import Held, Medium, State, snapshot
from tests.faults.tools import Done, Tool

INDEX = '.mlops/local/index-v1.sqlite'
DATABASE = frozenset((INDEX, f'{INDEX}-wal', f'{INDEX}-shm'))  # SQLite changes it by itself: whatever may be in it
OBJECTS = '.mlops/cache/objects-v1'
QUIET = frozenset((*DATABASE, OBJECTS))  # where nobody but the recorded command changes anything
Operation = tuple[str, dict[str, Any]]


class Incomplete(Exception):
    """A change was made that the recorder was not told of."""


@dataclass(frozen=True, slots=True)
class Recording:
    """``base``: what there was.  ``operations``: in order, for a Medium at ``root``.  ``databases``: what was in the index
    before and after, all that its files hold.  ``words``: the command."""

    root: str
    base: State
    operations: tuple[Operation, ...]
    databases: tuple[bytes, bytes]
    words: tuple[str, ...]

    def medium(self, count: int | None = None) -> Medium:
        """After so many operations; after all."""
        medium = Medium(self.root, self.base)
        for operation, details in self.operations[:count]:
            medium.apply(operation, details)
        return medium


class _Recorder:
    """In the child.  Tells the operations, and what others did before each, to a descriptor."""

    def __init__(self, medium: Medium, fd: int) -> None:
        self.medium, self.fd = medium, fd
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, ...]] = {}

    def __call__(self, operation: str, details: dict[str, Any]) -> None:
        with self._lock:
            if threading.active_count() == 1:  # else somebody may be about to do what was told already
                for found in foreign(self.medium, self._seen):
                    self._put('foreign', found)
            self._put(operation, details)

    def _put(self, operation: str, details: dict[str, Any]) -> None:
        self.medium.apply(operation, details)
        data = pickle.dumps((operation, details))
        os.write(self.fd, len(data).to_bytes(8, 'little') + data)


def foreign(medium: Medium, seen: dict[str, tuple[int, ...]], skip: frozenset[str] = QUIET) -> Iterator[dict[str, Any]]:
    """What differs on disk from what the medium was told, in parts not skipped.  ``seen``: states that need no second look."""
    there = medium.now()
    found: set[str] = set()
    for rel, facts in _walk(medium.root, '', skip):
        found.add(rel)
        state = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if seen.get(rel) != state or rel not in there:
            seen[rel] = state
            held = _held(f'{medium.root}/{rel}', facts)
            known = there.get(rel)
            if held is not None and (known is None or (known.kind, known.data) != (held.kind, held.data)):
                yield {'rel': rel, 'held': held}
    for rel in sorted(there, reverse=True):
        if rel not in found and not _is_in(rel, skip):
            seen.pop(rel, None)
            yield {'rel': rel, 'held': None}


def _is_in(rel: str, skip: frozenset[str]) -> bool:
    return any(rel == one or rel.startswith(f'{one}/') for one in skip)


def _walk(root: str, rel: str, skip: frozenset[str]) -> Iterator[tuple[str, os.stat_result]]:
    for entry in os.scandir(f'{root}/{rel}'):
        path = f'{rel}/{entry.name}' if rel else entry.name
        if path in skip:
            continue
        yield path, entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, skip)


def _held(path: str, facts: os.stat_result) -> Held | None:
    mode = facts.st_mode & 0o777
    try:
        if os.path.islink(path):
            return Held('link', mode, os.readlink(path).encode(), 0)
        if os.path.isdir(path):
            return Held('dir', mode, b'', 0)
        with open(path, 'rb') as file:
            return Held('file', mode, file.read(), 0)
    except FileNotFoundError:
        return None


@contextmanager
def file_system(ordered: bool) -> Iterator[None]:
    """Within, mlops takes every file system for one that keeps its order, or for one that does not."""
    from mlops_cli.fsio import filesystem

    kind = filesystem.FileSystem('ext4' if ordered else 'btrfs', ordered=ordered, network=False)
    with mock.patch.object(filesystem, 'probe', lambda _fd: kind):
        yield


def record(
    tool: Tool,
    project: Path,
    *words: str,
    ordered: bool,
    code: int = 0,
    late: Callable[[], object] = lambda: None,
    lost: Callable[[str], bool] = lambda _: False,
) -> tuple[Recording, Done]:
    """A command in a project that lies on the medium as it is now.  ``code``: how it has to end.  ``late``: what is done to the
    project before it, and counts as not synced.  ``lost``: operations that are not told, to see whether anybody misses them.

    Raises AssertionError, Incomplete."""
    root = str(project)
    base = snapshot(project, DATABASE)
    before = database(project)
    late()
    with warm.Notes() as notes, file_system(ordered):
        recorder = _Recorder(Medium(root, base), notes.fd)
        done = warm.do(tool, project, *words, hook=recorder)
        told = list(_told(notes.fd))
    assert done.code == code, done.said
    medium = Medium(root, base)
    for operation, details in told:
        medium.apply(operation, details)
    for found in list(foreign(medium, {}, DATABASE)):
        if _is_in(found['rel'], QUIET):
            raise Incomplete(f'{done.said}: {found["rel"]} is not what the operations tell')
        told.append(('foreign', found))
    kept = tuple(one for one in told if not lost(one[0]))
    return Recording(root, base, kept, (before, database(project)), words), done


def _told(fd: int) -> Iterator[Operation]:
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        size = int.from_bytes(os.pread(fd, 8, at), 'little')
        yield pickle.loads(os.pread(fd, size, at + 8))
        at += 8 + size


def database(project: Path) -> bytes:
    """All that the index holds, as the bytes of one file; none if there is none."""
    import sqlite3

    if not (project / INDEX).exists():
        return b''
    connection = sqlite3.connect(project / INDEX)
    try:
        return connection.serialize()
    finally:
        connection.close()


