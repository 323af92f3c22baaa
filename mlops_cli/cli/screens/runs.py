"""The list of runs, and one run.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.cli.history import Past, assignments, counts
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import ago, number, value
from mlops_cli.core.clock import from_iso
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.git import Described
from mlops_cli.records.runs import StageRun

METRICS = 3  # columns
ENDED = {'interrupted': 'stopped'}


def list_lines(runs: Sequence[tuple[Past, Mapping[str, float]]], now: float, columns: int) -> list[Line]:
    """A line per run, newest first, with the primary metrics that any of them has."""
    names = list(dict.fromkeys(name for _, metrics in runs for name in metrics))[:METRICS]
    head = [Column('RUN'), Column('WHEN'), Column('ENDED'), Column('TIME', right=True), Column('STAGES', least=12)]
    head += [Column(one_line(name), right=True) for name in names]
    head += [Column('SET', least=10, optional=True), Column('BRANCH', least=8, optional=True), Column('BY', optional=True)]
    rows = []
    for past, metrics in runs:
        run = past.run
        ended = ago(max(0.0, now - from_iso(run.started) - run.seconds))
        cells = [run.short, ended, ENDED.get(run.ended, run.ended), show_seconds(run.seconds), _stages(past)]
        cells += [number(metrics[name]) if name in metrics else '' for name in names]
        cells += [one_line(' '.join(assignments(run.overlay))), one_line(run.branch), one_line(run.who)]
        rows.append(cells)
    words = {ENDED.get(past.run.ended, past.run.ended) for past, _ in runs}
    return [Line(text, next((word for word in words if f'  {word} ' in text), '')) for text in table(head, rows, columns)]


def _stages(past: Past) -> str:
    """``4 done, 3 fresh``."""
    found = counts(past.run) | {'fresh': past.run.fresh}
    return ', '.join(f'{found[state]} {ENDED.get(state, state)}' for state in found if found[state])


def show_lines(past: Past, columns: int, described: Described | None = None) -> list[Line]:
    """One run: who, where, what it was asked, its stages with what they took and made."""
    run = past.run
    ended = ENDED.get(run.ended, run.ended)
    lines = [Line(f'Run {run.short}: {ended}, {show_seconds(run.seconds)}, started {run.started.replace("T", " ")}', ended)]
    where = f'branch {one_line(run.branch)}' if run.branch else 'no branch'
    commit = f', commit {run.commit[:12]}' if run.commit else ''
    commit += f' "{value(described.subject, 60)}" by {one_line(described.author)}' if described else ''
    lines.append(Line(f'  by {one_line(run.who) or "nobody"} on {one_line(run.host) or "nowhere"}, {where}{commit}'))
    command = value(' '.join(run.command), 400)
    if command:
        lines += [Line(f'  {"" if not index else "  "}{text}') for index, text in enumerate(wrap(command, columns - 4))]
    if run.overlay:
        lines.append(Line(f'  trial with {one_line(", ".join(assignments(run.overlay)))}'))
    if past.run.stages:
        lines += [Line(''), *_stage_table(past, columns)]
    tail = [f'{run.fresh:,} fresh'] if run.fresh else []
    tail += [f'{show_seconds(run.saved_seconds)} saved by the cache'] if run.saved_seconds >= 1 else []
    tail += [f'{plural(run.left_out, "metric")} left out'] if run.left_out else []
    return lines + ([Line(f'  {", ".join(tail)}')] if tail else [])


def _stage_table(past: Past, columns: int) -> list[Line]:
    head = [
        Column('STATE'),
        Column('STAGE', least=14),
        Column('TIME', right=True),
        Column('CPU', right=True, optional=True),
        Column('MEMORY', right=True, optional=True),
        Column('OUTPUTS', right=True, optional=True),
        Column('METRICS', least=16, optional=True),
    ]
    rows = [[ENDED.get(one.state, one.state), *_stage_cells(past, one)] for one in past.run.stages]
    words = {row[0] for row in rows}
    return [
        Line(text, next((word for word in words if text.startswith(f'  {word}')), '')) for text in table(head, rows, columns)
    ]


def _stage_cells(past: Past, one: StageRun) -> list[str]:
    cpu, peak = one.usage.get('cpu_seconds'), one.usage.get('memory_peak_bytes')
    metrics = [f'{one_line(name)} {number(figure)}' for stage, _, name, figure in past.metrics if stage == one.name]
    return [
        one_line(one.name),
        show_seconds(one.seconds) if one.state in ('done', 'failed', 'interrupted') else '',
        show_seconds(cpu) if cpu is not None else '',
        show_size(peak) if peak else '',
        show_size(past.sizes[one.name]) if one.name in past.sizes else '',
        ', '.join(metrics) + (f'  (exit {one.exit_code})' if one.exit_code else ''),
    ]
