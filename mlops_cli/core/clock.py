"""Times and ids, made from arguments: nothing here reads a clock or draws a random number."""
from __future__ import annotations

from datetime import UTC, datetime

ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 8


def random_part(random_bytes: bytes) -> str:
    """The part of a run's id that people see and type: eight characters out of 32, from at least 8 random bytes.

    Raises ValueError on fewer bytes."""
    if len(random_bytes) < ID_LENGTH:
        raise ValueError(f'{ID_LENGTH} random bytes needed')
    return ''.join(ID_ALPHABET[byte & 31] for byte in random_bytes[:ID_LENGTH])


def run_id(now: float, random_bytes: bytes) -> str:
    """``20261120T101522Z-7k2m9q4c``; ``now`` in seconds since 1970."""
    return f'{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{random_part(random_bytes)}'


def iso(now: float) -> str:
    """``2026-11-20T10:15:22Z``; ``now`` in seconds since 1970."""
    return f'{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}'


def from_iso(text: str) -> float:
    """The inverse of :func:`iso`.  Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
