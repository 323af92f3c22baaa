"""Whether a table holds to its contract: each rule with how many rows break it, and the first of them.

Where DuckDB is installed it counts, in CSV, TSV and parquet; else every row goes through here.  Both say the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading
from mlops_cli.checks.overlap import PARTS, Keys
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.units import show_seconds

SHOWN = 5  # examples
CLIPPED = 80  # characters of one

Step = Callable[[int], object]
Test = Callable[[Any], bool]  # whether a value breaks a rule


@dataclass
class Rule:
    """``column``: empty for the whole table; of a key its columns, with commas.  ``broken``: rows; 1 where it is no matter of
    rows.  ``examples``: (row from 1 or None, what is there)."""

    column: str
    rule: str
    wanted: Any
    broken: int = 0
    examples: list[tuple[int | None, str]] = field(default_factory=list)


@dataclass
class Held:
    """``nulls``: rows without a value, of each column of the contract that is there."""

    rows: int = 0
    rules: list[Rule] = field(default_factory=list)
    nulls: dict[str, int] = field(default_factory=dict)

    @property
    def broken(self) -> list[Rule]:
        return [rule for rule in self.rules if rule.broken]


@dataclass
class Seen:
    """What was counted of one column.  ``newest``: seconds since 1970."""

    nulls: int = 0
    newest: float | None = None
    rules: list[Rule] = field(default_factory=list)


def judged(of: form.Contract, names: Sequence[str], rows: int, seen: dict[str, Seen], keys: list[Rule], now: float) -> Held:
    """The rules of a contract, from what was counted."""
    found = Held(rows, nulls={name: one.nulls for name, one in seen.items()})
    if of.fewest is not None:
        found.rules.append(_whole('rows min', of.fewest, rows < of.fewest, f'{rows:,} rows'))
    if of.most is not None:
        found.rules.append(_whole('rows max', of.most, rows > of.most, f'{rows:,} rows'))
    if not of.extra:
        more = [name for name in names if name not in of.columns]
        rule = Rule('', 'extra_columns', False, len(more), [(None, clipped(name)) for name in more[:SHOWN]])
        found.rules.append(rule)
    for name, column in of.columns.items():
        if name not in seen:
            if column.required:
                found.rules.append(Rule(name, 'required', True, 1, [(None, 'the column is not there')]))
            continue
        one = seen[name]
        if column.required:
            found.rules.append(Rule(name, 'required', True))
        if column.nulls < 1:
            over = one.nulls > column.nulls * rows
            wanted = column.nulls
            said: list[tuple[int | None, str]] = [(None, f'{one.nulls:,} of {rows:,} rows')]
            found.rules.append(Rule(name, 'max_null_share', wanted, one.nulls if over else 0, said if over else []))
        found.rules += one.rules
        if column.max_age is not None:
            found.rules.append(_fresh(column, one.newest, now))
    found.rules += keys
    return found


def _whole(rule: str, wanted: Any, broken: bool, said: str) -> Rule:
    return Rule('', rule, wanted, int(broken), [(None, said)] if broken else [])


def _fresh(column: form.Column, newest: float | None, now: float) -> Rule:
    assert column.max_age is not None
    old = newest is None or now - newest > column.max_age
    said = 'no time is there' if newest is None else f'the newest is {show_seconds(max(0.0, now - newest))} old'
    return Rule(column.name, 'max_age', column.said['max_age'], int(old), [(None, said)] if old else [])


# Every row, here


def rules_of(column: form.Column) -> list[Rule]:
    """Those that a value breaks, in the order in which both ways count them."""
    names = [name for name in ('type', 'min', 'max', 'values', 'pattern') if name in column.said]
    return [Rule(column.name, name, column.said[name]) for name in names]


def _tests(column: form.Column, typed: bool) -> list[Test]:
    kind = column.type or 'string'
    measure = _measure(kind, typed)

    def out_of_range(limit: float | None, sign: int) -> Test:
        return lambda value: limit is not None and (found := measure(value)) is not None and sign * found > sign * limit

    def foreign(value: Any) -> bool:
        if kind in form.NUMBERS:
            number = measure(value)
            return number is not None and number not in (column.values or ())
        return _text(value) not in (column.values or ())

    tests: dict[str, Test] = {
        'type': lambda value: not is_of(kind, value, typed),
        'min': out_of_range(column.least, -1),
        'max': out_of_range(column.most, 1),
        'values': foreign,
        'pattern': lambda value: column.pattern is not None and not column.pattern.matches(_text(value)),
    }
    return [tests[rule.rule] for rule in rules_of(column)]


def is_of(kind: str, value: Any, typed: bool) -> bool:
    """Whether a value is of a type.  ``typed``: it has one of its own, so that no text is a number."""
    if not typed or (kind in form.TIMES and isinstance(value, str)):
        return form.is_written(kind, value)
    if isinstance(value, bool):
        return kind == 'boolean'
    if isinstance(value, int):
        return kind in form.NUMBERS
    if isinstance(value, float):
        return kind == 'number' and math.isfinite(value)
    return kind == 'string' and isinstance(value, str)


def _measure(kind: str, typed: bool) -> Callable[[Any], float | None]:
    """A value as a number that can be compared; None where it is none."""

    def number(value: Any) -> float | None:
        if not typed:
            return float(value) if form.is_written('number', value) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            found = float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        return found if math.isfinite(found) else None

    def time(value: Any) -> float | None:
        return form.moment(value) if isinstance(value, str) and form.is_written(kind, value) else None

    return time if kind in form.TIMES else number


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else form.text_of(value)


def clipped(text: str) -> str:
    return text if len(text) <= CLIPPED else f'{text[: CLIPPED - 1]}…'


class _Watched:
    """A column whose cells are looked at as they pass."""

    def __init__(self, column: form.Column, typed: bool, missed: int) -> None:
        self.seen = Seen(missed, rules=rules_of(column))
        self._tests = _tests(column, typed)
        self._measure = _measure(column.type or 'string', typed) if column.max_age is not None else None

    def take(self, cells: Sequence[Any], first: int) -> None:
        cells = [json.dumps(cell, sort_keys=True) if isinstance(cell, list | dict) else cell for cell in cells]
        different = set(map(_typed, cells))
        given = [value for _, value in different if value is not None and value != '']
        if len(given) < len(different):
            self.seen.nulls += sum(cell is None or cell == '' for cell in cells)
        for rule, test in zip(self.seen.rules, self._tests, strict=True):
            bad = {_typed(value) for value in given if test(value)}
            if not bad:
                continue
            for row, cell in enumerate(cells, first):
                if _typed(cell) in bad:
                    rule.broken += 1
                    if len(rule.examples) < SHOWN:
                        rule.examples.append((row, clipped(_text(cell))))
        if self._measure is not None:
            times = [found for value in given if (found := self._measure(value)) is not None]
            if times:
                self.seen.newest = max(times) if self.seen.newest is None else max(self.seen.newest, *times)


def _typed(value: Any) -> tuple[type, Any]:
    """1, 1.0 and true are equal, and not the same."""
    return type(value), value


def counted(
    of: form.Contract, path: str, open_file: reading.Open, step: Step
) -> tuple[list[str], int, dict[str, Seen], list[Rule]]:
    watched: dict[str, _Watched] = {}
    names: dict[str, None] = {}
    rows, typed = 0, reading.is_typed(path)
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            for name in piece.names:
                names[name] = None
                if name in of.columns and name not in watched:
                    watched[name] = _Watched(of.columns[name], typed, rows)
            place = {name: at for at, name in enumerate(piece.names)}
            for name, one in watched.items():
                one.take(piece.cells[place[name]] if name in place else [None] * piece.rows, piece.first)
            rows += piece.rows
            step(rows)
    names = names or dict.fromkeys(reading.columns(path, open_file))
    keys = [unique(key, path, open_file, list(names), step) for key in of.unique]
    for name in names:
        if name in of.columns and name not in watched:
            watched[name] = _Watched(of.columns[name], typed, rows)
    return list(names), rows, {name: one.seen for name, one in watched.items()}, keys


def unique(key: tuple[str, ...], path: str, open_file: reading.Open, names: Sequence[str], step: Step) -> Rule:
    """``broken``: rows that repeat the key of one before.  Rows without a value in the key are not compared."""
    rule = Rule(', '.join(key), 'unique', list(key))
    if missing := [name for name in key if name not in names]:
        rule.broken, rule.examples = 1, [(None, f'no column {clipped(name)}') for name in missing[:SHOWN]]
        return rule
    with closing(Keys()) as keys:
        keys.take(_keys(key, path, open_file), step)
        first: list[int] = []
        for number in range(PARTS):
            met: dict[bytes, int] = {}
            twice: set[int] = set()
            for one, row in keys.part(number):
                if one in met:
                    rule.broken += 1
                    twice.add(met[one])
                else:
                    met[one] = row
            first = sorted([*first, *twice])[:SHOWN]
    if first:
        wanted = set(first)
        texts = {row: text for row, text in enumerate(_keys(key, path, open_file)) if row in wanted}
        rule.examples = [(row + 1, clipped(_said(texts[row]))) for row in first]
    return rule


def _keys(key: tuple[str, ...], path: str, open_file: reading.Open) -> Iterator[bytes | None]:
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            place = {name: at for at, name in enumerate(piece.names)}
            nothing = (None,) * piece.rows
            cells: Iterable[tuple[Any, ...]] = zip(
                *(piece.cells[place[n]] if n in place else nothing for n in key), strict=True
            )
            for row in cells:
                texts = [_text(value) for value in row]
                yield json.dumps(texts).encode() if all(texts) else None


def _said(key: bytes | None) -> str:
    return ', '.join(json.loads(key or b'[]'))
