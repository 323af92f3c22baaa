"""Canonical JSON: one text for one value, so that digests of values and files that git merges are stable.

Keys sorted by code point, no spaces, UTF-8 with lone surrogates (undecodable bytes of file names) as ``\\udcxx``;
``1``, ``1.0``, ``"1"`` and ``true`` all differ; NaN and infinities are refused.
"""
from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mlops_cli.core.patterns import pattern


def text_of(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """What ``encoder.encode`` does for plain values without indentation, in a third of the time for small ones: the part of it
    that is written in C is made once, not at each call.  A value that contains itself raises RecursionError."""
    make = getattr(json.encoder, 'c_make_encoder', None)
    if make is None:
        return encoder.encode
    quoted = json.encoder.encode_basestring_ascii if encoder.ensure_ascii else json.encoder.encode_basestring
    chunks = make(None, encoder.default, quoted, None, encoder.key_separator, encoder.item_separator, encoder.sort_keys,
                  encoder.skipkeys, encoder.allow_nan)
    return lambda value: ''.join(chunks(value, 0))


_text = text_of(json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(',', ':'), allow_nan=False))
_SURROGATE = pattern('[\ud800-\udfff]')


def canonical(value: Any) -> str:
    """The canonical JSON text of a plain value.  Raises ValueError for NaN and infinity, TypeError for what JSON lacks."""
    text = _text(value)
    if not text.isascii():
        text = _SURROGATE.sub(lambda found: f'\\u{ord(found.group()):04x}', text)
    return text


def canonical_bytes(value: Any) -> bytes:
    """As :func:`canonical`, in UTF-8."""
    return canonical(value).encode()


_name = lru_cache(maxsize=1024)(canonical)  # documents of one kind have the same


def document(value: dict[str, Any]) -> bytes:
    """A JSON document as files of ours hold it: one top-level entry a line, and one line per item of a top-level list,
    so that reviews and merges see entries.  Same value, same bytes; a plain JSON parser reads it back."""
    lines = []
    for key in sorted(value):
        entry = value[key]
        if isinstance(entry, list) and entry:
            items = ',\n'.join('  ' + canonical(item) for item in entry)
            lines.append(f'{_name(key)}:[\n{items}\n ]')
        else:
            lines.append(f'{_name(key)}:{canonical(entry)}')
    return ('{\n ' + ',\n '.join(lines) + '\n}\n').encode()
