"""``mlops run``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import print_json
from mlops_cli.cli.documents import plan_document, run_document
from mlops_cli.cli.run_screen import RunScreen
from mlops_cli.cli.showing import show_plan
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.invoke import Report, Request, chosen, execute, wishes_of
from mlops_cli.run.outlook import look
from mlops_cli.run.states import State

EXITS = exits.line(ExitCode.REFUSED, ExitCode.LOCK_TIMEOUT, ExitCode.INTERRUPTED, ExitCode.TERMINATED, failed='a stage failed')


class Isolate(StrEnum):
    NONE = 'none'
    FOLDER = 'folder'


def command(
    stages: options.Stages = None,
    jobs: options.Jobs = 0,
    assignments: options.Set = None,
    force: Annotated[bool, typer.Option('--force', '-f', help='Run the named stages (all if none) whatever is known.')] = False,
    no_cache: Annotated[bool, typer.Option('--no-cache', help='Look no result up; results are still stored.')] = False,
    keep_going: Annotated[
        bool, typer.Option('--keep-going', '-k', help='After a failure, go on with what does not need it.')
    ] = False,
    downstream: Annotated[bool, typer.Option('--downstream', help='Also what depends on the named stages.')] = False,
    only: Annotated[bool, typer.Option('--only', help='Just the named stages, not what they need.')] = False,
    isolate: Annotated[
        Isolate | None, typer.Option(help='Run stages in the workspace, or each in a folder of its own.')
    ] = None,
    dry_run: Annotated[bool, typer.Option('--dry-run', '-n', help='Show the plan, run nothing.')] = False,
    lock_timeout: options.LockTimeout = None,
    json: options.Json = False,
) -> int:
    """Bring stages up to date, in parallel, each from cache where possible.

    Example:  mlops run train -j 4        only what train needs, four at once
    """
    request = Request(
        tuple(stages or ()),
        jobs,
        force,
        not no_cache,
        keep_going,
        only,
        downstream,
        str(isolate or ''),
        lock_timeout,
        ('mlops', *sys.argv[1:]),
    )
    with workbench(assignments or ()) as bench:
        if dry_run:
            outlook = look(bench, chosen(bench, request), wishes_of(bench, request))
            print_json(plan_document(outlook.plan, 'run-plan')) if json else show_plan(outlook.plan, bench, jobs)
            return ExitCode.DONE
        with signals() as interrupted, RunScreen(bench, silent=json, interrupted=interrupted.level) as screen:
            report = execute(
                bench,
                request,
                emit=screen.listen,
                now=time.time,
                clock=time.monotonic,
                random_bytes=os.urandom(16),
                interrupted=interrupted.level,
            )
        if json:
            print_json(run_document(report))
        else:
            screen.finish(report)
    return exit_code(report, interrupted.signal)


def exit_code(report: Report, signal_number: int) -> int:
    """Of several causes: interruption first, then a failed stage."""
    if report.ended == 'interrupted':
        return ExitCode.TERMINATED if signal_number == signal.SIGTERM else ExitCode.INTERRUPTED
    return ExitCode.FAILED if report.count(State.FAILED) else ExitCode.DONE


class Interruptions:
    """How often, and by which signal, this command was asked to stop."""

    def __init__(self) -> None:
        self.count = 0
        self.signal = 0

    def level(self) -> int:
        return min(self.count, 2)

    def take(self, number: int, _frame: object) -> None:
        self.count += 1
        self.signal = number


@contextmanager
def signals() -> Iterator[Interruptions]:
    """While it lasts INT, TERM and HUP are counted, not obeyed; the run ends what runs and records it."""
    found = Interruptions()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, found.take) for number in numbers}
    try:
        yield found
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
