"""Metrics of one point, and of two compared.  Values in, lines out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from mlops_cli.cli.console import Line, clip, one_line, wrap
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import Groups, fold, number, some
from mlops_cli.core import layout
from mlops_cli.core.units import plural, show_both, show_change
from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values, Verdict

Row = TypeVar('Row', Value, Change)

NO_NUMBERS = ('NaN', 'inf', '-inf')
LESS = ('err', 'loss', 'mae', 'mse', 'perplexity', 'seconds', 'latency', 'time')  # in names of what should be small
MOST = 24  # rows of one stage, unless everything is asked for
WORDS: dict[Verdict, str] = {
    'better': 'better',
    'worse': 'worse',
    'within': 'within tolerance',
    'same': '',
    'changed': '',
    'new': 'new',
    'gone': 'gone',
}
RANK: dict[Verdict, int] = {'worse': 0, 'gone': 1, 'better': 2, 'new': 3, 'changed': 4, 'within': 5, 'same': 6}


def show_lines(found: Values, label: str, groups: Groups, columns: int, *, everything: bool = False) -> list[Line]:
    """A block for each stage; instances of a matrix with the same metrics are the rows of one table."""
    lines: list[Line] = []
    if found.rows:
        lines.append(Line(f'Metrics of {one_line(label)}'))
    for rows in _by_group(found.rows):
        lines += [Line(''), *_show_group(rows, groups, columns, everything)]
    lines += _missing_lines(found.missing, groups, columns, more=bool(lines))
    lines += _stale_lines(found.stale, groups, columns)
    if any(row.primary for row in found.rows):
        lines += [Line(''), Line('* primary')]
    return lines


def _by_group(rows: Iterable[Row]) -> list[list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.stage.partition('@')[0], []).append(row)
    return list(found.values())


def _show_group(rows: Sequence[Value], groups: Groups, columns: int, everything: bool) -> list[Line]:
    members = list(dict.fromkeys(row.stage for row in rows))
    files = list(dict.fromkeys((row.stage, row.file) for row in rows))
    if len(members) > 1 and len(files) == len(members):
        return _instances(rows, groups, columns, everything)
    lines: list[Line] = []
    for stage, file in files:
        mine = [row for row in rows if (row.stage, row.file) == (stage, file)]
        lines.append(_heading(stage, file, columns))
        shown = mine if everything else mine[:MOST]
        head = [Column('METRIC', least=20), Column('VALUE', right=True), Column('GOAL', optional=True)]
        cells = [[_name(row.name, row.primary), _figure(row.value, row.note), row.goal or ''] for row in shown]
        lines += [Line(text) for text in table(head, cells, columns, indent=4)]
        lines += _left_out(len(mine) - len(shown), 'metric')
    return lines


def _instances(rows: Sequence[Value], groups: Groups, columns: int, everything: bool) -> list[Line]:
    """A row for each instance, a column for each metric, as many tables as that takes."""
    members = list(dict.fromkeys(row.stage for row in rows))
    names = list(dict.fromkeys(row.name for row in rows))
    known = {(row.stage, row.name): row for row in rows}
    primary = {row.name for row in rows if row.primary}
    shown = members if everything else members[:MOST]
    lines = [Line(f'  {clip(", ".join(fold(members, groups)), columns - 2)}')]
    label = Column('INSTANCE', least=14)
    while names:
        fitting: list[str] = []
        for name in names[:8]:
            trial = [label, *(Column(_name(one, one in primary), right=True) for one in [*fitting, name])]
            if fitting and _width(trial, known, shown, [*fitting, name]) > columns:
                break
            fitting.append(name)
        head = [label, *(Column(_name(name, name in primary), right=True) for name in fitting)]
        cells = [[_instance(stage), *(_cell(known.get((stage, name))) for name in fitting)] for stage in shown]
        lines += [Line(text) for text in table(head, cells, columns, indent=4)]
        names = names[len(fitting) :]
        if names and not everything:
            lines.append(
                Line(f'    and {plural(len(names), "more metric")}: {clip(", ".join(map(one_line, names)), columns - 30)}')
            )
            break
    return lines + _left_out(len(members) - len(shown), 'instance')


def _width(head: Sequence[Column], known: dict[tuple[str, str], Value], stages: Sequence[str], names: Sequence[str]) -> int:
    widest = [max([len(_instance(stage)) for stage in stages] + [len(head[0].name)])]
    for column, name in zip(head[1:], names, strict=True):
        widest.append(max([len(_cell(known.get((stage, name)))) for stage in stages] + [len(column.name)]))
    return 4 + sum(widest) + 2 * (len(widest) - 1)


def _cell(row: Value | None) -> str:
    return '' if row is None else _figure(row.value, row.note)


# Two points


def diff_lines(
    found: Comparison,
    labels: tuple[str, str],
    groups: Groups,
    columns: int,
    *,
    everything: bool = False,
    changed_only: bool = False,
) -> list[Line]:
    """A block for each stage, then what is missing, then the sum of it.  ``changed_only``: the rows hold nothing else."""
    lines: list[Line] = []
    absent = {one.stage for one in found.missing}  # told once, not number by number
    told = [row for row in found.rows if row.stage not in absent or (row.before, row.after) != (None, None)]
    if told:
        lines.append(Line(f'Metrics, {one_line(labels[0])} -> {one_line(labels[1])}'))
    for rows in _by_group(told):
        lines += [Line(''), *_diff_group(rows, groups, columns, everything)]
    lines += _missing_lines(found.missing, groups, columns, more=bool(lines))
    lines += _stale_lines(found.stale, groups, columns)
    if told:
        lines += [Line(''), *_sum(told, columns)]
    elif changed_only or not found.missing:
        lines.append(Line(f'No metric differs between {one_line(labels[0])} and {one_line(labels[1])}.'))
    return lines


def change_blocks(rows: Sequence[Change], groups: Groups, columns: int, *, everything: bool = False) -> list[Line]:
    """A block for each stage, an empty line before each, and nothing else: for pages that tell of more than metrics."""
    return [line for block in _by_group(rows) for line in (Line(''), *_diff_group(block, groups, columns, everything))]


def _diff_group(rows: Sequence[Change], groups: Groups, columns: int, everything: bool) -> list[Line]:
    members = list(dict.fromkeys(row.stage for row in rows))
    files = list(dict.fromkeys((row.stage, row.file) for row in rows))
    if len(members) > 1 and len(files) == len(members):
        names = dict.fromkeys(row.name for row in sorted(rows, key=lambda row: not row.primary))
        blocks = [[row for row in rows if row.name == name] for name in names]
        heading = Line(f'  {clip(", ".join(fold(members, groups)), columns - 2)}')
        if not everything and all(row.verdict == 'same' for row in rows):
            return [heading, Line(f'    {plural(len(rows), "number")}, all the same')]
        return [heading, *_blocks(blocks, columns, everything)]
    lines: list[Line] = []
    for stage, file in files:
        mine = [row for row in rows if (row.stage, row.file) == (stage, file)]
        lines += [_heading(stage, file, columns), *_block(mine, columns, everything)]
    return lines


HEAD = [
    Column('METRIC', least=16),
    Column('BEFORE', right=True),
    Column('AFTER', right=True),
    Column('CHANGE', right=True),
    Column('', least=6),
]


def _blocks(blocks: Sequence[Sequence[Change]], columns: int, everything: bool) -> list[Line]:
    """Instances below each metric, in one table, so that the numbers stand below each other."""
    cells: list[list[str]] = []
    words: list[str] = []
    for rows in blocks:
        name = _name(rows[0].name, rows[0].primary)
        if not everything and all(row.verdict == 'same' for row in rows):
            cells.append([name, '', '', '0', f'the same for {plural(len(rows), "instance")}'])
            words.append('')
            continue
        chosen = _telling(rows, everything)
        cells += [[name, '', '', '', ''], *([f'  {_instance(row.stage)}', *_figures(row), _said(row)] for row in chosen)]
        words += ['', *(WORDS[row.verdict] for row in chosen)]
        if len(chosen) < len(rows):
            cells.append([f'  and {len(rows) - len(chosen):,} more (-v)', '', '', '', ''])
            words.append('')
    return [Line(text, word) for text, word in zip(table(HEAD, cells, columns, indent=4), ['', *words], strict=True)]


def _block(rows: Sequence[Change], columns: int, everything: bool) -> list[Line]:
    """The metrics of one file."""
    if not everything and len(rows) > 1 and all(row.verdict == 'same' for row in rows):
        first = rows[0]
        shown = f'{_name(first.name, first.primary)} {_figures(first)[1]}, ' if first.primary else ''
        return [Line(f'    {shown}{plural(len(rows), "number")}, all the same')]
    chosen = _telling(rows, everything)
    cells = [[_name(row.name, row.primary), *_figures(row), _said(row)] for row in chosen]
    lines = [
        Line(text, word)
        for text, word in zip(table(HEAD, cells, columns, indent=4), ['', *(WORDS[row.verdict] for row in chosen)], strict=True)
    ]
    return lines + _left_out(len(rows) - len(chosen), 'metric')


def _telling(rows: Sequence[Change], everything: bool) -> list[Change]:
    """Of too many rows those that say most, in their order."""
    if everything or len(rows) <= MOST:
        return list(rows)
    places = sorted(range(len(rows)), key=lambda index: RANK[rows[index].verdict])[:MOST]
    return [rows[index] for index in sorted(places)]


def _figures(row: Change) -> list[str]:
    """Before, after and the difference, with as many digits as the difference needs to be seen."""
    one, two = (_figure(figure, note) for figure, note in ((row.before, row.before_note), (row.after, row.after_note)))
    if row.before is not None and row.after is not None:
        one, two = show_both(row.before, row.after)
    return [one, two, '' if row.change is None else show_change(row.change)]


def _said(row: Change) -> str:
    word = WORDS[row.verdict]
    if row.verdict == 'gone' and row.after_note not in NO_NUMBERS:
        return f'{word}: {one_line(row.after_note)}'
    return 'no number' if row.lost else word


def _sum(rows: Sequence[Change], columns: int) -> list[Line]:
    """``3 better, 1 worse, 2 within tolerance, 14 the same.``; where nothing has a goal, how to give one."""
    named = {**WORDS, 'same': 'the same', 'changed': 'changed (no goal)'}
    counts = [(named[verdict], sum(row.verdict == verdict for row in rows)) for verdict in RANK]
    text = ', '.join(f'{count:,} {word}' for word, count in counts if count)
    marked = [Line('* primary')] if any(row.primary for row in rows) else []
    lines = [*(Line(part, 'worse') for part in wrap(f'{text}.', columns)), *marked]
    changed = [row for row in rows if row.verdict == 'changed']
    if changed and not any(row.goal or row.verdict in ('better', 'worse') for row in rows):
        lines.append(Line(f'hint: to tell better from worse, say in {layout.PIPELINE_FILE}:', 'hint:'))
        lines.append(Line(f'  {_goal_of(changed[0])}'))
    return lines


def _goal_of(row: Change) -> str:
    """``metrics: [{metrics.json: {goals: {mse: min}}}]``, as one would type it."""
    less = any(word in row.name.lower() for word in LESS)
    file = 'FILE' if '@' in row.stage else _yaml(row.file)  # instances have files of one template
    return f'metrics: [{{{file}: {{goals: {{{_yaml(row.name)}: {"min" if less else "max"}}}}}}}]'


def _yaml(name: str) -> str:
    return name if re.fullmatch(r'[A-Za-z_][\w./-]*', name, re.ASCII) else json.dumps(one_line(name), ensure_ascii=False)


# Both


def _heading(stage: str, file: str, columns: int) -> Line:
    return Line(clip(f'  {one_line(stage)}   {one_line(file)}', columns))


def _name(name: str, primary: bool) -> str:
    return f'{one_line(name)} *' if primary else one_line(name)


def _instance(stage: str) -> str:
    return one_line(stage.partition('@')[2] or stage)


def _figure(value: float | int | None, note: str) -> str:
    """A number; NaN and infinities as what they are, nothing as a dash."""
    if value is None:
        return note if note in NO_NUMBERS else '-'
    return number(value)


def _left_out(count: int, noun: str) -> list[Line]:
    return [Line(f'    and {plural(count, f"more {noun}")} (-v shows them)')] if count > 0 else []


def _missing_lines(missing: Sequence[Missing], groups: Groups, columns: int, *, more: bool) -> list[Line]:
    """``No numbers at HEAD (1a2b3c4): train@*: nothing recorded for this state``."""
    by_reason: dict[tuple[str, str], list[Missing]] = {}
    for one in missing:
        by_reason.setdefault((one.point, one.reason), []).append(one)
    lines: list[Line] = [Line('')] if missing and more else []
    for (point, reason), many in by_reason.items():
        files = [one_line(one.file) for one in many if one.file]
        stages = fold(list(dict.fromkeys(one.stage for one in many)), groups)
        what = ', '.join(some(files if len(many) == len(files) <= 2 else stages, 8))
        for index, text in enumerate(wrap(f'No numbers at {one_line(point)} for {what}: {one_line(reason)}.', columns - 2)):
            lines.append(Line(text if not index else f'  {text}'))
    return lines


def _stale_lines(stale: Sequence[str], groups: Groups, columns: int) -> list[Line]:
    """What the workspace holds is shown as it is; whether it is of the present state is another question."""
    if not stale:
        return []
    names = ', '.join(some(fold(stale, groups), 8))
    told = f'note: {names} {"is" if len(stale) == 1 else "are"} out of date; these are the numbers of the files as they stand'
    return [
        Line(''),
        *(Line(text if not index else f'  {text}', 'note:') for index, text in enumerate(wrap(told, columns - 2))),
    ]
