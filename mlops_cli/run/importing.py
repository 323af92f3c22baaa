"""Tracked data from elsewhere: brought into the store, and what changed since it was brought last."""

from __future__ import annotations

from collections.abc import Callable

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records import data
from mlops_cli.records.origin import Source
from mlops_cli.run.counted import only_counted
from mlops_cli.run.origins.base import Into
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.tree import diff, find

FEW = 1000  # files of a folder that are placed one by one


@dataclass(frozen=True, slots=True)
class Changes:
    """Files of a folder by what became of them; None where the folder as it was is not known here.  ``bytes``: more than
    before."""

    new: int | None
    changed: int | None
    gone: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """``record``: as it is to be written.  ``changes`` None: the content is as it was."""

    record: data.Record
    changes: Changes | None


def into(bench: Workbench, step: Callable[[], object]) -> Into:
    return Into(bench.store, bench.config.cache, step)


def bring(bench: Workbench, record: data.Record, sink: Into, now: float) -> Fetched:
    """Asks the source of a record, and brings what it holds into the store if that is not what it was.  ``now``: seconds since
    1970.  Raises UserError, OSError."""
    from mlops_cli.run.origins.all import open_origin

    assert record.source is not None
    checked = replace(record, checked=data.today(now, record.max_age))
    # That it is unchanged is only of use where that content is: else it is brought, and compared.
    pins = record.source.pins if is_here(bench, record) or not bench.store.missing([record.ref]) else {}
    brought = open_origin(bench, record.source, record.path).bring(pins, sink)
    if brought is None:
        return Fetched(checked, None)
    bench.batch.flush()
    ref = only_counted(bench, record.path, brought.ref)
    bench.batch.flush()
    found = replace(checked, ref=ref, source=replace(record.source, pins=brought.pins))
    return Fetched(found, None if ref == record.ref else changes(bench, record.ref, ref))


def is_here(bench: Workbench, record: data.Record) -> bool:
    """Whether the workspace has what a record says."""
    here = bench.workspace.ref(record.path)
    return here is not None and here.identity == record.ref.identity


def changes(bench: Workbench, before: ObjectRef, after: ObjectRef) -> Changes:
    """From one content to another."""
    more = after.size - before.size
    if before.kind != 'tree' or after.kind != 'tree':
        return Changes(0, 1, 0, more)

    def read(digest: Digest) -> bytes:
        node = bench.workspace.node(digest)
        return bench.store.read(digest) if node is None else node

    counts = [0, 0, 0]
    try:
        for _, one, two in diff(before, after, read):
            if (two or one) is not None and getattr(two or one, 'kind', '') == 'dir':
                continue
            counts[0 if one is None else 2 if two is None else 1] += 1
    except UserError:  # what was recorded is not in this cache
        return Changes(None, None, None, more)
    return Changes(counts[0], counts[1], counts[2], more)


def few(bench: Workbench, path: str, before: ObjectRef, after: ObjectRef) -> dict[str, ObjectRef]:
    """Path -> content of what is new or changed in a folder; nothing where that is much, where something is gone, and where it
    is not known."""
    found: dict[str, ObjectRef] = {}
    if before.kind != 'tree' or after.kind != 'tree':
        return found
    try:
        for name, one, two in diff(before, after, bench.store.read):
            if two is None or (one is not None and one.kind != two.kind) or two.kind == 'link' or len(found) == FEW:
                return {}
            if two.kind != 'dir':
                found[f'{path}/{name}'] = two.ref
    except UserError:
        return {}
    return found


def edited(bench: Workbench, record: data.Record, after: ObjectRef) -> bool:
    """Whether what is here is neither what was brought last nor on the way to what comes now, as after an update that was
    broken off: then a person made it so."""
    here = bench.workspace.ref(record.path)
    if here is None or here.identity == record.ref.identity:
        return False
    if here.kind != 'tree' or after.kind != 'tree' or record.ref.kind != 'tree':
        return here != after
    nodes = bench.workspace.nodes(record.path)

    def read(digest: Digest) -> bytes:
        return nodes[digest] if digest in nodes else bench.store.read(digest)

    try:
        for name, _, now in diff(record.ref, here, read):
            if now is None or (now.kind != 'dir' and (now.kind == 'link' or find(after, name, read) != now.ref)):
                return True
    except UserError:
        return True
    return False


def place_of(bench: Workbench, source: Source) -> str:
    """What a person confirms of a source; of a query, its text as it is now.  Raises UserError."""
    if not source.query:
        return source.place
    from mlops_cli.run.origins.query import text_of

    return replace(source, pins={'text': digest_of(text_of(bench, source.query).encode()).hex}).place


def of_source(source: Source, path: str) -> data.Record:
    """One that was never brought."""
    from mlops_cli.store.tree import EMPTY, tree_ref

    return data.Record(path, tree_ref(EMPTY, ()), source=source)
