"""Digests: the names of bytes.  Knows nothing about files."""
from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

from mlops_cli.core.classes import dataclass

if TYPE_CHECKING:
    from mmap import mmap

ALGORITHM = 'blake3'


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest of some bytes; never passed around as a bare string.  Text form: ``blake3:<64 hex>``."""

    hex: str
    algorithm: str = ALGORITHM

    def __hash__(self) -> int:
        return hash(self.hex)  # a text remembers its own; there is one algorithm

    def __str__(self) -> str:
        return f'{self.algorithm}:{self.hex}'

    @property
    def short(self) -> str:
        """The first eight hex digits, for people."""
        return self.hex[:8]

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The inverse of ``str``.  Raises ValueError on anything else."""
        algorithm, colon, digits = text.partition(':')
        if not colon or algorithm != ALGORITHM or len(digits) != 64 or digits.strip('0123456789abcdef'):
            raise ValueError(f'not a digest: {text[:80]!r}')
        return cls(digits, algorithm)


class Hasher(Protocol):
    """An incremental hash, as hashlib and blake3 have it."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


def hasher(*, threads: int = 1) -> Hasher:
    """A fresh BLAKE3 hasher; ``threads`` > 1 pays only for updates of many MiB at a time."""
    return blake3(max_threads=threads)


def digest_of(data: bytes | bytearray | memoryview | mmap, *, threads: int = 1) -> Digest:
    """BLAKE3 of bytes in memory.  ``threads``: -1 is one for each core, which pays for many MiB."""
    return Digest(blake3(data, max_threads=threads).hexdigest())


def raw_digest_of(data: bytes) -> bytes:
    """The 32 bytes of :func:`digest_of`, where there is one after the other to compare."""
    return blake3(data).digest()


def seal(data: bytes | memoryview, secret: bytes, purpose: str) -> bytes:
    """32 bytes that nobody without the secret (of 32 bytes) can make for these bytes.  ``purpose``: a seal for one is none for
    another."""
    return blake3(data, key=blake3(secret, derive_key_context=f'mlops {purpose}').digest()).digest()


def digest_of_file(path: str, *, threads: int = 1) -> Digest:
    """BLAKE3 of a whole file through a memory map: only for files nobody can truncate meanwhile (objects of a store).

    Raises OSError."""
    return Digest(blake3(max_threads=threads).update_mmap(path).hexdigest())
