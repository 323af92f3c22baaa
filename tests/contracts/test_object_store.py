"""What every store of objects must do; each is poured in."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.fsio.durable import Batch
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.depot import Depot, object_key, pack_key
from mlops_cli.store.local import LocalStore
from mlops_cli.store.memory import MemoryStore
from mlops_cli.store.objects import Damaged, MissingObject, ObjectStore
from mlops_cli.store.ssh import SshBucket
from tests.servers.sshd import HOST, Sshd

ABSENT = digest_of(b'never stored')


class Local(LocalStore):
    """Flushed after each put, as its batch's owner would sooner or later."""

    def put(self, objects):  # type: ignore[no-untyped-def]
        super().put(objects)
        self.batch.flush()


def local(folder: Path) -> ObjectStore:
    return Local(folder / 'cache', batch=Batch('none'))


def unflushed(folder: Path) -> ObjectStore:
    return LocalStore(folder / 'cache', batch=Batch('none'))


def memory(_folder: Path) -> ObjectStore:
    return MemoryStore()


def depot(folder: Path) -> ObjectStore:
    return Depot(FolderBucket(str(folder / 'remote')))


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    'memory': memory, 'local': local, 'local, pending': unflushed, 'folder as a remote': depot,
}  # fmt: skip


def damage(store: ObjectStore, digest: Digest, data: bytes) -> None:
    """Put other bytes under the name of an object."""
    if isinstance(store, MemoryStore):
        store.objects[digest] = data
        return
    if isinstance(store, Depot):
        damage_remote(store, digest, data)
        return
    assert isinstance(store, LocalStore)
    store.batch.flush()
    path = store.cache / 'objects-v1' / digest.hex[:2] / digest.hex[2:]
    path.chmod(0o644)
    path.write_bytes(data)


def damage_remote(store: Depot, digest: Digest, data: bytes) -> None:
    """In a pack bytes may change, and not their number: a pack of another length is none."""
    folder = Path(store.where.removeprefix(f'ssh://{HOST}'))
    for pack, index in store.indexes.items():
        path = folder / pack_key(pack)
        for row in index.find({bytes.fromhex(digest.hex)}):
            whole = bytearray(path.read_bytes())
            whole[row.offset : row.offset + row.size] = (data + b'\0' * row.size)[: row.size]
            whole[row.offset] ^= whole[row.offset : row.offset + row.size] == path.read_bytes()[row.offset :][: row.size]
            path.write_bytes(whole)
            return
    (folder / object_key(digest)).write_bytes(data)


@pytest.fixture(params=[*STORES, 'ssh'])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == 'ssh':
        far: Sshd = request.getfixturevalue('sshd')
        far.use(request.getfixturevalue('monkeypatch'))
        made: ObjectStore = Depot(SshBucket(far.url(tmp_path / 'remote')))
    else:
        made = STORES[request.param](tmp_path)
    yield made
    if isinstance(made, Depot):
        made.close()
    if isinstance(made, LocalStore):
        made.batch.close()
        made.close()


def put(store: ObjectStore, *contents: bytes) -> list[Digest]:
    digests = [digest_of(data) for data in contents]
    store.put((digest, [data]) for digest, data in zip(digests, contents, strict=True))
    return digests


def get(store: ObjectStore, *digests: Digest) -> dict[Digest, bytes]:
    return {digest: b''.join(chunks) for digest, chunks in store.get(digests)}


def test_what_was_put_is_had_and_got(store: ObjectStore) -> None:
    contents = [b'', b'one', b'\0' * 70_000, bytes(range(256)) * 10_000]
    digests = put(store, *contents)
    assert store.has([*digests, ABSENT]) == set(digests)
    assert get(store, *reversed(digests)) == dict(zip(digests, contents, strict=True))


def test_nothing_is_had_of_an_empty_store(store: ObjectStore) -> None:
    assert store.has([ABSENT]) == set()
    assert list(store.list()) == []
    store.delete([ABSENT])
    with pytest.raises(MissingObject) as caught:
        get(store, ABSENT)
    assert caught.value.digest == ABSENT


def test_one_absent_object_does_not_spoil_those_before_it(store: ObjectStore) -> None:
    [digest] = put(store, b'here')
    seen = {}
    with pytest.raises(MissingObject):
        for name, chunks in store.get([digest, ABSENT]):
            seen[name] = b''.join(chunks)
    assert seen == {digest: b'here'}


def test_chunks_are_joined_and_may_be_empty(store: ObjectStore) -> None:
    digest = digest_of(b'abc')
    store.put([(digest, iter([b'', b'a', b'', b'bc', b'']))])
    assert get(store, digest) == {digest: b'abc'}


def test_putting_again_does_no_harm(store: ObjectStore) -> None:
    [digest] = put(store, b'twice')
    assert put(store, b'twice', b'twice') == [digest, digest]
    assert get(store, digest) == {digest: b'twice'}


def test_what_the_digest_does_not_say_is_not_stored(store: ObjectStore) -> None:
    digest = digest_of(b'promised')
    for chunks in ([b'sent'], [b'promise'], [b'promised', b'!'], []):
        with pytest.raises(Damaged):
            store.put([(digest, chunks)])
    assert store.has([digest]) == set()


def test_a_source_that_breaks_off_leaves_nothing(store: ObjectStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'prom'
        raise ConnectionError('gone')

    digest = digest_of(b'promised')
    with pytest.raises(ConnectionError):
        store.put([(digest, chunks())])
    assert store.has([digest]) == set()


@pytest.mark.parametrize('other', [b'', b'promise', b'Promised', b'promised!'])
def test_a_damaged_object_is_never_served(store: ObjectStore, other: bytes) -> None:
    [digest] = put(store, b'promised')
    damage(store, digest, other)
    with pytest.raises(Damaged) as caught:
        get(store, digest)
    assert caught.value.digest == digest


@pytest.mark.parametrize('other', [b'', b'Promised'])
def test_putting_heals_a_damaged_object(store: ObjectStore, other: bytes) -> None:
    [digest] = put(store, b'promised')
    damage(store, digest, other)
    put(store, b'promised')
    assert get(store, digest) == {digest: b'promised'}


def test_delete_removes_these_and_no_others(store: ObjectStore) -> None:
    one, two, three = put(store, b'1', b'2', b'3')
    store.delete([one, ABSENT, three])
    assert store.has([one, two, three]) == {two}
    assert put(store, b'1') == [one]
    assert store.has([one]) == {one}


def test_objects_travel_from_store_to_store(store: ObjectStore) -> None:
    other = MemoryStore()
    digests = put(store, *(b'%d' % n * n for n in range(50)))
    other.put(store.get(digests))
    assert other.has(digests) == set(digests)
    third = MemoryStore()
    damage(store, digests[7], b'damaged')
    with pytest.raises(Damaged):
        third.put(store.get(digests))
    assert digests[7] not in third.has(digests)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(['put', 'delete', 'has']), st.binary(max_size=2)), max_size=20))
def test_it_behaves_as_a_set_of_contents(store: ObjectStore, steps: list[tuple[str, bytes]]) -> None:
    store.delete([digest for digest, _ in list(store.list())])
    every = [digest_of(data) for _, data in steps]
    store.delete(every)
    model: set[Digest] = set()
    for what, data in steps:
        digest = digest_of(data)
        if what == 'put':
            put(store, data)
            model.add(digest)
        elif what == 'delete':
            store.delete([digest])
            model.discard(digest)
        assert store.has(every) == model
    if isinstance(store, LocalStore):
        store.batch.flush()
    assert {digest for digest, _ in store.list()} == model
    assert all(size == len(get(store, digest)[digest]) for digest, size in store.list())
