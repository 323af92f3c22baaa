"""Tracked data without what ``.mlopsignore`` says: what is recorded is what a stage that reads it is keyed by."""

from __future__ import annotations

from mlops_cli.core.digest import Digest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.tree import Read, decode, encode, entry_of, tree_ref


def only_counted(bench: Workbench, path: str, ref: ObjectRef) -> ObjectRef:
    """What the store holds for a path, less what does not count there; its folders go to the store.  Raises MissingObject,
    Damaged, OSError."""
    nodes: dict[Digest, bytes] = {}
    found = less(ref, path, bench.workspace.ignore, bench.store.read, nodes)
    bench.store.add_nodes(nodes.values())
    return found


def less(ref: ObjectRef, path: str, ignore: Ignore, read: Read, nodes: dict[Digest, bytes]) -> ObjectRef:
    """A folder that lies at ``path`` without what is ignored in it; ``nodes`` takes those that are new.  As it is where nothing
    is, and what is no folder."""
    if ref.kind != 'tree':
        return ref
    before = list(decode(read(ref.digest)))
    after = []
    for entry in before:
        if ignore.entry_ignored(path, entry.name, entry.kind == 'dir'):
            continue
        below = less(entry.ref, f'{path}/{entry.name}', ignore, read, nodes) if entry.kind == 'dir' else None
        after.append(entry if below is None or below == entry.ref else entry_of(entry.name, below))
    if after == before:
        return ref
    node = encode(after)
    found = tree_ref(node, after)
    nodes[found.digest] = node
    return found
