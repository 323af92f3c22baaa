"""Tracked data (``mlops add``) that is not here: it counts as its record says, so that a clone without the data can tell what
is fresh.  What is partly here counts as it is here: whoever deleted a file meant it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.paths import ancestors, inside
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import EMPTY, decode, encode, entry_of, find, tree_ref, walk

Reader = Callable[[Digest], bytes]
_EMPTY = tree_ref(EMPTY, ())


@dataclass(frozen=True, slots=True)
class Recorded:
    """Content that is not here.  ``holder``: the tracked path that it is, or lies in; ``whole``: all of that."""

    path: str
    ref: ObjectRef
    holder: str
    whole: ObjectRef


class Tracked:
    """``records``: tracked path -> content.  ``read``: the bytes of a tree node, which raises MissingObject or Damaged; what
    lies in a folder whose nodes cannot be had is then as unknown as if it were not tracked."""

    def __init__(self, records: Mapping[str, ObjectRef], workspace: Workspace, read: Reader) -> None:
        self.records = records
        self.workspace = workspace
        self.read = read

    def of(self, path: str) -> Recorded | None:
        """What is recorded at a path of which nothing is here."""
        for holder in (path, *ancestors(path)):
            if (whole := self.records.get(holder)) is not None and self._absent(holder):
                ref = whole if holder == path else self._part(whole, path[len(holder) + 1 :])
                return Recorded(path, ref, holder, whole) if ref is not None else None
        return None

    def below(self, folder: str) -> list[Recorded]:
        """All of which nothing is here that lies in a folder."""
        return [
            Recorded(path, ref, path, ref)
            for path, ref in self.records.items()
            if path != folder and (folder == '.' or inside(path, folder)) and self._absent(path)
        ]

    def matching(self, expression: str) -> Iterator[Recorded]:
        """The files that match a regular expression over whole paths and are not here."""
        matches = re.compile(expression).fullmatch
        for holder, whole in self.records.items():
            if not self._absent(holder):
                continue
            if whole.kind != 'tree':
                if matches(holder):
                    yield Recorded(holder, whole, holder, whole)
                continue
            try:
                for name, entry in walk(whole, self.read):
                    if entry.digest is not None and entry.kind in ('file', 'exec') and matches(f'{holder}/{name}'):
                        yield Recorded(f'{holder}/{name}', entry.ref, holder, whole)
            except (MissingObject, Damaged):
                continue

    def completed(self, folder: str, held: ObjectRef | None, lacking: list[Recorded]) -> tuple[ObjectRef, dict[Digest, bytes]]:
        """A folder as it is once all of ``lacking`` is in it, and the nodes that this takes."""
        known = self.workspace.nodes(folder) if held is not None else {}
        made: dict[Digest, bytes] = {_EMPTY.digest: EMPTY}
        ref = held or _EMPTY
        for one in lacking:
            ref = _with(ref, one.path[len(folder) + 1 :].split('/'), one.ref, {**known, **made}, made)
        return ref, made

    def _absent(self, path: str) -> bool:
        if os.path.lexists(os.path.join(self.workspace.root.path, path)):
            return False
        return self.workspace.ref(path) is None

    def _part(self, whole: ObjectRef, subpath: str) -> ObjectRef | None:
        try:
            return find(whole, subpath, self.read)
        except (MissingObject, Damaged):
            return None


def _with(
    ref: ObjectRef, parts: list[str], new: ObjectRef, known: Mapping[Digest, bytes], made: dict[Digest, bytes]
) -> ObjectRef:
    """The tree with something put into it at a path; the nodes on the way go into ``made``."""
    entries = {entry.name: entry for entry in decode(known[ref.digest])}
    if parts[1:]:
        inner = entries.get(parts[0])
        held = inner.ref if inner is not None and inner.kind == 'dir' else _EMPTY
        new = _with(held, parts[1:], new, known, made)
    entries[parts[0]] = entry_of(parts[0], new)
    node = encode(entries.values())
    whole = tree_ref(node, entries.values())
    made[whole.digest] = node
    return whole
