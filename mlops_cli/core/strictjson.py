"""JSON that people or programs wrote, read strictly: what JSON parsers disagree about is refused, with its place."""
from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.patterns import pattern

SIZE_LIMIT = 16 << 20  # bytes
NODE_LIMIT = 2_000_000
DEPTH_LIMIT = 64

_TOKEN = pattern(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|:|,|[^\s{}\[\],:"]+', re.DOTALL)
_INTEGER = pattern(r'-?[0-9]{1,19}')


class _Refused(Exception):
    """A reader's hook met something; where it stands is looked for only now."""


def read(data: bytes, file: str, *, not_finite: bool = False) -> Any:
    """The value of a JSON document.  ``file``: its name in messages.  ``not_finite``: NaN and infinities are allowed.

    Raises UserError with line and column for syntax errors, duplicate keys, NaN, infinities, integers beyond 64 bits, more
    than 64 levels, 2,000,000 values or 16 MiB, and bytes that are no UTF-8."""
    if len(data) > SIZE_LIMIT:
        raise UserError(f'{file} has {len(data):,} bytes, more than {SIZE_LIMIT:,}', where=Where(file))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise UserError('not UTF-8', where=Where(file, line, error.start - data.rfind(b'\n', 0, error.start)),
                        hint='save the file as UTF-8') from None
    if text.startswith('\ufeff'):
        raise UserError('starts with a byte order mark', where=Where(file, 1, 1), hint='save the file as UTF-8 without it')
    if text.count(',') + text.count('[') + text.count('{') > NODE_LIMIT:
        raise UserError(f'{file} holds more than {NODE_LIMIT:,} values', where=Where(file))
    return _parse(text, file, not_finite)


def _parse(text: str, file: str, not_finite: bool) -> Any:
    def constant(name: str) -> float:
        return float(name) if not_finite else refuse()

    def number(digits: str) -> float:
        value = float(digits)
        return value if not_finite or math.isfinite(value) else refuse()

    try:
        value = json.loads(text, object_pairs_hook=_mapping, parse_constant=constant, parse_float=number, parse_int=_integer)
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise UserError(f'not JSON: {problem}', where=Where(file, error.lineno, error.colno)) from None
    except (_Refused, RecursionError):
        raise _located(text, file, not_finite) from None
    if text.count('[') + text.count('{') > DEPTH_LIMIT and _deep(value):
        raise _located(text, file, not_finite)
    return value


def refuse() -> NoReturn:
    raise _Refused


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse()
    return found


def _integer(digits: str) -> int:
    if not _INTEGER.fullmatch(digits) or not -2**63 <= (number := int(digits)) < 2**63:
        refuse()
    return number


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [below for outer in level if isinstance(outer, dict | list)
                 for below in (outer.values() if isinstance(outer, dict) else outer) if isinstance(below, dict | list)]
        if not level:
            return False
    return True


def _located(text: str, file: str, not_finite: bool) -> UserError:
    """What is wrong, and where, with a text that was refused."""
    open_keys: list[dict[str, int] | None] = []
    string, start = '', 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in '{[':
            open_keys.append({} if word == '{' else None)
            if len(open_keys) > DEPTH_LIMIT:
                return _error(text, file, token.start(), f'more than {DEPTH_LIMIT} levels')
        elif word in '}]':
            if open_keys:
                open_keys.pop()
        elif word[0] == '"':
            string, start = word, token.start()
        elif word == ':':
            if open_keys and (keys := open_keys[-1]) is not None:
                key = json.loads(string, strict=False)
                if key in keys:
                    line, _ = _place(text, keys[key])
                    return _error(text, file, start, f'the key {string} again: it is on line {line} already')
                keys[key] = start
        elif word != ',' and (problem := _number_problem(word, not_finite)):
            return _error(text, file, token.start(), problem)
    return UserError('too deeply nested', where=Where(file))


def _number_problem(word: str, not_finite: bool) -> str:
    if word.lstrip('-').isdigit():
        return '' if _INTEGER.fullmatch(word) and -2**63 <= int(word) < 2**63 else f'{word[:40]} does not fit into 64 bits'
    try:
        finite = math.isfinite(float(word)) or not_finite
    except ValueError:
        return ''
    return '' if finite else f'{word[:40]} is not a finite number'


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count('\n', 0, offset) + 1, offset - text.rfind('\n', 0, offset)


def _error(text: str, file: str, offset: int, message: str) -> UserError:
    return UserError(message, where=Where(file, *_place(text, offset)))
