"""What of a remote may go, when, and what a push beside it does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store import remote_gc, transfer, tree
from mlops_cli.store.bucket import FolderBucket, Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.remote_gc import Live, Plan
from mlops_cli.store.transfer import Told
from tests.store.test_transfer import depot, local, orphans

PROJECT = {'commits': ['a'], 'folder': '.'}
OLD = time.time() - 100 * remote_gc.DAY


def age(folder: Path, seconds: float = OLD) -> None:
    for path in folder.rglob('*'):
        if path.is_file():
            os.utime(path, (seconds, seconds))


def folder_of(store: LocalStore, names: list[str]) -> ObjectRef:
    ref, nodes = tree.build({name: store.add_bytes(name.encode() * 40) for name in names})
    store.add_nodes(nodes.values())
    store.batch.flush()
    return ref


def send(store: LocalStore, there: Depot, *refs: ObjectRef) -> None:
    transfer.push(store, there, [('x', ref) for ref in refs], told := Told())
    assert not told.missing


def gc(there: Depot, store: LocalStore, *needed: ObjectRef, before: float | None = None) -> Plan:
    """Marks and sweeps at once; what went."""
    before = time.time() - remote_gc.GRACE if before is None else before
    live = Live()
    remote_gc.expand(there, store, [(ref.kind == 'tree', ref.digest) for ref in needed], live)
    remote_gc.hold_young(there, store, live, before)
    found = remote_gc.plan(there, live, {}, before)
    return remote_gc.sweep(there, found, found.values, lambda _: None)


def whole(there: Depot, tmp_path: Path, *refs: ObjectRef) -> bool:
    other = local(tmp_path / f'other{time.monotonic_ns()}')
    transfer.fetch(other, there, [('x', ref) for ref in refs], told := Told())
    return not told.missing and not other.missing(refs, sure=True)


def test_what_nobody_needs_goes_and_what_stays_of_a_pack_is_packed_anew(tmp_path: Path) -> None:
    one, there = local(tmp_path / 'one'), depot(tmp_path)
    kept, gone = folder_of(one, ['a', 'b']), folder_of(one, ['a', *(f'x{n}' for n in range(20))])
    large, other = one.add_bytes(b'large' * 300_000), one.add_bytes(b'other' * 300_000)
    one.batch.flush()
    send(one, there, kept, gone, large, other)
    age(tmp_path / 'remote')
    done = gc(depot(tmp_path), one, kept, large)
    assert (done.packs, done.objects) == (1, 1)
    again = depot(tmp_path)
    assert whole(again, tmp_path, kept, large) and not orphans(again)
    assert not again.has([gone.digest, other.digest])
    age(tmp_path / 'remote')
    assert gc(depot(tmp_path), one, kept, large) == Plan()


def test_a_pack_that_is_mostly_needed_stays_unless_a_folder_in_it_would_lose_what_it_names(tmp_path: Path) -> None:
    one, there = local(tmp_path / 'one'), depot(tmp_path)
    files = [one.add_bytes(bytes([65 + n]) * 4000) for n in range(10)]
    one.batch.flush()
    send(one, there, *files)
    age(tmp_path / 'remote')
    assert gc(depot(tmp_path), one, *files[:6]) == Plan()
    send(one, depot(tmp_path), folder_of(one, ['a']), *files)
    age(tmp_path / 'remote')
    gc(depot(tmp_path), one, *files[:6])
    assert not orphans(depot(tmp_path)) and whole(depot(tmp_path), tmp_path, *files[:6])


def test_what_is_young_stays_and_what_its_folders_name(tmp_path: Path) -> None:
    one, there = local(tmp_path / 'one'), depot(tmp_path)
    files = [one.add_bytes(name.encode() * 40) for name in 'ab']
    one.batch.flush()
    send(one, there, *files)
    age(tmp_path / 'remote')
    young = folder_of(one, ['a', 'b'])
    send(one, depot(tmp_path), young)
    assert gc(depot(tmp_path), one) == Plan()
    assert whole(depot(tmp_path), tmp_path, young)


def test_what_was_sent_again_since_it_was_marked_stays(tmp_path: Path) -> None:
    one, there = local(tmp_path / 'one'), depot(tmp_path)
    large = one.add_bytes(b'large' * 300_000)
    one.batch.flush()
    send(one, there, large)
    age(tmp_path / 'remote')
    found = remote_gc.plan(depot(tmp_path), Live(), {}, time.time())
    remote_gc.mark(there.bucket, found)
    marked = remote_gc.marked(there.bucket)
    assert marked is not None and marked[1] == found.values
    age(tmp_path / 'remote', OLD + 5)
    later = remote_gc.plan(depot(tmp_path), Live(), {}, time.time())
    assert remote_gc.sweep(depot(tmp_path), later, marked[1], lambda _: None) == Plan()


def test_a_push_says_what_it_relies_on_and_waits_while_somebody_deletes(tmp_path: Path) -> None:
    bucket = FolderBucket(str(tmp_path / 'remote'))
    ref = ObjectRef(local(tmp_path / 'one').add_bytes(b'x').digest, 1, 'file')
    content = remote_gc.encode_roots(PROJECT, [ref])
    remote_gc.announce(bucket, 'c1', content, known=False)
    assert remote_gc.other_roots(bucket, PROJECT, time.time()) == ([(False, ref.digest)], 1, 0)
    assert remote_gc.other_roots(bucket, PROJECT, time.time() + remote_gc.SEEN + 60) == ([], 0, 1)
    remote_gc.begin_sweep(bucket, 'n', time.time())
    with pytest.raises(UserError, match='another gc'):
        remote_gc.begin_sweep(bucket, 'm', time.time())
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            remote_gc.end_sweep(bucket)

    remote_gc.announce(bucket, 'c1', content, known=True, sleep=sleep)
    assert len(slept) == 3
    remote_gc.begin_sweep(bucket, 'killed', time.time())
    with pytest.raises(Unreachable, match='deleting there for long'):
        remote_gc.announce(bucket, 'c1', content, known=True, sleep=lambda _: None)
    remote_gc.begin_sweep(bucket, 'next', time.time() + 2 * remote_gc.STALE)


@pytest.mark.parametrize('data', [b'{', b'[]', b'{"schema": "mlops/remote-roots/v2"}', b'[' * 100_000])
def test_what_a_clone_said_and_cannot_be_read_stops_it(tmp_path: Path, data: bytes) -> None:
    bucket = FolderBucket(str(tmp_path / 'remote'))
    bucket.put(remote_gc.roots_key('c'), data)
    with pytest.raises(UserError, match='nothing was marked or deleted'):
        remote_gc.other_roots(bucket, PROJECT, time.time())


@pytest.mark.parametrize(
    'other', [{'commits': ['b'], 'folder': '.'}, {'commits': ['a'], 'folder': 'sub'}, {'commits': 7, 'folder': '.'}]
)
def test_another_project_in_the_same_place_stops_it(tmp_path: Path, other: dict[str, object]) -> None:
    bucket = FolderBucket(str(tmp_path / 'remote'))
    remote_gc.announce(bucket, 'c', remote_gc.encode_roots(other, []), known=False)
    with pytest.raises(UserError, match='another project uses this remote'):
        remote_gc.other_roots(bucket, PROJECT, time.time())
