"""BLAKE3 in plain Python, for hosts where the compiled one does not fit: there it is ``blake3``, as far as core uses it.

Some 1 MB/s: enough for names, and no bytes of objects are hashed with it (docs/formats/ssh.md)."""
from __future__ import annotations

import os
import struct

PLAIN = True
_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_START, _LAST, _PARENT, _ROOT, _KEYED, _CONTEXT, _MATERIAL = (1 << bit for bit in range(7))
_MASK = 0xFFFFFFFF
_WORDS = struct.Struct('<16I')
_BLOCK, _CHUNK = 64, 1024


def _compress(chaining: tuple[int, ...], block: bytes, counter: int, flags: int, size: int = _BLOCK) -> tuple[int, ...]:
    words = _WORDS.unpack(block.ljust(_BLOCK, b'\0'))
    v = [*chaining, *_IV[:4], counter & _MASK, counter >> 32 & _MASK, size, flags]
    for turn in range(7):
        for number, (a, b, c, d) in enumerate(_COLUMNS):
            x, y = words[2 * number], words[2 * number + 1]
            v[a] = v[a] + v[b] + x & _MASK
            m = v[d] ^ v[a]
            v[d] = m >> 16 | m << 16 & _MASK
            v[c] = v[c] + v[d] & _MASK
            m = v[b] ^ v[c]
            v[b] = m >> 12 | m << 20 & _MASK
            v[a] = v[a] + v[b] + y & _MASK
            m = v[d] ^ v[a]
            v[d] = m >> 8 | m << 24 & _MASK
            v[c] = v[c] + v[d] & _MASK
            m = v[b] ^ v[c]
            v[b] = m >> 7 | m << 25 & _MASK
        if turn < 6:
            words = tuple(words[place] for place in _ORDER)
    return tuple(v[place] ^ v[place + 8] for place in range(8)) + tuple(v[place + 8] ^ chaining[place] for place in range(8))


class blake3:
    """As the package of that name has it: a digest of 32 bytes.  ``max_threads`` says nothing here."""

    def __init__(self, data: bytes | bytearray | memoryview = b'', /, *, key: bytes | None = None,
                 derive_key_context: str | None = None, max_threads: int = 1) -> None:  # noqa: ARG002
        self._key, self._flags = _IV, 0
        if key is not None:
            self._key, self._flags = struct.unpack('<8I', key), _KEYED
        if derive_key_context is not None:
            context = _Tree(_IV, _CONTEXT)
            context.add(derive_key_context.encode())
            self._key, self._flags = struct.unpack('<8I', context.end()), _MATERIAL
        self._tree = _Tree(self._key, self._flags)
        self._tree.add(bytes(data))

    def update(self, data: bytes | bytearray | memoryview, /) -> blake3:
        self._tree.add(bytes(data))
        return self

    def update_mmap(self, path: str | os.PathLike[str], /) -> blake3:
        with open(path, 'rb') as file:
            while data := file.read(1 << 20):
                self._tree.add(data)
        return self

    def digest(self) -> bytes:
        return self._tree.end()

    def hexdigest(self) -> str:
        return self.digest().hex()


class _Tree:
    """Chunks of 1024 bytes, two by two; ``_above`` holds those that wait for their neighbour."""

    def __init__(self, key: tuple[int, ...], flags: int) -> None:
        self._key, self._flags = key, flags
        self._above: list[tuple[int, ...]] = []
        self._count = 0
        self._rest = b''

    def add(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while len(data) - at > _CHUNK:  # the last one is not finished before the end is known
            chaining, block, flags = self._chunk(data[at:at + _CHUNK], self._count)
            self._push(_compress(chaining, block, self._count, flags)[:8])
            at += _CHUNK
        self._rest = data[at:]

    def _chunk(self, data: bytes, number: int) -> tuple[tuple[int, ...], bytes, int]:
        """What is left to compress of a chunk: its last block."""
        chaining, flags = self._key, self._flags | _START
        at = 0
        while len(data) - at > _BLOCK:
            chaining = _compress(chaining, data[at:at + _BLOCK], number, flags)[:8]
            flags = self._flags
            at += _BLOCK
        return chaining, data[at:], flags | _LAST

    def _push(self, found: tuple[int, ...]) -> None:
        self._count += 1
        count = self._count
        while not count & 1:
            found = _compress(self._key, struct.pack('<16I', *self._above.pop(), *found), 0, self._flags | _PARENT)[:8]
            count >>= 1
        self._above.append(found)

    def end(self) -> bytes:
        chaining, block, flags = self._chunk(self._rest, self._count)
        counter, size = self._count, len(block)
        for left in reversed(self._above):
            found = _compress(chaining, block, counter, flags, size)[:8]
            chaining, block, flags = self._key, struct.pack('<16I', *left, *found), self._flags | _PARENT
            counter, size = 0, _BLOCK
        return struct.pack('<8I', *_compress(chaining, block, 0, flags | _ROOT, size)[:8])
