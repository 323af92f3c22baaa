"""Small objects read ahead by threads: the same, in the same order, whatever the threads meet."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.fsio.durable import Batch
from mlops_cli.store import readahead
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import MissingObject

Reading = Generator[tuple[Digest, bytes], None, None]


def same(digests: list[Digest]) -> list[tuple[Digest, Digest]]:
    return [(digest, digest) for digest in digests]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / 'cache', batch=Batch('none'))
    yield made
    made.close()


@pytest.fixture
def digests(store: LocalStore) -> list[Digest]:
    made = [store.add_bytes(b'%d' % number).digest for number in range(500)]
    store.batch.flush()
    return made


@pytest.fixture
def touched(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    """What threads read."""
    seen: list[Digest] = []
    real = store.open

    def recorded(digest: Digest) -> tuple[int, os.stat_result]:
        if threading.current_thread() is not threading.main_thread():
            seen.append(digest)
        return real(digest)

    monkeypatch.setattr(store, 'open', recorded)
    return seen


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read waits for the disk."""
    calls = count()
    monkeypatch.setattr(readahead, '_waits', lambda: next(calls))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, '_waits', lambda: 7)


@pytest.mark.usefixtures('quick')
def test_what_is_in_memory_needs_no_threads(store: LocalStore, digests: list[Digest], touched: list[Digest]) -> None:
    assert [(digest_of(data), digest) for digest, data in readahead.read_each(digests, store, store.read)] == same(digests)
    assert not touched


@pytest.mark.usefixtures('slow')
@pytest.mark.parametrize('ahead', [100, 4096])
def test_what_is_waited_for_is_read_ahead(store: LocalStore, digests: list[Digest], touched: list[Digest], ahead: int,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, '_AHEAD', ahead)
    assert [(digest_of(data), digest) for digest, data in readahead.read_each(digests, store, store.read)] == same(digests)
    asked = [digest for number, digest in enumerate(digests) if number % (64 + ahead) >= 64]
    assert sorted(touched) == sorted(asked)


@pytest.mark.usefixtures('slow')
def test_what_is_gone_is_told_by_who_reads_it(store: LocalStore, digests: list[Digest]) -> None:
    (Path(store.cache) / 'objects-v1' / digests[300].hex[:2] / digests[300].hex[2:]).unlink()

    def read(digest: Digest) -> bytes | None:
        try:
            return store.read(digest)
        except MissingObject:
            return None

    assert [*readahead.read_each(digests, store, read)].index((digests[300], None)) == 300
    with pytest.raises(MissingObject):
        [*readahead.read_each(digests, store, store.read)]


@pytest.mark.usefixtures('slow')
@pytest.mark.parametrize('end', [lambda found: found.close(), lambda found: found.throw(OSError('no more'))])
def test_nothing_goes_on_when_it_is_given_up(store: LocalStore, digests: list[Digest], touched: list[Digest],
                                             end: Callable[[Reading], object]) -> None:
    found = readahead.read_each(digests * 50, store, store.read)
    for _ in range(70):
        next(found)
    try:
        end(found)
    except OSError as error:
        assert str(error) == 'no more'
    for thread in threading.enumerate():
        if thread.name.startswith('remote'):
            thread.join(10)
            assert not thread.is_alive()
    assert len(touched) <= 18 * 32


@pytest.mark.skipif(not hasattr(resource, 'RUSAGE_THREAD'), reason='this system does not count how often a thread waits')
def test_to_wait_is_counted() -> None:
    before = readahead._waits()
    threading.Event().wait(0.001)
    assert readahead._waits() > before
