"""Messages between the runner and its supervisor: a length of four bytes, then a marshalled tuple (docs/formats/supervisor.md).

marshal, for both ends are one interpreter and nothing of this is ever stored; json would double the supervisor's start."""
from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REQUESTS, EVENTS, ALIVE = 3, 4, 5  # the supervisor's descriptors; the last one only where there is an alive lock
_LENGTH_BYTES = 4


def encode(message: tuple[Any, ...]) -> bytes:
    body = marshal.dumps(message)
    return len(body).to_bytes(_LENGTH_BYTES, 'big') + body


class Inbox:
    """Bytes as they come in, whole messages out."""

    __slots__ = ('_pending',)

    def __init__(self) -> None:
        self._pending = b''

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """All messages that ``data`` completes, in order."""
        buffer = self._pending + data if self._pending else data
        found, begin = [], 0
        while len(buffer) - begin >= _LENGTH_BYTES:
            body = begin + _LENGTH_BYTES
            end = body + int.from_bytes(buffer[begin:body], 'big')
            if end > len(buffer):
                break
            found.append(marshal.loads(buffer[body:end]))
            begin = end
        self._pending = buffer[begin:]
        return found
