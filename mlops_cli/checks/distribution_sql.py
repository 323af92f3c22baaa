"""Distributions of columns counted by DuckDB, as mlops_cli/checks/distribution.py counts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlops_cli.checks.distribution import BINS, DIFFERENT, NAMED, Column, Profile, Table, empty, stride
from mlops_cli.checks.sql_table import FLOATS, Cells

ONCE = 150  # columns of a query


def _cells(file: Any, parquet: bool) -> dict[str, Cells]:
    found = {name: Cells(name, kind, parquet) for name, kind in file.columns}
    for one in found.values():
        if one.kind in FLOATS:
            one.null = f'({one.null} OR isnan({one.name}))'
    return found


def profiles(file: Any, parquet: bool) -> dict[str, Profile]:
    columns = _cells(file, parquet)
    found: dict[str, Profile] = {}
    names = list(columns)
    for at in range(0, len(names), ONCE):
        some = {name: columns[name] for name in names[at : at + ONCE]}
        asked = ['count(*)']
        for number in range(len(some)):
            asked += [f'count(t{number})', f'count(n{number})', f'approx_count_distinct(n{number})',
                      f'approx_count_distinct(t{number})']  # fmt: skip
        rows, *told = file.of_values(asked, _values(some.values()))[0]
        different = {}
        for number, name in enumerate(some):
            given, numbers, of_numbers, of_texts = told[4 * number : 4 * number + 4]
            found[name] = Profile(given, numbers)
            different[name] = (of_numbers, of_texts)
        for name, (of_numbers, of_texts) in different.items():
            if found[name].kind != 'number' and of_texts <= 2 * DIFFERENT:
                found[name].categories = _categories(file, some[name])
            if of_numbers <= 2 * BINS and found[name].kind == 'number':
                found[name].different = _different(file, some[name])
        _sample(file, {name: some[name] for name in some if found[name].kind == 'number'}, found, int(rows))
    return found


def _values(columns: Any, *, texts: bool = True) -> list[str]:
    values = []
    for number, one in enumerate(columns):
        values.append(f'{one.number} AS n{number}')
        if texts:
            values.append(f'CASE WHEN NOT {one.null} THEN {one.text} END AS t{number}')
    return values


def _categories(file: Any, one: Cells) -> list[tuple[str, int]] | None:
    rows = file.of_values(
        ['t', 'count(*) AS many', 'count(*) OVER () AS different'], [f'{one.text} AS t, {one.null} AS missing'],
        f'WHERE NOT missing GROUP BY t ORDER BY many DESC, t LIMIT {NAMED}',
    )  # fmt: skip
    return None if rows and rows[0][2] > DIFFERENT else [(str(name), int(many)) for name, many, _ in rows]


def _different(file: Any, one: Cells) -> list[float] | None:
    rows = file.of_values(['n'], [f'{one.number} AS n'], f'WHERE n IS NOT NULL GROUP BY n ORDER BY n LIMIT {BINS + 1}')
    return None if len(rows) > BINS else [float(number) for (number,) in rows]


def _sample(file: Any, columns: Mapping[str, Cells], found: dict[str, Profile], rows: int) -> None:
    wanted = {name: one for name, one in columns.items() if found[name].different is None}
    if not wanted:
        return
    at = ', '.join(repr(part / BINS) for part in range(BINS + 1))
    kept = f'row % {stride(rows)} = 0'
    asked = [f'quantile_disc(n{number}, [{at}]) FILTER (WHERE {kept})' for number in range(len(wanted))]
    told = file.of_values(asked, [*_values(wanted.values(), texts=False), 'row_number() OVER () - 1 AS row'])[0]
    for name, quantiles in zip(wanted, told, strict=True):
        found[name].quantiles = [float(one) for one in quantiles or ()]


def measured(file: Any, asked: Mapping[str, Column], parquet: bool) -> tuple[Table, list[str]]:
    columns = _cells(file, parquet)
    found = Table()
    names = [name for name in columns if name in asked]
    for at in range(0, max(1, len(names)), ONCE):
        some = names[at : at + ONCE]
        wanted, told = ['count(*)'], []
        for number, name in enumerate(some):
            wanted += _counts(number, asked[name])
            told += _value(number, columns[name], asked[name])
        rows, *counts = file.of_values(wanted, told or ['1'])[0]
        found.rows = int(rows)
        for number, name in enumerate(some):
            found.columns[name] = _column(asked[name], int(rows), counts[2 * number], counts[2 * number + 1])
    return found, list(columns)


def _value(number: int, cells: Cells, of: Column) -> list[str]:
    given = [f'NOT {cells.null} AS g{number}']
    if of.kind == 'number':
        return [*given, f'{cells.number} AS v{number}']
    return [*given, f'CASE WHEN NOT {cells.null} THEN {cells.text} END AS v{number}'] if of.kind == 'category' else given


def _counts(number: int, of: Column) -> list[str]:
    """(rows with a value, how many in each bin)."""
    from mlops_cli.databases import literal

    given = f'count(*) FILTER (WHERE g{number})'
    if of.kind == 'number' and of.cuts:
        return [given, f'histogram(v{number}, [{", ".join(map(repr, of.cuts))}]::DOUBLE[])']
    if of.kind == 'category' and of.categories:
        return [given, f'histogram_exact(v{number}, [{", ".join(map(literal, of.categories))}])']
    return [given, 'NULL']


def _column(of: Column, rows: int, given: int, counts: Mapping[Any, int] | None) -> Column:
    found = empty(of, rows - given)
    if of.kind == 'number':
        held = counts or {}
        found.counts = [int(held.get(cut, 0)) for cut in of.cuts] + [int(held.get(math.inf, 0))]
        found.odd = given - sum(found.counts)
        return found
    for name, count in (counts or {}).items():
        if name in found.categories:
            found.categories[name] = int(count)
    found.other = given - sum(found.categories.values())
    return found


def farthest(file: Any, columns: Mapping[str, tuple[str, str]], parquet: tuple[bool, bool]) -> dict[str, tuple[int, int, int]]:
    """Of each column, by its types here and beside: see :meth:`mlops_cli.databases.Parquet.farthest`."""
    return {
        name: file.farthest(Cells(name, here, parquet[0]).number, Cells(name, there, parquet[1]).number)
        for name, (here, there) in columns.items()
    }
