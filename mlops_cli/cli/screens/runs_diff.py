"""Two states of the project compared.  Values in, lines out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, safe, wrap
from mlops_cli.cli.screens import metrics as metrics_screen
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import Groups, both_groups, command_words, fold, some
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.experiments.code import FileChange
from mlops_cli.experiments.compare import Difference, StageChange, UsageChange, ValueChange
from mlops_cli.experiments.trees import Counts, PathChange

MOST = 40  # rows of a kind, unless everything is asked for
DIFF_LINES = 40  # of a file, unless everything is asked for
WHOLE_LINES = 10  # of a file that is new or gone
ALL_LINES = 400  # of all files together
FILES = 5  # of a folder that are named
VALUE = 60  # columns of a value
STYLES = {'+': 'green', '-': 'red', '@': 'cyan'}
RANK = {'changed': 0, 'unknown': 1, 'added': 2, 'removed': 3, 'same': 4}  # what tells most first
WORDS = {'same': 'same result', 'changed': 'differs', 'added': 'new', 'removed': 'gone'}
SIGNS = {'added': '+', 'removed': '-', 'changed': '~'}


def diff_lines(found: Difference, columns: int, *, code: bool, whole: bool) -> list[Line]:
    """``code``: lines of code are shown, some of each file.  ``whole``: all of everything."""
    groups = both_groups(found.before.pipeline.groups, found.after.pipeline.groups)
    most = 10**9 if whole else MOST
    lines = [Line(f'{one_line(found.before.label)} -> {one_line(found.after.label)}')]
    lines += _stages(found, groups, columns)
    lines += _values('Parameters', found.params, groups, columns, most)
    lines += _commands(found.commands, groups, columns, most, whole)
    lines += _code(found.code, columns, code, whole)
    lines += _paths('Data', found.data, columns, most)
    lines += _values('Environment', found.environment, groups, columns, most)
    lines += _paths('Outputs', found.outputs, columns, most)
    lines += _metrics(found, groups, columns, whole)
    lines += _usage(found.usage, columns, most)
    if found.empty:
        lines += [Line(''), Line('Nothing differs in what went in or came out.')]
    return [*lines, *_silent(found, columns)]


def _block(title: str, body: Sequence[Line]) -> list[Line]:
    return [Line(''), Line(title), *body] if body else []


def _stages(found: Difference, groups: Groups, columns: int) -> list[Line]:
    """Which stages differ, those that are on one side only, and those that cannot be compared."""
    told: dict[str, list[str]] = {}
    for one in sorted(found.stages, key=lambda one: RANK[one.status]):
        told.setdefault(_stage_word(one), []).append(one.stage)
    rows = [(one_line(word), ', '.join(some(fold(names, groups), 6))) for word, names in told.items()]
    room = min(max([cells(word) for word, _ in rows], default=0), columns // 2)
    lines = []
    for word, names in rows:
        for index, text in enumerate(wrap(names, max(20, columns - room - 4))):
            lines.append(Line(f'  {pad("" if index else clip(word, room), room)}  {text}'.rstrip()))
    return [Line(''), *lines] if lines else []


def _stage_word(one: StageChange) -> str:
    return one.note or WORDS.get(one.status, one.status)


def _values(title: str, changes: Sequence[ValueChange], groups: Groups, columns: int, most: int) -> list[Line]:
    rows = [
        [one_line(one.name), _shown(one.before, one.known[0]), '->', _shown(one.after, one.known[1]), users]
        for one in changes[:most]
        for users in [', '.join(some(fold(one.stages, groups), 3))]
    ]
    head = [Column('', least=16), Column('', least=12), Column(''), Column('', least=12), Column('', least=8, optional=True)]
    body = [Line(text) for text in table(head, rows, columns)[1:]] if rows else []
    if len(changes) > most:
        body.append(Line(f'  and {len(changes) - most:,} more: -v shows all'))
    return _block(title, body)


def _shown(value: Any, known: bool = True) -> str:
    if not known:
        return 'unknown'
    if value is None:
        return 'none'
    return clip(_whole(value), VALUE)


def _commands(changes: Sequence[ValueChange], groups: Groups, columns: int, most: int, whole: bool) -> list[Line]:
    """The words that differ; where those do not tell, and of the whole, one above the other."""
    body: list[Line] = []
    for one in changes[:most]:
        users = ', '.join(some(fold(one.stages, groups), 3))
        if not whole and (words := command_words(one.before, one.after)):
            body.append(Line(clip(f'  ~ {users}: {words}', columns)))
            continue
        body.append(Line(clip(f'  ~ {users}', columns)))
        for sign, value in (('-', one.before), ('+', one.after)):
            if value is not None:
                body.append(Line(clip(f'      {sign}{_whole(value)}', columns), '', STYLES[sign]))
    if len(changes) > most:
        body.append(Line(f'  and {len(changes) - most:,} more: -v shows all'))
    return _block('Commands', body)


def _whole(value: Any) -> str:
    return ' '.join(one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())


# Code


def _code(changes: Sequence[FileChange], columns: int, lines_wanted: bool, whole: bool) -> list[Line]:
    if not changes:
        return []
    body: list[Line] = []
    left = 10**9 if whole else ALL_LINES
    for change in changes:
        counted = f'  +{change.added} -{change.removed}' if change.added is not None else ''
        note = f'  ({one_line(change.note)})' if change.note else ''
        sign = SIGNS[change.status]
        body.append(Line(clip(f'  {sign} {one_line(change.path)}{counted}{note}', columns)))
        if lines_wanted and change.lines:
            usual = DIFF_LINES if change.status == 'changed' else WHOLE_LINES
            most = min(10**9 if whole else usual, left)
            shown = change.lines[2:][:most]
            body += [_diff_line(text, columns, whole) for text in shown]
            left -= len(shown)
            if len(change.lines) - 2 > len(shown):
                body.append(Line(f'      and {plural(len(change.lines) - 2 - len(shown), "line")} more: --code shows all'))
    return _block('Code', body)


def _diff_line(text: str, columns: int, whole: bool) -> Line:
    """Coloured by its first character, which says what it is without colour too."""
    shown = safe(text.replace('\t', '    ')).replace('\n', ' ')
    line = f'      {shown}'
    return Line(line if whole else clip(line, columns), '', STYLES.get(shown[:1], ''))


# Data and outputs


def _paths(title: str, changes: Sequence[PathChange], columns: int, most: int) -> list[Line]:
    body: list[Line] = []
    for change in changes[:most]:
        body.append(Line(clip(f'  {_sign(change)} {one_line(change.path)}  {_what(change)}', columns)))
        body += [Line(clip(text, columns)) for text in _inside(change.inside)]
    if len(changes) > most:
        body.append(Line(f'  and {len(changes) - most:,} more: -v shows all'))
    return _block(title, body)


def _sign(change: PathChange) -> str:
    return '+' if change.before is None else '-' if change.after is None else '~'


def _what(change: PathChange) -> str:
    if change.inside is not None:
        return ', '.join(_counted(change.inside)) + _sizes(change, ', ')
    if change.before is None or change.after is None:
        size = change.size_after if change.before is None else change.size_before
        return ('new' if change.before is None else 'gone') + (f', {show_size(size)}' if size is not None else '')
    return _sizes(change, '') or f'{change.before.short} -> {change.after.short}'


def _counted(inside: Counts) -> Iterable[str]:
    more = ' or more' if inside.more else ''
    for number, word in ((inside.added, 'new'), (inside.changed, 'changed'), (inside.removed, 'gone')):
        if number:
            yield f'{plural(number, "file")} {word}{more}'


def _sizes(change: PathChange, before: str) -> str:
    if change.size_before is None or change.size_after is None:
        return ''
    one, two = show_size(change.size_before), show_size(change.size_after)
    if one == two:
        return f'{before}{two}{"" if before else ", other bytes"}'
    return f'{before}{one} -> {two}'


def _inside(inside: Counts | None) -> list[str]:
    if inside is None:
        return []
    first = inside.files[:FILES]
    texts = [f'      {SIGNS[status]} {one_line(path)}{_file_sizes(one, two)}' for status, path, one, two in first]
    rest = inside.added + inside.changed + inside.removed - len(texts)
    return texts + ([f'      and {plural(rest, "more file")}'] if rest > 0 else [])


def _file_sizes(one: int | None, two: int | None) -> str:
    sizes = [show_size(size) for size in (one, two) if size is not None]
    if len(sizes) == 2 and sizes[0] == sizes[1]:
        return f'  {sizes[0]}, other bytes'
    return f'  {" -> ".join(sizes)}' if sizes else ''


# Metrics and usage


def _metrics(found: Difference, groups: Groups, columns: int, whole: bool) -> list[Line]:
    """Those that differ; all, where everything is asked for."""
    rows = tuple(row for row in found.metrics.rows if whole or row.verdict != 'same')
    same = len(found.metrics.rows) - len(rows)
    if not rows:
        return _block('Metrics', [Line(f'  {plural(same, "number")}, all the same')] if same else [])
    body = metrics_screen.change_blocks(rows, groups, columns, everything=whole)[1:]
    tail = [Line(f'  {plural(same, "number")} the same')] if same else []
    return _block('Metrics', [*body, *tail])


def _usage(changes: Sequence[UsageChange], columns: int, most: int) -> list[Line]:
    rows = []
    for stage in dict.fromkeys(change.stage for change in changes):
        mine = {change.name: change for change in changes if change.stage == stage}
        figures = [_arrow(mine.get(name), show) for name, show in FIGURES.items()]
        if figures[0]:
            rows.append([one_line(stage), *figures])
    head = [Column('', least=14), Column('TIME'), Column('CPU', optional=True), Column('MEMORY', optional=True)]
    body = [Line(text) for text in table(head, rows[:most], columns)] if rows else []
    if len(rows) > most:
        body.append(Line(f'  and {plural(len(rows) - most, "more stage")}: -v shows all'))
    return _block('Took', body)


FIGURES: dict[str, Callable[[float], str]] = {
    'seconds': show_seconds,
    'cpu_seconds': show_seconds,
    'memory_peak_bytes': show_size,
}


def _arrow(change: UsageChange | None, show: Callable[[float], str]) -> str:
    if change is None or change.before is None or change.after is None:
        return ''
    return f'{show(change.before)} -> {show(change.after)}'


def _silent(found: Difference, columns: int) -> list[Line]:
    """What is not compared, and why."""
    lines: list[Line] = []
    for point in (found.before, found.after):
        if point.absent > 0:
            stages = f'{plural(point.absent, "stage")} that {"was" if point.absent == 1 else "were"} fresh'
            text = f'Not compared: {stages} in {one_line(point.label)}, and not named in its record.'
            lines += [Line(part) for part in wrap(text, columns)]
    return [Line(''), *lines] if lines else []
