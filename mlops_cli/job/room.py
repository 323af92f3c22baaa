"""Hands out the processors and the memory of a host to those that ask for more than one processor, or say how much memory they
take: whoever asks out of one folder, as long as they live (docs/formats/gpus.md)."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mlops_cli.core import limits
from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import show_size
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import boot
from mlops_cli.job.desk import TICK, Lacking, Unwanted

FOLDER = 'room-v1'
FILE_MOST = 64  # bytes
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Share:
    """Processors and bytes of memory."""

    cpus: float
    memory_bytes: int = 0

    @property
    def is_large(self) -> bool:
        """Whether it has to be counted: what asks for one processor and no memory runs beside whatever runs."""
        return self.cpus > 1 or self.memory_bytes > 0


def machine() -> Share:
    """What there is; 0 bytes where that is not known."""
    return Share(limits.cpus(), limits.memory_bytes() or 0)


def fits(there: Share, taken: list[Share], wanted: Share) -> bool:
    """Processors of those that ask for more than one never add up to more than there are; who asks for more than that runs
    without another such one.  Memory never does."""
    heavy = [one.cpus for one in taken if one.cpus > 1]
    if wanted.cpus > 1 and heavy and sum(heavy) + wanted.cpus > there.cpus + _ROUNDING:
        return False
    return not there.memory_bytes or sum(one.memory_bytes for one in taken) + wanted.memory_bytes <= there.memory_bytes


@contextmanager
def held(root: Root, wanted: Share, unwanted: Callable[[], object],
         there: Callable[[], Share] = machine) -> Iterator[tuple[str, ...]]:
    """So much until the end of the block; waits until it is free, and who waits is next.  Gives the files that whoever sees to
    the attempt locks, too (shared).  ``root``: is closed.

    Raises Lacking where there is not as much memory at all, Unwanted once ``unwanted`` says something, OSError."""
    with root:
        if not wanted.is_large:
            yield ()
            return
        total = there()
        if total.memory_bytes and wanted.memory_bytes > total.memory_bytes:
            asked = f'{show_size(wanted.memory_bytes)} of memory are asked for, and there are {show_size(total.memory_bytes)}'
            raise Lacking(asked, hint='lower resources.memory, or take another host')
        root.makedirs(FOLDER, mode=0o700)
        turn = root.open(f'{FOLDER}/{boot()}-turn', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _until(lambda: try_lock(turn, exclusive=True), unwanted)
            _until(lambda: fits(total, _taken(root), wanted), unwanted)
            name, fd = _take(root, wanted)
        finally:
            os.close(turn)
        try:
            yield (root.full(f'{FOLDER}/{name}'),)
        finally:
            with suppress(OSError):
                root.unlink(f'{FOLDER}/{name}')
            os.close(fd)


def _until(ready: Callable[[], bool], unwanted: Callable[[], object]) -> None:
    while not ready():
        if unwanted() is not None:
            raise Unwanted
        time.sleep(TICK)


def _take(root: Root, wanted: Share) -> tuple[str, int]:
    name = f'{boot()}-{os.urandom(8).hex()}'
    fd = root.open(f'{FOLDER}/{name}', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, b'%.3f %d' % (wanted.cpus, wanted.memory_bytes))
    if not try_lock(fd, exclusive=False):
        raise AssertionError('a file of a new name is locked by nobody')
    return name, fd


def _taken(root: Root) -> list[Share]:
    """What those have that live; files of those who are gone go.  Of other machines that share the folder nothing counts."""
    found = []
    for entry in root.scandir(FOLDER):
        if not entry.name.startswith(f'{boot()}-') or entry.name.endswith('-turn'):
            continue
        try:
            fd = root.open(f'{FOLDER}/{entry.name}', os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if try_lock(fd, exclusive=True):
                with suppress(FileNotFoundError):
                    root.unlink(f'{FOLDER}/{entry.name}')
                continue
            cpus, _, memory = os.read(fd, FILE_MOST).decode(errors='replace').partition(' ')
            with suppress(ValueError):
                found.append(Share(float(cpus), int(memory)))
        finally:
            os.close(fd)
    return found
