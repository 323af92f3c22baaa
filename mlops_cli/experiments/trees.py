"""Data and outputs of two states: which files of a folder are new, gone or others."""

from __future__ import annotations

from collections.abc import Callable

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import PREFIX, TreeEntry, diff

NAMED = 1000  # files that are named
COUNTED = 200_000  # files that are counted

Read = Callable[[Digest], bytes]


@dataclass(frozen=True, slots=True)
class Counts:
    """``files``: (status, path in the folder, bytes before, bytes after), of the first that differ.  ``more``: whether there
    were too many to count."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    files: tuple[tuple[str, str, int | None, int | None], ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class PathChange:
    """``before`` and ``after``: digests; None where the path is not there.  The sizes: bytes, None where unknown.  ``inside``:
    what differs in a folder; None for files, and for folders whose lists are not here."""

    path: str
    before: Digest | None
    after: Digest | None
    size_before: int | None = None
    size_after: int | None = None
    inside: Counts | None = None
    stages: tuple[str, ...] = field(default=())


def reader(bench: Workbench, paths: tuple[str, ...] = ()) -> Read:
    """Lists of folders, from the store and from the workspace's folders at these paths.  Raises MissingObject, Damaged."""
    nodes: dict[Digest, bytes] | None = None

    def read(digest: Digest) -> bytes:
        nonlocal nodes
        try:
            return bench.store.read(digest)
        except (MissingObject, Damaged):
            if nodes is None:
                nodes = {}
                for path in paths:
                    nodes |= bench.workspace.nodes(path)
                    nodes |= bench.workspace.nodes(path, ignore=False)
            if digest not in nodes:
                raise
            return nodes[digest]

    return read


def counts(before: Digest, after: Digest, read: Read) -> Counts | None:
    """None where one of them is no folder, or its list is not here."""
    try:
        if not read(before).startswith(PREFIX) or not read(after).startswith(PREFIX):
            return None
        return _counted(before, after, read)
    except UserError:  # not in this cache, or damaged
        return None


def _counted(before: Digest, after: Digest, read: Read) -> Counts:
    added = changed = removed = 0
    files: list[tuple[str, str, int | None, int | None]] = []
    for path, one, two in diff(ObjectRef(before, 0, 'tree'), ObjectRef(after, 0, 'tree'), read):
        if _is_folder(one) and _is_folder(two):
            continue
        status = 'added' if one is None else 'removed' if two is None else 'changed'
        if _is_folder(one or two):
            continue  # what is in it follows
        added, changed, removed = added + (one is None), changed + bool(one and two), removed + (two is None)
        if len(files) < NAMED:
            files.append((status, path, one.size if one else None, two.size if two else None))
        if added + changed + removed >= COUNTED:
            return Counts(added, changed, removed, tuple(files), True)
    return Counts(added, changed, removed, tuple(files))


def _is_folder(entry: TreeEntry | None) -> bool:
    return entry is not None and entry.kind == 'dir'


def output_changes(bench: Workbench, stage: str, before: dict[str, ObjectRef], after: dict[str, ObjectRef]) -> list[PathChange]:
    """Outputs of a stage that differ.  Raises OSError."""
    found = []
    read = reader(bench)
    for path in sorted(before.keys() | after.keys()):
        one, two = before.get(path), after.get(path)
        if one == two:
            continue
        inside = counts(one.digest, two.digest, read) if one and two and one.kind == two.kind == 'tree' else None
        sizes = (one.size if one else None, two.size if two else None)
        found.append(PathChange(path, one.digest if one else None, two.digest if two else None, *sizes, inside, (stage,)))
    return found
