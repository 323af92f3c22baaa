"""Follows a run of another process, by the file that it writes, and stops it: the same screen, the same end, the same code."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mlops_cli.cli.console import Line, one_line, say
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.words import some
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, RunFailed, RunStopping, StageEnded, StageRetried, StageStarted
from mlops_cli.core.units import plural
from mlops_cli.run import live
from mlops_cli.run.live import Live
from mlops_cli.run.logs import is_going_on
from mlops_cli.run.progress import Watch
from mlops_cli.run.recorder import PRINTED, folder_of
from mlops_cli.run.replay import Follower
from mlops_cli.run.report import Report
from mlops_cli.run.stopping import Target
from mlops_cli.run.workbench import Workbench

PAUSE = 0.1  # seconds between looks at a file that grows
SOON = 0.01  # and at a run of which only its process has still to let go
PATIENCE = 1.5  # seconds until it is told what a run waits for


def pick(runs: Sequence[Live], word: str) -> Live | None:
    """The run that is meant by an id or the beginning of one; without a word the only one.  Raises UserError for several."""
    meant = [one for one in runs if not word or word == one.run]
    meant = meant or [one for one in runs if one.short.startswith(word.lower()) or one.run.startswith(word)]
    if len(meant) > 1:
        names = ', '.join(one.short for one in meant)
        what = f'"{word}" may be any of {len(meant)} runs that go on here' if word else f'{len(meant)} runs go on here'
        raise UserError(f'{what}: {names}', hint=f'name one, such as {meant[-1].short}')
    return meant[0] if meant else None


def past_run(bench: Workbench, word: str) -> str | None:
    """The id of a run that is over and has its folder here still.  Raises UserError for several."""
    known = live.known(bench.root)
    meant = [run for run in known if word in (run, run.partition('-')[2])]
    meant = meant or [run for run in known if run.startswith(word) or run.partition('-')[2].startswith(word.lower())]
    if len(meant) > 1:
        raise UserError(f'"{word}" may be any of {len(meant)} runs', hint='give more of the id')
    return meant[0] if meant else None


def follow(bench: Workbench, run: str, screen: RunScreen) -> Report:
    """Shows a run until it has ended, by when no command takes it for one that goes on; what came of it.

    Raises UserError for what gave it up, and if its process died."""
    watch, failed = Watch(bench.root, bench.redact), None
    with Follower(bench.root, run) as follower:
        while True:
            going_on = is_going_on(bench.root, run)  # asked before it is read, so that the last lines are not missed
            for at, event in follower.poll():
                failed = _listen(event, at, screen, watch) or failed
            if follower.damaged:
                say(Line(f'note: {plural(follower.damaged, "line")} of what this run wrote cannot be read', 'note:'))
                follower.damaged = 0
            if not going_on:
                if failed is None and follower.report is not None:
                    return follower.report
                raise failed or died(bench, run, follower)
            for found in watch.look(time.monotonic()):
                screen.listen(found)
            time.sleep(SOON if failed or follower.report else PAUSE)


def _listen(event: Event, at: float, screen: RunScreen, watch: Watch) -> UserError | None:
    """What gave the run up, if that is what is told."""
    screen.listen(event, max(0.0, time.time() - at))
    match event:
        case StageStarted():
            watch.begin(event.stage, event.progress, at)
        case StageEnded() | StageRetried():
            watch.end(event.stage)
        case RunFailed():
            message = f'run {event.run.partition("-")[2]} was given up: {event.message}'
            return UserError(message, hint=event.hint, exit_code=exit_code(event.exit_code))
        case _:
            pass
    return None


def exit_code(number: int) -> ExitCode:
    """One of ours; what a damaged file says may be none."""
    return ExitCode(number) if number in set(ExitCode) else ExitCode.FAILED


def died(bench: Workbench, run: str, follower: Follower) -> UserError:
    """The words for a run whose process is gone and left no end."""
    short, first = run.partition('-')[2], follower.first
    who = f' ({first.get("pid")} on {first.get("host")})' if first else ''
    printed = f'{folder_of(run)}/{PRINTED}'
    status = bench.root.stat(printed)
    words = f'; {printed} has its last words' if status is not None and status.st_size else ''
    return UserError(
        f'run {short} died: its process{who} is gone and did not say how it ended',
        hint=f'the next mlops run puts back what it left and goes on{words}',
        exit_code=ExitCode.FAILED,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run ended that was asked to.  ``report`` None: it left none, and ``message`` says what is known."""

    seconds: float
    report: Report | None = None
    message: str = ''


def ask_to_stop(bench: Workbench, one: Live, *, now: bool) -> Asked:
    """Asks the process of a run to stop, and waits until it has ended.  ``now``: its stages get no time to end well.

    One that is stopping already is not asked again, except with ``now``.  Raises UserError where it may not be asked."""
    began, told = time.monotonic(), False
    message, level, asked = '', 0, 0
    with Follower(bench.root, one.run) as follower, Target(bench.root, one) as target:
        while True:
            over = target.wait(0.0)  # asked before it is read, so that the last lines are not missed
            for _, event in follower.poll():
                if isinstance(event, RunStopping):
                    level = max(level, event.level)
                elif isinstance(event, RunFailed):
                    message = event.message
            if over:
                break
            if level < (2 if now else 1) and asked <= level:  # each time it has heard the one before
                target.ask()
                asked = level + 1
            if not told and time.monotonic() - began >= PATIENCE:
                told = True
                _tell_patience(bench, one, now=now)
            target.wait(PAUSE)
        seconds = time.monotonic() - began
        if follower.report is None and not message:
            message = died(bench, one.run, follower).message
        return Asked(seconds, follower.report, message)


def _tell_patience(bench: Workbench, one: Live, *, now: bool) -> None:
    found = live.read(bench.root, one.run)
    names = ', '.join(some([one_line(doing.stage) for doing in found.stages], 4)) if found else ''
    more = '' if now else f'  (at once: mlops runs cancel {one.short} --now)'
    say(Line(f'stopping: waiting for {names or "what is being stored"} to end{more}', 'stopping'))
