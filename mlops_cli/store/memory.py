"""A store in memory: for tests, and for trees that are made only to be looked at."""
from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.store.objects import CHUNK, Chunks, MissingObject, checked

WHERE = 'this store in memory'


class MemoryStore:
    """``objects``: what it holds; tests may damage it."""

    def __init__(self) -> None:
        self.objects: dict[Digest, bytes] = {}

    def has(self, digests: Iterable[Digest]) -> set[Digest]:
        return {digest for digest in digests if digest in self.objects}

    def get(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, Iterator[bytes]]]:
        for digest in digests:
            data = self.objects.get(digest)
            if data is None:
                raise MissingObject(digest, WHERE)
            yield digest, checked(digest, _chunks(data), WHERE)

    def read(self, digest: Digest) -> bytes:
        """One object, whole.  Raises MissingObject, Damaged."""
        return b''.join(chunk for _, chunks in self.get([digest]) for chunk in chunks)

    def put(self, objects: Iterable[tuple[Digest, Chunks]]) -> None:
        for digest, chunks in objects:
            data = b''.join(checked(digest, chunks, 'what was sent'))
            present = self.objects.get(digest)
            if present is None or digest_of(present) != digest:
                self.objects[digest] = data

    def add_bytes(self, data: bytes) -> Digest:
        """Store bytes under the name they have."""
        digest = digest_of(data)
        self.put([(digest, [data])])
        return digest

    def list(self) -> Iterator[tuple[Digest, int]]:
        for digest, data in builtins.list(self.objects.items()):
            yield digest, len(data)

    def delete(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            self.objects.pop(digest, None)


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start:start + CHUNK]
