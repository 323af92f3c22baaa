"""Many small objects, read by threads some way ahead where the system does not hold them in memory: a disk answers many
questions at once as soon as one.

Whoever reads them then does so as if nothing had happened: what is read ahead is not used, only in memory afterwards."""

from __future__ import annotations

import os
import resource
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from typing import Protocol, TypeVar

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.store.bucket import threads

_SAMPLE = 64  # objects after which it is asked how often reading them meant waiting
_OFTEN = 0.5  # times for one object, from which threads pay
_AHEAD = 4096  # objects read with threads before it is asked again
_PIECE = 32  # of them for one thread at a time
_THREADS = 8

_R = TypeVar('_R')


class Source(Protocol):
    """See transfer.Sender."""

    def open(self, digest: Digest) -> tuple[int, os.stat_result]: ...


def read_each(digests: Iterable[Digest], source: Source,
              read: Callable[[Digest], _R]) -> Generator[tuple[Digest, _R], None, None]:
    """Each with what ``read`` says of it, in their order.  Raises what ``read`` raises."""
    left = iter(digests)
    while group := [*islice(left, _SAMPLE)]:
        waits = 0
        for digest in group:
            before = _waits()
            data = read(digest)
            waits += _waits() - before
            yield digest, data
        if waits > _OFTEN * len(group):
            for digest in _ahead(islice(left, _AHEAD), source):
                yield digest, read(digest)


def _waits() -> int:
    """How often this thread let go of its processor by itself so far, as it does when the disk is to be asked; 0 where the
    system does not say."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if hasattr(resource, 'RUSAGE_THREAD') else 0


def _ahead(digests: Iterator[Digest], source: Source) -> Iterator[Digest]:
    """The same, each after a thread has read it."""
    under_way: deque[tuple[list[Digest], Future[None]]] = deque()
    with threads(_THREADS) as pool:
        try:
            while True:
                while len(under_way) < 2 * _THREADS and (piece := [*islice(digests, _PIECE)]):
                    under_way.append((piece, pool.submit(_touch, piece, source)))
                if not under_way:
                    return
                piece, touched = under_way.popleft()
                touched.result()
                yield from piece
        finally:
            for _, touched in under_way:
                touched.cancel()


def _touch(digests: list[Digest], source: Source) -> None:
    for digest in digests:
        with suppress(UserError, OSError):  # who reads it in earnest says what is wrong
            fd, facts = source.open(digest)
            try:
                os.pread(fd, facts.st_size, 0)
            finally:
                os.close(fd)
