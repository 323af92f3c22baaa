"""Reads what a remote holds, compares it with its names, and mends what this machine can mend."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.store import tree
from mlops_cli.store.bucket import BLOCK, Absent, side_by_side
from mlops_cli.store.depot import Depot, index_key, pack_key
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damage, Damaged, MissingObject
from mlops_cli.store.packs import Index, Packing
from mlops_cli.store.transfer import NODE_LIMIT

PACKS_AT_ONCE = 3  # each is some 32 MiB of memory
Chosen = Callable[[Digest], bool]
Seen = Callable[[Digest, int], object]


def check(depot: Depot, chosen: Chosen = lambda _: True, *, seen: Seen = lambda _digest, _size: None) -> Iterator[Damage]:
    """Hash every object of a remote for which ``chosen`` says so, and yield what is wrong; also folders of which something is
    not there, where all objects are looked at.  ``seen``: told each object, with its size.  Raises Unreachable."""
    there: set[Digest] = set()
    bad: set[Digest] = set()
    named: dict[Digest, Digest] = {}  # what nodes name -> one of them
    for digest, data, problem in _all(depot, chosen):
        seen(digest, len(data) if data is not None else 0)
        if problem:
            bad.add(digest)
            yield Damage(digest, problem)
            continue
        there.add(digest)
        if data is not None and data.startswith(tree.PREFIX):
            named.update({entry.digest: digest for entry in _entries(data) if entry.digest is not None})
    away = named.keys() - there - bad
    away -= depot.has(away)
    for child, holder in named.items():
        if child in away:
            yield Damage(child, f'the folder {holder.short} names it, and it is not there')


def _entries(data: bytes) -> tuple[tree.TreeEntry, ...]:
    try:
        return tree.decode(data)
    except tree.MalformedTree:
        return ()  # a file that only looks like a node


def _all(depot: Depot, chosen: Chosen) -> Iterator[tuple[Digest, bytes | None, str]]:
    """(object, its bytes unless it is large, what is wrong with it)."""
    packs = [index for index in depot.indexes.values() if any(chosen(row.digest) for row in index)]
    with closing(side_by_side(lambda index: (index, _whole(depot, index)), packs, PACKS_AT_ONCE)) as brought:
        for index, data in brought:
            for row in index:
                if chosen(row.digest):
                    part = None if data is None else data[row.offset:row.offset + row.size]
                    wrong = _problem(row.digest, part, f'the pack {index.pack.short}')
                    yield row.digest, part, wrong
    packed = {row.digest for index in depot.indexes.values() for row in index}
    for digest, _ in depot.list():
        if digest in packed or not chosen(digest):
            continue
        try:
            yield digest, _node_in(depot, digest), ''
        except Damaged as error:
            yield digest, None, error.problem
        except MissingObject:
            continue  # it was taken away meanwhile


def _node_in(depot: Depot, digest: Digest) -> bytes | None:
    """A large object, read to its end; its bytes if it is the node of a folder.  Raises Damaged, MissingObject."""
    kept: list[bytes] = []
    for _, chunks in depot.get([digest]):
        for number, chunk in enumerate(chunks):
            if (number == 0 and chunk.startswith(tree.PREFIX)) or kept:
                kept.append(chunk)
            if len(kept) * BLOCK > NODE_LIMIT:
                kept = []
    return b''.join(kept) if kept else None


def _whole(depot: Depot, index: Index) -> bytes | None:
    try:
        return depot.bucket.get(pack_key(index.pack), 0, index.pack_size)
    except Absent:
        return None


def _problem(digest: Digest, data: bytes | None, where: str) -> str:
    if data is None:
        return f'{where} is gone'
    found = digest_of(data)
    return '' if found == digest else f'its {len(data)} bytes in {where} hash to {found.short}...'


def mend(depot: Depot, local: LocalStore, damaged: set[Digest]) -> set[Digest]:
    """Replace damaged objects of packs by those that are here; returns which.  What is neither sound there nor here is taken
    out of its pack, so that it counts as missing.  Large ones, and those of packs that are gone, are sent by a push, once they
    are known to be missing."""
    mended: set[Digest] = set()
    for pack, index in list(depot.indexes.items()):
        rows = sorted(index, key=lambda row: (row.offset, row.size))
        if damaged.isdisjoint(row.digest for row in rows):
            continue
        data = _whole(depot, index)
        packing = Packing()
        for row in rows:
            part = None if data is None else data[row.offset:row.offset + row.size]
            if part is None or digest_of(part) != row.digest:
                try:
                    part = local.read(row.digest)
                    mended.add(row.digest)
                except (MissingObject, Damaged):
                    continue
            packing.add(row.digest, part)
        depot.put_pack(packing)
        if not len(packing) or packing.finish()[0] != pack:
            depot.bucket.delete([index_key(pack)])
            depot.bucket.delete([pack_key(pack)])
            depot.indexes.pop(pack, None)
    large = [digest for digest in damaged if digest not in mended and depot.large_sizes([digest])[digest] is not None]
    for digest in large:
        depot.forget_large(digest)
    return mended
