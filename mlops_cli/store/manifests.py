"""The manifest that a result keeps, so that it can be told later what its key was made of: within the result's own file
where it is short, as an object of its own where it is long (docs/formats/results.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mlops_cli.core.canonical import canonical, document
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import KINDS, Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store.objects import Damaged, MissingObject

SCHEMA = 'mlops/manifest/v1'
SHORT_ROWS = 50
SHORT_TEXT = 4096  # characters of names and values
LIMIT = 16 << 20  # bytes of an object that we read

Row = list[Any]
Kept = ObjectRef | tuple[Row, ...]
"""As :class:`~mlops_cli.store.results.ResultEntry` has it: ``[kind, name, digest]``, with its value as fourth item where the
entry has one; or the object that holds the document."""


def is_short(manifest: Manifest) -> bool:
    """Whether it goes into the result's own file: a file less for each of thousands of small stages."""
    entries = manifest.entries
    return len(entries) <= SHORT_ROWS and sum(len(one.name) + len(one.value or '') for one in entries) <= SHORT_TEXT


def rows_of(manifest: Manifest) -> tuple[Row, ...]:
    """Its entries as plain values."""
    return tuple(
        [one.kind, one.name, str(one.digest), *([] if one.value is None else [json.loads(one.value)])]
        for one in manifest.entries
    )


def encode(manifest: Manifest) -> bytes:
    """The document of a long one."""
    return document({'schema': SCHEMA, 'key': str(manifest.digest), 'entries': [*rows_of(manifest)]})


def read_rows(kept: Kept, read: Callable[[Digest], bytes]) -> Sequence[Row]:
    """``read``: bytes of an object.  Raises ValueError for what is no manifest of this version, and what ``read`` raises."""
    if not isinstance(kept, ObjectRef):
        return kept
    if kept.size > LIMIT:
        raise ValueError(f'a manifest of {kept.size:,} bytes')
    try:
        found = json.loads(read(kept.digest))
    except RecursionError as error:
        raise ValueError(f'not JSON: {error}') from None
    if not isinstance(found, dict) or found.get('schema') != SCHEMA or not isinstance(found.get('entries'), list):
        raise ValueError('not a manifest of this version')
    rows: Sequence[Row] = found['entries']
    return rows


def decode(kept: Kept, read: Callable[[Digest], bytes]) -> Manifest:
    """The manifest.  Raises as :func:`read_rows`."""
    entries = []
    for row in read_rows(kept, read):
        match row:
            case [str(kind), str(name), str(digest), *rest] if kind in KINDS and len(rest) < 2:
                try:
                    value = canonical(rest[0]) if rest else None
                except (TypeError, RecursionError) as error:
                    raise ValueError(str(error)) from None
                entries.append(Entry(kind, name, Digest.parse(digest), value))
            case _:
                raise ValueError(f'not an entry: {str(row)[:80]}')
    return Manifest.of(entries)


def found(kept: Kept | None, read: Callable[[Digest], bytes]) -> Manifest | None:
    """The manifest; None where there is none, this cache has lost it, or it is none of ours.  Raises OSError."""
    if kept is None:
        return None
    try:
        return decode(kept, read)
    except (MissingObject, Damaged, ValueError):
        return None
