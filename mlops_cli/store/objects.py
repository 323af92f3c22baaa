"""What every store of objects can do, here, remote or in memory.  Says nothing about where the bytes are."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, hasher
from mlops_cli.core.errors import ExitCode, UserError

CHUNK = 1 << 20  # bytes of the chunks in which objects travel
Chunks = Iterable[bytes]


class MissingObject(UserError):
    """An object that a store does not have."""

    def __init__(self, digest: Digest, where: str = 'the cache') -> None:
        super().__init__(f'{where} does not have the object {digest}', exit_code=ExitCode.FAILED,
                         hint='mlops fetch brings it from a remote that has it; or make it again: mlops run')
        self.digest = digest


class Damaged(UserError):
    """An object whose bytes are not those its name says.  ``problem``: in a few words."""

    def __init__(self, digest: Digest, problem: str, where: str = 'the cache') -> None:
        super().__init__(f'the object {digest} in {where} is damaged: {problem}', exit_code=ExitCode.FAILED,
                         hint='it was put aside and is not used; mlops verify shows all damage, and who needs it')
        self.digest = digest
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Damage:
    """A finding of ``verify``.  ``unreadable``: the machine could not read it, so nothing is known about its bytes.
    ``mended``: its bytes are right, and what was wrong with it is no more."""

    digest: Digest
    problem: str
    unreadable: bool = False
    mended: bool = False


class ObjectStore(Protocol):
    """Objects by digest, each operation for many at once.  The contract is tests/contracts/test_object_store.py."""

    def has(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of them that are here."""

    def get(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, Iterator[bytes]]]:
        """Each object with its bytes in chunks, in any order; the chunks of one are taken before the next is asked for.

        The last step of the chunks raises Damaged if the bytes were not those of the name: so nothing may be believed before
        they are exhausted.  Raises MissingObject."""

    def put(self, objects: Iterable[tuple[Digest, Chunks]]) -> None:
        """Store objects; those already here stay as they are, unless found damaged.  Raises Damaged, and then stores nothing
        of that object, if the chunks are not what the digest says."""

    def list(self) -> Iterator[tuple[Digest, int]]:
        """Every object and its size in bytes, in any order."""

    def delete(self, digests: Iterable[Digest]) -> None:
        """Remove objects; those that are not here do no harm."""


def checked(digest: Digest, chunks: Chunks, where: str) -> Iterator[bytes]:
    """The same chunks; at their end raises Damaged if together they are not what the digest says."""
    seen = hasher()
    size = 0
    for chunk in chunks:
        seen.update(chunk)
        size += len(chunk)
        yield chunk
    if seen.hexdigest() != digest.hex:
        raise Damaged(digest, f'its {size} bytes hash to {seen.hexdigest()[:8]}...', where)
