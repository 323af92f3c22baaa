"""Reads the end of a log that may be large, still growing, or not text at all."""
from __future__ import annotations

import os

TAIL_BYTES = 64 * 1024


def tail(log: str, lines: int, max_bytes: int = TAIL_BYTES) -> tuple[str, ...]:
    """The last ``lines`` lines within the last ``max_bytes`` bytes, without line ends; a first line that these cut is left
    out unless it is all there is.  Undecodable bytes become U+FFFD; of a line redrawn with carriage returns, as progress
    bars do, the last drawing counts.  Nothing is made safe for a terminal here.  A log that is not there has no lines;
    raises OSError for one that cannot be read."""
    if lines <= 0:
        return ()
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ()
    return tail_of(descriptor, lines, max_bytes)


def tail_of(descriptor: int, lines: int, max_bytes: int = TAIL_BYTES) -> tuple[str, ...]:
    """As :func:`tail`, of an open file, which is closed."""
    with open(descriptor, 'rb') as stream:
        size = os.fstat(descriptor).st_size
        begin = max(0, size - max_bytes)
        stream.seek(begin)
        data = stream.read(size - begin)
    found = data.split(b'\n')
    if found and not found[-1]:
        found.pop()
    if begin and len(found) > 1:
        found.pop(0)
    return tuple(_drawn(line) for line in found[-lines:])


def _drawn(line: bytes) -> str:
    shown = line.rstrip(b'\r')
    return shown[shown.rfind(b'\r') + 1:].decode('utf-8', 'replace')
