"""Files written past memory: the same bytes, whatever the medium asks for, and errors as of any other write."""
from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.fsio import direct, ops
from mlops_cli.fsio.direct import ALIGNED, Direct

BLOCK = 4 * ALIGNED


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = ops.open_new(str(tmp_path / 'target'))
    yield fd
    os.close(fd)


def aligned(data: bytes) -> memoryview:
    memory = mmap(-1, len(data))
    memory[:] = data
    return memoryview(memory)


def is_straight(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


def goes_straight(fd: int) -> bool:
    found = Direct(fd)
    on = found.on
    found.end()
    return on


@pytest.fixture
def straight(target: int) -> Direct:
    found = Direct(target)
    if not found.on:
        pytest.skip('this file system is neither ext4 nor xfs')
    return found


@pytest.mark.parametrize('sizes', [[BLOCK], [BLOCK, BLOCK, 1], [BLOCK, ALIGNED], [5], [BLOCK, ALIGNED + 1], [BLOCK, 9, BLOCK]])
def test_what_is_given_is_there(target: int, sizes: list[int]) -> None:
    """Also where the file system goes by memory, and where a part is no whole block: from there on."""
    found = Direct(target)
    parts = [os.urandom(size) for size in sizes]
    for part in parts:
        found.write(aligned(part))
    found.end()
    assert os.pread(target, 1 << 20, 0) == b''.join(parts) and not is_straight(target)


def test_it_goes_straight(straight: Direct, target: int) -> None:
    assert is_straight(target)
    straight.write(aligned(bytes(BLOCK)))
    assert straight.on
    straight.write(aligned(bytes(ALIGNED + 1)))
    assert not straight.on and not is_straight(target)


def test_elsewhere_it_does_not(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, '_KINDS', frozenset(('nfs4',)))
    assert not goes_straight(target)


def test_a_system_that_refuses(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, what: int, value: int = 0) -> Any:
        if what == fcntl.F_SETFL:
            raise OSError(errno.EINVAL, 'Invalid argument')
        return real(fd, what, value)

    monkeypatch.setattr(fcntl, 'fcntl', refuse)
    assert not goes_straight(target)


@pytest.mark.parametrize('first', [0, 1, 5000, ALIGNED])
def test_a_medium_that_asks_for_more(target: int, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many bytes are taken before it refuses the rest."""
    real, taken = os.write, []

    def write(fd: int, data: Any) -> int:
        if fd != target or not found.on:
            return real(fd, data)
        if first and not taken:
            taken.append(first)
            return real(fd, bytes(data[:first]))
        raise OSError(errno.EINVAL, 'Invalid argument')

    found = Direct(target)
    found.end()
    found.on = True
    monkeypatch.setattr(os, 'write', write)
    data = os.urandom(BLOCK)
    found.write(aligned(data))
    found.write(aligned(data[::-1]))
    assert os.pread(target, 1 << 20, 0) == data + data[::-1] and not found.on


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_any_other_error_is_raised_with_its_path(target: int, number: int) -> None:
    found = Direct(target)

    def fail(operation: str, _details: Any) -> None:
        if operation == 'write':
            raise OSError(number, os.strerror(number))

    with ops.inject(fail), pytest.raises(OSError, match=os.strerror(number)) as caught:
        found.write(aligned(bytes(BLOCK)))
    assert caught.value.errno == number and caught.value.filename.endswith('/target')
