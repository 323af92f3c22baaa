"""Gates: an expression over metrics files that must hold.  Reads files only through what it is handed.

``best.json:accuracy >= 0.95 and abs(a.json:x - b.json:x) <= 1e-3``: FILE:KEY stands for a number in a file, the rest is
arithmetic and comparison.  docs/gate.md is the user's page.
"""
from __future__ import annotations

import ast
import csv
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mlops_cli.checks.arithmetic import CONSTANTS, Computer, Mistake, check, without
from mlops_cli.checks.sources import Beyond, NobodyYet, Sources
from mlops_cli.core import delimited, strictjson
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind
from mlops_cli.core.values import MISSING, lookup, near_key

EXPRESSION_LIMIT = 2000  # characters
SIZE_LIMIT = 16 << 20  # bytes of a metrics file
PASSED, FAILED = 'gate passed:', 'gate FAILED:'  # how what a gate says begins
TEXT_LIMIT = 200  # characters of a text value that is shown

_WORDS = {'and', 'or', 'not', 'in', 'is', 'if', 'else'}
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_CHUNK = r'[^\s()<>=!,"\':*%+&|;-][^\s()<>=!,"\':*%+&|;]*'  # of a file name or key; a minus only inside
_TOKEN = pattern(rf'(?P<quoted>{_QUOTED})|(?P<chunk>{_CHUNK})|(?P<other>\s+|.)', re.DOTALL)
_KEY = pattern(f'{_QUOTED}|{_CHUNK}')


@dataclass(frozen=True)
class GateResult:
    """``values``: (FILE:KEY as written, its value), each once, in order.  ``text``: one line for people."""

    passed: bool
    expression: str
    values: tuple[tuple[str, Any], ...]
    text: str


@dataclass(frozen=True)
class _Reference:
    """``start``, ``end``: where it stands in the expression."""

    file: str
    key: str
    start: int
    end: int
    quoted: bool = False


def evaluate(
    expression: str, read: Callable[[str], Any], beyond: Beyond = lambda _file, _quoted: None, *, first: bool = False
) -> GateResult:
    """Whether an expression holds.  ``read``: file name -> its plain values, raising UserError if it cannot.  ``beyond``: of a
    name, and whether it stood in quotes, all that it stands for where that is not one file.  ``first``: conditions that compare
    with what nobody holds yet are left out, and the others have to hold.

    Raises UserError for a mistake in the expression, a missing key (with the near one), a value that is no number, text or
    boolean, a result that is neither true nor false; with exit code 1 for NaN and infinity, for then the metric itself is
    broken; NobodyYet."""
    if len(expression) > EXPRESSION_LIMIT:
        raise UserError(f'the gate has {len(expression):,} characters, more than {EXPRESSION_LIMIT:,}')
    references = _references(expression)
    files: dict[tuple[str, bool], Any] = {}
    names: dict[str, Any] = dict(CONSTANTS)
    written: dict[str, str] = {}  # name in the code -> as it stands in the expression
    absent: dict[str, str] = {}  # of those that nobody holds: what is said about it
    code, position, prefix = [], 0, _unused(expression)
    for index, reference in enumerate(references):
        name = f'{prefix}{index}_'
        written[name] = expression[reference.start:reference.end]
        try:
            names[name] = _looked_up(reference, files, read, beyond)
        except NobodyYet as nobody:
            if not first:
                raise
            absent[name] = nobody.message
            names[name] = None
        code += [expression[position:reference.start], f' {name} ']
        position = reference.end
    passed = _holds(''.join([*code, expression[position:]]).replace('\n', ' ').strip(), expression, names, written, absent)
    values = {written[name]: names[name] for name in written if name not in absent}
    return GateResult(passed, expression, tuple(values.items()), _text(expression, values, passed, absent))


def files_of(expression: str) -> tuple[str, ...]:
    """The files of an expression's metrics, as they are called in it, each once.  Raises UserError."""
    return tuple(dict.fromkeys(one.file for one in _references(expression[:EXPRESSION_LIMIT])))


def _looked_up(reference: _Reference, files: dict[tuple[str, bool], Any], read: Callable[[str], Any], beyond: Beyond) -> Any:
    known = reference.file, reference.quoted
    if known not in files:
        several = beyond(*known)
        files[known] = (read(reference.file), None) if several is None else (None, several)
    document, several = files[known]
    return _value(document, reference) if several is None else _values(several, reference)


def _unused(expression: str) -> str:
    """How names begin that do not stand in an expression."""
    prefix = 'value_'
    while prefix in expression:
        prefix += '_'
    return prefix


def _text(expression: str, values: dict[str, Any], passed: bool, absent: Mapping[str, str]) -> str:
    shown = [(f'{name} is ' if len(values) > 1 else '') + _shown(value, passed) for name, value in values.items()]
    shown += dict.fromkeys(absent.values())
    # The verdict first: where a line is short of room, its end goes.
    return ' '.join(f'{PASSED if passed else FAILED} {expression} ({", ".join(shown)})'.split())


def _shown(value: Any, passed: bool) -> str:
    """Numbers of a gate that failed in full: 0.949999999 is not 0.95."""
    if isinstance(value, list) and len(value) > 1 and all(type(one) in (int, float) for one in value):
        with suppress(OverflowError):  # of numbers that are as large as can be
            return f'mean {math.fsum(value) / len(value):.6g} of {len(value)}, {min(value):.6g} to {max(value):.6g}'
    return f'{value:.6g}' if isinstance(value, float) and passed else json.dumps(value, ensure_ascii=False)[:TEXT_LIMIT]


# The expression

def _references(expression: str) -> list[_Reference]:
    """All FILE:KEY.  An unquoted file name goes back to the operator, word or bracket before it, so it may hold blanks."""
    found: list[_Reference] = []
    start: int | None = None  # of what may be a file name
    quoted = False
    position = 0
    while token := _TOKEN.match(expression, position):
        text, position = token[0], token.end()
        if text == '*' and not quoted and _is_of_a_name(expression, token.start(), start):
            start = token.start() if start is None else start
        elif text == ':' and start is not None:
            key = _KEY.match(expression, position)
            if not key:
                raise _wrong(expression, position, 'a key is missing after ":"')
            file = expression[start:token.start()]
            found.append(_Reference(_unquoted(file) if quoted else file, _unquoted(key[0]), start, key.end(), quoted))
            position, start = key.end(), None
        elif token['quoted']:
            start, quoted = token.start(), True
        elif token['chunk'] and text not in _WORDS and text not in ('/', '//'):
            if quoted and start is not None and text[0] == '@' and expression[token.start() - 1] in ('"', "'"):
                raise _wrong(expression, token.start(), 'what is in quotes is a file here: no revision of it can be named')
            if start is None or quoted:
                start, quoted = token.start(), False
        elif quoted or not text.isspace():
            start = None
    return found


def _is_of_a_name(expression: str, star: int, start: int | None) -> bool:
    """Whether a star is part of a pattern of file names, and multiplies nothing: it stands beside a slash, or without blanks in
    a name with one.  ``start``: of what may be a name."""
    before, behind = expression[star - 1 : star], expression[star + 1 : star + 2]
    if start is None:
        return behind == '/' and (not before or before.isspace() or before in '(,')
    return '/' in (before, behind) or ('/' in expression[start:star] and not before.isspace() and not behind.isspace())


def _unquoted(text: str) -> str:
    return re.sub(r'\\(.)', r'\1', text[1:-1], flags=re.DOTALL) if text[:1] in ('"', "'") else text


def _wrong(expression: str, offset: int | None, problem: str, hint: str = '') -> UserError:
    place = '' if offset is None else f' at character {offset + 1}'
    usual = 'such as "best.json:accuracy >= 0.95 and best.json:loss < 0.3"; blanks around operators'
    return UserError(f'gate {expression!r}: {problem}{place}', hint=hint or usual)


def _value(document: Any, reference: _Reference) -> Any:
    name = f'{reference.file}:{reference.key}'
    value = lookup(document, reference.key)
    if value is MISSING:
        hint = near_key(document, reference.key)
        if re.search(r'.[-/+^]', reference.key):
            hint = f'{hint}; an operator needs blanks around it'.removeprefix('; ')
        raise UserError(f'{reference.file} has no {reference.key}', where=Where(reference.file), hint=hint)
    if isinstance(value, dict):
        raise UserError(f'{name} is a mapping', where=Where(reference.file),
                        hint=did_you_mean('', value, what=f'name one of its entries, as {name}.KEY'))
    if value is None:
        raise UserError(f'{name} is null', where=Where(reference.file))
    _finite(value, name)
    return value


def _values(several: Sources, reference: _Reference) -> Any:
    """The number of each of several files, in the order of their names; the value of one."""
    found = [_value(source.document, replace(reference, file=source.shown)) for source in several.all]
    if not several.many:
        return found[0]
    from mlops_cli.checks.resampling import Several  # few gates look at more than one

    for source, value in zip(several.all, found, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            name = f'{source.shown}:{reference.key}'
            raise UserError(f'{name} is {kind(value)}, where several are compared', hint='name a number')
    return Several(found, [source.name for source in several.all])


def _finite(value: Any, name: str) -> None:
    if isinstance(value, list):
        for entry in value:
            _finite(entry, f'an entry of {name}')
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f'{name} is {value}: nothing can be said about it', exit_code=ExitCode.FAILED,
                        hint='a training that diverges writes such values')


def _holds(code: str, expression: str, names: dict[str, Any], written: dict[str, str], absent: Mapping[str, str]) -> bool:
    for token in _TOKEN.finditer(code):
        if token['chunk'] and '#' in token[0]:
            raise _wrong(expression, None, 'there are no comments in a gate: what follows on # would not be looked at')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # what Python thinks of "\\d" or of 1 is 1 interests nobody here
            tree = ast.parse(code, mode='eval')
        _checked(tree, expression, names)
        computer = Computer(names, written)
        if absent:
            return all(_verdict(computer.value(one), expression) for one in without(tree.body, set(absent)))
        return _verdict(computer.value(tree.body), expression)
    except SyntaxError as error:
        raise _wrong(expression, None, f'cannot be read: {error.msg}', _slip(code)) from None
    except (RecursionError, MemoryError):
        raise _wrong(expression, None, 'is nested too deeply') from None
    except Mistake as error:
        raise _wrong(expression, None, f'cannot be computed: {error}', error.hint) from None
    except (ArithmeticError, ValueError) as error:
        raise _wrong(expression, None, f'cannot be computed: {error}') from None


def _checked(tree: ast.AST, expression: str, names: Mapping[str, Any]) -> None:
    try:
        check(tree, names)
    except Mistake as error:
        raise _wrong(expression, None, str(error), error.hint) from None


def _verdict(result: Any, expression: str) -> bool:
    if not isinstance(result, bool):
        raise UserError(f'gate {expression!r} is {kind(result)}, neither true nor false',
                        hint=f'compare it with something: "{expression} >= ..."')
    return result


_SLIPS = (('&&', 'write and, not &&'), ('||', 'write or, not ||'), ('=>', 'write >=, not =>'), ('=<', 'write <=, not =<'),
          ('≥', 'write >=, not ≥'), ('≤', 'write <=, not ≤'), ('≠', 'write !=, not ≠'), ('%', 'write 0.95, not 95%'))


def _slip(code: str) -> str:
    for sign, hint in _SLIPS:
        if sign in code:
            return hint
    return 'write ==, not =' if re.search(r'(?<![<>=!])=(?!=)', code) else ''


# Metrics files

def read_metrics(data: bytes, name: str) -> Any:
    """The values of a metrics file: JSON (also without a suffix), YAML and TOML; of CSV and TSV the last row by the names of
    the header, of JSON lines the last line.  NaN and infinities are values.  Raises UserError for what cannot be read."""
    if len(data) > SIZE_LIMIT:
        raise UserError(f'{name} has {len(data):,} bytes, more than the {SIZE_LIMIT:,} of a metrics file', where=Where(name))
    suffix = name.rpartition('.')[2].lower()
    if suffix in ('yaml', 'yml'):
        from mlops_cli import yamlfile
        return yamlfile.read(data, name, limits=replace(yamlfile.PIPELINE, not_finite=True)).value
    if suffix == 'toml':
        from mlops_cli.pipeline import paramfile
        return paramfile.toml(data, name, float)
    if suffix in ('csv', 'tsv'):
        return _last_row(data, name)
    if suffix in ('jsonl', 'ndjson'):
        lines = data.splitlines()
        last = max((number for number, line in enumerate(lines) if line.strip()), default=None)
        if last is None:
            raise UserError('no line in it', where=Where(name))
        try:
            return strictjson.read(lines[last], name, not_finite=True)
        except UserError as error:
            where = error.where or Where(name)
            raise UserError(error.message, hint=error.hint, where=Where(name, last + 1, where.column)) from None
    return strictjson.read(data, name, not_finite=True)


def _last_row(data: bytes, name: str) -> dict[str, Any]:
    try:
        lines = data.decode('utf-8-sig').splitlines()
        delimiter = delimited.separator(name, next((line for line in lines if line), ''))
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'not CSV: {error}', where=Where(name)) from None
    if len(rows) < 2:
        raise UserError('no row below a header', where=Where(name))
    header, last = rows[0], rows[-1]
    if len(header) != len(last) or len(set(header)) != len(header):
        problem = 'two columns of one name' if len(header) == len(last) else 'not as many values as names'
        raise UserError(f'the last row has {problem}', where=Where(name, len(rows)))
    return {key.strip(): _cell(text.strip(), comma=delimiter == ';') for key, text in zip(header, last, strict=True)}


def _cell(text: str, *, comma: bool) -> Any:
    if text.isascii() and '_' not in text:  # Python takes 1_0 for 10
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
    if comma and (value := delimited.decimal(text)) is not None:
        return value
    return CONSTANTS.get(text.lower(), text) if text else None
