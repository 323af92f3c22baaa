"""Objects from here to a remote and back: what is lacking, children before what names them, every byte hashed.

Says nothing about which objects anybody wants; that is the caller's."""
from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Protocol

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store import partial, tree
from mlops_cli.store.bucket import threads
from mlops_cli.store.depot import READS, Depot, object_key
from mlops_cli.store.incoming import Incoming
from mlops_cli.store.lacking import AT_ONCE, Lacking
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.packs import SMALL, Packing
from mlops_cli.store.readahead import read_each
from mlops_cli.store.shelf import hash_rest

PACKS_AT_ONCE = 2  # on their way: each is some 32 MiB of memory, and another one is being filled
LARGE_AT_ONCE = 4
MEANWHILE = 32 << 20  # bytes of an object from which it is hashed while it is sent
NODE_GROUP = 4096  # nodes of folders that are asked for together
NODE_LIMIT = 256 << 20  # bytes of a node: a folder of two million files


@dataclass(slots=True)
class Told:
    """What a transfer has done so far, for progress and for the last line.  ``wanted``: objects in all.  ``objects``,
    ``size``: those that travelled, and their bytes.  ``expected``: bytes that are to travel.  ``missing``: those that neither
    side has, and in what they are."""

    step: Callable[[], object] = lambda: None
    wanted: int = 0
    objects: int = 0
    size: int = 0
    expected: int = 0
    missing: dict[Digest, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def moved(self, objects: int, size: int) -> None:
        with self._lock:
            self.objects += objects
            self.size += size
            self.step()


class Sender(Protocol):
    """What is asked of where objects come from: LocalStore, or what also knows of files that lie elsewhere."""

    def read(self, digest: Digest) -> bytes: ...
    def open(self, digest: Digest) -> tuple[int, os.stat_result]: ...
    def quarantine(self, digest: Digest, problem: str) -> Damaged: ...
    def rewritten(self, fd: int, before: os.stat_result) -> bool: ...


def push(local: Sender, depot: Depot, wanted: Iterable[tuple[str, ObjectRef]], told: Told) -> None:
    """Send what the remote lacks of contents and of all that is below them.  ``wanted``: with what to call them.

    What is neither here nor there, or damaged here, is in ``told.missing``; no folder that holds it is sent.  Raises
    Unreachable, OSError."""
    named = list(wanted)
    files = Lacking(depot)
    nodes: dict[Digest, int] = {}  # children before those that hold them
    lost: set[Digest] = set()
    for _, ref in named:
        _below(local, ref, files.add, nodes, lost)
    files.close()
    lost -= depot.has(lost)
    lacking = depot.lacks(nodes.items())
    told.wanted += files.count + len(nodes)
    told.expected += files.size + sum(size for digest, size in nodes.items() if digest in lacking)
    _send(local, depot, files, [digest for digest in nodes if digest in lacking], lost, told)
    if lost:
        for name, ref in named:
            inside: dict[Digest, int] = {}
            gone: set[Digest] = set()
            _below(local, ref, inside.__setitem__, {}, gone)
            told.missing.update(dict.fromkeys(lost & (inside.keys() | gone), name))


def _below(local: Sender, ref: ObjectRef, add: Callable[[Digest, int], object], nodes: dict[Digest, int], lost: set[Digest],
           depth: int = 0) -> None:
    """All that a content consists of; what of its folders is not here, or damaged, is ``lost``.  Raises MalformedTree."""
    if ref.kind != 'tree':
        add(ref.digest, ref.size)
        return
    if ref.digest in nodes or ref.digest in lost:
        return
    if depth > tree.DEPTH_LIMIT:
        raise tree.MalformedTree('it lies too deep')
    try:
        data = local.read(ref.digest)
    except (MissingObject, Damaged):
        lost.add(ref.digest)
        return
    for entry in tree.decode(data):
        if entry.kind != 'link':
            _below(local, entry.ref, add, nodes, lost, depth + 1)
    nodes[ref.digest] = len(data)


def all_of(local: Sender, refs: Iterable[ObjectRef]) -> set[Digest]:
    """Contents, and all that is below them as far as it is here.  Raises MalformedTree."""
    files: dict[Digest, int] = {}
    nodes: dict[Digest, int] = {}
    lost: set[Digest] = set()
    for ref in refs:
        _below(local, ref, files.__setitem__, nodes, lost)
    return {*files, *nodes, *lost}


def _send(local: Sender, depot: Depot, files: Lacking, nodes: list[Digest], lost: set[Digest],
          told: Told) -> None:
    """``nodes``: children first.  What names something is sent when that is there: packs with nodes come after all others, and
    no node of what is lost; that grows."""
    packing = Packing()
    with threads(LARGE_AT_ONCE) as pool:
        under_way: deque[Future[None]] = deque()
        try:
            for digest in files.large():
                _room(under_way, LARGE_AT_ONCE)
                under_way.append(pool.submit(_send_large, local, depot, digest, lost, told))
            reading = functools.partial(_read, local, lost=lost)
            for digest, data in read_each(files.small(), local, reading):
                if data is not None:
                    packing.add(digest, data)
                if packing.full:
                    _room(under_way, PACKS_AT_ONCE)
                    under_way.append(pool.submit(_send_pack, depot, packing, told))
                    packing = Packing()
            _room(under_way, 1)
        finally:
            for future in under_way:
                future.cancel()
    for digest in nodes:
        data = _read(local, digest, lost)
        if data is None:
            continue
        if any(entry.digest in lost for entry in tree.decode(data)):
            lost.add(digest)
            continue
        if packing.full or len(data) > SMALL:  # a folder of ten thousand files; all that is below it goes before it
            _send_pack(depot, packing, told)
            packing = Packing()
        if len(data) > SMALL:
            _send_large(local, depot, digest, lost, told)
        else:
            packing.add(digest, data)
    _send_pack(depot, packing, told)


def _read(local: Sender, digest: Digest, lost: set[Digest]) -> bytes | None:
    try:
        return local.read(digest)
    except (MissingObject, Damaged):
        lost.add(digest)
        return None


def _room(under_way: deque[Future[None]], most: int) -> None:
    """Until fewer than so many are under way.  Raises what one of them raised."""
    while len(under_way) >= most:
        under_way.popleft().result()


def _send_pack(depot: Depot, packing: Packing, told: Told) -> None:
    depot.put_pack(packing)
    told.moved(len(packing), packing.content)


def _send_large(local: Sender, depot: Depot, digest: Digest, lost: set[Digest], told: Told) -> None:
    try:
        fd, facts = local.open(digest)
    except (MissingObject, Damaged):
        lost.add(digest)
        return
    try:
        sure = _hashed(local, digest, fd, facts.st_size)
        try:
            depot.put_large(digest, fd, facts.st_size, lambda count: told.moved(0, count), sure)
        except Damaged:
            lost.add(digest)
            return
        if local.rewritten(fd, facts):  # what was sent may be something else
            depot.bucket.delete([object_key(digest)])
            depot.forget_large(digest)
            lost.add(digest)
            return
        told.moved(1, 0)
    finally:
        os.close(fd)


def _hashed(local: Sender, digest: Digest, fd: int, size: int) -> Callable[[], None]:
    """What waits until an object is hashed, a large one meanwhile; it raises Damaged, and the object is put aside then."""
    found: Future[tuple[Digest, int]] = Future()

    def work(own: int) -> None:
        try:
            found.set_result(hash_rest(own, size))
        except BaseException as error:  # noqa: BLE001 -- raised by who waits
            found.set_exception(error)
        finally:
            os.close(own)

    def wait() -> None:
        seen, count = found.result()
        if (seen, count) != (digest, size):
            raise local.quarantine(digest, f'its {count} bytes hash to {seen.short}...')

    own = os.dup(fd)  # that stays open where sending it is given up
    if size < MEANWHILE:
        work(own)
    else:
        threading.Thread(target=work, args=(own,), daemon=True).start()
    return wait


def fetch(local: LocalStore, depot: Depot, wanted: Iterable[tuple[str, ObjectRef]], told: Told) -> None:
    """Bring what is lacking here of contents and of all that is below them, children before what holds them.

    ``told.missing``: what the remote does not have either, or damaged; then nothing that needs it is named here.  Raises
    Unreachable, MalformedTree, OSError."""
    files: dict[Digest, int] = {}
    owner: dict[Digest, str] = {}
    brought: dict[Digest, bytes] = {}  # nodes that are not here yet
    level: dict[Digest, str] = {}  # folders, each with whose it is

    def take(name: str, ref: ObjectRef) -> None:
        if ref.kind == 'tree':
            level.setdefault(ref.digest, name)
        else:
            files.setdefault(ref.digest, ref.size)
            owner.setdefault(ref.digest, name)

    for name, ref in wanted:
        take(name, ref)
    known: set[Digest] = set()
    depth = 0
    while level:
        if (depth := depth + 1) > tree.DEPTH_LIMIT:
            raise tree.MalformedTree('it lies too deep')
        folders, level = {digest: name for digest, name in level.items() if digest not in known}, {}
        known.update(folders)
        for digest, data, name in _nodes(local, depot, folders, told):
            if data is not None:
                brought[digest] = data
            for entry in tree.decode(local.read(digest) if data is None else data):
                if entry.kind != 'link':
                    take(name, entry.ref)
    lacking = [digest for digest in files if not local.sound(digest)]
    told.wanted += len(files) + len(brought)
    told.expected += sum(files[digest] for digest in lacking)
    lost = set(told.missing)
    with Incoming(local, len(lacking)) as incoming:
        for digest in _bring(local, depot, lacking, files, owner, told, incoming):
            lost.add(digest)
    _name(local, brought, lost, told)


def _nodes(local: LocalStore, depot: Depot, trees: dict[Digest, str], told: Told) -> Iterator[tuple[Digest, bytes | None, str]]:
    """Nodes of folders: (digest, its bytes if they are not here yet, whose it is)."""
    away = []
    for digest, name in trees.items():
        if local.sound(digest):
            yield digest, None, name
        else:
            away.append(digest)
    for start in range(0, len(away), NODE_GROUP):
        group = away[start:start + NODE_GROUP]
        there = depot.has(group)
        alone = depot.large_sizes(there - depot.packed(there))
        there -= {digest for digest, size in alone.items() if (size or 0) > NODE_LIMIT}
        for digest in group:
            if digest not in there:
                told.missing[digest] = trees[digest]
        for digest, chunks in depot.get([digest for digest in group if digest in there]):
            try:
                yield digest, b''.join(chunks), trees[digest]
            except (Damaged, MissingObject):
                told.missing[digest] = trees[digest]


def _bring(local: LocalStore, depot: Depot, lacking: list[Digest], sizes: dict[Digest, int], owner: dict[Digest, str],
           told: Told, incoming: Incoming) -> Iterator[Digest]:
    """Files into the store; yields those that do not come."""
    for start in range(0, len(lacking), AT_ONCE):  # so that not of all it is known at once where they lie
        yield from _bring_some(local, depot, lacking[start:start + AT_ONCE], sizes, owner, told, incoming)


def _bring_some(local: LocalStore, depot: Depot, lacking: list[Digest], sizes: dict[Digest, int], owner: dict[Digest, str],
                told: Told, incoming: Incoming) -> Iterator[Digest]:
    absent = depot.lacks([(digest, sizes[digest]) for digest in lacking])  # of another size it is not what was meant
    for digest in lacking:
        if digest in absent:
            told.missing[digest] = owner[digest]
            yield digest
    asked = [digest for digest in lacking if digest not in absent]
    for left in reversed(range(READS)):
        damaged = []
        for digest, store in _arriving(local, depot, asked, sizes, owner, told, incoming):
            try:
                store()
            except (Damaged, MissingObject):
                damaged.append(digest)
                continue
            told.moved(1, 0)
            incoming.flush_if_due()
        # What is small was asked for again already, and of what is large the way here may have damaged a byte.
        asked = [digest for digest in damaged if left and sizes[digest] > SMALL]
        for digest in damaged:
            if digest not in asked:
                told.missing[digest] = owner[digest]
                yield digest
        if not asked:
            return


def _arriving(local: LocalStore, depot: Depot, asked: list[Digest], sizes: dict[Digest, int], owner: dict[Digest, str],
              told: Told, incoming: Incoming) -> Iterator[tuple[Digest, Callable[[], object]]]:
    """Each with what stores it."""
    awaited = local.twins.names if local.twins is not None else ()
    large = [digest for digest in asked if sizes[digest] >= partial.LARGE]
    for digest in large:
        rest, came = functools.partial(depot.rest, digest, sizes[digest]), functools.partial(told.moved, 0)
        yield digest, functools.partial(partial.bring, local, digest, sizes[digest], rest, came, owner[digest] in awaited)
    for digest, chunks in depot.get([digest for digest in asked if sizes[digest] < partial.LARGE]):
        yield digest, functools.partial(incoming.put, digest, sizes[digest], _counted(chunks, told))


def _counted(chunks: Iterable[bytes], told: Told) -> Iterator[bytes]:
    for chunk in chunks:
        told.moved(0, len(chunk))
        yield chunk


def _name(local: LocalStore, brought: dict[Digest, bytes], lost: set[Digest], told: Told) -> None:
    """Nodes into the store, those below first, and none of a folder of which something is lost."""
    whole: dict[Digest, bool] = {}

    def name(digest: Digest, depth: int = 0) -> bool:
        if depth > tree.DEPTH_LIMIT:
            raise tree.MalformedTree('it lies too deep')
        if digest not in whole:
            refs = [entry.ref for entry in tree.decode(brought[digest]) if entry.kind != 'link']
            below = [name(ref.digest, depth + 1) for ref in refs if ref.digest in brought]
            whole[digest] = all(below) and lost.isdisjoint(ref.digest for ref in refs)
            if whole[digest]:
                local.add_bytes(brought[digest])
                told.moved(1, len(brought[digest]))
        return whole[digest]

    for digest in brought:
        name(digest)
    local.batch.flush()
