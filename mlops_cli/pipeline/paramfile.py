"""Parameter files as plain values: YAML, JSON and TOML, told apart by their suffix.  Opens nothing."""
from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlops_cli.core import strictjson
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import INTEGER_LIMIT, kind

SIZE_LIMIT = 16 << 20  # bytes
SUFFIXES = ('.yaml', '.yml', '.json', '.toml')
DEPTH_LIMIT = 64
SECRET_HINT = ('parameters are recorded and shared: declare a variable in secrets:, let the program read that, '
               'and change the secret')
_TOML_NOT_FINITE = pattern(r'=.*?[\s=\[,][+-]?(?:nan|inf)\b')


_last: tuple[str, bytes, dict[str, Any]] | None = None


def read(data: bytes, file: str) -> dict[str, Any]:
    """As :func:`_read`.  Templates and keys ask for the same file one after the other, so the last one is kept: nobody changes
    what comes back."""
    global _last
    if _last is None or _last[:2] != (file, data):
        _last = (file, data, _read(data, file))
    return _last[2]


def _read(data: bytes, file: str) -> dict[str, Any]:
    """The parameters in a file.  ``file``: its name, whose suffix says the format (no known one: YAML).

    An empty YAML file has no parameters.  TOML's dates and times become their text.  Raises UserError, or UserErrors with
    every mistake, with line and column: what is no mapping, duplicate keys, NaN, numbers beyond 64 bits, values that look
    like secrets (the whole file is kept with every run), files beyond 16 MiB."""
    if len(data) > SIZE_LIMIT:
        raise UserError(f'{file} has {len(data):,} bytes, more than the {SIZE_LIMIT:,} of a parameter file', where=Where(file))
    document: Document | None = None
    if file.endswith('.json'):
        value = strictjson.read(data, file)
    elif file.endswith('.toml'):
        value = toml(data, file, _finite)
    else:
        from mlops_cli import yamlfile
        document = yamlfile.read(data, file, limits=yamlfile.PIPELINE)
        value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise UserError(f'a parameter file holds names and values, this one is {kind(value)}', where=Where(file, 1, 1))
    problems = [UserError(f'{".".join(map(str, path))} looks like {secret}', hint=SECRET_HINT,
                          where=document.where(path) if document else Where(file)) for path, secret in secrets(value)]
    if problems:
        raise UserErrors(problems)
    return value


def secrets(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, what it looks like) of every text in a value that looks like a secret."""
    from mlops_cli.core.secrets import looking_secret  # of most projects no parameters are read

    if found := looking_secret(_texts(value)):
        yield from _where(value, found, ())


def _texts(value: Any) -> list[str]:
    found, left = [], [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)
    return found


def _where(value: Any, wanted: Mapping[str, str], path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        if secret := wanted.get(value):
            yield path, secret
    elif isinstance(value, dict | list):
        entries: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for step, below in entries:
            yield from _where(below, wanted, (*path, step))


def toml(data: bytes, file: str, parse_float: Callable[[str], float]) -> Any:
    """The value of a TOML file, dates and times as text.  Raises UserError with the place."""
    from mlops_cli.core import strictoml

    try:
        return _plain(strictoml.loads(data, parse_float), file, 0)
    except strictoml.TomlError as error:
        problem, hint = str(error), ''
        if problem == 'not UTF-8':
            hint = 'save the file as UTF-8'
        elif problem != 'too deeply nested':
            problem = f'not TOML: {problem}'
        raise UserError(problem, where=Where(file, error.line, error.column), hint=hint) from None
    except _NotFiniteError:
        lines = enumerate(data.decode().splitlines(), 1)
        line = next((number for number, line in lines if _TOML_NOT_FINITE.search(line)), 0)
        raise UserError('a number that is not finite', where=Where(file, line, 1 if line else 0)) from None


class _NotFiniteError(Exception):
    pass


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise _NotFiniteError
    return value


def _plain(value: Any, file: str, depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise UserError(f'more than {DEPTH_LIMIT} levels', where=Where(file))
    if isinstance(value, dict):
        return {key: _plain(below, file, depth + 1) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below, file, depth + 1) for below in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise UserError(f'{hex(value)[:40]} does not fit into 64 bits', where=Where(file))
    return value
