"""Values (dataclasses, tuples, mappings) as plain JSON data and back, for local tables that can be made again."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mlops_cli.core.errors import Where
from mlops_cli.core.manifest import Entry, Manifest


def to_plain(value: Any) -> Any:
    """Of a dataclass only what differs from the defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {}
        for field in _fields(type(value)):
            item = getattr(value, field.name)
            if item != _default(field):
                found[field.name] = to_plain(item)
        return found
    if isinstance(value, Where):
        return [value.file, value.line, value.column]
    if isinstance(value, Manifest):
        return to_plain(value.entries)
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f'{type(value).__name__} has no plain form')


def from_plain(kind: Any, value: Any) -> Any:
    """The inverse for a type.  Raises TypeError, KeyError or ValueError where the data does not fit it."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: from_plain(hints[name], item) for name, item in value.items()})
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Where:
        file, line, column = _list(value)
        return Where(from_plain(str, file), from_plain(int, line), from_plain(int, column))
    if kind is Manifest:
        return Manifest(from_plain(tuple[Entry, ...], value))
    if kind is Any or origin is Literal:
        return value
    if origin in (types.UnionType, Union):
        return _optional(arguments, value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_plain(arguments[0], item) for item in _list(value))
        return tuple(from_plain(one, item) for one, item in zip(arguments, _list(value), strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: from_plain(arguments[1], item) for key, item in _mapping(value).items()}
    if isinstance(kind, type) and not isinstance(value, (kind, int) if kind is float else kind):
        raise TypeError(f'{str(value)[:40]!r} is no {kind.__name__}')
    return value


def _optional(arguments: tuple[Any, ...], value: Any) -> Any:
    if value is None and types.NoneType in arguments:
        return None
    others = [one for one in arguments if one is not types.NoneType]
    return from_plain(others[0], value) if len(others) == 1 else value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError('not a list')
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError('not a mapping')
    return value


@lru_cache(maxsize=64)
def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING
