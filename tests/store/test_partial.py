"""A large object that was broken off on its way here goes on where it was, and is never believed for what it is not."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.fsio import locks, ops, temporaries
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import partial
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged

WHOLE = os.urandom(300_000)
NAME = digest_of(WHOLE)
STEP = 10_000


class Broken(Exception):
    """The network is gone."""


class Source:
    """``until``: bytes after which it breaks."""

    def __init__(self, data: bytes = WHOLE) -> None:
        self.data = data
        self.until = len(data) + 1
        self.asked: list[int] = []
        self.closed = 0

    def rest(self, start: int) -> Generator[bytes, None, None]:
        self.asked.append(start)
        try:
            for at in range(start, len(self.data), STEP):
                if at + STEP > self.until:
                    raise Broken
                yield self.data[at:at + STEP]
        finally:
            self.closed += 1


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / 'cache', batch=Batch('none'))


def bring(store: LocalStore, source: Source) -> int:
    """The bytes that were told."""
    told: list[int] = []
    try:
        partial.bring(store, NAME, len(WHOLE), source.rest, told.append)
    finally:
        store.batch.flush()
    return sum(told)


def begun(tmp_path: Path) -> Path:
    return tmp_path / 'cache/tmp' / partial.name_of(NAME)


def content(store: LocalStore, digest: Digest = NAME) -> bytes:
    return store.read(digest)


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / 'cache/tmp').iterdir() if path.stat().st_size)


def test_at_once(store: LocalStore, tmp_path: Path) -> None:
    source = Source()
    assert bring(store, source) == len(WHOLE)
    assert content(store) == WHOLE and source.asked == [0] and not left(tmp_path)


def test_goes_on(store: LocalStore, tmp_path: Path) -> None:
    source = Source()
    for until in (100_000, 100_000, 250_000):
        source.until = until
        with pytest.raises(Broken):
            bring(store, source)
        assert begun(tmp_path).stat().st_size == until and not store.has([NAME])
    source.until = len(WHOLE) + STEP
    assert bring(store, source) == len(WHOLE)
    assert source.asked == [0, 100_000, 100_000, 250_000] and source.closed == 4
    assert content(store) == WHOLE and not left(tmp_path)
    assert (tmp_path / 'cache/objects-v1' / NAME.hex[:2] / NAME.hex[2:]).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize('there', [b'x' * 50_000, WHOLE[:40_000] + b'\0' * 40_000, WHOLE + b'more', b'y' * len(WHOLE)])
def test_what_a_power_cut_made_of_it_is_not_believed(store: LocalStore, tmp_path: Path, there: bytes) -> None:
    begun(tmp_path).parent.mkdir(parents=True, exist_ok=True)
    begun(tmp_path).write_bytes(there)
    source = Source()
    if len(there) <= len(WHOLE):
        with pytest.raises(Damaged):
            bring(store, source)
        assert not store.has([NAME]) and not left(tmp_path)  # the next time it begins anew
    bring(store, source)
    assert source.asked[-1] == 0 and content(store) == WHOLE and not left(tmp_path)


def test_damaged_at_the_source(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        bring(store, Source(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])))
    assert not store.has([NAME]) and not left(tmp_path)


def test_two_at_once(store: LocalStore, tmp_path: Path) -> None:
    """Who comes second brings it all, beside the first."""
    first, second = Source(), Source()

    def rest(start: int) -> Generator[bytes, None, None]:
        for number, chunk in enumerate(first.rest(start)):
            if number == 3:
                bring(LocalStore(tmp_path / 'cache', batch=Batch('none')), second)
            yield chunk

    partial.bring(store, NAME, len(WHOLE), rest, lambda _: None)
    store.batch.flush()
    assert second.asked == [0] and content(store) == WHOLE and not left(tmp_path)


def test_what_another_name_holds_is_not_written_to(store: LocalStore, tmp_path: Path) -> None:
    """A command that died while it gave the object its name may have left both."""
    other = tmp_path / 'other'
    other.write_bytes(b'precious')
    begun(tmp_path).parent.mkdir(parents=True, exist_ok=True)
    os.link(other, begun(tmp_path))
    bring(store, Source())
    assert content(store) == WHOLE and other.read_bytes() == b'precious'


@pytest.mark.parametrize('what', ['link', 'folder', 'pipe', 'no locks'])
def test_what_is_no_beginning(store: LocalStore, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = begun(tmp_path)
    place.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'victim').write_bytes(b'precious')
    if what == 'link':
        place.symlink_to(tmp_path / 'victim')
    elif what == 'folder':
        place.mkdir()
    elif what == 'pipe':
        os.mkfifo(place)
    else:

        def refused(fd: int, *, exclusive: bool) -> bool:
            raise OSError(errno.ENOLCK, 'no locks')

        monkeypatch.setattr(locks, 'try_lock', refused)
    bring(store, Source())
    assert content(store) == WHOLE and (tmp_path / 'victim').read_bytes() == b'precious'


def test_a_full_disk_gets_its_room_back(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = ops.write, 0

    def full(fd: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    monkeypatch.setattr(ops, 'write', full)
    with pytest.raises(OSError, match='No space'):
        bring(store, Source())
    assert not left(tmp_path)


def test_a_beginning_that_cannot_be_read_is_not_tried_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    source.until = 100_000
    with pytest.raises(Broken):
        bring(store, source)

    def unreadable(fd: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(partial, '_begun', unreadable)
        with pytest.raises(OSError, match='Input/output'):
            bring(store, source)
    source.until = len(WHOLE) + STEP
    bring(store, source)
    assert source.asked == [0, 0] and content(store) == WHOLE


def test_swept_when_nobody_goes_on_for_a_week(store: LocalStore, tmp_path: Path) -> None:
    source = Source()
    source.until = 100_000
    with pytest.raises(Broken):
        bring(store, source)
    with Root(tmp_path / 'cache') as cache:
        assert temporaries.sweep_temporaries(cache, rel='tmp') == 0 and begun(tmp_path).exists()
        os.utime(begun(tmp_path), (0, 0))
        assert temporaries.sweep_temporaries(cache, rel='tmp') == 1 and not begun(tmp_path).exists()
