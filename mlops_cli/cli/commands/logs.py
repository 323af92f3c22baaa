"""``mlops logs``."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, plain, print_json, say
from mlops_cli.cli.screens.logs import heading
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import StageProgress
from mlops_cli.plan.select import matching
from mlops_cli.run import live, progress
from mlops_cli.run.logs import logs_of, runs_with_logs
from mlops_cli.run.printed import Log, Stories, Story, awaited, find_logs, log_file
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.INTERRUPTED)
PIECE = 1 << 16  # bytes of a line that are held at once
PAUSE = 0.1  # seconds between looks at a log that grows


def command(
    stage: Annotated[str, options.Argument(metavar='STAGE', help='A stage, an instance, or a glob.')],
    run: Annotated[
        str, options.Option('--run', metavar='ID', help='Of this run, every attempt. Default: the last attempt that was begun.')
    ] = '',
    lines: Annotated[
        int, options.Option('--lines', '-n', metavar='N', min=0, show_default=False, help='Only the last N lines.')
    ] = 0,
    follow: Annotated[
        bool, options.Option('--follow', '-f', help='Go on while the stage runs; of one that is still to run, wait for it.')
    ] = False,
    raw: Annotated[bool, options.Option('--raw', help='The bytes as they came, control characters too.')] = False,
    json: options.Json = False,
) -> int:
    """What a stage printed, both streams, as it came; made safe for terminals.

    Example:  mlops logs train@forest-2 --lines 50
    """
    with workbench(tolerant=True) as bench, Stories(bench) as stories:
        names = _stages(bench, stories, stage)
        waited, prints = _wait(bench, stories, names, run) if follow and not json else ('', True)
        if not prints:
            return 0
        logs = [log for name in names for log in find_logs(bench, stories, name, run or waited)]
        if not logs:
            raise _nothing(bench, names, run)
        if json:
            print_json({'schema': 'mlops/logs/v1', 'rows': [_document(bench, log, lines) for log in logs]})
            return 0
        printer = _Printer(bench, lines, raw, several=len(logs) > 1)
        running = [log for log in logs if follow and log.attempt.state == 'running']
        for log in logs:
            if log not in running:
                printer.show(log)
        printer.follow(running)
    return 0


def _stages(bench: Workbench, stories: Stories, word: str) -> tuple[str, ...]:
    """The stages that are meant; also one that the pipeline has no more, or cannot tell of, if there are logs of it."""
    try:
        return matching(bench.pipeline, *output_words(bench, [word]))
    except UserError:
        if any(logs_of(bench.root, run, word) for run in runs_with_logs(bench.root)) or find_logs(bench, stories, word):
            return (word,)
        raise


def _wait(bench: Workbench, stories: Stories, names: Sequence[str], run: str) -> tuple[str, bool]:
    """Until a run that goes on has come to the one stage that is meant, if it is still to come: (the run, or '', whether there
    is anything to print).  That there is not is told: of such a run there may be no record yet to ask."""
    if len(names) != 1 or run:
        return '', True
    name = names[0]
    going_on = [one.run for one in live.running(bench)]
    if (found := awaited(stories, going_on, name)) is None:
        return '', True
    say(Line(f'waiting for {one_line(name)} to begin in run {found.partition("-")[2]}', 'waiting'))
    story = stories.of(found)
    while not story.has_log(name, 1) and not story.is_over(name):
        time.sleep(PAUSE)
        story.look()
    printed = story.has_log(name, 1)
    if not printed:
        state = story.ended[name].state if name in story.ended else 'not run: the run is over'
        say(Line(f'{one_line(name)} was {one_line(state)}, so it printed nothing'))
    return found, printed


def _nothing(bench: Workbench, names: tuple[str, ...], run: str) -> UserError:
    what = one_line(names[0]) if len(names) == 1 else f'any of {len(names)} stages'
    hint = 'logs are kept on the machine that ran the stage, and in the store with its result'
    if run:
        return UserError(f'no log of {what} in run {run}', hint=f'mlops runs show {run} tells what ran then')
    return UserError(f'no log of {what}', hint='it has not run yet: mlops run' if not any(bench.runs.ids()) else hint)


def shown(file: IO[bytes], *, hold: bool = False) -> Iterator[str]:
    """Lines made safe, of a log of any size; of a line drawn again and again, as progress bars do, the last drawing.

    ``hold``: leave a last line that has no end yet for the next time."""
    carried, begin = '', file.tell() if hold else 0
    while piece := file.readline(PIECE):
        text = piece.decode('utf-8', 'replace')
        whole = text.endswith('\n')
        drawn = text.rstrip('\r\n') if whole else text
        last = drawn.rpartition('\r')[2] if '\r' in drawn else carried + drawn
        if whole or len(last) >= PIECE:
            yield plain(last)
            carried, begin = '', file.tell() if hold else 0
        else:
            carried = last
    if carried and hold:
        file.seek(begin)
    elif carried:
        yield plain(carried)


class _Printer:
    """Prints logs one after the other, then those that grow, as they do.  ``several``: each has a heading among the lines; a
    single one has it beside them."""

    def __init__(self, bench: Workbench, lines: int, raw: bool, *, several: bool) -> None:
        self.bench, self.lines, self.raw, self.several = bench, lines, raw, several
        self.last = ''  # whose lines were printed last

    def show(self, log: Log) -> None:
        with log.open() as file:
            self._heading(log)
            self._copy(file, self.lines, hold=False)

    def _heading(self, log: Log) -> None:
        text = heading(log, time.time(), _progress(self.bench, log))
        first, self.last = not self.last, log.place
        if self.several:
            out(f'{"" if first else chr(10)}==> {text} <==')
        elif not context.current.quiet:
            say(Line(text))

    def _copy(self, file: IO[bytes], lines: int, *, hold: bool) -> None:
        if self.raw and sys.stdout is not None:
            sys.stdout.flush()
            for part in deque(file, lines) if lines else iter(lambda: file.read(PIECE), b''):
                sys.stdout.buffer.write(part)
        else:
            for line in deque(shown(file, hold=hold), lines) if lines else shown(file, hold=hold):
                out(line, foreign=True)
        if sys.stdout is not None:
            sys.stdout.flush()

    def follow(self, logs: Sequence[Log]) -> None:
        """Until each of the stages has ended; a further attempt has a log of its own, which is followed too."""
        with ExitStack() as stack:
            stories = {run: stack.enter_context(Story(self.bench, run)) for run in {log.run for log in logs}}
            tails = [_Tail(log, stack.enter_context(log.open())) for log in logs]
            for tail in tails:
                self._heading(tail.log)
                self._copy(tail.file, self.lines, hold=True)
            while tails:
                for story in stories.values():
                    story.look()  # before it is read, so that what was printed last is not missed
                tails = [further for tail in tails if (further := self._go_on(tail, stories[tail.log.run], stack)) is not None]
                if tails:
                    time.sleep(PAUSE)

    def _go_on(self, tail: _Tail, story: Story, stack: ExitStack) -> _Tail | None:
        """Prints what is new; what is to be followed from here."""
        log = tail.log
        number = log.attempt.number
        is_further = story.has_log(log.stage, number + 1)
        over = story.is_over(log.stage) or is_further
        if tail.has_more(whole=over):
            if self.last != log.place:
                self._heading(log)
            self._copy(tail.file, 0, hold=not over)
        if is_further:
            further = log_file(self.bench, story, log.stage, number + 1)
            self.several = True  # from here on the lines are of several attempts
            self._heading(further)
            made = _Tail(further, stack.enter_context(further.open()))
            self._copy(made.file, 0, hold=True)
            return self._go_on(made, story, stack) if story.is_over(log.stage) else made
        if over and not context.current.quiet:
            say(Line(heading(log_file(self.bench, story, log.stage, number), time.time())))
        return None if over else tail


class _Tail:
    """A log that grows, open where it was read to."""

    def __init__(self, log: Log, file: IO[bytes]) -> None:
        self.log, self.file = log, file

    def has_more(self, *, whole: bool) -> bool:
        """Whether there is a line more; ``whole``: or what of one there is."""
        begin = self.file.tell()
        piece = self.file.readline(PIECE)
        self.file.seek(begin)
        return piece.endswith(b'\n') or len(piece) >= PIECE or (whole and bool(piece))


def _progress(bench: Workbench, log: Log) -> StageProgress | None:
    one = log.attempt
    if one.state != 'running' or not one.progress or one.began is None:
        return None
    return progress.read(bench.root, log.stage, one.progress, one.began, bench.redact)


def _document(bench: Workbench, log: Log, lines: int) -> dict[str, Any]:
    with log.open() as file:
        found = list(deque(shown(file), lines) if lines else shown(file))
    one, said = log.attempt, _progress(bench, log)
    return {
        'stage': log.stage,
        'run': log.run,
        'attempt': one.number,
        'state': one.state,
        'began': None if one.began is None else iso(one.began),
        'seconds': one.seconds,
        'exit_code': one.exit_code,
        'progress': dict(said.figures) if said else {},
        'place': log.place,
        'lines': found,
    }
