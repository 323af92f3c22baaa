"""One value of a TOML file replaced, every other byte kept.  The standard library reads TOML and cannot write it."""
from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from mlops_cli.core.canonical import canonical
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind
from mlops_cli.core.values import assigned, at
from mlops_cli.pipeline import paramfile

_NAME = r'(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
_NAMES = rf'{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*'
_HEADER = pattern(rf'[ \t]*\[[ \t]*({_NAMES})[ \t]*\][ \t]*(?:#.*)?')
_ENTRY = pattern(rf'([ \t]*({_NAMES})[ \t]*=[ \t]*)(.*)')


def edit_value(data: bytes, path: tuple[str | int, ...], value: Any, *, file: str) -> bytes:
    """The file with the value at ``path`` replaced: text, numbers, booleans and flat lists, where the old one is a line
    ``name = value``.

    The result is read back and compared, so nothing else can change.  Raises UserError where that is not possible: new keys,
    inline tables, values of several lines, null."""
    where = Where(file)
    shown = '.'.join(map(str, path))
    hint = f'set {shown} in {file} by hand, or keep this parameter in YAML'
    document: Any = paramfile.read(data, file)
    position = next((index for index, step in enumerate(path) if isinstance(step, int)), len(path))
    if position < len(path):  # an entry of a list: the list is written anew
        value = assigned(at(document, path[:position]), path[position:], value)
        path = path[:position]
    new = _written(value)
    if new is None:
        raise UserError(f'{shown}: TOML cannot be given {kind(value)} here', where=where, hint=hint)
    wanted = canonical(assigned(document, path, value))
    for text in _edits(data.decode(), path, new):
        try:
            if canonical(paramfile.read(text.encode(), file)) == wanted:
                return text.encode()
        except UserError:
            continue  # the line was part of something else, such as a text of several lines
    raise UserError(f'{shown} has no line of its own in {file}', where=where, hint=hint)


def _edits(text: str, path: tuple[str | int, ...], new: str) -> Iterator[str]:
    """The file with each line replaced that may be the one."""
    lines = text.split('\n')
    table: tuple[str, ...] = ()
    for number, line in enumerate(lines):
        bare = line.removesuffix('\r')
        if header := _HEADER.fullmatch(bare):
            table = _names(header[1])
        elif (entry := _ENTRY.fullmatch(bare)) and (*table, *_names(entry[2])) == path:
            comment = _comment(entry[3])
            replaced = f'{entry[1]}{new}{comment}{line[len(bare):]}'
            yield '\n'.join([*lines[:number], replaced, *lines[number + 1:]])


def _comment(rest: str) -> str:
    """What follows the value on its line: blanks and a comment."""
    position = rest.find('#')
    while position >= 0:
        try:
            tomllib.loads(f'x = {rest[:position]}')
        except ValueError:
            position = rest.find('#', position + 1)
        else:
            return rest[len(rest[:position].rstrip()):]
    return ''


def _names(written: str) -> tuple[str, ...]:
    found: Any = tomllib.loads(f'{written} = 0')
    names = []
    while isinstance(found, dict):
        (name, found), = found.items()
        names.append(name)
    return tuple(names)


def _written(value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
        return json.dumps(value, ensure_ascii=False).replace('\x7f', '\\u007f')
    if isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, list) and not any(isinstance(entry, list | dict) for entry in value):
        entries = [_written(entry) for entry in value]
        return None if None in entries else f'[{", ".join(entry for entry in entries if entry is not None)}]'
    return None
