"""Large files that go into a store past memory: as those that do not."""
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import direct, ops
from mlops_cli.fsio.direct import ALIGNED, Direct
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import ingest
from mlops_cli.store.local import LocalStore


@pytest.fixture(autouse=True)
def small_is_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, 'BESIDE', 1 << 20)
    monkeypatch.setattr(direct, 'BLOCK', 1 << 18)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each file that was to go straight, whether it went so to the end."""
    seen: list[bool] = []
    real = Direct.end

    def end(self: Direct) -> None:
        seen.append(self.on)
        real(self)

    monkeypatch.setattr(Direct, 'end', end)
    return seen


@contextmanager
def opened(folder: Path, durability: Any = 'batch') -> Iterator[LocalStore]:
    store = LocalStore(folder / '.cache', batch=Batch(durability), links=['copy'])
    yield store
    store.batch.discard()
    store.close()


def goes_straight(folder: Path) -> bool:
    fd = ops.open_new(str(folder / '.probe'))
    try:
        return Direct(fd).on
    finally:
        os.close(fd)


@pytest.mark.parametrize('more', [1, 2 << 20, (2 << 20) + ALIGNED, (2 << 20) + 12_345])
@pytest.mark.parametrize('durability', ['batch', 'full', 'none'])
def test_what_is_stored_is_what_was_there(folder: Path, root: Root, ways: list[bool], more: int, durability: Any) -> None:
    data = os.urandom((1 << 20) + more)
    (folder / 'big').write_bytes(data)
    with opened(folder, durability) as store:
        ref = store.add_file(root, 'big')
        store.batch.flush()
        assert (ref.digest, ref.size) == (digest_of(data), len(data)) and store.read(ref.digest) == data
    straight = durability != 'none' and goes_straight(folder)  # what need not last may wait in memory
    assert ways == ([] if not straight else [True] if len(data) % ALIGNED == 0 else [True, False])


def test_a_file_that_does_not_hold_still_is_refused(folder: Path, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / 'big').write_bytes(bytes(3 << 20))
    real, written = ops.write, []

    def write(fd: int, data: Any) -> None:
        real(fd, data)
        written.append(len(data))
        with (folder / 'big').open('ab') as file:
            file.write(b'.')

    monkeypatch.setattr(ops, 'write', write)
    monkeypatch.setattr(ops, 'copy_range', lambda *_: -1)  # where nothing goes straight, it is written all the same
    with opened(folder) as store:
        with pytest.raises(UserError, match='changed while reading'):
            store.add_file(root, 'big')
        assert written and not os.listdir(folder / '.cache/tmp')


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EIO])
def test_an_error_leaves_nothing_behind(folder: Path, root: Root, number: int) -> None:
    (folder / 'big').write_bytes(bytes(3 << 20))
    writes = 0

    def fail(operation: str, _details: Any) -> None:
        nonlocal writes
        writes += operation == 'write'
        if operation == 'write' and writes == 5:
            raise OSError(number, os.strerror(number))

    with opened(folder) as store:
        with ops.inject(fail), pytest.raises(OSError, match=os.strerror(number)) as caught:
            store.add_file(root, 'big')
        assert '/.cache/tmp/' in caught.value.filename
        assert not os.listdir(folder / '.cache/tmp') and not list(store.listed())


def test_who_does_not_want_it_any_more_leaves_nothing_behind(folder: Path, root: Root) -> None:
    (folder / 'big').write_bytes(bytes(3 << 20))
    calls = 0

    def go_on() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with opened(folder) as store, open(folder / 'big', 'rb') as file:
        with pytest.raises(KeyboardInterrupt):
            ingest.add_open_file(store, file.fileno(), 'big', reflink=False, go_on=go_on)
        assert not os.listdir(folder / '.cache/tmp')
