"""The lines of a run, from its events and its report.  Values in, lines out; prints nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, wrap
from mlops_cli.cli.words import Groups, fitting, fold, some
from mlops_cli.core.events import RunStarted, StageEnded, StageQueued, StageWaiting
from mlops_cli.core.units import plural, show_joules, show_seconds, show_size
from mlops_cli.plan.model import Verdict
from mlops_cli.plan.sentences import run_name
from mlops_cli.run.invoke import Report
from mlops_cli.run.states import State

TRACKED = 3  # paths in the line about data that nobody keeps
STATES = {State.DONE: 'done', State.RESTORED: 'restored', State.FAILED: 'FAILED', State.INTERRUPTED: 'stopped'}
INDENT = 12  # columns before the text of a line: two blanks, and the state
NAMES = 40  # columns for names, at most
COUNTED = (
    ('failed', State.FAILED),
    ('done', State.DONE),
    ('restored', State.RESTORED),
    ('fresh', State.FRESH),
    ('skipped', State.SKIPPED),
    ('stopped', State.INTERRUPTED),
)


def started(event: RunStarted, columns: int) -> list[Line]:
    """``digits: 5 of 8 stages to run, 3 fresh. 4 jobs, this machine (8 CPUs, 1 GPU)``."""
    every, running = event.total + event.fresh, event.total - event.restore
    stages = f'{running:,} of {plural(every, "stage")}' if running != every else plural(every, 'stage')
    parts = [f'{"up to " if event.open else ""}{stages} to run'] if running else []
    parts += [f'{event.restore:,} in the cache'] if event.restore else []
    parts += [f'{event.fresh:,} fresh'] if event.fresh else []
    parts += ['nothing in cache yet'] if event.first else []
    there = [f'{event.cpus:g} CPU{"" if event.cpus == 1 else "s"}'] if event.cpus else []
    there += [plural(event.gpus, 'GPU')] if event.gpus else []
    here = f'this machine ({", ".join(there)})' if there else 'this machine'
    machine = ', '.join(map(one_line, [*([here] if event.here else []), *event.hosts]))
    text = f'{one_line(event.pipeline)}: {", ".join(parts)}.'
    trial = 'Trial apart from the workspace, ' if event.trial else ''
    how = f'{trial}{plural(event.jobs, "job")}, {machine}'
    about = expected(event.low, event.high)
    whole = f'{text} {how}, {about}' if about else f'{text} {how}'
    lines = [whole] if cells(whole) <= columns else wrap(text, columns) + wrap(whole[len(text) + 1 :], columns)
    return [Line(line) for line in lines]


def expected(low: float | None, high: float | None) -> str:
    """``about 4m10s``, ``about 2m00s to 4m10s``, ``up to about 8.0s``; nothing where it is over soon or not known."""
    if low is None or high is None or high < 5:
        return ''
    whole = show_seconds(round(high))
    if high - low <= 0.25 * high:
        return f'about {whole}'
    return f'about {show_seconds(round(low))} to {whole}' if round(low) >= 1 else f'up to about {whole}'


def ended(event: StageEnded, parts: Sequence[str], names: int, columns: int | None) -> Line:
    """A stage that came to an end.  ``parts``: what it made, or why it failed; ``columns`` None: as long as it gets."""
    state = State(event.state)
    word = STATES.get(state, str(state))
    seconds = '' if state is State.RESTORED else show_seconds(event.seconds)
    head = f'  {word:<9} {pad(one_line(event.stage), names)} {seconds:>7}  '
    text = fitting([one_line(part) for part in parts], max(columns - cells(head), 8) if columns else None)
    return Line(clip((head + text).rstrip(), columns) if columns else (head + text).rstrip(), word)


def waiting(event: StageWaiting) -> Line:
    """A stage that another command holds."""
    so_far = f', {show_seconds(event.seconds)} so far' if event.seconds >= 1 else ''
    text = f'{one_line(event.stage)}: waits for {one_line(event.holder)}{so_far}'
    return Line(f'  {"waiting":<9} {text}', 'waiting')


def queued(event: StageQueued) -> Line:
    """A stage that was handed over and does not run yet, or begins to now."""
    if event.reason:
        return Line(f'  {"waiting":<9} {one_line(event.stage)}: {one_line(event.reason)}', 'waiting')
    return Line(f'  {"started":<9} {one_line(event.stage)} after {show_seconds(event.seconds)} in which it waited', 'started')


def restored_group(text: str, saved: float, columns: int | None) -> Line:
    """Several stages that were restored, in one line."""
    line = f'  {"restored":<9} {text}{f"  saved {show_seconds(saved)}" if saved >= 1 else ""}'
    return Line(clip(line, columns) if columns else line, 'restored')


def skipped(report: Report, failed: Sequence[str], groups: Groups, columns: int) -> list[Line]:
    """The stages that were not started: those that need a failed one, then the others."""
    names = [name for name, one in report.settled.items() if one.state is State.SKIPPED]
    needing = _needing(report.plan.edges, failed, names)
    lines: list[Line] = []
    blocked = [name for name in names if name in needing]
    rest = [name for name in names if name not in needing]
    if blocked:
        verb = 'it needs' if len(blocked) == 1 else 'they need'
        causes = [name for name in failed if any(name in needing[one] for one in blocked)]
        lines += _listed('skipped', blocked, f': {verb} {", ".join(some(fold(causes, groups), 4))}', groups, columns)
    if rest:
        reason = ': not started after the failure (--keep-going would)' if failed else ': not started'
        lines += _listed('skipped', rest, reason, groups, columns)
    return lines


def cut_short(report: Report, groups: Groups, columns: int) -> list[Line]:
    """Stages that did not have to run after all: what they read came out as it was."""
    names = [
        step.stage
        for step in report.plan.steps
        if step.verdict is Verdict.MAYBE and step.stage in report.settled and report.settled[step.stage].state is State.FRESH
    ]
    return _listed('fresh', names, ': what they read came out as it was', groups, columns) if names else []


def made_meanwhile(report: Report, groups: Groups, columns: int) -> list[Line]:
    """Stages that were to run or to be restored, until another command had done it."""
    by_run: dict[str, list[str]] = {}
    for step in report.plan.steps:
        one = report.settled.get(step.stage)
        if step.verdict in (Verdict.RUN, Verdict.RESTORE) and one is not None and one.state is State.FRESH:
            decided = report.steps.get(step.stage)
            by_run.setdefault(decided.run if decided is not None else '', []).append(step.stage)
    lines: list[Line] = []
    for run, names in by_run.items():
        tail = f': made meanwhile by {run_name(run) if run else "another command"}'
        lines += _listed('fresh', names, tail, groups, columns)
    return lines


def _listed(word: str, names: Sequence[str], tail: str, groups: Groups, columns: int) -> list[Line]:
    lines = wrap(', '.join(fold(names, groups)) + tail, max(columns - INDENT, 30))
    return [Line(f'  {"" if index else word:<9} {text}', '' if index else word) for index, text in enumerate(lines)]


def _needing(edges: Mapping[str, Sequence[str]], failed: Iterable[str], names: Sequence[str]) -> dict[str, set[str]]:
    """Skipped stage -> the failed ones that it comes after, however far."""
    causes: dict[str, set[str]] = {name: {name} for name in failed}
    for name in names:  # topological, as the plan is
        found = set().union(*(causes.get(other, set()) for other in edges.get(name, ())))
        if found:
            causes[name] = found
    return {name: causes[name] for name in names if name in causes}


def summary(report: Report) -> str:
    """``1 failed, 1 done, 3 fresh, 3 skipped in 9.4s. Run 7k2p01.``"""
    parts = [f'{report.count(state):,} {word}' for word, state in COUNTED if report.count(state)]
    work = sum(one.seconds for one in report.settled.values() if one.state is State.DONE)
    extra = [f'{show_seconds(work)} of work'] if work > report.seconds * 1.05 else []
    extra += [f'{show_seconds(report.saved_seconds)} saved by the cache'] if report.saved_seconds >= 1 else []
    kept = any(one.state not in (State.FRESH, State.SKIPPED) for one in report.settled.values())  # else there is no record
    run = f' Run {report.run.short}.' if report.run and kept else ''
    more = f' ({", ".join(extra)})' if extra else ''
    return f'{", ".join(parts)} in {show_seconds(report.seconds)}{more}.{run}{_cost(report)}'


def _cost(report: Report) -> str:
    """`` Cost 0.31 EUR.``"""
    if not report.costs:
        return ''
    from mlops_cli.cli.screens.costs import sum_of

    return f' Cost {sum_of(report.costs.values())}.'


def to_fix(report: Report, groups: Groups, columns: int) -> list[str]:
    """What to do after a failure, and what need not be feared.  A command stays in one line, to be copied."""
    done = [name for name, one in report.settled.items() if one.state in (State.DONE, State.RESTORED)]
    stays = f'({", ".join(some(fold(done, groups), 3))} will not run again)' if done else ''
    run = report.run
    command = shlex.join(run.command) if run is not None and run.overlay and run.command else 'mlops run'
    text = f'Fix, then: {one_line(command)}'
    return [f'{text}      {stays}'.rstrip()] if cells(text) + 6 + cells(stays) <= columns else [text, *wrap(stays, columns)]


def keep_it(folder: str, paths: Sequence[str]) -> str:
    """The line that puts the results into git.  ``folder``: where to, empty for here."""
    git = f'git -C {shlex.quote(folder)}' if folder else 'git'
    return f'Keep it: {git} add {" ".join(shlex.quote(path) for path in paths)} && {git} commit'


def track_it(folder: str, paths: Sequence[str]) -> str:
    """The line about data that a clone would lack.  ``folder``: as :func:`keep_it`."""
    mlops = f'mlops -C {shlex.quote(folder)}' if folder else 'mlops'
    return f'Data that nobody keeps yet: {mlops} add {" ".join(shlex.quote(path) for path in paths[:TRACKED])}'


def up_to_date(stages: int, checked: str, last: str) -> str:
    """``Nothing to do: 8 stages are up to date (checked in 0.06s, run 7k2m9q).``"""
    run = f', run {last}' if last else ''
    return (
        f'Nothing to do: {plural(stages, "stage")} {"is" if stages == 1 else "are"} up to date '
        f'(checked in {checked}{run}).'
    )


def usage(event: StageEnded) -> str:
    """What a stage consumed, for those who ask for more."""
    used = event.usage
    parts = [f'cpu {show_seconds(used["cpu_seconds"])}'] if 'cpu_seconds' in used else []
    parts += [f'memory {show_size(used["memory_peak_bytes"])}'] if used.get('memory_peak_bytes') else []
    parts += [f'GPU {show_joules(used["gpu_energy_joules"])}'] if used.get('gpu_energy_joules') else []
    parts += [f'exit {event.exit_code}'] if event.exit_code else []
    return ', '.join(parts)
