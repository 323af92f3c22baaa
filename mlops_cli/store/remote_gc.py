"""Takes out of a remote what nobody needs any more: marked first, deleted a day later if it is then still so.

Several clones use a remote, and none knows what the others have.  So each that pushes says there what it relies on, before it
looks what is there (:func:`announce`); and whoever deletes says so before reading what they said.  Of the two, one sees the
other.  docs/formats/remote.md
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import OBJECTS, REMOTE_GC, RESULTS
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store import tree
from mlops_cli.store.bucket import Absent, Bucket, Listed, Unreachable
from mlops_cli.store.depot import INDEX, PACK, PACKS, Depot, index_key, pack_key
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.packs import Index, Packing, name_bytes

GC = REMOTE_GC
DAY = 86_400.0
GRACE = 30 * DAY
WAIT = DAY  # between mark and deletion
SEEN = 90 * DAY  # how long what a clone said holds, if it says nothing more
STALE = 3600.0  # a deletion that takes longer was killed
ROOTS_SCHEMA, MARK_SCHEMA = 'mlops/remote-roots/v1', 'mlops/remote-mark/v1'
ROOTS_LIMIT = 128 << 20
SWEEPING = f'{GC}/sweeping.json'
MARK = f'{GC}/mark.json'
PATIENCE = 600.0  # seconds that a push waits for a deletion
GROUP = 4096


def doubt(where: str, why: str, hint: str) -> UserError:
    return UserError(f'{where}: {why}; nothing was marked or deleted', hint=hint, exit_code=ExitCode.REFUSED)


# What clones rely on


def roots_key(clone: str) -> str:
    return f'{GC}/roots-{clone}.json'


def encode_roots(project: Mapping[str, Any], refs: Iterable[ObjectRef]) -> bytes:
    """``project``: tells it from others.  The same for the same, in any order."""
    names = sorted({('t' if ref.kind == 'tree' else 'f') + ref.digest.hex for ref in refs})
    return canonical_bytes({'schema': ROOTS_SCHEMA, 'project': dict(project), 'refs': names})


def decode_roots(data: bytes) -> tuple[Mapping[str, Any], list[tuple[bool, Digest]]]:
    """(project, (whether a folder, digest) of each).  Raises ValueError."""
    value = json.loads(data)
    if not isinstance(value, dict) or value.get('schema') != ROOTS_SCHEMA or not isinstance(value.get('project'), dict):
        raise ValueError('it is not what a clone says')
    return value['project'], [(name[0] == 't', Digest.parse(f'blake3:{name[1:]}')) for name in value['refs']]


def announce(bucket: Bucket, clone: str, content: bytes, *, known: bool, sleep: Callable[[float], object] = time.sleep) -> None:
    """Say what this clone relies on, unless that is there already and young; and wait while somebody deletes.

    Before the remote is looked at.  ``known``: the same was said the last time.  Raises Unreachable."""
    there = {one.key: one for one in bucket.list(GC)}
    mine = there.get(roots_key(clone))
    if mine is None or not known or mine.size != len(content) or time.time() - mine.changed > SEEN / 9:
        bucket.put(roots_key(clone), content)
        there = {one.key: one for one in bucket.list(GC)}
    waited = 0.0
    while SWEEPING in there:
        if waited >= PATIENCE:
            raise Unreachable(bucket.where, 'a gc has been deleting there for long', 'mlops gc --remote ends what was killed')
        sleep(1.0)
        waited += 1.0
        there = {one.key: one for one in bucket.list(GC)}


def other_roots(bucket: Bucket, project: Mapping[str, Any], now: float) -> tuple[list[tuple[bool, Digest]], int, int]:
    """(what clones rely on, of how many, how many were not seen for long and hold nothing).

    Raises UserError (exit 5) for a clone of another project, and for what cannot be read."""
    found: list[tuple[bool, Digest]] = []
    count = old = 0
    for listed in bucket.list(GC):
        if not listed.key.startswith(f'{GC}/roots-'):
            continue
        try:
            if listed.size > ROOTS_LIMIT:
                raise ValueError('it is too large')
            theirs, refs = decode_roots(bucket.get(listed.key))
        except Absent:
            continue
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            hint = 'if that clone is gone, delete this key'
            raise doubt(bucket.where, f'{listed.key} cannot be read: {error}', hint) from None
        if not theirs.get('commits'):
            hint = f'push from there again, now that something is committed; if it is gone, delete {listed.key}'
            raise doubt(bucket.where, 'somebody pushed without a commit, so nobody knows which project that was', hint)
        if not same_project(project, theirs):
            hint = 'each project needs a prefix of its own for gc; what another one needs is not known here'
            raise doubt(bucket.where, 'another project uses this remote, too', hint)
        if now - listed.changed > SEEN:
            old += 1
            continue
        count += 1
        found += refs
    return found, count, old


def same_project(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """By the first commits of their repositories, and where they lie in them."""
    commits = [found if isinstance(found := project.get('commits'), list) else [] for project in (one, two)]
    return one.get('folder') == two.get('folder') and not {*map(str, commits[0])}.isdisjoint(map(str, commits[1]))


def clock(bucket: Bucket, nonce: str) -> float:
    """Now, by the remote's own clock.  Raises Unreachable, UserError where it has none."""
    key = f'{GC}/clock-{nonce}'
    bucket.put(key, b'')
    try:
        changed = next((one.changed for one in bucket.list(GC) if one.key == key), 0.0)
    finally:
        bucket.delete([key])
    if not changed:
        raise doubt(bucket.where, 'it does not say when something was changed', 'there is no gc for such a remote')
    return changed


# What is needed


@dataclass(slots=True)
class Live:
    """``objects``: the 32 bytes of digests.  ``absent``: folders whose list is nowhere, so that what they hold is unknown."""

    objects: set[bytes] = field(default_factory=set)
    absent: int = 0


def expand(depot: Depot, local: LocalStore, refs: Iterable[tuple[bool, Digest]], live: Live) -> None:
    """Contents, and all that is below them, whose lists are here or there.  Raises Damaged, Unreachable, MalformedTree."""
    level: set[Digest] = set()

    def take(is_tree: bool, digest: Digest) -> None:
        name = name_bytes(digest)
        if name not in live.objects:
            live.objects.add(name)
            if is_tree:
                level.add(digest)

    for is_tree, digest in refs:
        take(is_tree, digest)
    depth = 0
    while level:
        if (depth := depth + 1) > tree.DEPTH_LIMIT:
            raise tree.MalformedTree('it lies too deep')
        folders, level = level, set()
        away: list[Digest] = []
        for digest in folders:
            try:
                data = local.read(digest)
            except (MissingObject, Damaged):
                away.append(digest)
                continue
            for entry in tree.decode(data):
                if entry.digest is not None:
                    take(entry.kind == 'dir', entry.digest)
        for start in range(0, len(away), GROUP):
            group = away[start:start + GROUP]
            there = depot.has(group)
            live.absent += len(group) - len(there)
            for _, chunks in depot.get([digest for digest in group if digest in there]):
                for entry in tree.decode(b''.join(chunks)):
                    if entry.digest is not None:
                        take(entry.kind == 'dir', entry.digest)


def hold_young(depot: Depot, local: LocalStore, live: Live, before: float) -> None:
    """What folders name that are there since ``before``, whoever sent them: a folder that stays keeps what is in it.

    Raises as expand."""
    found: list[tuple[bool, Digest]] = []
    packs = {pack_key(pack): index for pack, index in depot.indexes.items()}
    for listed in depot.bucket.list(PACKS):
        if listed.changed >= before and (index := packs.get(listed.key)) is not None:
            found += [(True, digest) for digest in _nodes_among(depot, index, live)]
    for listed in depot.bucket.list(OBJECTS):
        digest = _object(listed.key)
        if listed.changed < before or digest is None or name_bytes(digest) in live.objects:
            continue
        if depot.bucket.get(listed.key, 0, min(listed.size, len(tree.PREFIX))) == tree.PREFIX:
            found.append((True, digest))
    expand(depot, local, found, live)


def _nodes_among(depot: Depot, index: Index, live: Live) -> list[Digest]:
    """Folders among what of a pack nobody needs.  Raises Unreachable."""
    rows = [row for row in index if row.name not in live.objects]
    if not rows:
        return []
    data = depot.bucket.get(pack_key(index.pack), 0, index.pack_size)
    return [row.digest for row in rows if data.startswith(tree.PREFIX, row.offset, row.offset + row.size)]


def _object(key: str) -> Digest | None:
    try:
        return Digest.parse(f'blake3:{key.removeprefix(f"{OBJECTS}/").replace("/", "")}')
    except ValueError:
        return None


# What may go


@dataclass(slots=True)
class Plan:
    """``values``: key -> when it was changed, of what may go; ``repack``: of those, packs of which a part stays -> the objects
    that do.  ``freed``: bytes.  ``kept``: values that stay, for whatever reason; ``young``: of them, for being so."""

    values: dict[str, float] = field(default_factory=dict)
    repack: dict[Digest, set[bytes]] = field(default_factory=dict)
    packs: int = 0
    objects: int = 0
    results: int = 0
    freed: int = 0
    kept: int = 0
    young: int = 0


def plan(depot: Depot, live: Live, results: Mapping[str, bool], before: float) -> Plan:
    """``results``: key of each result -> whether it is needed.  ``before``: what was changed later stays.

    Raises Unreachable."""
    found = Plan()
    packs = {pack_key(pack): index for pack, index in depot.indexes.items()}
    for listed in depot.bucket.list(PACKS):
        index = packs.get(listed.key.removesuffix(INDEX) + PACK if listed.key.endswith(INDEX) else listed.key)
        if (index is not None and listed.key.endswith(INDEX)) or _stays(found, listed, before):
            continue
        if index is None:  # half of what a push left that was broken off
            found.values[listed.key] = listed.changed
            found.freed += listed.size
            continue
        rows = [row for row in index if row.name in live.objects]
        held, size = sum(row.size for row in rows), sum(row.size for row in index)
        if rows and held * 2 >= size and not _nodes_among(depot, index, live):
            found.kept += 1
            continue
        found.values[listed.key] = listed.changed
        found.freed += listed.size - held
        found.packs += 1
        if rows:
            found.repack[index.pack] = {row.name for row in rows}
    for listed in depot.bucket.list(OBJECTS):
        if _stays(found, listed, before):
            continue
        if (digest := _object(listed.key)) is None or name_bytes(digest) in live.objects:
            found.kept += 1
            continue
        found.values[listed.key] = listed.changed
        found.freed += listed.size
        found.objects += 1
    for listed in depot.bucket.list(RESULTS):
        if _stays(found, listed, before):
            continue
        if results.get(listed.key, True):
            found.kept += 1
            continue
        found.values[listed.key] = listed.changed
        found.freed += listed.size
        found.results += 1
    return found


def _stays(found: Plan, listed: Listed, before: float) -> bool:
    if listed.changed < before:
        return False
    found.kept += 1
    found.young += 1
    return True


def mark(bucket: Bucket, found: Plan) -> None:
    """Say what may go.  Raises Unreachable."""
    bucket.put(MARK, canonical_bytes({'schema': MARK_SCHEMA, 'values': found.values}))


def marked(bucket: Bucket) -> tuple[float, dict[str, float]] | None:
    """(when, key -> when it was changed) of the last mark; None: there is none.  Raises UserError for what cannot be read."""
    when = next((one.changed for one in bucket.list(GC) if one.key == MARK), None)
    if when is None:
        return None
    try:
        value = json.loads(bucket.get(MARK))
        if value['schema'] != MARK_SCHEMA:
            raise ValueError('it is of another version')
        return when, {str(key): float(changed) for key, changed in value['values'].items()}
    except Absent:
        return None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        hint = 'delete this key: what may go is then marked anew'
        raise doubt(bucket.where, f'{MARK} cannot be read: {error}', hint) from None


def begin_sweep(bucket: Bucket, nonce: str, now: float) -> None:
    """Say that something is about to be deleted; of several at once, one may.  Raises UserError (exit 5)."""
    if bucket.put_new(SWEEPING, nonce.encode()):
        return
    since = next((one.changed for one in bucket.list(GC) if one.key == SWEEPING), now)
    if now - since < STALE:
        hint = 'let it end; one that was killed is passed over after an hour'
        raise doubt(bucket.where, 'another gc is deleting there', hint)
    bucket.delete([SWEEPING])
    if not bucket.put_new(SWEEPING, nonce.encode()):
        raise doubt(bucket.where, 'another gc is deleting there', 'let it end')


def end_sweep(bucket: Bucket) -> None:
    bucket.delete([SWEEPING])


def sweep(depot: Depot, found: Plan, before: Mapping[str, float], told: Callable[[int], object]) -> Plan:
    """Delete what is marked, may still go, and has not changed since; what stays of a pack is in a new one first.  Between
    begin_sweep and end_sweep.  Returns what went.  Raises Unreachable, Damaged."""
    done = Plan()
    going = {key for key, changed in found.values.items() if before.get(key) == changed}
    results = [key for key in going if key.startswith(f'{RESULTS}/')]
    depot.bucket.delete(results)  # they name objects
    done.results = len(results)
    packs = {pack_key(pack) for pack in depot.indexes}
    for pack, index in list(depot.indexes.items()):
        if pack_key(pack) not in going:
            continue
        if kept := found.repack.get(pack):
            data = depot.bucket.get(pack_key(pack), 0, index.pack_size)
            packing = Packing()
            for row in sorted(index, key=lambda row: (row.offset, row.size)):
                if row.name in kept:
                    packing.add(row.digest, b''.join(depot.one(pack, row, data[row.offset:row.offset + row.size])))
            depot.put_pack(packing)
        # Without its index a pack counts as absent: so nobody finds what is about to go.
        depot.bucket.delete([index_key(pack)])
        depot.bucket.delete([pack_key(pack)])
        depot.indexes.pop(pack, None)
        done.packs += 1
        told(done.packs)
    rest = [key for key in going if not key.startswith(f'{RESULTS}/') and key not in packs]
    depot.bucket.delete(rest)
    done.objects = sum(key.startswith(f'{OBJECTS}/') for key in rest)
    depot.look_again()
    return done


