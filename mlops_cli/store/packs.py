"""Many small objects in one file of a remote, format ``pack-v1`` (docs/formats/remote.md).  Pure: bytes in, bytes out.

A pack is named by what is in it and where, so who packs the same objects in the same order makes the same file, and a pack
that was half sent is sent again under the same name.
"""
from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from mlops_cli.core.digest import ALGORITHM, Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError

PREFIX = b'mlops pack-v1\n'
INDEX_PREFIX = b'mlops pack-index-v1\n'
SMALL = 1 << 20  # bytes up to which an object travels in a pack
FULL = 32 << 20  # bytes of objects after which a pack is closed
MOST = 65_536  # objects in a pack
SIZE_LIMIT = FULL + SMALL + (1 << 20)  # bytes of a pack, with its rows: what is longer is none of ours
INDEX_LIMIT = 44 * MOST + 64

_ROW = struct.Struct('>32sQI')
_END = struct.Struct('>Q14s')
_BYTES = 32


class Packed(NamedTuple):
    """Where an object lies in a pack.  ``name``: the 32 bytes of its digest.  ``offset``, ``size``: bytes."""

    name: bytes
    offset: int
    size: int

    @property
    def digest(self) -> Digest:
        return Digest(self.name.hex())


class MalformedPack(UserError):
    """What no version of ours wrote, or the way here has damaged: nothing of it is used."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f'{what} is damaged: {problem}', exit_code=ExitCode.UNREACHABLE,
                         hint='nothing of it was used; who still has the data mends it: mlops push --repair')


def name_bytes(digest: Digest) -> bytes:
    assert digest.algorithm == ALGORITHM
    return bytes.fromhex(digest.hex)


class Packing:
    """A pack being filled; its bytes stay in memory, some ``FULL`` at most."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [PREFIX]
        self._rows: list[Packed] = []
        self._names: set[bytes] = set()
        self.size = len(PREFIX)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def content(self) -> int:
        """Bytes of what is in it."""
        return self.size - len(PREFIX)

    @property
    def full(self) -> bool:
        return self.size >= FULL or len(self._rows) >= MOST

    def add(self, digest: Digest, data: bytes) -> None:
        """``data``: what the digest says.  Raises ValueError for more than ``SMALL`` bytes; twice the same is once."""
        if len(data) > SMALL:
            raise ValueError(f'{len(data)} bytes are too many for a pack')
        name = name_bytes(digest)
        if name in self._names:
            return
        self._names.add(name)
        self._rows.append(Packed(name, self.size, len(data)))
        self._parts.append(data)
        self.size += len(data)

    def finish(self) -> tuple[Digest, bytes, bytes]:
        """(name, the pack, its index)."""
        index = encode_index(self._rows)
        return digest_of(index), b''.join([*self._parts, index, _END.pack(len(index), PREFIX)]), index


def encode_index(rows: Iterable[Packed]) -> bytes:
    """The bytes of an index; what they hash to is the pack's name."""
    return INDEX_PREFIX + b''.join(_ROW.pack(*row) for row in sorted(rows))


class Index:
    """What a pack holds, and where.  ``data``: as encode_index makes it.  ``pack_size``: bytes of the whole pack.

    Raises MalformedPack where it is not what its name says, or says what cannot be."""

    __slots__ = ('_rows', 'pack', 'pack_size')

    def __init__(self, pack: Digest, data: bytes) -> None:
        what = f'the index of the pack {pack.short}'
        rows = len(data) - len(INDEX_PREFIX)
        if digest_of(data) != pack:
            raise MalformedPack(what, 'its bytes are not those of its name')
        if not data.startswith(INDEX_PREFIX) or rows % _ROW.size or rows > _ROW.size * MOST:
            raise MalformedPack(what, 'it is not an index of this version')
        self.pack = pack
        self._rows = data[len(INDEX_PREFIX):]
        before, end = b'', len(PREFIX)
        for row in sorted(self, key=itemgetter(1, 2)):
            if row.offset != end or row.size > SMALL:
                raise MalformedPack(what, 'its objects do not lie side by side')
            end += row.size
        self.pack_size = end + len(data) + _END.size
        for name in self.names():
            if name <= before:
                raise MalformedPack(what, 'its rows are not in order')
            before = name

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def __iter__(self) -> Iterator[Packed]:
        return map(Packed._make, _ROW.iter_unpack(self._rows))

    def names(self) -> Iterator[bytes]:
        """The 32 bytes of each digest, in order."""
        rows = self._rows
        return (rows[start:start + _BYTES] for start in range(0, len(rows), _ROW.size))

    def find(self, wanted: set[bytes]) -> list[Packed]:
        """Those of the wanted that it holds, in the order in which they lie in the pack."""
        rows = self._rows
        found = [Packed._make(_ROW.unpack_from(rows, start)) for start in range(0, len(rows), _ROW.size)
                 if rows[start:start + _BYTES] in wanted]
        return sorted(found, key=itemgetter(1, 2))


def spans(rows: Sequence[Packed], gap: int) -> Iterator[tuple[int, int, list[Packed]]]:
    """(first byte, byte behind the last, objects) of the pieces of a pack to ask for: what lies no more than ``gap`` bytes
    apart comes in one.  ``rows``: as they lie in the pack."""
    piece: list[Packed] = []
    end = 0
    for row in rows:
        if piece and row.offset - end > gap:
            yield piece[0].offset, end, piece
            piece = []
        piece.append(row)
        end = row.offset + row.size
    if piece:
        yield piece[0].offset, end, piece
