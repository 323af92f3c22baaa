"""Values inside plain documents by dotted keys: looked up, set, named.  Knows no files.

``a.b.c`` goes down mappings, ``layers.0`` and ``layers[0]`` into lists.  A name that holds dots itself may be written as it
is: the longest name that fits is tried first.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind

NAMES_LIMIT = 2000  # names looked at for a hint


class Missing(Enum):
    """The type of :data:`MISSING`."""

    MISSING = 'missing'


MISSING: Final = Missing.MISSING  # what is not there, which is neither null nor empty

_BRACKET = pattern(r'\[(0|[1-9][0-9]{0,8})\]')
_INDEX = pattern(r'0|[1-9][0-9]{0,8}')


def find(document: Any, key: str) -> tuple[str | int, ...] | None:
    """The names and positions that lead to a dotted key; None if it is not there."""
    found = _find(document, key)
    return _find(document, _BRACKET.sub(r'.\1', key)) if found is None and '[' in key else found


def _find(value: Any, key: str) -> tuple[str | int, ...] | None:
    if isinstance(value, Mapping):
        end = len(key)
        while end > 0:
            name = key[:end]
            if name in value:
                if end == len(key):
                    return (name,)
                below = _find(value[name], key[end + 1:])
                if below is not None:
                    return (name, *below)
            end = key.rfind('.', 0, end)
    elif isinstance(value, list):
        position, dot, rest = key.partition('.')
        if _INDEX.fullmatch(position) and int(position) < len(value):
            below = _find(value[int(position)], rest) if dot else ()
            return None if below is None else (int(position), *below)
    return None


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    """What a path leads to.  Raises LookupError."""
    for step in path:
        document = document[step]
    return document


def lookup(document: Any, key: str) -> Any:
    """The value of a dotted key, or :data:`MISSING`."""
    path = find(document, key)
    return MISSING if path is None else at(document, path)


def assigned(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with the value at ``path``; mappings that are missing on the way are made, also in place of null.

    Raises LookupError and TypeError where the path leads through something else."""
    if not path:
        return value
    step, *rest = path
    if isinstance(document, list):
        items = list(document)
        items[step] = assigned(items[step], tuple(rest), value)  # type: ignore[index]
        return items
    entries = dict(document or {})
    entries[step] = assigned(entries.get(step), tuple(rest), value)
    return entries


def path_of(document: Any, key: str, file: str) -> tuple[str | int, ...]:
    """Where a ``--set`` of this key goes: a key that is there, or with a leading ``+`` one that may be new.

    Raises UserError for an unknown key, and where something that is no mapping stands in the way of a new one."""
    plain = key.removeprefix('+')
    path = find(document, plain)
    if path is not None:
        return path
    if not key.startswith('+'):
        hint = f'{near_key(document, plain)}; to add a new one: --set +{plain}=...'
        raise UserError(f'{file} has no parameter {plain}', hint=hint.removeprefix('; '))
    return _new_path(document, plain, file)


def _new_path(document: Any, key: str, file: str) -> tuple[str | int, ...]:
    """As much of the key as is there, then its names one by one."""
    value, rest = document, _BRACKET.sub(r'.\1', key)
    path: tuple[str | int, ...] = ()
    while '.' in rest:
        end = rest.rfind('.')
        while end > 0 and (step := find_step(value, rest[:end])) is None:
            end = rest.rfind('.', 0, end)
        if end <= 0:
            break
        assert step is not None
        value, path, rest = value[step], (*path, step), rest[end + 1:]
    if value is None or isinstance(value, Mapping):
        names = rest.split('.')
        if not all(names):
            raise UserError(f'{key!r} is no name of a parameter: a part of it is empty')
        return (*path, *names)
    here = '.'.join(map(str, path)) or file
    problem = f'has positions 0 to {len(value) - 1}' if isinstance(value, list) else 'holds nothing else'
    raise UserError(f'{file}: {here} is {kind(value)} and {problem}, so {key} cannot be added',
                    hint=f"set {here} as a whole: --set '{here}=[...]'" if isinstance(value, list) else 'choose another name')


def find_step(value: Any, name: str) -> str | int | None:
    """The one step that leads to ``name``, taken as it is."""
    if isinstance(value, Mapping):
        return name if name in value else None
    if isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
        return int(name)
    return None


def near_key(document: Any, key: str) -> str:
    """A hint for a key that is not there."""
    names = []
    for name in dotted(document):
        if name.endswith(f'.{key}'):
            return f'did you mean {name}?'
        names.append(name)
        if len(names) >= NAMES_LIMIT:
            break
    return did_you_mean(key, names, what='there are')


def dotted(value: Any, prefix: str = '') -> Iterator[str]:
    """The dotted keys of everything in nested mappings, outer ones first."""
    if isinstance(value, Mapping):
        for name in value:
            yield f'{prefix}{name}'
        for name, below in value.items():
            yield from dotted(below, f'{prefix}{name}.')
