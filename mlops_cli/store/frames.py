"""Frames in which both ends of an ssh connection talk, format ``ssh-v1`` (docs/formats/ssh.md).  Pure, but for reading and
writing streams that somebody else has opened.

A frame is a kind, the number of the request that it belongs to, and up to ``MOST`` bytes.  Neither end believes the other: what
is too long, of an unknown kind, or not what its kind says, ends the connection.
"""
from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from mlops_cli.core import strictjson
from mlops_cli.core.digest import Hasher, hasher
from mlops_cli.core.errors import UserError

VERSION = 1
MAGIC = b'\0mlops ssh-v1\n'  # the far end's first bytes; a shell that greets may have written something before them
MOST = 1 << 20  # bytes that a frame carries
FACTS_MOST = 64 << 10  # bytes of a document
CHECK_BYTES = 32

ASK: Final = b'Q'  # a request, a document
DATA: Final = b'D'  # some bytes of a value, or of a listing
END: Final = b'E'  # there are no more; the check of all of them
DONE: Final = b'R'  # the answer, a document
FAILED: Final = b'F'  # there is none: a document with kind, problem, hint
KINDS = frozenset((ASK, DATA, END, DONE, FAILED))
_HEAD = struct.Struct('>cII')


class Garbled(Exception):
    """The other end said what no version of ours says."""


class Frame(NamedTuple):
    """``number``: of the request."""

    kind: bytes
    number: int
    data: bytes | bytearray


class Readable(Protocol):
    def read(self, size: int, /) -> bytes | bytearray | None: ...


def head(kind: bytes, number: int, length: int) -> bytes:
    """What stands before ``length`` bytes of data."""
    assert length <= MOST and kind in KINDS
    return _HEAD.pack(kind, number, length)


def encode(kind: bytes, number: int, data: bytes | memoryview = b'') -> bytes:
    return head(kind, number, len(data)) + data


def document(kind: bytes, number: int, facts: Mapping[str, Any]) -> bytes:
    """A frame with a document."""
    return encode(kind, number, json.dumps(facts, separators=(',', ':')).encode())


def read(stream: Readable) -> Frame | None:
    """The next frame; None where the stream has ended between two.  Raises Garbled, EOFError."""
    start = stream.read(_HEAD.size)
    if not start:
        return None
    if len(start) < _HEAD.size:
        raise EOFError
    kind, number, length = _HEAD.unpack(start)
    if kind not in KINDS or length > (MOST if kind == DATA else FACTS_MOST):
        raise Garbled(f'a frame of kind {kind!r} with {length} bytes')
    data = stream.read(length) if length else b''
    if data is None or len(data) < length:
        raise EOFError
    return Frame(kind, number, data)


def facts_of(data: bytes | bytearray) -> dict[str, Any]:
    """A document's.  Raises Garbled."""
    found = value_of(data)
    if not isinstance(found, dict):
        raise Garbled('a document that is none')
    return found


def value_of(data: bytes | bytearray) -> Any:
    """Of JSON.  Raises Garbled."""
    try:
        return strictjson.read(bytes(data), 'the answer')
    except UserError as error:
        raise Garbled(f'a document that is {error.message}') from None


def text_of(value: Any, most: int = 500) -> str:
    """One line of what the other end calls a text: its length and its characters are the other end's."""
    text = value if isinstance(value, str) else ''
    return ''.join(character if character.isprintable() else '?' for character in text[:most])


class _Blake2:
    """hashlib's, as Hasher has it."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=CHECK_BYTES)

    def update(self, data: bytes | bytearray | memoryview, /) -> object:
        self._hash.update(data)
        return None

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


CHECKS = ('blake3', 'blake2b')


def check(name: str) -> Hasher:
    """A fresh hasher of what is sent.  ``name``: of CHECKS; a far end without a compiled BLAKE3 asks for the other."""
    return hasher() if name == 'blake3' else _Blake2()


def end(number: int, seen: Hasher) -> bytes:
    """The frame behind the data that the hasher has seen."""
    return encode(END, number, bytes.fromhex(seen.hexdigest()))


def fits(data: bytes | bytearray, seen: Hasher) -> bool:
    """Whether the check of an END frame is that of what came."""
    return data == bytes.fromhex(seen.hexdigest())
