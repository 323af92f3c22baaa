"""To a remote and back: all of it arrives, nothing stands anywhere without what it names, nothing damaged is believed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.store import packs, transfer, tree
from mlops_cli.store.bucket import FolderBucket, Sure, at_once
from mlops_cli.store.depot import Depot, object_key, pack_key
from mlops_cli.store.local import LocalStore
from mlops_cli.store.transfer import Told

CONTENTS = [b'', b'one\n', b'two\n' * 500, b'large' * 300_000, b'larger' * 400_000]


def local(folder: Path) -> LocalStore:
    return LocalStore(folder, batch=Batch('none'))


def depot(tmp_path: Path) -> Depot:
    return Depot(FolderBucket(str(tmp_path / 'remote')))


def filled(store: LocalStore, seed: int = 0) -> dict[str, ObjectRef]:
    """Some files and folders of them, in a store."""
    chance = random.Random(seed)
    found: dict[str, ObjectRef] = {'file': store.add_bytes(b'alone\n'), 'big': store.add_bytes(b'big' * 500_000)}
    for number in range(3):
        content: dict[str, ObjectRef | tree.Link] = {}
        for name in range(chance.randint(1, 12)):
            path = '/'.join(f'd{chance.randint(0, 2)}' for _ in range(chance.randint(0, 3)))
            data = chance.choice(CONTENTS) + b'%d' % chance.randint(0, 3)
            content[f'{path}/f{name}' if path else f'f{name}'] = store.add_bytes(data)
        content['link'] = tree.Link('f0')
        ref, nodes = tree.build(content)
        store.add_nodes(nodes.values())
        found[f'folder{number}'] = ref
    store.batch.flush()
    return found


def children(store: LocalStore | Depot, digest: Digest) -> set[Digest]:
    for _, chunks in store.get([digest]):
        data = b''.join(chunks)
    if not data.startswith(tree.PREFIX):
        return set()
    return {entry.digest for entry in tree.decode(data) if entry.digest is not None}


def orphans(store: LocalStore | Depot) -> set[Digest]:
    """What something there names, and is not there."""
    every = {digest for digest, _ in store.list()}
    return {child for digest in every for child in children(store, digest)} - every


@pytest.mark.parametrize('seed', range(12))
def test_all_of_it_arrives(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, 'FULL', 3000 if seed % 2 else 1 << 20)
    one, remote, other = local(tmp_path / 'one'), depot(tmp_path), local(tmp_path / 'other')
    wanted = filled(one, seed)
    told = Told()
    transfer.push(one, remote, wanted.items(), told)
    assert told.missing == {} and told.objects > 0 and told.size == told.expected
    assert not orphans(remote)
    again = Told()
    transfer.push(one, depot(tmp_path), wanted.items(), again)
    assert (again.objects, again.size, again.wanted) == (0, 0, told.wanted)
    back = Told()
    transfer.fetch(other, depot(tmp_path), wanted.items(), back)
    assert back.missing == {} and not other.missing(wanted.values(), sure=True)
    assert {*other.list()} == {*one.list()}
    transfer.fetch(other, depot(tmp_path), wanted.items(), nothing := Told())
    assert (nothing.objects, nothing.size) == (0, 0)


def test_a_changed_file_sends_its_own_bytes_and_the_nodes_above(tmp_path: Path) -> None:
    store = local(tmp_path / 'one')
    content = {f'd{folder}/f{name}': store.add_bytes(b'%d %d' % (folder, name)) for folder in range(10) for name in range(10)}
    for step in range(2):
        ref, nodes = tree.build({**content, 'd3/f4': store.add_bytes(b'new %d' % step)})
        store.add_nodes(nodes.values())
        transfer.push(store, depot(tmp_path), [('d', ref)], told := Told())
    assert told.objects == 3


def test_a_folder_that_lies_in_another_one_and_beside_it(tmp_path: Path) -> None:
    one, other = local(tmp_path / 'one'), local(tmp_path / 'other')
    text = one.add_bytes(b'text')
    ref, nodes = tree.build({'a/f': text, 'z/a/f': text, 'z/g': text, 'z/z/a/f': text})
    one.add_nodes(nodes.values())
    transfer.push(one, depot(tmp_path), [('d', ref)], Told())
    transfer.fetch(other, depot(tmp_path), [('d', ref)], told := Told())
    assert told.missing == {} and not other.missing([ref], sure=True)


class Cut(FolderBucket):
    """Whose connection breaks before the ``at``-th change."""

    def __init__(self, folder: str, at: int) -> None:
        super().__init__(folder)
        self.at = at

    def _count(self) -> None:
        self.at -= 1
        if self.at < 0:
            raise ConnectionError('cut')

    def put(self, key: str, data: bytes) -> None:
        self._count()
        super().put(key, data)

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        self._count()
        super().put_file(key, fd, size, sent, sure)


def test_a_push_that_is_cut_leaves_no_parent_without_children_and_the_next_one_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, 'FULL', 2000)
    one = local(tmp_path / 'one')
    wanted = filled(one, 5)
    for at in range(100):
        folder = tmp_path / f'remote-{at}'
        try:
            transfer.push(one, Depot(Cut(str(folder), at)), wanted.items(), Told())
        except ConnectionError:
            assert not orphans(Depot(FolderBucket(str(folder))))
        else:
            break
        transfer.push(one, whole := Depot(FolderBucket(str(folder))), wanted.items(), Told())
        assert not whole.lacks((digest, size) for digest, size in one.list())
    assert at > 10


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[tuple[LocalStore, Depot, dict[str, ObjectRef]]]:
    one, remote = local(tmp_path / 'one'), depot(tmp_path)
    wanted = filled(one, 3)
    transfer.push(one, remote, wanted.items(), Told())
    yield one, depot(tmp_path), wanted


def test_what_is_gone_or_damaged_there_is_told_and_nothing_that_needs_it_comes(
    pushed: tuple[LocalStore, Depot, dict[str, ObjectRef]], tmp_path: Path
) -> None:
    one, _, wanted = pushed
    for number, (digest, size) in enumerate(sorted(one.list())):
        there = depot(tmp_path)
        gone = not size or bool(number % 2)  # of a pack, all that is in it
        saved = _spoil(there, digest, gone=gone)
        other = local(tmp_path / f'other{number}')
        transfer.fetch(other, depot(tmp_path), wanted.items(), told := Told())
        assert told.missing and (gone or digest in told.missing) and {*told.missing.values()} <= wanted.keys()
        assert not orphans(other) and digest not in {one for one, _ in other.list()}
        saved.rename(Path(str(saved).removesuffix('.saved')))
    transfer.fetch(other, depot(tmp_path), wanted.items(), told := Told())
    assert not told.missing


def _spoil(there: Depot, digest: Digest, *, gone: bool) -> Path:
    """Take an object away, or damage it; returns where what was there is saved."""
    path = Path(there.where) / object_key(digest)
    start = 0
    for pack, index in there.indexes.items():
        for row in index.find({bytes.fromhex(digest.hex)}):
            path, start = Path(there.where) / pack_key(pack), row.offset
    saved = Path(f'{path}.saved')
    data = bytearray(path.read_bytes())
    path.rename(saved)
    if not gone:
        data[start] ^= 1
        path.write_bytes(data)
    return saved


def test_what_is_damaged_here_is_not_sent_nor_what_holds_it(tmp_path: Path) -> None:
    one, remote = local(tmp_path / 'one'), depot(tmp_path)
    wanted = filled(one, 4)
    every = dict(one.list())
    node = wanted['folder1'].digest
    for digest in [child for child in children(one, node) if every[child] > 0]:
        path = Path(one.objects) / digest.hex[:2] / digest.hex[2:]
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b'!')
        break
    transfer.push(one, remote, wanted.items(), told := Told())
    assert digest in told.missing and node not in remote.has([node, digest])
    assert not orphans(depot(tmp_path))


@pytest.mark.parametrize(
    'harm', [lambda data: data[:-1] + b'!', lambda data: data[:-4096], lambda data: data + b'x', lambda _: b'']
)
@pytest.mark.parametrize('meanwhile', [0, transfer.MEANWHILE])
def test_a_large_one_that_is_damaged_here_has_no_name_there_and_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes], meanwhile: int
) -> None:
    monkeypatch.setattr(transfer, 'MEANWHILE', meanwhile)  # of 0 all are hashed while they are sent
    one, remote = local(tmp_path / 'one'), depot(tmp_path)
    data = random.Random(0).randbytes(packs.SMALL + 70_000)
    ref, other = one.add_bytes(data), one.add_bytes(data + b'other')
    one.batch.flush()
    path = Path(one.objects) / ref.digest.hex[:2] / ref.digest.hex[2:]
    path.chmod(0o644)
    path.write_bytes(harm(data))
    transfer.push(one, remote, [('bad', ref), ('good', other)], told := Told())
    assert told.missing == {ref.digest: 'bad'} and told.objects == 1
    assert {key for key, _, _ in remote.bucket.list('')} == {object_key(other.digest)}
    assert not path.exists() and depot(tmp_path).has([ref.digest, other.digest]) == {other.digest}


def test_a_pack_that_was_cut_short_counts_as_none_and_is_sent_again(
    pushed: tuple[LocalStore, Depot, dict[str, ObjectRef]], tmp_path: Path
) -> None:
    one, remote, wanted = pushed
    [pack] = remote.indexes
    path = Path(remote.where) / pack_key(pack)
    path.write_bytes(path.read_bytes()[:-5])
    small = {digest for digest, size in one.list() if size <= packs.SMALL}
    assert depot(tmp_path).has(small) == set()
    transfer.push(one, depot(tmp_path), wanted.items(), Told())
    assert depot(tmp_path).has(small) == small


def test_an_index_that_was_damaged_counts_as_none(
    pushed: tuple[LocalStore, Depot, dict[str, ObjectRef]], tmp_path: Path
) -> None:
    _, remote, _ = pushed
    [pack] = remote.indexes
    path = Path(remote.where) / pack_key(pack).replace('.pack', '.index')
    path.write_bytes(path.read_bytes()[:-5])
    assert not depot(tmp_path).indexes


def test_indexes_are_brought_once(pushed: tuple[LocalStore, Depot, dict[str, ObjectRef]], tmp_path: Path) -> None:
    class Kept(dict[Digest, bytes]):
        def put(self, pack: Digest, data: bytes) -> None:
            self[pack] = data

    class Counting(FolderBucket):
        read = 0

        def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            self.read += 1
            return super().get(key, start, end)

    kept = Kept()
    counts = []
    for _ in range(2):
        bucket = Counting(pushed[1].where)
        assert Depot(bucket, kept).indexes  # type: ignore[arg-type]
        counts.append(bucket.read)
    kept[next(iter(kept))] += b'damaged here'
    bucket = Counting(pushed[1].where)
    assert Depot(bucket, kept).indexes  # type: ignore[arg-type]
    assert [*counts, bucket.read] == [1, 0, 1]


def test_the_empty_folder(tmp_path: Path) -> None:
    one, other = local(tmp_path / 'one'), local(tmp_path / 'other')
    one.add_nodes([tree.EMPTY])
    ref = ObjectRef(digest_of(tree.EMPTY), 0, 'tree')
    transfer.push(one, depot(tmp_path), [('d', ref)], Told())
    transfer.fetch(other, depot(tmp_path), [('d', ref)], Told())
    assert other.read(ref.digest) == tree.EMPTY
