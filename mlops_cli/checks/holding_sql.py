"""The rules of a contract counted by DuckDB: as mlops_cli/checks/holding.py says them, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading
from mlops_cli.checks.holding import SHOWN, Rule, Seen, clipped, rules_of, unique
from mlops_cli.checks.sql_table import WHOLE, Cells, is_parquet, table
from mlops_cli.core.errors import UserError

ONCE = 300  # expressions of a query

Counted = tuple[Sequence[str], int, dict[str, Seen], list[Rule]]


def counted(of: form.Contract, path: str, open_file: reading.Open) -> Counted | None:
    """None where rows have to be read one by one: there is no DuckDB, or it reads this table otherwise."""
    try:
        with table(path, open_file) as file:
            return None if file is None else _of(file, of, path, open_file)
    except UserError:
        if is_parquet(path):
            raise
        return None  # a quote or a row that only the other way can tell about


def _of(file: Any, of: form.Contract, path: str, open_file: reading.Open) -> Counted:
    """All columns in one pass: what rules about limits and types say follows from how many values there are and the least and
    greatest.  Those that break a rule are counted, and their first rows found, in a second one."""
    kinds = dict(file.columns)
    columns = [_Column(of.columns[name], kind, is_parquet(path)) for name, kind in file.columns if name in of.columns]
    rows, seen, suspects = 0, {}, []
    for some in _parted(columns):
        rows, *told = file.told(['count(*)', *(one for column in some for one in column.summary)])[0]
        for column in some:
            mine, told = told[: len(column.summary)], told[len(column.summary) :]
            given, measured, least, most = mine[:4]
            newest = most if column.of.max_age is not None else None
            seen[column.of.name] = Seen(int(rows) - int(given), newest, rules_of(column.of))
            if any(mine[4:]) or column.is_suspect(int(given), int(measured), least, most):
                suspects.append(column)
    for some in _parted(suspects):
        _count(file, some, seen)
    return list(kinds), int(rows), seen, [_key(file, key, kinds, path, open_file) for key in of.unique]


def _parted(columns: Sequence[_Column]) -> list[list[_Column]]:
    """As many as one query holds."""
    parts: list[list[_Column]] = [[]]
    held = 0
    for column in columns:
        held += 4 + len(column.broken)
        if held > ONCE and parts[-1]:
            parts.append([])
            held = 4 + len(column.broken)
        parts[-1].append(column)
    return parts


def _count(file: Any, columns: Sequence[_Column], seen: dict[str, Seen]) -> None:
    """The rows that break each rule, and the first of them."""
    asked, rules, values = [], [], ['row_number() OVER () AS row']
    for at, column in enumerate(columns):
        values.append(f'{column.text} AS t{at}')
        for number, (rule, test) in enumerate(zip(seen[column.of.name].rules, column.broken, strict=True)):
            name = f'b{at}_{number}'
            values.append(f'{test} AS {name}')
            kept = f'FILTER (WHERE {name})'
            asked += [f'count(*) {kept}', f'min(row, {SHOWN}) {kept}', f'arg_min(t{at}, row, {SHOWN}) {kept}']
            rules.append(rule)
    found = file.of_values(asked, values)[0] if rules else ()
    for at, rule in enumerate(rules):
        rule.broken = int(found[3 * at])
        pairs = zip(found[3 * at + 1] or (), found[3 * at + 2] or (), strict=True)
        rule.examples = [(int(row), clipped(str(text))) for row, text in pairs]


class _Column(Cells):
    """``broken``: of each rule in their order, whether a row breaks it; never where there is no value.  ``summary``: how many
    values there are, how many of them are of the type and can be compared, the least and greatest of these, and how many rows
    break each rule that is about something else."""

    def __init__(self, of: form.Column, kind: str, parquet: bool) -> None:
        from mlops_cli.databases import literal

        super().__init__(of.name, kind, parquet)
        self.of, self._literal = of, literal
        self._measure = self._time() if of.type in form.TIMES else self.number
        tests = {rule.rule: self._rule(rule.rule) for rule in rules_of(of)}
        self.broken = [f'(NOT {self.null} AND {test})' for test in tests.values()]
        self._measured = of.type in (*form.NUMBERS, *form.TIMES)
        right = self._of_the_type() if self._measured else 'NULL'
        apart = ('type', 'min', 'max') if self._measured and self.written and not parquet else ('min', 'max')
        self.summary = [f'count(*) FILTER (WHERE NOT {self.null})', f'count({right})', f'min({right})', f'max({right})']
        self._apart = [name for name in tests if name in apart]
        for name, test in zip(tests, self.broken, strict=True):
            if name not in apart:
                self.summary.append(f'count(*) FILTER (WHERE {test})')

    def _of_the_type(self) -> str:
        """The measure of what is of the type; of whole numbers it takes no second look."""
        if self.of.type != 'integer' or not self.written or self.parquet:
            return self._measure
        there = f'TRY_CAST({self.name} AS DOUBLE)'
        return f'CASE WHEN isfinite({there}) AND {self.is_written("integer")} THEN {there} END'

    def is_suspect(self, given: int, measured: int, least: float | None, most: float | None) -> bool:
        """Whether one of the rules that the summary does not count may be broken."""
        if not self._apart:
            return False
        low, high = self.of.least, self.of.most
        below = low is not None and least is not None and least < low
        above = high is not None and most is not None and most > high
        return below or above or ('type' in self._apart and measured < given)

    def _time(self) -> str:
        """Seconds since 1970; NULL for what is no time."""
        kind = self.of.type or ''
        if self.written:
            right = f"{self.is_written(kind)} AND {self.name} NOT LIKE '0000%'"
            plain, zoned = (f'epoch(TRY_CAST({self.name} AS {one}))' for one in ('TIMESTAMP', 'TIMESTAMPTZ'))
            # No zone but Z is as short; to ask for others takes four times as long.
            return f'CASE WHEN NOT ({right}) THEN NULL WHEN length({self.name}) <= 19 THEN {plain} ELSE {zoned} END'
        return f'epoch({self.name})' if self.kind.startswith(('DATE', 'TIMESTAMP')) else 'NULL'

    def _rule(self, rule: str) -> str:
        of = self.of
        if rule == 'type':
            return self._of_another_type(of.type or 'string')
        if rule in ('min', 'max'):
            limit = of.least if rule == 'min' else of.most
            return f'coalesce({self._measure} {"<" if rule == "min" else ">"} {_figure(limit)}, false)'
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
                return f'({self._measure}) IS NULL'
            return 'false' if self.kind.startswith('DATE' if kind == 'date' else 'TIMESTAMP') else 'true'
        if self.written:
            if self.parquet:
                return 'true'
            if kind == 'boolean':
                return f'{self.name} NOT IN ({", ".join(map(self._literal, form.BOOLEANS))})'
            return f'({self._of_the_type()}) IS NULL'
        if kind == 'boolean':
            return 'false' if self.kind == 'BOOLEAN' else 'true'
        if kind == 'integer':
            return 'false' if self.kind in WHOLE else 'true'
        return f'({self.number}) IS NULL'


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
