"""One run.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.cli.console import Line, clip, fill, one_line, wrap
from mlops_cli.cli.narrow import narrowed, shortened
from mlops_cli.cli.screens.costs import cost_of, sum_of
from mlops_cli.cli.screens.runs_list import assignments
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import number, reason, some, state_word, value
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.experiments.told import StageTold, Told, results_gone
from mlops_cli.plan.sentences import blessing
from mlops_cli.usage.cost import Cost

LABEL = 11  # columns of what stands before a text
OUTPUTS = 12  # outputs that are listed
REASONS = 3  # of a stage
NAMED = 4  # files, stages
WORDS = 400  # characters of a command


def show_lines(told: Told, columns: int) -> list[Line]:
    """Who, where, what was asked, its stages with what they took and made, where that is, what next."""
    run = told.run
    ended = state_word(run.ended)
    took = '' if run.ended == 'killed' else f', {show_seconds(run.seconds)}'  # nobody was left to measure it
    lines = [Line(f'Run {run.short}: {ended}{took}, started {run.started.replace("T", " ")}', ended)]
    for label, text in (('by', _by(told)), ('asked', _asked(told)), ('trial with', _trial(told)), ('commit', _commit(told))):
        lines += _labelled(label, text, columns)
    lines += _labelled('cost', _cost(told), columns)
    for keep in told.kept:
        said = [f'"{keep.reason}"' if keep.reason else '', keep.who, keep.when.replace('T', ' ')]
        lines += _labelled('kept', ', '.join(filter(None, said)), columns)
    for text, names in _accepted(told.stages).items():
        lines += _labelled('accepted', f'{", ".join(some(names, NAMED))}: {text}', columns)
    if told.stages:
        lines += [Line(''), *_stage_table(told, columns)]
    tail = [f'{run.fresh:,} fresh'] if run.fresh else []
    tail += [f'{show_seconds(run.saved_seconds)} saved by the cache'] if run.saved_seconds >= 1 else []
    tail += [f'{plural(run.left_out, "metric")} left out'] if run.left_out else []
    lines += [Line(f'  {", ".join(tail)}')] if tail else []
    lines += [*_why(told.stages, columns), *_outputs(told.stages, columns), Line(''), *_next(told, columns)]
    return narrowed(lines, columns)


def _labelled(label: str, text: str, columns: int) -> list[Line]:
    """The label, and the text beside it, in as many lines as it needs."""
    parts = wrap(one_line(text), max(20, columns - LABEL - 2)) if text else []
    return [Line(f'  {"" if index else label:<{LABEL}}{part}'.rstrip()) for index, part in enumerate(parts)]


def _accepted(stages: Sequence[StageTold]) -> dict[str, list[str]]:
    """Who made a result count and why -> stages."""
    found: dict[str, list[str]] = {}
    for one in stages:
        if one.accepted is not None:
            found.setdefault(blessing(one.accepted), []).append(one.run.name)
    return found


def _by(told: Told) -> str:
    run = told.run
    return f'{run.who or "nobody"} on {run.host or "nowhere"}, {f"branch {run.branch}" if run.branch else "no branch"}'


def _asked(told: Told) -> str:
    return value(' '.join(told.run.command), WORDS)


def _cost(told: Told) -> str:
    ran = [one for one in told.costs if one is not None]
    if not ran:
        return ''
    why = ', '.join(some(sorted({one.unknown for one in ran if one.unknown}), NAMED))
    return sum_of(ran) + (f': nobody says {why}' if why else '')


def _trial(told: Told) -> str:
    return ', '.join(assignments(told.run.overlay))


def _commit(told: Told) -> str:
    """``1a2b3c4d5e6f "Try a higher rate" by Ada, with changes in train.py, params.yaml``."""
    run, edited = told.run, told.edited
    if not run.commit:
        return ''
    text = run.commit[:12]
    if told.described is not None:
        text += f' "{value(told.described.subject, 60)}" by {told.described.author}'
    elif edited is None:
        text += ', which this clone does not have'
    if edited:
        return f'{text}, with changes in {", ".join(some(edited, NAMED))}'
    return text if edited is None else f'{text}, as committed'


def _stage_table(told: Told, columns: int) -> list[Line]:
    costs = told.costs or (None,) * len(told.stages)
    head = [
        Column('STATE'),
        Column('STAGE', least=14),
        Column('TIME', right=True),
        Column('CPU', right=True, optional=True),
        Column('MEMORY', right=True, optional=True),
        Column('OUTPUTS', right=True, optional=True),
        Column('COST', right=True, optional=True),
        Column('METRICS', least=16, optional=True),
    ]
    rows = [[state_word(one.run.state), *_cells(one, cost)] for one, cost in zip(told.stages, costs, strict=True)]
    words = {row[0] for row in rows}
    return [
        Line(text, next((word for word in words if text.startswith(f'  {word}')), '')) for text in table(head, rows, columns)
    ]


def _cells(one: StageTold, cost: Cost | None) -> list[str]:
    run, usage = one.run, one.run.usage
    cpu, peak = usage.get('cpu_seconds'), usage.get('memory_peak_bytes')
    metrics = [f'{one_line(name)} {number(figure)}' for _, name, figure in one.point.metrics]
    size = sum(ref.size for ref in one.point.outputs.values())
    return [
        one_line(run.name),
        show_seconds(run.seconds) if run.state in ('done', 'failed', 'interrupted') else '',
        show_seconds(cpu) if cpu is not None else '',
        show_size(peak) if peak else '',
        f'{show_size(size)}{", gone" if one.stored is False else ""}' if one.point.outputs else '',
        '' if cost is None else cost_of(cost),
        ', '.join([*metrics, *([f'exit {run.exit_code}'] if run.exit_code else [])]),
    ]


def _why(stages: Sequence[StageTold], columns: int) -> list[Line]:
    """What was new since the stage's last result; stages with the same to say share it."""
    told: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for one in stages:
        if one.reasons:
            told.setdefault((tuple(map(reason, one.reasons)), one.since), []).append(one_line(one.run.name))
    lines: list[Line] = []
    for (texts, since), names in told.items():
        head = f'{", ".join(some(names, NAMED))}: since run {since}'
        lines += [Line(''), Line(f'  {head}')] + [Line(f'    {text}') for text in some(texts, REASONS)]
    return [Line(clip(line.text, columns)) for line in lines]


def _outputs(stages: Sequence[StageTold], columns: int) -> list[Line]:
    made = [(path, ref) for one in stages if one.run.state != 'skipped' for path, ref in sorted(one.point.outputs.items())]
    if not made:
        return []
    room = max(20, columns - LABEL - 2)
    sizes = [(one_line(path), f' ({show_size(ref.size)})') for path, ref in made[:OUTPUTS]]
    words = [shortened(path, room - len(size) - 1) + size for path, size in sizes]
    words += [f'{len(made) - OUTPUTS:,} more'] if len(made) > OUTPUTS else []
    rows = fill(words, room)
    return [Line(''), *(Line(f'  {"" if index else "made":<{LABEL}}{row}') for index, row in enumerate(rows))]


def _next(told: Told, columns: int) -> list[Line]:
    """What can be done with it now."""
    run = told.run
    gone = results_gone(told)
    logged = next((one for one in told.stages if one.log and one.run.state in ('failed', 'interrupted')), None)
    logged = logged or next((one for one in told.stages if one.log), None)
    lines = []
    if gone:
        names = ', '.join(some([one_line(name) for name in gone], NAMED))
        lines += _labelled('gone', f'this cache does not have all that {names} made; the same state makes it again', columns)
    if run.overlay:
        lines += _labelled('take over', f'mlops runs apply {run.short}', columns)
    lines += _labelled('compare', f'mlops runs diff {run.short}', columns)
    if doubtful := [one_line(one.run.name) for one in told.stages if one.suspect]:
        why = 'code or inputs changed while it ran'
        text = f'mlops accept {run.short} --reason TEXT   ({", ".join(some(doubtful, NAMED))}: {why})'
        lines += _labelled('trust', text, columns)
    if logged is not None:
        lines += _labelled('log', f'mlops logs {one_line(logged.run.name)} --run {run.short}', columns)
    if not told.kept and any(one.stored for one in told.stages) and not gone:
        lines += _labelled('keep', f'mlops runs keep {run.short}', columns)
    return lines
