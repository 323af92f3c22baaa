"""Runs a request under the eyes of a screen: signals are counted, events are shown and, if asked, written down."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TextIO

from mlops_cli.cli.console import print_json
from mlops_cli.cli.quick.learn import forget
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.classes import replace
from mlops_cli.core.collector import collector_again, without_collector
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import Event, RunStarted
from mlops_cli.core.paths import inside
from mlops_cli.fsio.paths import Root
from mlops_cli.run.invoke import Report, Request, execute
from mlops_cli.run.workbench import Workbench

# What the end of a run may need: loaded when it begins, as another version may be installed while it goes on.
LATER = ('mlops_cli.cli.screens.failure', 'mlops_cli.cli.uncommitted', 'mlops_cli.cli.documents')


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
    """While it lasts INT, TERM and HUP are counted, not obeyed; the run ends what runs and records it.  What was ignored, as
    nohup has it, stays so."""
    found = Interruptions()
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    old = {number: signal.signal(number, found.take) for number in numbers}
    try:
        yield found
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def perform(
    bench: Workbench,
    request: Request,
    *,
    silent: bool,
    then: Callable[[Report, RunScreen], None],
    events: str = '',
    begun: Callable[[RunStarted], None] | None = None,
    unsaid: Callable[[Event], bool] = lambda _: False,
) -> int:
    """Runs it; the exit code.  ``then``: told the report, before the end is reached.  ``events``: a file that takes one JSON
    document a line while it happens.  ``begun``: of a run that nobody watches, told before anything is said of it.
    ``unsaid``: events that the screen is not told of."""
    with (
        signals() as asked,
        RunScreen(bench, silent=silent, interrupted=asked.level, unseen=begun is not None) as screen,
        _writer(events, bench.root) as write,
    ):

        def emit(event: Event) -> None:
            write(event)
            if isinstance(event, RunStarted):
                for name in LATER:
                    import_module(name)
                forget()
                collector_again()
            if begun is not None and isinstance(event, RunStarted):
                begun(event)
            if not unsaid(event):
                screen.listen(event)

        report = execute(
            bench,
            request,
            emit=emit,
            now=time.time,
            clock=time.monotonic,
            random_bytes=os.urandom(16),
            interrupted=asked.level,
            stopped_by=lambda: asked.signal if asked.signal != signal.SIGINT else 0,
            detached=begun is not None,
        )
        then(report, screen)
    return report.exit_code


def perform_request(
    request: Request,
    assignments: Sequence[str],
    events: str,
    *,
    json: bool,
    begun: Callable[[RunStarted, int], None] | None = None,
) -> int:
    """Runs it and shows it; the exit code.  ``begun``: of a run that leaves its terminal, told with the descriptor of the file
    that takes what it prints from then on."""
    with without_collector(), workbench(assignments, learns=not begun) as bench:

        def then(report: Report, screen: RunScreen) -> None:
            if json:
                from mlops_cli.cli.documents import run_document

                print_json(run_document(report))
            else:
                screen.finish(report)

        def leave(event: RunStarted) -> None:
            from mlops_cli.run.recorder import printed_file

            assert begun is not None
            begun(event, printed_file(bench.root, event.run))

        request = replace(request, stages=output_words(bench, request.stages))
        with _looking_up(bench) as looking:
            return perform(looking, request, silent=json, then=then, events=events, begun=leave if begun else None)


@contextmanager
def _looking_up(bench: Workbench) -> Iterator[Workbench]:
    """The same, with what a remote has where somebody has said that it is to be asked.  Raises UserError."""
    if not bench.config.cache_remote:
        yield bench
        return
    from mlops_cli.cli.sharing import looking_elsewhere

    with looking_elsewhere(bench) as looking:
        yield looking


def _open(path: str, project: Root) -> int:
    """Raises UserError (exit 5) for a link inside the project, OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    target = os.path.abspath(path)
    if inside(target, project.path):
        return project.open(os.path.relpath(target, project.path), flags, 0o666)
    return os.open(target, flags, 0o666)


@contextmanager
def _writer(path: str, project: Root) -> Iterator[Callable[[Event], None]]:
    """Writes events to a file, each at once; to nothing where no file is named.  Raises UserError, also for a link in the
    project: a branch may have brought it."""
    if not path:
        yield lambda _: None
        return
    try:
        opened: TextIO = open(_open(path, project), 'w', encoding='utf-8')  # noqa: SIM115 -- closed by the with below
    except OSError as error:
        raise UserError(f'--events {path}: {error.strerror}', hint='name a file that can be written') from error
    import json

    from mlops_cli.core.events import event_document

    with opened:

        def write(event: Event) -> None:
            opened.write(json.dumps(event_document(event, time.time()), ensure_ascii=True, default=str) + '\n')
            opened.flush()

        yield write
