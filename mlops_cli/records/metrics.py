"""Scalar metrics read from the files that stages write: JSON, YAML and TOML.  Size-capped; nothing is executed.

What no record can hold is no metric: NaN and infinities (a run that diverged) are left out, integers beyond 64 bits become
the nearest number with a fraction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import plain_scalar

if TYPE_CHECKING:  # and what reads YAML is loaded for metrics in YAML
    from mlops_cli.core.document import Document

LIMIT = 1 << 20  # bytes of a metrics file
MOST = 1000  # numbers in one file
DEPTH = 64  # lists and mappings inside each other
NAME_LIMIT = 250  # characters of a dotted name
ALONE = 'value'  # how a number is called that is the whole file
_BIGGEST = 2**63
_TOKEN = pattern(r'[^\s,\[\]{}#]+')
_SMALLER = 'write the numbers to a small file, and the rest as an output or plot'

Numbers = tuple[tuple[str, str, float | int], ...]


def scalars(data: bytes, file: str) -> tuple[tuple[str, float | int], ...]:
    """(dotted name, number), sorted by name; text, true and false, dates and nulls are passed over.  Positions in lists are
    names too.  Where two values have one dotted name, the first counts.

    Raises UserError with the place where the file is no JSON, YAML or TOML, too large, too deep, or holds too many numbers."""
    if len(data) > LIMIT:
        raise UserError(f'larger than {LIMIT >> 20} MiB, too large for metrics', where=Where(file), hint=_SMALLER)
    found: dict[str, float | int] = {}
    for name, value in _flatten(load(data, file), file):
        if len(name) > NAME_LIMIT:
            raise UserError(f'the name {name[:40]}... has more than {NAME_LIMIT} characters', where=Where(file), hint=_SMALLER)
        found.setdefault(name, value)
        if len(found) > MOST:
            raise UserError(f'holds more than {MOST:,} numbers', where=Where(file), hint=_SMALLER)
    return tuple(sorted(found.items()))


def load(data: bytes, file: str) -> Any:
    """The plain value of a metrics file by its name's ending.  Raises UserError with the place of what is wrong."""
    ending = file.rpartition('.')[2].lower() if '.' in file else ''
    try:
        if ending == 'json':
            return json.loads(data.decode(), object_pairs_hook=_unique, parse_int=_integer)
        if ending == 'toml':
            from mlops_cli.core import strictoml  # few metrics are

            try:
                return strictoml.loads(data)
            except strictoml.TomlError as error:
                raise _unreadable(ending, str(error), Where(file, error.line, error.column)) from error
        if ending in ('yaml', 'yml'):
            return _yaml(data, file)
    except json.JSONDecodeError as error:
        raise _unreadable(ending, error.msg, Where(file, error.lineno, error.colno)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(ending, 'not UTF-8', Where(file, data.count(b'\n', 0, error.start) + 1, 1)) from error
    except RecursionError as error:
        raise _unreadable(ending, 'too many lists and mappings inside each other', Where(file)) from error
    except ValueError as error:
        raise _unreadable(ending, str(error), Where(file)) from error
    raise UserError(
        'metrics are read from .json, .yaml and .toml', where=Where(file), hint='list it under outs or plots instead'
    )


def recorded(metrics: Mapping[str, Any], outputs: Iterable[str]) -> Numbers:
    """The metrics of a result, named ``file:name`` in its entry, as a pin holds them.  ``outputs``: the paths of the result,
    since files and names may both have a colon in them."""
    paths = sorted(outputs, key=len, reverse=True)
    found = []
    for label, value in metrics.items():
        file = next((path for path in paths if label.startswith(f'{path}:')), label.partition(':')[0])
        found.append((file, label[len(file) + 1 :], value))
    return tuple(sorted(found))


def _unreadable(ending: str, problem: str, where: Where) -> UserError:
    hint = f'a metrics file named .{ending} must hold {ending.upper()}'
    return UserError(f'cannot be read: {problem}', where=where, hint=hint)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        again = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f'the key {again[:80]!r} stands there twice')
    return found


def _integer(digits: str) -> float | int:
    return int(digits) if len(digits) < 25 else float(digits)


def _yaml(data: bytes, file: str) -> Any:
    """As YAML is read everywhere, but numbers that are not finite or too large are no mistakes."""
    from mlops_cli.yamlfile import examine

    document, errors = examine(data, file)
    if document is not None and errors:
        text = _without(document, [error.where for error in errors if error.where])
        document, errors = examine(text.encode(), file)
    if errors or document is None:
        raise UserErrors(errors)
    return document.value


def _without(document: Document, places: list[Where]) -> str:
    """The text with each number that YAML's reader refuses replaced by one that it takes."""
    text = document.text
    from mlops_cli.core.document import LINE_END

    starts = [0, *(end.end() for end in LINE_END.finditer(text))]
    for place in sorted(places, reverse=True):
        token = _TOKEN.match(text, starts[place.line - 1] + place.column - 1)
        if token and (number := _number(token[0])) is not None:
            text = f'{text[: token.start()]}{number}{text[token.end() :]}'
    return text


def _number(token: str) -> str | None:
    """What to read in place of a plain scalar that is refused for its size; None for any other."""
    try:
        plain_scalar(token)
    except ValueError:
        try:
            value = float(token)
        except ValueError:
            return 'null'  # .nan, .inf, 0x and 0o
        return repr(value) if math.isfinite(value) else 'null'
    return None


def _flatten(value: Any, file: str) -> Iterator[tuple[str, float | int]]:
    stack: list[tuple[str, Any, int]] = [('', value, 0)]
    while stack:
        name, item, depth = stack.pop()
        if isinstance(item, dict | list):
            if depth >= DEPTH:
                raise UserError(f'more than {DEPTH} lists and mappings inside each other', where=Where(file), hint=_SMALLER)
            inner = list(item.items() if isinstance(item, dict) else enumerate(item))
            stack += [(f'{name}.{key}' if name else str(key), leaf, depth + 1) for key, leaf in reversed(inner)]
        elif isinstance(item, int | float) and not isinstance(item, bool):
            if isinstance(item, int) and not -_BIGGEST <= item < _BIGGEST:
                item = float(item) if abs(item) < 10**308 else math.inf
            if math.isfinite(item):
                yield name or ALONE, item
