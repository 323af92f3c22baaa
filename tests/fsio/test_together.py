"""fsync of many at once by the kernel: all are done, and what failed is told; without it threads do the same."""
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.fsio import native, ops, syncing, together


@contextmanager
def opened(folder: Path, count: int) -> Iterator[list[int]]:
    fds = [os.open(folder / str(number), os.O_RDWR | os.O_CREAT) for number in range(count)]
    try:
        for fd in fds:
            os.write(fd, b'x')
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


needs_it = pytest.mark.skipif(not together.available(), reason='this system has no asynchronous I/O, or does not let us')


@needs_it
def test_more_than_there_are_places_for_are_all_synced(tmp_path: Path) -> None:
    with opened(tmp_path, 600) as fds:
        assert together.sync(fds) == {}
        assert together.sync(fds[:1]) == {}


@needs_it
def test_a_descriptor_that_cannot_be_synced_is_told_by_its_place_and_the_others_are_synced(tmp_path: Path) -> None:
    with opened(tmp_path, 3) as fds:
        closed = os.dup(fds[0])
        os.close(closed)
        failed = together.sync([fds[0], closed, fds[1], fds[2]])
    assert failed and min(failed) == 1 and set(failed.values()) <= {0, errno.EBADF}


@needs_it
def test_the_first_failure_is_raised_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, 'sync', lambda _fds: {2: errno.EIO})
    with opened(tmp_path, 3) as fds, pytest.raises(OSError) as raised:
        ops.fsync_many(fds)
    assert raised.value.errno == errno.EIO and raised.value.filename == str(tmp_path / '2')


@needs_it
def test_what_the_kernel_never_began_is_synced_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(together, 'sync', lambda fds: dict.fromkeys(range(1, len(fds)), 0))
    monkeypatch.setattr(native, 'full_sync', synced.append)
    with opened(tmp_path, 3) as fds:
        assert ops.fsync_many(fds)
        assert synced == fds[1:]


@pytest.mark.parametrize('there', [True, False])
def test_each_sync_is_recorded_and_may_be_made_to_fail_with_it_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(syncing, '_synced', syncing._HUNDREDS)
    if not there:
        monkeypatch.setattr(together, 'available', lambda: False)
    seen: list[str] = []

    def fail(operation: str, details: dict[str, Any]) -> None:
        if details['path'].endswith('/3'):
            raise OSError(errno.ENOSPC, 'full')

    with opened(tmp_path, 5) as fds:
        with ops.record(lambda operation, details: seen.append(f'{operation} {os.path.basename(details["path"])}')):
            syncing.sync_each(fds)
        assert sorted(seen) == [f'fsync {number}' for number in range(5)]
        with ops.inject(fail), pytest.raises(OSError) as raised:
            syncing.sync_each(fds)
        assert raised.value.filename == str(tmp_path / '3')


@needs_it
def test_a_forked_child_has_a_context_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path, 2) as fds:
        assert together.sync(fds) == {}
        child = os.fork()
        if not child:
            os._exit(1 if together.sync(fds) else 0)
        assert os.waitpid(child, 0)[1] == 0
