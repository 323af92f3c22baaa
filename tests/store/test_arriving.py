"""Large files, copied by the system and hashed as they arrive: the same as read and written, whatever happens meanwhile."""
from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import direct, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.store import arriving, ingest, materialise
from mlops_cli.store.arriving import copy_hashed
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged

SIZE = 1_000_003


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, 'BESIDE', 1 << 20)
    monkeypatch.setattr(materialise, 'BESIDE', 1 << 20)
    monkeypatch.setattr(arriving, 'WINDOW', 100_000)  # no multiple of a page
    monkeypatch.setattr(direct, '_KINDS', frozenset())  # where that goes, the system is not asked to copy


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[int, int]]:
    (tmp_path / 'source').write_bytes(os.urandom(SIZE))
    source = os.open(tmp_path / 'source', os.O_RDWR)
    target = os.open(tmp_path / 'target', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    yield source, target
    os.close(source)
    os.close(target)


def content(fd: int) -> bytes:
    return os.pread(fd, 2 * SIZE, 0)


def no_thread_is_left() -> bool:
    return not [one for one in threading.enumerate() if one.name == 'copying']


@pytest.mark.parametrize('window', [4096, 100_000, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE])
def test_what_arrives_is_what_is_hashed(pair: tuple[int, int], window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, 'WINDOW', window)
    steps: list[None] = []
    assert copy_hashed(*pair, SIZE, lambda: steps.append(None)) == (digest_of(content(pair[0])), SIZE)
    assert content(pair[1]) == content(pair[0]) and len(steps) == -(-SIZE // window) and no_thread_is_left()


def test_a_system_that_copies_less_than_asked(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    real = ops.copy_range
    monkeypatch.setattr(ops, 'copy_range', lambda source, target, at, count: real(source, target, at, min(count, 33_333)))
    assert copy_hashed(*pair, SIZE, lambda: None) == (digest_of(content(pair[0])), SIZE)
    assert content(pair[1]) == content(pair[0])


@pytest.mark.parametrize('change', [b'more', -500_000, b''])
def test_a_file_that_changes_is_hashed_as_it_arrived(pair: tuple[int, int], change: bytes | int) -> None:
    def step() -> None:
        if isinstance(change, int):
            os.ftruncate(pair[0], SIZE + change)
        elif change:
            os.pwrite(pair[0], change, SIZE)
        else:
            os.pwrite(pair[0], b'!' * SIZE, 0)

    found = copy_hashed(*pair, SIZE, step)
    assert found is not None
    assert found[1] == len(content(pair[1])) and found[0] == digest_of(content(pair[1]))


def test_where_the_system_cannot_nothing_is_done(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'copy_file_range', lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, 'other disk')))
    assert copy_hashed(*pair, SIZE, lambda: None) is None and not content(pair[1])


def test_what_only_looks_like_a_file(pair: tuple[int, int]) -> None:
    with open('/proc/self/status') as file:
        assert copy_hashed(file.fileno(), pair[1], 0, lambda: None) is None
    assert not content(pair[1])


@pytest.mark.parametrize('at', [0, 1, 3])
def test_an_error_on_the_way_is_raised(pair: tuple[int, int], at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.copy_file_range, 0

    def full(*arguments: int) -> int:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return real(*arguments)

    monkeypatch.setattr(os, 'copy_file_range', full)
    with pytest.raises(OSError, match='No space') as caught:
        copy_hashed(*pair, SIZE, lambda: None)
    assert caught.value.filename.endswith('/target') and no_thread_is_left()


def test_who_does_not_want_it_any_more_waits_for_no_more_than_a_window(pair: tuple[int, int]) -> None:
    def step() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_hashed(*pair, SIZE, step)
    assert no_thread_is_left()


def large(folder: Path, root: Root, store: LocalStore) -> bytes:
    data = os.urandom((1 << 20) + 12_345)
    (folder / 'large').write_bytes(data)
    ref = store.add_file(root, 'large')
    store.batch.flush()
    assert ref.digest == digest_of(data) and store.read(ref.digest) == data
    return data


def test_in_and_out_of_a_store(store: LocalStore, folder: Path, root: Root) -> None:
    data = large(folder, root, store)
    store.materialise(store.add_file(root, 'large'), root, 'again', links=['copy'])
    assert (folder / 'again').read_bytes() == data


def test_damage_is_found_while_it_is_copied(store: LocalStore, folder: Path, root: Root) -> None:
    data = large(folder, root, store)
    ref = store.add_file(root, 'large')
    path = Path(store.objects) / ref.digest.hex[:2] / ref.digest.hex[2:]
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b'\0' + b'' if data[-1] else data[:-1] + b'\1')
    with pytest.raises(Damaged):
        store.materialise(ref, root, 'again', links=['copy'])
    assert sorted(one.name for one in folder.iterdir()) == ['large'] and not path.exists()


def test_a_file_that_does_not_hold_still_is_refused(store: LocalStore, folder: Path, root: Root,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / 'large').write_bytes(bytes(2 << 20))
    real = arriving._update

    def update(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        with (folder / 'large').open('ab') as file:
            file.write(b'.')

    monkeypatch.setattr(arriving, '_update', update)
    with pytest.raises(UserError, match='changed while reading'):
        store.add_file(root, 'large')
    assert not os.listdir(Path(store.cache) / 'tmp')
