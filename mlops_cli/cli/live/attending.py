"""What ``mlops runs attach`` and ``cancel`` do about runs that go on, of this terminal or another."""

from __future__ import annotations

import sys
import time
from typing import Any

from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, say, width
from mlops_cli.cli.documents import run_document
from mlops_cli.cli.live.watching import Asked, ask_to_stop, follow, past_run, pick
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.screens.runs_live import cancelled_lines, live_lines
from mlops_cli.cli.wiring import workbench
from mlops_cli.cli.words import ago
from mlops_cli.core import layout
from mlops_cli.core.clock import from_iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.plan.model import Plan
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run import live
from mlops_cli.run.live import Live
from mlops_cli.run.report import Report, Settled
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench

CODES = {'done': ExitCode.DONE, 'interrupted': ExitCode.INTERRUPTED}


def attach(run: str, *, json: bool) -> int:
    """Shows a run that goes on, or the end of one that is over; its exit code.  Raises UserError, OSError."""
    with workbench(tolerant=True) as bench:
        going_on = live.running(bench)
        one = _choose(going_on, run)
        wanted = one.run if one else past_run(bench, run) if run else _last(bench)
        return _watch(bench, wanted, json=json) if wanted else _recorded(bench.runs.find(run), json=json)


def _last(bench: Workbench) -> str:
    """The run that ended last: who begins one and then attaches may come too late for it.  Raises UserError without any."""
    known = [(status.st_mtime_ns, run) for run in live.known(bench.root) if (status := live.stat_events(bench.root, run))]
    if not known:
        raise UserError('no run goes on here, and none is remembered', hint='mlops run --detach begins one')
    _, last = max(known)
    say(Line(f'no run goes on here; this is how run {last.partition("-")[2]} ended:'))
    return last


def _watch(bench: Workbench, run: str, *, json: bool) -> int:
    report: Report | None = None
    with RunScreen(bench, silent=json) as screen:
        try:
            report = follow(bench, run, screen)
        except KeyboardInterrupt:
            screen.leave()
        else:
            print_json(_attached(report)) if json else screen.finish(report)
    if report is None:
        short = run.partition('-')[2]
        say(Line(f'Run {short} goes on without you.  (mlops runs cancel {short} stops it, mlops runs attach {short} shows it)'))
        return ExitCode.INTERRUPTED
    return report.exit_code


def _attached(report: Report) -> dict[str, Any]:
    return {**run_document(report), 'schema': 'mlops/runs-attach/v1', 'exit_code': int(report.exit_code)}


def _choose(runs: tuple[Live, ...], word: str) -> Live | None:
    """Raises UserError; of several, they are shown first."""
    try:
        return pick(runs, word)
    except UserError:
        for line in live_lines(runs, time.time(), width(sys.stderr)):
            say(line)
        raise


def _recorded(run: Run, *, json: bool) -> int:
    """A run of which there is no more here than its record."""
    code = CODES.get(run.ended, ExitCode.FAILED)
    if json:
        settled = {one.name: _settled(one) for one in run.stages}
        report = Report(Plan('', ()), settled, run.seconds, run, run.saved_seconds, run.ended, record=layout.run_record(run.id))
        print_json({**run_document(report), 'schema': 'mlops/runs-attach/v1', 'exit_code': int(code)})
    else:
        when = ago(max(0.0, time.time() - from_iso(run.started) - run.seconds))
        out(f'Run {run.short} ended {when}: {one_line(run.ended)}.  (mlops runs show {run.short})')
    return code


def _settled(one: StageRun) -> Settled:
    return Settled(one.name, State(one.state), one.seconds, usage=one.usage, exit_code=one.exit_code)


def cancel(run: str, *, now: bool, json: bool) -> int:
    """Stops a run and waits until it has ended.  Raises UserError, OSError."""
    with workbench(tolerant=True) as bench:
        one = _choose(live.running(bench), run)
        if one is None:
            raise _not_running(bench, run)
        try:
            asked = ask_to_stop(bench, one, now=now)
        except KeyboardInterrupt:
            say(Line(f'Run {one.short} was asked to stop, and goes on stopping.  At once: mlops runs cancel {one.short} --now'))
            return ExitCode.INTERRUPTED
        if json:
            print_json(_cancelled(one, asked))
        elif asked.report is not None:
            out_lines(cancelled_lines(one.short, asked.report, bench.pipeline.groups, asked.seconds))
        else:
            out(f'Run {one.short} ended: {one_line(asked.message)}')
    return ExitCode.DONE


def _not_running(bench: Workbench, word: str) -> UserError:
    if not word:
        return UserError('no run goes on here: there is nothing to cancel', hint='mlops runs list shows those that were')
    known = past_run(bench, word)
    short = known.partition('-')[2] if known else bench.runs.find(word).short
    hint = f'mlops runs attach {short} shows how it ended'
    return UserError(f'run {short} does not go on any more: there is nothing to cancel', hint=hint)


def _cancelled(one: Live, asked: Asked) -> dict[str, Any]:
    report = asked.report

    def names(state: State) -> list[str]:
        return [name for name, settled in report.settled.items() if settled.state is state] if report else []

    return {
        'schema': 'mlops/runs-cancel/v1',
        'run': one.run,
        'cancelled': report is not None and report.ended == 'interrupted',
        'ended': report.ended if report else 'killed',
        'seconds': round(asked.seconds, 3),
        'interrupted': names(State.INTERRUPTED),
        'done': names(State.DONE) + names(State.RESTORED),
        'skipped': names(State.SKIPPED),
        'message': asked.message,
    }
