"""Runs that go on: how one left its terminal, which there are, how one was stopped.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.screens import run_lines
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import Groups, ago, fold, some, value
from mlops_cli.core.events import RunStarted
from mlops_cli.core.units import plural, show_seconds
from mlops_cli.run.live import Live
from mlops_cli.run.report import Report
from mlops_cli.run.states import State

NAMES = 4


def detached_lines(started: RunStarted, pid: int, columns: int) -> list[Line]:
    """What has begun, and what to do with it."""
    short = started.run.partition('-')[2]
    return [
        *run_lines.started(started, columns),
        Line(f'Run {short} goes on without this terminal, as process {pid}.'),
        Line(f'  {"watch it":<12}mlops runs attach {short}'),
        Line(f'  {"stop it":<12}mlops runs cancel {short}'),
        Line(f'  {"its output":<12}mlops logs STAGE --follow'),
    ]


def live_lines(runs: Sequence[Live], now: float, columns: int) -> list[Line]:
    """A line per run that goes on, newest first."""
    head = [
        Column('RUN'),
        Column('BEGAN'),
        Column('STAGES'),
        Column('RUNNING', least=12, optional=True),
        Column('COMMAND', least=12, optional=True),
        Column('BY', optional=True),
    ]
    rows = [
        [
            one.short,
            ago(max(0.0, now - one.since)),
            f'{one.ended:,} of {one.total:,}',
            ', '.join(some([one_line(doing.stage) + (' (waiting)' if doing.waits else '') for doing in one.stages], NAMES)),
            value(' '.join(one.command)),
            one_line(f'{one.who}, {one.host}'.strip(', ')),
        ]
        for one in reversed(runs)
    ]
    return [Line(text) for text in table(head, rows, columns)]


def cancelled_lines(run: str, report: Report, groups: Groups, seconds: float) -> list[Line]:
    """What was ended by it, and what stays."""
    if report.ended != 'interrupted':
        return [Line(f'Run {run} had ended by itself: {report.ended}.')]

    def names(state: State) -> list[str]:
        return [name for name, one in report.settled.items() if one.state is state]

    stopped, done, missed = names(State.INTERRUPTED), names(State.DONE) + names(State.RESTORED), names(State.SKIPPED)
    parts = [f'{plural(len(stopped), "stage")} stopped ({", ".join(some(fold(stopped, groups), NAMES))})'] if stopped else []
    parts += [f'{len(done):,} done'] if done else []
    parts += [f'{len(missed):,} not started'] if missed else []
    return [
        Line(f'Cancelled run {run}: {", ".join(parts) or "nothing ran"}, in {show_seconds(seconds)}.', 'Cancelled'),
        Line('What is done is recorded; what was stopped has its outputs of before. To go on: mlops run'),
    ]
