"""Times and ids, made from arguments: nothing here reads a clock or draws a random number."""
from __future__ import annotations

from datetime import UTC, datetime

from mlops_cli.core.patterns import pattern

ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 8
LATEST = 8e9  # seconds since 1970, in the year 2223: what claims to be later was written by nobody
_TIME = pattern('[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z')


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
    when = datetime.fromtimestamp(int(now), UTC)
    return f'{when.year:04}{when:%m%dT%H%M%SZ}-{random_part(now % 1, random_bytes)}'


def iso(now: float) -> str:
    """``2026-11-20T10:15:22Z``; ``now`` in seconds since 1970."""
    when = datetime.fromtimestamp(now, UTC)
    return f'{when.year:04}-{when.month:02}-{when.day:02}T{when.hour:02}:{when.minute:02}:{when.second:02}Z'


def from_iso(text: str) -> float:
    """The inverse of :func:`iso`.  Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def check_time(text: str) -> str:
    """The text, if it is as :func:`iso` writes it, and a moment that somebody's clock may have shown.  Raises ValueError."""
    if not _TIME.fullmatch(text) or iso(check_moment(from_iso(text))) != text:
        raise ValueError(f'{text[:40]!r} is no time')
    return text


def check_moment(value: object) -> float:
    """Seconds since 1970, if it is a moment that somebody's clock may have shown.  Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise ValueError(f'{str(value)[:40]} is no moment')
    return float(value)
