"""Baselines made and tables compared, by the way that is there for each table."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TypeVar

from mlops_cli.checks import distribution, reading, sql_table, tables
from mlops_cli.checks.distribution import Column, Profile, Step, Table
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean

HELD = 4_000_000  # numbers of a table that are held at once where rows are read one by one
_Found = TypeVar('_Found')


def _by(path: str, open_file: reading.Open, sql: Callable[..., _Found], rows: Callable[[], _Found]) -> _Found:
    try:
        with sql_table.table(path, open_file) as file:
            if file is not None:
                return sql(file)
    except UserError:
        if sql_table.is_parquet(path):
            raise
    return rows()


def _profiles(path: str, open_file: reading.Open, step: Step) -> dict[str, Profile]:
    def sql(file: object) -> dict[str, Profile]:
        from mlops_cli.checks import distribution_sql

        return distribution_sql.profiles(file, sql_table.is_parquet(path))

    return _by(path, open_file, sql, lambda: distribution.profiles(path, open_file, step))


def measured(path: str, like: Mapping[str, Column], open_file: reading.Open, step: Step) -> tuple[Table, list[str]]:
    """A table counted as a baseline is, and the names of its columns.  Raises UserError."""
    _refuse(path, open_file)

    def sql(file: object) -> tuple[Table, list[str]]:
        from mlops_cli.checks import distribution_sql

        return distribution_sql.measured(file, like, sql_table.is_parquet(path))

    return _by(path, open_file, sql, lambda: distribution.measured(path, like, open_file, step))


def _refuse(path: str, open_file: reading.Open) -> None:
    reading.refuse_no_table(path)
    if tables.suffix(path) not in tables.LINES:
        reading.refuse_twins(path, reading.columns(path, open_file))


def baseline(path: str, open_file: reading.Open, step: Step, only: Sequence[str], ignored: Sequence[str]) -> Table:
    """``only``: these columns; empty: all but those ``ignored``.  Raises UserError."""
    _refuse(path, open_file)
    profiles = _profiles(path, open_file, step)
    for name in (*only, *ignored):
        if name not in profiles:
            raise UserError(f'{path} has no column {name!r}', hint=did_you_mean(name, profiles, what='there are'))
    like = {name: one.column() for name, one in profiles.items() if (name in only if only else name not in ignored)}
    found, _ = measured(path, like, open_file, step)
    return Table(found.rows, {name: _kept(like[name], found.columns[name]) for name in like})


def _kept(like: Column, found: Column) -> Column:
    found.edges, found.exact = like.edges, like.exact
    if like.exact:
        found.counts = [*found.counts[1::2], found.counts[-1]]
    return found


def exact_distances(
    before: str, now: str, names: Sequence[str], open_file: reading.Open
) -> dict[str, tuple[int, int, int]]:
    """Of two tables' columns of numbers: (values before, values now, largest distance times both); those for which there is
    room."""
    if not names:
        return {}
    paths = (before, now)
    lines = any(tables.suffix(path) in tables.LINES for path in paths)
    large = any(sql_table.is_parquet(path) or sql_table.size(path, open_file) >= sql_table.SMALL for path in paths)
    if large and not lines:
        try:
            if (found := _by_sql(before, now, names, open_file)) is not None:
                return found
        except UserError:
            if any(map(sql_table.is_parquet, paths)):
                raise
    found = {}
    for name in names:
        sides = [_numbers(path, name, open_file) for path in paths]
        first, second = sides
        if first is not None and second is not None:
            found[name] = _farthest(first, second)
    return found


def _by_sql(
    before: str, now: str, names: Sequence[str], open_file: reading.Open
) -> dict[str, tuple[int, int, int]] | None:
    from mlops_cli.checks import distribution_sql

    with sql_table.table(now, open_file, small=0) as other:
        if other is None:
            return None
        with sql_table.table(before, open_file, other, small=0) as file:
            if file is None:
                return None
            kinds, there = dict(file.columns), dict(other.columns)
            columns = {name: (kinds[name], there[name]) for name in names}
            return distribution_sql.farthest(file, columns, (sql_table.is_parquet(before), sql_table.is_parquet(now)))


def _numbers(path: str, name: str, open_file: reading.Open) -> array[float] | None:
    found, typed = array('d'), reading.is_typed(path)
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            if name in piece.names:
                cells = piece.cells[piece.names.index(name)]
                found.extend(number for cell in cells if (number := distribution.number_of(cell, typed)) is not None)
            if len(found) > HELD:
                return None
    return array('d', sorted(found))


def _farthest(first: array[float], second: array[float]) -> tuple[int, int, int]:
    n, m = len(first), len(second)
    values = {*first, *second}
    return n, m, max((abs(bisect_right(first, v) * m - bisect_right(second, v) * n) for v in values), default=0)
