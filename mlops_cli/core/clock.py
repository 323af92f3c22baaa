"""Times and ids, made from arguments: nothing here reads a clock or draws a random number."""
from __future__ import annotations

from datetime import UTC, datetime

ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 8


def random_part(fraction: float, random_bytes: bytes) -> str:
    """The part of a run's id that people see and type: eight characters out of 32.

    The first two are the fraction of the second, so that ids sort by time within it; six come from random bytes, of which there
    must be at least 6.  Raises ValueError on fewer."""
    if len(random_bytes) < ID_LENGTH - 2:
        raise ValueError(f'{ID_LENGTH - 2} random bytes needed')
    ticks = int(fraction * 1024) & 1023
    rest = ''.join(ID_ALPHABET[byte & 31] for byte in random_bytes[:ID_LENGTH - 2])
    return ID_ALPHABET[ticks >> 5] + ID_ALPHABET[ticks & 31] + rest


def run_id(now: float, random_bytes: bytes) -> str:
    """``20261120T101522Z-7k2m9q4c``; ``now`` in seconds since 1970."""
    return f'{datetime.fromtimestamp(int(now), UTC):%Y%m%dT%H%M%SZ}-{random_part(now % 1, random_bytes)}'


def iso(now: float) -> str:
    """``2026-11-20T10:15:22Z``; ``now`` in seconds since 1970."""
    return f'{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}'


def from_iso(text: str) -> float:
    """The inverse of :func:`iso`.  Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
