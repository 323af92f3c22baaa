"""What a table must hold, as a file of YAML that a person wrote: strict, every mistake with its line and column."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from mlops_cli.checks.linear import Linear
from mlops_cli.checks.significance import CORRECTIONS
from mlops_cli.checks.tables import COLUMNS
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import parse_duration
from mlops_cli.yamlfile import read as read_yaml

TYPES = ('string', 'integer', 'number', 'boolean', 'date', 'datetime')
NUMBERS = ('integer', 'number')
TIMES = ('date', 'datetime')
DRIFT = {  # limit -> least, most, what it is
    'max_psi': (0.0, math.inf, 'a population stability index, from 0'),
    'max_ks': (0.0, 1.0, 'a distance of distributions, from 0 to 1'),
    'alpha': (0.0, 1.0, 'a probability, above 0 and up to 1'),
}
OF_A_COLUMN = (
    'type', 'required', 'nullable', 'max_null_share', 'min', 'max', 'values', 'pattern', 'max_age', 'desc', 'drift',
)  # fmt: skip
VALUES = 10_000  # allowed values of a column
KEYS = 100  # in unique
MISTAKES = 100  # that are told
_DAY = r'[0-9]{4}-[0-9]{2}-[0-9]{2}'
_TIME = r'[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?'
BOOLEANS = ('true', 'false', 'True', 'False', 'TRUE', 'FALSE')
WRITTEN = {  # how a value of a type is written in a table of text
    'integer': '[+-]?[0-9]+',
    'number': r'[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?',
    'boolean': '|'.join(BOOLEANS),
    'date': _DAY,
    'datetime': _DAY + _TIME,
}
_MATCHES = {name: pattern(text) for name, text in WRITTEN.items()}
HAS = r'a pattern has characters, ., classes such as [a-z] and \d, groups, |, *, +, ? and {2,5}'


def is_written(kind: str, text: str) -> bool:
    """Whether a text is a value of a type: a number that is finite, a day that there is."""
    if kind == 'string':
        return True
    if not _MATCHES[kind].fullmatch(text):
        return False
    if kind in NUMBERS:
        return math.isfinite(float(text))
    return kind not in TIMES or moment(text) is not None


def moment(text: str) -> float | None:
    """Seconds since 1970 of a date or a time; without a zone it is UTC.  None for all else."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None

Limits = dict[str, Any]  # of drift, as written: only those that are named; what they mean, checks/drift.py knows


@dataclass
class Column:
    """What a column must hold.  ``least``, ``most``: numbers, of times seconds since 1970.  None: anything goes.
    ``compared``: whether its drift is of interest."""

    name: str
    type: str | None = None
    required: bool = True
    nulls: float = 1.0
    least: float | None = None
    most: float | None = None
    values: frozenset[Any] | None = None
    pattern: Linear | None = None
    max_age: float | None = None
    drift: Limits | None = None  # of its own
    compared: bool = True
    said: dict[str, Any] = field(default_factory=dict)


@dataclass
class Contract:
    """``unique``: keys, of one or several columns each.  ``extra``: whether columns may be there that it does not name.
    ``drift``: limits of all columns that have none of their own."""

    columns: dict[str, Column] = field(default_factory=dict)
    unique: list[tuple[str, ...]] = field(default_factory=list)
    fewest: int | None = None
    most: int | None = None
    extra: bool = True
    drift: Limits = field(default_factory=dict)


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[UserError] = []

    def fail(self, path: tuple[str | int, ...], said: str, hint: str = '', *, key: bool = False) -> None:
        where = self.document.where(path, key=key)
        if len(self.errors) == MISTAKES:
            raise UserErrors([*self.errors, UserError('there are more mistakes than are listed here', where=where)])
        self.errors.append(UserError(said, hint=hint, where=where))

    def mapping(self, value: Any, path: tuple[str | int, ...], known: Collection[str]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail(path, f'{_of(path)}: a mapping is expected, here is {_kind(value)}')
            return {}
        for name in value if known else ():
            if name not in known:
                self.fail(
                    (*path, name), f'{_of((*path, name))} is unknown', did_you_mean(name, known, what='there are'), key=True
                )
        return value

    def take(self, of: Mapping[str, Any], path: tuple[str | int, ...], name: str, kind: type, default: Any = None) -> Any:
        """A value of a kind; the default where there is none, or a wrong one."""
        if name not in of:
            return default
        value = of[name]
        good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if kind is float:
            good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not good:
            words = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text', list: 'a list'}
            self.fail((*path, name), f'{_of((*path, name))}: {words[kind]} is expected, here is {_kind(value)}')
            return default
        return value

    def contract(self) -> Contract:
        found = Contract()
        whole = self.mapping(self.document.value, (), ('version', 'rows', 'extra_columns', 'unique', 'columns', 'drift'))
        if whole and (type(whole.get('version')) is not int or whole['version'] != 1):
            self.fail(('version',), 'version: 1 is expected', 'write version: 1 at the top')
        rows = self.mapping(whole.get('rows', {}), ('rows',), ('min', 'max'))
        found.fewest, found.most = self.count(rows, 'min'), self.count(rows, 'max')
        if found.fewest is not None and found.most is not None and found.fewest > found.most:
            self.fail(('rows', 'min'), f'rows: min is {found.fewest}, which is more than max')
        found.extra = self.take(whole, (), 'extra_columns', bool, True)
        found.drift = self.drift(whole.get('drift', {}), ('drift',), (*DRIFT, 'correction'))
        columns = self.mapping(whole.get('columns', {}), ('columns',), ())
        if len(columns) > COLUMNS:
            self.fail(('columns',), f'more than {COLUMNS:,} columns')
            return found
        found.columns = {name: self.column(name, value) for name, value in columns.items()}
        found.unique = self.keys(self.take(whole, (), 'unique', list, []))
        return found

    def keys(self, value: list[Any]) -> list[tuple[str, ...]]:
        found: dict[frozenset[str], tuple[str, ...]] = {}  # for each the table is read once more
        if len(value) > KEYS:
            self.fail(('unique', KEYS), f'unique: more than {KEYS} keys')
        for at, key in enumerate(value[:KEYS]):
            names = [key] if isinstance(key, str) else key
            if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
                self.fail(('unique', at), 'unique: each entry is a column, or a list of columns')
            elif len(set(names)) < len(names):
                self.fail(('unique', at), 'unique: a column is named twice')
            elif frozenset(names) in found:
                self.fail(('unique', at), f'unique: {", ".join(names)} is there twice')
            else:
                found[frozenset(names)] = tuple(names)
        return [*found.values()]

    def count(self, rows: Mapping[str, Any], name: str) -> int | None:
        value: int | None = self.take(rows, ('rows',), name, int)
        if value is not None and value < 0:
            self.fail(('rows', name), f'rows.{name} is less than 0')
        return value

    def column(self, name: str, value: Any) -> Column:
        path = ('columns', name)
        of = self.mapping({} if value is None else value, path, OF_A_COLUMN)
        self.take(of, path, 'desc', str)
        found = Column(name, self.take(of, path, 'type', str), self.take(of, path, 'required', bool, True), said=dict(of))
        if found.type is not None and found.type not in TYPES:
            self.fail((*path, 'type'), f'{found.type!r} is no type', did_you_mean(found.type, TYPES, what='there are'))
            return found
        if of.get('drift') is False:
            found.compared = False
        elif 'drift' in of:
            found.drift = self.drift(of['drift'], (*path, 'drift'), DRIFT)
        self.nulls(of, path, found)
        found.least, found.most = self.limit(of, path, found, 'min'), self.limit(of, path, found, 'max')
        if found.least is not None and found.most is not None and found.least > found.most:
            self.fail((*path, 'min'), f'{name}: min is more than max')
        if 'values' in of:
            found.values = self.values(self.take(of, path, 'values', list, []), path, found.type)
        if (text := self.take(of, path, 'pattern', str)) is not None:
            try:
                found.pattern = Linear(text)
            except ValueError as error:
                self.fail((*path, 'pattern'), f'pattern: {error}', HAS)
        if 'max_age' in of:
            found.max_age = self.age(of, path, found)
        return found

    def drift(self, value: Any, path: tuple[str, ...], known: Collection[str]) -> Limits:
        """Limits of drift, each within what it can be."""
        if len(path) > 1 and not isinstance(value, dict):
            self.fail(path, f'{_of(path)}: limits, or false, are expected, here is {_kind(value)}', 'such as {max_psi: 0.1}')
            return {}
        of, found = self.mapping(value, path, known), {}
        for name, (least, most, what) in DRIFT.items():
            limit = self.take(of, path, name, float)
            if limit is not None and (not least <= limit <= most or (name == 'alpha' and not limit)):
                self.fail((*path, name), f'{_of((*path, name))} is {what}')
            elif limit is not None:
                found[name] = limit
        if (name := self.take(of, path, 'correction', str)) is not None:
            found['correction'] = name
            if name not in CORRECTIONS:
                self.fail(
                    (*path, 'correction'), f'{name[:40]!r} is no correction', did_you_mean(name, CORRECTIONS, what='there are')
                )
        return found

    def nulls(self, of: Mapping[str, Any], path: tuple[str, ...], found: Column) -> None:
        share = self.take(of, path, 'max_null_share', float)
        if share is not None and not 0 <= share <= 1:
            self.fail((*path, 'max_null_share'), 'max_null_share is a share, from 0 to 1')
        nullable = self.take(of, path, 'nullable', bool)
        if share is not None and nullable is not None:
            self.fail((*path, 'nullable'), 'nullable and max_null_share say the same', 'keep one of them', key=True)
        found.nulls = share if share is not None else 0.0 if nullable is False else 1.0

    def limit(self, of: Mapping[str, Any], path: tuple[str, ...], found: Column, name: str) -> float | None:
        if name not in of:
            return None
        if found.type in NUMBERS:
            number: float | None = self.take(of, path, name, float)
            return number
        if found.type not in TIMES:
            self.fail(
                (*path, name), f'{name} is of numbers and times', f'give the column a type: {", ".join((*NUMBERS, *TIMES))}'
            )
            return None
        text = self.take(of, path, name, str)
        when = None if text is None else moment(text)
        if text is not None and when is None:
            self.fail((*path, name), f'{name}: {text[:40]!r} is no date or time', 'such as 2026-01-31')
        return when

    def values(self, given: list[Any], path: tuple[str, ...], kind: str | None) -> frozenset[Any]:
        if not given or len(given) > VALUES:
            self.fail((*path, 'values'), f'values: 1 to {VALUES:,} are expected, here are {len(given):,}')
        found = set()
        for at, one in enumerate(given):
            if isinstance(one, list | dict | None):
                self.fail((*path, 'values', at), f'values: {_kind(one)} is no value of a cell')
            elif kind in NUMBERS and (isinstance(one, bool | str) or not math.isfinite(one)):
                self.fail((*path, 'values', at), 'values of a column of numbers are finite numbers')
            else:
                found.add(float(one) if kind in NUMBERS else text_of(one))
        return frozenset(found)

    def age(self, of: Mapping[str, Any], path: tuple[str, ...], found: Column) -> float | None:
        if found.type not in TIMES:
            self.fail((*path, 'max_age'), 'max_age is of times', 'give the column a type: date or datetime')
        value = of['max_age']
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float) or not math.isfinite(parse_duration(value)):
                raise ValueError
            return parse_duration(value)
        except ValueError:
            self.fail((*path, 'max_age'), f'max_age: {str(value)[:40]!r} is no time', 'such as 7d or 12h')
            return None


def text_of(value: Any) -> str:
    """A value as a table of text has it."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return value if isinstance(value, str) else '' if value is None else str(value)


def _of(path: tuple[str | int, ...]) -> str:
    return '.'.join(map(str, path)) or 'the contract'


def _kind(value: Any) -> str:
    kinds = {dict: 'a mapping', list: 'a list', str: 'a text', bool: 'true or false', type(None): 'nothing'}
    return kinds.get(type(value), 'a number')


def read(data: bytes, file: str) -> Contract:
    """``file``: its name in messages.  Raises UserErrors that hold every mistake, a hundred at most."""
    reader = _Reader(read_yaml(data, file))
    found = reader.contract()
    if reader.errors:
        raise UserErrors(reader.errors)
    return found
