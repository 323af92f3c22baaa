"""What came of reproducing.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_cli.cli.console import Line, clip, one_line, plain, wrap
from mlops_cli.cli.screens.failure import tail
from mlops_cli.cli.words import Groups, fold, number, some
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.experiments.reproduce.model import Changed, Judged, Number, Verdict

LABEL = 28  # columns of what stands before a text
ROWS = 12  # of a stage
STAGES = 6  # that are shown in full
WORDS = {
    'different': 'same inputs, other outputs',
    'within': 'only metrics differ, within the tolerance that they declare',
    'inputs': 'its inputs are not the recorded ones',
    'failed': 'failed',
    'interrupted': 'was stopped',
}


def reproduced_lines(verdict: Verdict, columns: int, groups: Groups, pulled: bool) -> Iterator[Line]:
    """``pulled``: whether the remote was asked for what the results were made under."""
    shown = [one for one in verdict.stages if one.verdict in WORDS]
    for one in shown[:STAGES]:
        yield Line('')
        yield from _stage(one, columns, pulled)
    if len(shown) > STAGES:
        yield Line(f'and {plural(len(shown) - STAGES, "more stage")}: --json has all')
    first = verdict.first
    if later := [one.stage for one in verdict.stages if one.verdict in ('follows', 'skipped')]:
        yield Line('')
        named = ', '.join(some(fold(later, groups), 6))
        why = f' because {one_line(first.stage)} does' if first is not None else ''
        yield from (Line(text) for text in wrap(f'{named} differ{"s" if len(later) == 1 else ""}{why}', columns))
    if shown or later:
        yield Line('')
    yield Line(_last(verdict), 'identical' if verdict.word == 'identical' else '')


def _last(verdict: Verdict) -> str:
    outputs = sum(one.outputs for one in verdict.stages)
    seconds = sum(one.seconds for one in verdict.stages)
    took = f', in {show_seconds(seconds)} of work'
    if all(one.recorded_seconds is not None for one in verdict.stages):
        took += f' (once {show_seconds(sum(one.recorded_seconds or 0.0 for one in verdict.stages))})'
    every, good = len(verdict.stages), verdict.count('identical')
    stages = plural(every, 'stage')
    match verdict.word:
        case 'identical':
            return f'identical: {stages}, {plural(outputs, "output")}, every byte as recorded{took}.'
        case 'within':
            rest = f'the metrics of {every - good} as near as they declare'
            return f'within tolerance: {good} of {stages} byte for byte, {rest}{took}.'
    first = verdict.first
    where = f'first at {one_line(first.stage)}; ' if first is not None else ''
    return f'{verdict.word}: {where}{good} of {stages} as recorded{took}.'


def _stage(one: Judged, columns: int, pulled: bool) -> Iterator[Line]:
    yield Line(f'{one_line(one.stage)}: {WORDS[one.verdict]}', one_line(one.stage))
    rows: list[tuple[str, str]] = []
    if one.verdict == 'failed':
        rows.append(('', one_line(one.message)))
        yield from (Line(f'  | {clip(one_line(plain(text).expandtabs(4)), max(columns - 4, 76))}') for text in tail(one.tail))
    if one.verdict == 'inputs':
        rows.append(('what differs', ', '.join(some([one_line(name) for name in one.inputs], 4))))
    rows += [(one_line(change.path), _changed(change)) for change in one.changed[:ROWS]]
    if len(one.changed) > ROWS:
        rows.append(('', f'and {plural(len(one.changed) - ROWS, "more output")}'))
    rows += [(f'{one_line(n.file)}:{one_line(n.name)}', _number(n)) for n in one.numbers[:ROWS]]
    rows += _environment(one, pulled)
    for name, text in rows:
        for index, part in enumerate(wrap(text, max(columns - LABEL - 2, 30))):
            yield Line(f'  {"" if index else clip(name, LABEL - 1):<{LABEL}}{part}'.rstrip())


def _changed(change: Changed) -> str:
    sizes = f'{_size(change.before)} -> {_size(change.after)}'
    if change.inside is not None:
        sizes += f', {change.inside.changed:,} of its files differ, {change.inside.added:,} new, {change.inside.removed:,} gone'
        sizes += f': {", ".join(some([one_line(row[1]) for row in change.inside.files], 3))}' if change.inside.files else ''
    if change.at is not None:
        line = f' (line {change.line:,})' if change.line is not None else ''
        sizes += f', from byte {change.at:,}{line} on'
    return sizes + (', and it names the folder it was made in' if change.names_folder else '')


def _size(ref: ObjectRef | None) -> str:
    return 'absent' if ref is None else show_size(ref.size)


def _number(one: Number) -> str:
    before, after = ('absent' if value is None else number(value) for value in (one.before, one.after))
    limit = f'tolerance {number(one.tolerance)}' if one.tolerance else 'no tolerance declared'
    return f'{before} -> {after} ({"within " if one.within and one.tolerance else ""}{limit})'


def _environment(one: Judged, pulled: bool) -> Iterator[tuple[str, str]]:
    """What it ran under, then and here."""
    found = one.environment
    if one.verdict == 'interrupted':
        return
    if found is None:
        yield 'environment', 'that of the record is not known here' + ('' if pulled else ' (--pull asks the remote)')
    elif not found and one.verdict == 'different':
        yield 'environment', 'python, packages and platform are those of the record: it is the stage that is not deterministic'
    for name, before, after in found or ():
        yield f'environment {one_line(name)}', f'{_value(before)} -> {_value(after)}'


def _value(value: Any) -> str:
    return 'absent' if value is None else one_line(str(value))[:60]
