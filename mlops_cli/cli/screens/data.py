"""What is tracked, as a table, and all about one of it.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import Line, cells, one_line
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import Groups, ago, fold, some
from mlops_cli.core.units import plural, show_number, show_size

if TYPE_CHECKING:
    from mlops_cli.checks.statistics import Statistics
    from mlops_cli.cli.holding import Row

USERS = 3
KINDS = 3
HEAD = (
    Column('PATH', least=16), Column('SIZE', right=True), Column('AGE'), Column('HOLDS', least=12),
    Column('USED BY', least=10, optional=True), Column('NOTE', optional=True), Column('FROM', least=12, optional=True),
)  # fmt: skip
COLUMNS = (
    *(Column('COLUMN', least=12), Column('TYPE'), Column('NULLS', right=True)),
    *(Column('MIN', least=8), Column('MAX', least=8)),
)
FILES = (Column('KIND'), Column('FILES', right=True), Column('SIZE', right=True))


def list_lines(rows: Sequence[Row], groups: Groups, columns: int) -> list[Line]:
    texts = [
        (
            one_line(row.record.path), show_size(row.record.ref.size), ago(row.now - row.since) if row.since else '',
            holds(row.statistics), ', '.join(some(fold(list(row.users), groups), USERS)), _note(row),
            one_line(row.record.source.shown) if row.record.source is not None else '',
        )
        for row in rows
    ]  # fmt: skip
    return [Line(line) for line in table(HEAD, texts, columns)]


def holds(one: Statistics | None) -> str:
    """``1,200 rows x 5``; ``5,012 png, 3 txt``."""
    if one is None:
        return ''
    if one.problem:
        return 'not read'
    if one.kind == 'table':
        return f'{plural(one.rows or 0, "row")} x {len(one.columns)}'
    if one.kind == 'folder':
        kinds = [f'{row["files"]:,} {one_line(str(row["suffix"])) or "files"}' for row in one.suffixes]
        return ', '.join(some(kinds, KINDS)) or 'nothing'
    return ''


def _note(row: Row) -> str:
    words = {'changed': 'changed here', 'no': 'not here'}
    return ', '.join([*([words[row.here]] if row.here in words else []), *(['too old'] if row.overdue else [])])


def show_lines(row: Row, groups: Groups, columns: int) -> list[Line]:
    record = row.record
    facts = [
        ('size', show_size(record.ref.size)), ('digest', record.ref.digest.hex), ('holds', holds(row.statistics)),
        ('recorded', ago(row.now - row.since) if row.since else ''), ('is', one_line(record.desc)),
        ('licence', one_line(record.licence)), ('from', one_line(record.source.shown) if record.source is not None else ''),
        ('max age', f'{record.max_age}, looked at {record.checked}' if record.max_age else ''),
        ('used by', ', '.join(some(fold(list(row.users), groups), 12))), ('note', _note(row)),
        ('lies in', one_line(row.lies_in)),
        ('in place', 'its files are in no cache until they are pushed' if record.in_place else ''),
    ]  # fmt: skip
    lines = [Line(one_line(record.path)), *(Line(f'  {name:<9} {text}') for name, text in facts if text)]
    one = row.statistics
    if one is None:
        return [*lines, Line('  What it holds is not here.')]
    if one.problem:
        return [*lines, Line(f'  not read  {one_line(one.problem)}')]
    if one.columns:
        return [*lines, *map(Line, table(COLUMNS, [_column(column) for column in one.columns], columns))]
    if one.kind == 'folder':
        lines += map(Line, table(FILES, [_kind(kind) for kind in one.suffixes], columns))
        if one.smallest is not None and one.largest is not None:
            lines.append(Line(f'  each from {show_size(one.smallest)} to {show_size(one.largest)}'))
    return [line for line in lines if cells(line.text) or not line.text]


def _column(one: Mapping[str, Any]) -> tuple[str, ...]:
    ends = _value(one['min']), _value(one['max'])
    return one_line(str(one['name'])), one_line(str(one['type'])), f'{one["nulls"]:,}', *ends


def _kind(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one_line(str(one['suffix'])) or 'no suffix', f'{one["files"]:,}', show_size(one['bytes'])


def _value(value: Any) -> str:
    if value is None:
        return ''
    return show_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else one_line(str(value))
