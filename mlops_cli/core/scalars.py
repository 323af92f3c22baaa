"""Plain scalars as text and back: YAML 1.2's core schema one way, canonical text the other."""
from __future__ import annotations

import math
from typing import Any

from mlops_cli.core.patterns import pattern

Scalar = str | int | float | bool

FLOAT_LIMIT = 1 << 1023  # integers beyond it are no floats
INTEGER_LIMIT = 2**63  # what YAML, TOML, JSON readers in other languages hold
_INTEGER = pattern(r'[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+')
_FLOAT = pattern(r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?')
_SPECIAL_FLOAT = pattern(r'[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)')
_WORDS = {'true': True, 'True': True, 'TRUE': True, 'false': False, 'False': False, 'FALSE': False,
          'null': None, 'Null': None, 'NULL': None, '~': None, '': None}


def plain_scalar(text: str, not_finite: bool = False) -> Scalar | None:
    """What an unquoted scalar means in YAML 1.2's core schema: ``1e-4`` is a number, ``no`` and ``1:30`` are text.

    Raises ValueError for what no parameter may be: NaN, infinity unless ``not_finite``, an integer beyond 64 bits."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > 25 or not -INTEGER_LIMIT <= (number := _integer(text)) < INTEGER_LIMIT:
            raise ValueError(f'{text[:40]} does not fit into 64 bits')
        return number
    if _FLOAT.fullmatch(text):
        if not math.isfinite(value := float(text)):
            raise ValueError(f'{text[:40]} is too large for a number')
        return value
    if _SPECIAL_FLOAT.fullmatch(text):
        if not_finite:
            return float(text.replace('.', ''))
        raise ValueError(f'{text} is not a number that can be compared or recorded')
    return text


def _integer(text: str) -> int:
    if text.startswith('0o'):
        return int(text[2:], 8)
    return int(text[2:], 16) if text.startswith('0x') else int(text)


def scalar_text(value: Any) -> str:
    """The one text of a scalar: text as it is, ``true``, ``false``, numbers as in JSON (shortest that reads back the same).

    Raises ValueError, saying what it is, for null, a list, a mapping, NaN and infinity."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise ValueError(f'is {kind(value)}')


def is_finite(value: object) -> bool:
    """Whether it is a number that is finite, also as one with a fraction; true and false are none."""
    if type(value) is int:
        return -FLOAT_LIMIT < value < FLOAT_LIMIT
    return isinstance(value, float) and math.isfinite(value)


def kind(value: Any) -> str:
    """What a value is, for a sentence: ``null``, ``a list``, ``a mapping``, ``text``, ``a number``..."""
    if value is None:
        return 'null'
    for types, name in ((bool, 'true or false'), (str, 'text'), ((int, float), 'a number'), ((list, tuple), 'a list')):
        if isinstance(value, types):
            return 'not a finite number' if isinstance(value, float) and not math.isfinite(value) else name
    return 'a mapping' if hasattr(value, 'keys') else f'a {type(value).__name__}'
