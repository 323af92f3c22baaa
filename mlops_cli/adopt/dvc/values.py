"""Parameter files as DVC reads them: YAML 1.2, JSON, TOML, and the assignments of a Python file.  Executes none of them."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from mlops_cli.adopt.dvc import yaml12
from mlops_cli.core.errors import UserError, Where

SIZE_LIMIT = 16 << 20  # bytes
_POSITION = re.compile('-?[0-9]{1,9}')
_ANY = '**'  # any number of levels, also none


def read(data: bytes, file: str) -> Any:
    """The values of a parameter file, {} of an empty YAML file.  Raises UserError."""
    if len(data) > SIZE_LIMIT:
        raise UserError(f'{file} has {len(data):,} bytes, more than the {SIZE_LIMIT:,} of a parameter file', where=Where(file))
    suffix = file[file.rfind('.') :].lower() if '.' in file.rpartition('/')[2] else ''
    try:
        if suffix == '.json':
            return json.loads(data.decode())
        if suffix == '.toml':
            return tomllib.loads(data.decode())
        if suffix == '.py':
            return python(data.decode())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        line = getattr(error, 'lineno', 0) or 0
        raise UserError(f'not {suffix[1:].upper()}: {error}'[:300], where=Where(file, line, 1 if line else 0)) from None
    return yaml12.read(data, file, places=False).value or {}


def python(text: str) -> dict[str, Any]:
    """What a Python file assigns as literals: at the top, in classes (a mapping each), and to ``self`` in ``__init__``.

    Raises SyntaxError, ValueError."""
    return _assigned(ast.parse(text), of_self=False)


def _assigned(tree: Any, of_self: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _assigned(node, of_self=False)
        elif isinstance(node, ast.FunctionDef) and node.name == '__init__':
            found.update(_assigned(node, of_self=True))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found.update(_one(node, of_self))
    return found


def _one(node: ast.Assign | ast.AnnAssign, of_self: bool) -> Iterator[tuple[str, Any]]:
    """Nothing for what is no literal, or no name."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    name = _name(targets[0], of_self) if len(targets) == 1 else None
    if name is None or node.value is None:
        return
    try:
        value = ast.literal_eval(node.value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return
    yield name, value


def _name(target: ast.expr, of_self: bool) -> str | None:
    if isinstance(target, ast.Name) and not of_self:
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == 'self':
        return target.attr
    return None


def lookup(values: Any, key: str) -> tuple[bool, Any]:
    """Whether a dotted key is there, and its value; a pattern is there where DVC takes it: where one value matches."""
    found = _matching(values, key)
    return (True, found[0][1]) if len(found) == 1 else (False, None)


def named(values: Any, key: str) -> str:
    """The key that a pattern stands for; the pattern itself where that is not one, or has a dot in a name."""
    found = _matching(values, key) if is_pattern(key) else []
    if len(found) != 1 or any('.' in str(name) for name in found[0][0]):
        return key
    return '.'.join(map(str, found[0][0]))


def is_pattern(key: str) -> bool:
    return any(sign in key for sign in '*?[')


def _matching(values: Any, key: str) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, value) of all that a dotted key or pattern of DVC's means."""
    segments = key.split('.')
    if segments.count(_ANY) > 1:
        return []  # which DVC refuses
    found: list[tuple[tuple[Any, ...], Any]] = [((), values)]
    for segment in segments:
        found = [((*path, *more), inner) for path, value in found for more, inner in _below(value, segment)]
    return found


def _below(value: Any, segment: str) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """What one segment means in a value.  A name that is a position counts in a list; a key of a mapping may be a number."""
    if segment == _ANY:
        yield (), value
    if is_pattern(segment):
        rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        for name, inner in rows:
            if segment == _ANY:
                yield from (((name, *more), one) for more, one in _below(inner, segment))
            elif fnmatchcase(str(name), segment):
                yield (name,), inner
        return
    number = int(segment) if _POSITION.fullmatch(segment) else None
    if isinstance(value, dict):
        if segment in value:
            yield (segment,), value[segment]
        elif number is not None and number in value:
            yield (number,), value[number]
    elif isinstance(value, list | tuple) and number is not None and -len(value) <= number < len(value):
        yield (number,), value[number]
