"""The rules of a contract counted by DuckDB: as mlops_cli/checks/holding.py says them, in SQL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading, tables
from mlops_cli.checks.holding import SHOWN, Rule, Seen, clipped, rules_of, unique
from mlops_cli.core.errors import UserError

WHOLE = ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT')
ONCE = 300  # expressions of a query
SMALL = 4 << 20  # bytes of a table of text that is read by rows before DuckDB has started

Counted = tuple[Sequence[str], int, dict[str, Seen], list[Rule]]


def counted(of: form.Contract, path: str, open_file: reading.Open) -> Counted | None:
    """None where rows have to be read one by one: there is no DuckDB, or it reads this table otherwise."""
    parquet = tables.suffix(path) in tables.PARQUET
    if not parquet and (_size(path, open_file) < SMALL or find_spec('duckdb') is None):
        return None
    from mlops_cli.databases import Parquet

    delimited = None
    if not parquet:
        names = tables.head(open_file(path), path)
        if len(names) < 2 or not all(names) or len({name.lower() for name in names}) < len(names):
            return None
        delimited = (names, tables.separator(open_file(path), path))
    fd = open_file(path)
    try:
        with closing(Parquet(f'/proc/self/fd/{fd}', path, delimited)) as file:
            return _of(file, of, path, open_file, parquet)
    except UserError:
        if parquet:
            raise
        return None  # a quote or a row that only the other way can tell about
    finally:
        os.close(fd)


def _size(path: str, open_file: reading.Open) -> int:
    fd = open_file(path)
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def _of(file: Any, of: form.Contract, path: str, open_file: reading.Open, parquet: bool) -> Counted:
    columns = [_Column(of.columns[name], kind, parquet) for name, kind in file.columns if name in of.columns]
    asked = ['count(*)']
    for column in columns:
        asked += [f'count(*) FILTER (WHERE {column.null})', column.newest]
        asked += [f'count(*) FILTER (WHERE {one})' for one in column.broken]
    answers: list[Any] = []
    for at in range(0, len(asked), ONCE):
        answers += file.told(asked[at : at + ONCE])[0]
    rows, rest = int(answers[0]), iter(answers[1:])
    seen: dict[str, Seen] = {}
    for column in columns:
        one = seen[column.of.name] = Seen(int(next(rest)), next(rest), rules_of(column.of))
        for rule, broken in zip(one.rules, column.broken, strict=True):
            rule.broken = int(next(rest))
            if rule.broken:
                found = file.told([column.text], broken, SHOWN)
                rule.examples = [(int(row), clipped(str(text))) for row, text in found]
    names = [name for name, _ in file.columns]
    kinds = dict(file.columns)
    return names, rows, seen, [_key(file, key, kinds, path, open_file) for key in of.unique]


class _Column:
    """Expressions about one column.  ``broken``: of each rule, in their order; each is false for a row without a value."""

    def __init__(self, of: form.Column, kind: str, parquet: bool) -> None:
        from mlops_cli.databases import literal, quoted

        self.of = of
        self._literal = literal
        self.name = quoted(of.name)
        self.written = kind == 'VARCHAR'
        self._kind, self._parquet = kind, parquet
        self.null = f"({self.name} IS NULL OR {self.name} = '')" if self.written else f'{self.name} IS NULL'
        self.text = f'CAST({self.name} AS VARCHAR)'
        self.number, self.time = self._number(), self._time()
        self.newest = f'max({self.time})' if of.max_age is not None else 'NULL'
        self.broken = [f'(NOT {self.null} AND {self._rule(rule.rule)})' for rule in rules_of(of)]

    def _is_written(self, kind: str) -> str:
        return f'regexp_full_match({self.name}, {self._literal(form.WRITTEN[kind])})'

    def _number(self) -> str:
        """NULL for what is none."""
        if self.written:
            if self._parquet:
                return 'NULL'
            there = f'TRY_CAST({self.name} AS DOUBLE)'
            return f'CASE WHEN isfinite({there}) AND {self._is_written("number")} THEN {there} END'
        if self._kind in ('FLOAT', 'DOUBLE'):
            return f'CASE WHEN isfinite({self.name}) THEN CAST({self.name} AS DOUBLE) END'
        return f'CAST({self.name} AS DOUBLE)' if self._kind in WHOLE or self._kind.startswith('DECIMAL') else 'NULL'

    def _time(self) -> str:
        """Seconds since 1970; NULL for what is no time."""
        kind = self.of.type
        if kind not in form.TIMES:
            return 'NULL'
        if self.written:
            right = f"{self._is_written(kind)} AND {self.name} NOT LIKE '0000%'"
            return f'CASE WHEN {right} THEN epoch(TRY_CAST({self.name} AS TIMESTAMPTZ)) END'
        return f'epoch({self.name})' if self._kind.startswith(('DATE', 'TIMESTAMP')) else 'NULL'

    def _rule(self, rule: str) -> str:
        of = self.of
        measure = self.time if of.type in form.TIMES else self.number
        if rule == 'type':
            return self._of_another_type(of.type or 'string')
        if rule in ('min', 'max'):
            limit = of.least if rule == 'min' else of.most
            return f'coalesce({measure} {"<" if rule == "min" else ">"} {_figure(limit)}, false)'
        if rule == 'values':
            values = sorted(of.values or ())
            if of.type in form.NUMBERS:
                return f'coalesce({self.number} NOT IN ({", ".join(map(_figure, values))}), false)'
            return f'{self.text} NOT IN ({", ".join(map(self._literal, values))})'
        assert of.pattern is not None
        return f'NOT regexp_full_match({self.text}, {self._literal(of.pattern.portable)})'

    def _of_another_type(self, kind: str) -> str:
        if kind == 'string':
            return 'false' if self.written else 'true'
        if kind in form.TIMES:
            if self.written:
                return f'{self.time} IS NULL'
            return 'false' if self._kind.startswith('DATE' if kind == 'date' else 'TIMESTAMP') else 'true'
        if self.written:
            if self._parquet:
                return 'true'
            right = self._is_written(kind)
            return f'NOT ({right} AND isfinite(TRY_CAST({self.name} AS DOUBLE)))' if kind in form.NUMBERS else f'NOT {right}'
        if kind == 'boolean':
            return 'false' if self._kind == 'BOOLEAN' else 'true'
        if kind == 'integer':
            return 'false' if self._kind in WHOLE else 'true'
        return f'{self.number} IS NULL'


def _figure(number: float | None) -> str:
    return f'CAST({float(number or 0)!r} AS DOUBLE)'


def _key(file: Any, key: tuple[str, ...], kinds: dict[str, str], path: str, open_file: reading.Open) -> Rule:
    from mlops_cli.databases import quoted

    if any(name not in kinds for name in key):
        return unique(key, path, open_file, list(kinds), lambda _: None)
    names = [quoted(name) for name in key]
    given = ' AND '.join(_given(name, kinds[name]) for name in key)
    try:
        repeated = file.repeated(names, given)
    except UserError:  # more keys than memory: they go through files
        repeated = 1
    if not repeated:
        return Rule(', '.join(key), 'unique', list(key))
    return unique(key, path, open_file, list(kinds), lambda _: None)


def _given(name: str, kind: str) -> str:
    from mlops_cli.databases import quoted

    one = quoted(name)
    return f"{one} <> ''" if kind == 'VARCHAR' else f'{one} IS NOT NULL'
