"""Many small objects that come from elsewhere: named together, none of them half, and what came stays where it can."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.durable import Batch
from mlops_cli.store import incoming, tree
from mlops_cli.store.incoming import ENOUGH, Incoming
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged
from mlops_cli.store.shelf import SMALL, object_path
from mlops_cli.store.staging import Stage

DATA = [b'%d ' % number * 100 for number in range(ENOUGH)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with Batch() as batch:
        made = LocalStore(tmp_path / 'cache', batch=batch)
        yield made
        made.close()


def listed(store: LocalStore) -> set[Digest]:
    return {digest for digest, _ in store.list()}


def temporaries(store: LocalStore) -> list[str]:
    return os.listdir(Path(store.cache, 'tmp'))


def put(many: Incoming, data: bytes, digest: Digest | None = None) -> None:
    many.put(digest or digest_of(data), len(data), iter([data[:50], data[50:]]))
    many.flush_if_due()


def test_all_are_named_and_nothing_is_left(store: LocalStore) -> None:
    with Incoming(store, len(DATA)) as many:
        for data in DATA:
            put(many, data)
        assert not listed(store) and len(temporaries(store)) == 1
    assert listed(store) == {*map(digest_of, DATA)} and temporaries(store) == []
    assert all(store.read(digest_of(data)) == data for data in DATA)
    modes = [Path(store.cache, object_path(digest_of(data))).stat().st_mode & 0o777 for data in DATA]
    assert {*modes} == {0o444}


def test_few_take_the_way_of_single_files(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, 'Stage', None)
    with Incoming(store, ENOUGH - 1) as many:
        for data in DATA[:3]:
            put(many, data)
    store.batch.flush()
    assert len(listed(store)) == 3


def test_they_are_named_in_groups(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are there already, and folders of them, stand in nobody's way."""
    monkeypatch.setattr(incoming, 'GROUP', 200)
    seen = []
    with Incoming(store, len(DATA)) as many:
        for number, data in enumerate(DATA):
            put(many, data)
            if number % 100 == 50:
                seen.append(len(listed(store)))
        for data in DATA[:250]:  # once more
            put(many, data)
    assert seen == [0, 0, 200, 200, 400]
    assert listed(store) == {*map(digest_of, DATA)} and temporaries(store) == []


def test_what_comes_slowly_is_named_after_a_while(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, 'AGE_SECONDS', 0.0)
    with Incoming(store, len(DATA)) as many:
        for number, data in enumerate(DATA[:5]):
            put(many, data)
            assert len(listed(store)) == number + 1


def test_what_is_damaged_on_the_way_is_nowhere_and_the_rest_is(store: LocalStore) -> None:
    with Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        with pytest.raises(Damaged):
            put(many, DATA[1] + b'!', digest_of(DATA[1]))
        put(many, DATA[2])
    assert listed(store) == {digest_of(DATA[0]), digest_of(DATA[2])}


@pytest.mark.parametrize('there', [b'', b'too short', DATA[0][:-1] + b'?'], ids=['empty', 'short', 'other bytes'])
def test_what_stands_there_damaged_is_put_aside(store: LocalStore, there: bytes) -> None:
    path = Path(store.cache, object_path(digest_of(DATA[0])))
    store.prepare()
    path.parent.mkdir(parents=True)
    path.write_bytes(there)
    with Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        put(many, DATA[1])
    store.batch.flush()
    assert path.read_bytes() == DATA[0] and store.read(digest_of(DATA[1])) == DATA[1]
    assert [one.read_bytes() for one in Path(store.cache, 'tmp/quarantine').iterdir()] == [there]


def test_nodes_and_large_ones_are_named_by_the_batch(store: LocalStore) -> None:
    """What looks like a folder gets its name after what is in it."""
    _, nodes = tree.build({'a': ObjectRef(digest_of(DATA[0]), len(DATA[0]), 'file')})
    (node,) = nodes.values()
    large = bytes(SMALL + 1)
    with Incoming(store, len(DATA)) as many:
        put(many, node)
        put(many, large)
        put(many, DATA[0])
    assert listed(store) == {digest_of(DATA[0])}
    store.batch.flush()
    assert listed(store) == {digest_of(DATA[0]), digest_of(node), digest_of(large)}


@pytest.mark.parametrize('error', [UserError('the network went'), OSError(errno.EIO, 'elsewhere')])
def test_what_came_before_an_error_stays(store: LocalStore, error: Exception) -> None:
    with pytest.raises(type(error)), Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        raise error
    assert listed(store) == {digest_of(DATA[0])} and temporaries(store) == []


@pytest.mark.parametrize(
    ('error', 'stays'),
    [(OSError(errno.ENOSPC, 'full'), True), (UserError('stopped'), False), (KeyboardInterrupt(), False)],
)
def test_no_half_file_is_named_after_an_error_while_one_is_written(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, error: BaseException, stays: bool
) -> None:
    """Of a full disk all that came before stays.  Who is told to stop may be anywhere in the middle."""
    real = ops.write

    def half(fd: int, data: bytes) -> None:
        real(fd, data[: len(data) // 2])
        raise error

    with pytest.raises(type(error)), Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        monkeypatch.setattr(ops, 'write', half)
        put(many, DATA[1])
    assert listed(store) == ({digest_of(DATA[0])} if stays else set()) and temporaries(store) == []


def test_a_half_file_that_stays_keeps_all_from_being_named(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, 'broken')

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:10])
        raise OSError(errno.ENOSPC, 'full')

    with pytest.raises(OSError, match='full'), Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        monkeypatch.setattr(ops, 'write', full)
        monkeypatch.setattr(ops, 'unlink', fails)
        put(many, DATA[1])
    assert not listed(store)


def test_what_the_medium_did_not_take_is_never_named(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so once: who asks again is told that all is well."""
    real, failures = Stage.settle, [OSError(errno.EIO, 'lost')]

    def settle(stage: Stage, count: int) -> None:
        if failures:
            raise failures.pop()
        real(stage, count)

    monkeypatch.setattr(Stage, 'settle', settle)
    monkeypatch.setattr(incoming, 'AGE_SECONDS', 0.0)
    with pytest.raises(OSError, match='lost'), Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
    assert not listed(store) and temporaries(store) == []


def test_nothing_is_named_when_a_lock_was_lost(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise UserError('the lease ran out')

    with pytest.raises(UserError, match='ran out'), Incoming(store, len(DATA)) as many:
        put(many, DATA[0])
        monkeypatch.setattr(ops, 'fences', [lost])
    assert not listed(store) and temporaries(store) == []
