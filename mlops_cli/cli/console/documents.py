"""JSON documents as text, byte for byte as ``json.dumps(document, indent=1, default=str)`` has it.

Of that the standard library's quick encoder is no part; it writes the objects of a table, a line for each entry, by other
means here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PIECE = 500  # objects that are written at once
_FLAT = frozenset((str, int, float, bool, type(None)))
_entries = json.JSONEncoder(separators=(',\n   ', ': ')).encode


def pieces(document: Mapping[str, Any]) -> Iterator[str]:
    """The text, in pieces.  The value of an entry may be an iterator, too, of what would be a list's objects."""
    start = '{'
    for key, value in document.items():
        yield f'{start}\n {json.dumps(key)}: '
        if isinstance(value, list | tuple | Iterator):
            yield from _list(value)
        else:
            yield _nested(value, 1)
        start = ','
    yield '\n}' if document else '{}'


def _list(values: Iterable[Any]) -> Iterator[str]:
    start, held = '[', list[str]()
    for value in values:
        held.append(f'{start}\n  {_object(value) if isinstance(value, dict) else _nested(value, 2)}')
        start = ','
        if len(held) == PIECE:
            yield ''.join(held)
            held.clear()
    yield ''.join([*held, '[]' if start == '[' else '\n ]'])


def _object(value: dict[str, Any]) -> str:
    if not value or not _FLAT.issuperset(map(type, value.values())):
        return _nested(value, 2)
    return f'{{\n   {_entries(value)[1:-1]}\n  }}'


def _nested(value: Any, depth: int) -> str:
    return json.dumps(value, indent=1, default=str).replace('\n', '\n' + ' ' * depth)
