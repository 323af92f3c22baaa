"""Metrics as tables of HTML, for the head of a page.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.units import show_both, show_change, show_number
from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values
from mlops_cli.report.page import escape

ROWS = 400  # of one table
COLUMNS = 12  # metrics beside each other
WORDS = {'better': 'better', 'worse': 'worse', 'within': 'within tolerance', 'new': 'new', 'gone': 'gone'}
QUIET = ('same', 'within')


def metrics_tables(found: Comparison | Values | None) -> str:
    """Nothing where there is nothing to tell."""
    if found is None or not (found.rows or found.missing):
        return ''
    if isinstance(found, Values):
        tables = _values(found.rows)
    else:
        absent = {one.stage for one in found.missing}  # told below, not number by number
        tables = _changes([row for row in found.rows if row.stage not in absent or (row.before, row.after) != (None, None)])
    missing = ''.join(f'<li>{_missing(one)}</li>' for one in found.missing[:ROWS])
    return f'<h2>Metrics</h2>{tables}' + (f'<ul class="soft">{missing}</ul>' if missing else '')


def _missing(one: Missing) -> str:
    return escape(f'{one.file or one.stage} at {one.point}: {one.reason}')


def _table(head: str, rows: Sequence[str]) -> str:
    more = f'<p class="soft">and {len(rows) - ROWS:,} more</p>' if len(rows) > ROWS else ''
    body = ''.join(rows[:ROWS])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _name(name: str, primary: bool) -> str:
    return f'<strong>{escape(name)}</strong>' if primary else escape(name)


def _number(value: float | int | None, note: str = '') -> str:
    return f'<td class="number">{escape(note or "–") if value is None else show_number(value)}</td>'


# One point: a row for each stage, a column for each metric


def _values(rows: Iterable[Value]) -> str:
    """Stages with the same metrics share a table."""
    stages: dict[tuple[str, str], list[Value]] = {}
    for row in rows:
        stages.setdefault((row.stage, row.file), []).append(row)
    groups: dict[tuple[str, tuple[str, ...]], list[list[Value]]] = {}
    for (stage, _), mine in stages.items():
        names = tuple(row.name for row in mine[:COLUMNS])
        groups.setdefault((stage.partition('@')[0], names), []).append(mine)
    return ''.join(_pivot(members) for members in groups.values())


def _pivot(members: Sequence[Sequence[Value]]) -> str:
    first = members[0][:COLUMNS]
    arrow = {'max': ' <span title="more is better">↑</span>', 'min': ' <span title="less is better">↓</span>'}
    head = '<th>stage</th>' + ''.join(
        f'<th class="number">{_name(row.name, row.primary)}{arrow.get(row.goal or "", "")}</th>' for row in first
    )
    rows = [
        f'<tr><td>{escape(mine[0].stage)}</td>{"".join(_number(row.value, row.note) for row in mine[:COLUMNS])}</tr>'
        for mine in members
    ]
    rest = len(members[0]) - COLUMNS
    more = f'<p class="soft">and {rest:,} more metrics: mlops metrics show</p>' if rest > 0 else ''
    return _table(head, rows) + more


# Two points


def _changes(rows: Sequence[Change]) -> str:
    """What differs, then behind a click what does not."""
    head = '<th>stage</th><th>metric</th><th class="number">before</th><th class="number">after</th>'
    head += '<th class="number">change</th><th></th>'
    telling = [row for row in rows if row.verdict not in QUIET]
    quiet = [row for row in rows if row.verdict in QUIET]
    parts = [_table(head, list(map(_change, telling)))] if telling else ['<p>No metric differs.</p>' if rows else '']
    if quiet:
        told = f'{len(quiet):,} {"number" if len(quiet) == 1 else "numbers"}, the same or within tolerance'
        parts.append(f'<details><summary>{told}</summary>{_table(head, list(map(_change, quiet)))}</details>')
    return ''.join(parts)


def _change(row: Change) -> str:
    colour = 'good' if row.verdict == 'better' else 'bad' if row.failing else 'soft'
    cells = _number(row.before) + _number(row.after)
    if row.before is not None and row.after is not None:
        cells = ''.join(f'<td class="number">{text}</td>' for text in show_both(row.before, row.after))
    shown = '' if row.change is None else show_change(row.change)
    said = WORDS.get(row.verdict, '')
    note = row.after_note or row.before_note
    told = f'{said} ({note})' if note and said else said or note
    return (
        f'<tr><td>{escape(row.stage)}</td><td>{_name(row.name, row.primary)}</td>{cells}'
        f'<td class="number">{shown}</td><td class="{colour}">{escape(told)}</td></tr>'
    )
