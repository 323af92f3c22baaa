"""How a value is written into a /bin/sh script so that it arrives byte for byte and injects nothing.

Where it stands, and where no quoting is safe, is what script.py reads.  When in doubt more is quoted than needed, never less.
"""
from __future__ import annotations

import re

from mlops_cli.core.patterns import pattern
from mlops_cli.pipeline.script import HOLE, Place

_SIMPLE = pattern(r'[A-Za-z0-9_./:=@%+,-]+')
_RESERVED = frozenset({
    '!', '{', '}', 'case', 'do', 'done', 'elif', 'else', 'esac', 'fi', 'for', 'if', 'in', 'then', 'until', 'while',
    '[[', ']]', 'coproc', 'function', 'select', 'time'})


def quoted(value: str, place: Place) -> str:
    """A value as it is written at a place that is not refused; ``value`` holds no NUL."""
    assert place.kind != 'refused' and HOLE not in value
    if place.kind == 'double':
        return ('""' if place.glued else '') + re.sub(r'([\\"$`])', r'\\\1', value)
    single = value.replace("'", "'\\''")
    if place.kind == 'single':
        return single
    harmless = place.simple and _SIMPLE.fullmatch(value) and not (place.command and ('=' in value or value in _RESERVED))
    return value if harmless else f"'{single}'"
