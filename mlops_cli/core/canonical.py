"""Canonical JSON: one text for one value, so that digests of values and files that git merges are stable.

Keys sorted by code point, no spaces, UTF-8 with lone surrogates (undecodable bytes of file names) as ``\\udcxx``;
``1``, ``1.0``, ``"1"`` and ``true`` all differ; NaN and infinities are refused.
"""
from __future__ import annotations

import json
import re
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(',', ':'), allow_nan=False)
_SURROGATE = re.compile('[\ud800-\udfff]')


def canonical(value: Any) -> str:
    """The canonical JSON text of a plain value.  Raises ValueError for NaN and infinity, TypeError for what JSON lacks."""
    text = _ENCODER.encode(value)
    if not text.isascii():
        text = _SURROGATE.sub(lambda found: f'\\u{ord(found.group()):04x}', text)
    return text


def canonical_bytes(value: Any) -> bytes:
    """As :func:`canonical`, in UTF-8."""
    return canonical(value).encode()


def document(value: dict[str, Any]) -> bytes:
    """A JSON document as files of ours hold it: one top-level entry a line, and one line per item of a top-level list,
    so that reviews and merges see entries.  Same value, same bytes; a plain JSON parser reads it back."""
    lines = []
    for key in sorted(value):
        entry = value[key]
        if isinstance(entry, list) and entry:
            items = ',\n'.join('  ' + canonical(item) for item in entry)
            lines.append(f'{canonical(key)}:[\n{items}\n ]')
        else:
            lines.append(f'{canonical(key)}:{canonical(entry)}')
    return ('{\n ' + ',\n '.join(lines) + '\n}\n').encode()
