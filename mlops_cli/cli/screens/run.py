"""What a person sees of a run: a line per stage as it ends, what runs now where a terminal watches, the failure, the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from mlops_cli.cli import context, unchanged
from mlops_cli.cli.console import Line, cells, height, hung_up, one_line, out, plain, say, terminal, width
from mlops_cli.cli.quick.form import open_moment
from mlops_cli.cli.quick.learn import keep
from mlops_cli.cli.screens import run_lines
from mlops_cli.cli.screens.run_board import Board
from mlops_cli.cli.words import FOLD, Groups, command_line, fold, made, shown_metrics, some
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import (
    Event,
    Note,
    RunStarted,
    RunStopping,
    StageEnded,
    StageQueued,
    StageRetried,
    StageStarted,
    StageWaiting,
)
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_seconds
from mlops_cli.pipeline.spec import Command, Stage
from mlops_cli.run.logs import last_line
from mlops_cli.run.report import Report
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.results import outputs_digest

if TYPE_CHECKING:
    from mlops_cli.cli.console.moving import Moving
    from mlops_cli.cli.uncommitted import Uncommitted

TICK = 0.25  # seconds between two drawings
PATIENCE = 0.4  # seconds until something moves: what is faster needs no watching
HEARTBEAT = 60.0  # seconds between lines in a log where nothing else is said
SHOWN_FAILURES = 3


class RunScreen:
    """Listens to a run.  ``silent``: shows nothing (machine output was asked for).  ``interrupted``: how often it was asked
    to stop.  ``unseen``: nobody watches, whatever the streams are now.  ``clock``: monotonic seconds."""

    def __init__(
        self,
        bench: Workbench,
        *,
        silent: bool = False,
        interrupted: Callable[[], int] = lambda: 0,
        unseen: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bench, self.interrupted, self.clock = bench, interrupted, clock
        self.silent, self.quiet, self.verbose = silent, context.current.quiet, context.current.verbose
        self.groups: Groups = bench.pipeline.groups
        self.unseen = unseen
        self.columns = width(sys.stdout) if terminal(sys.stdout) and not unseen else None
        widest = max((cells(one_line(name)) for name in bench.pipeline.stages), default=8)
        self.names = min(run_lines.NAMES if not self.columns else max(16, self.columns * 3 // 8), widest)
        self.board = Board()
        self.failures: list[StageEnded] = []
        self.restored: list[StageEnded] = []
        self.held: Mapping[str, ObjectRef] = {}
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.thread: threading.Thread | None = None
        self.moving: Moving | None = None
        self.watched = terminal(sys.stderr) and not unseen
        self.deaf = self.told_stopping = False
        self.last_line = clock()

    def __enter__(self) -> RunScreen:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        if kind is not None and self.board.ended and not self.silent:
            say(f'{self.board.counts()[2:]}; what is done is recorded')

    # While it runs

    def listen(self, event: Event, ago: float = 0.0) -> None:
        """Takes an event of the run; called from the thread that runs it.  ``ago``: seconds since it happened."""
        if self.silent:
            return
        with self.lock:
            self.board.listen(event, self.clock() - ago)
            match event:
                case RunStarted():
                    self._started(event)
                case StageStarted() if self.verbose:
                    command = command_line(self._stage(event.stage).command)
                    self._tell(Line(f'  {"started":<9} {one_line(event.stage)}  {command}'))
                case StageQueued() if self.verbose and self.moving is None:
                    self._tell(run_lines.queued(event))
                case StageEnded():
                    self._ended(event)
                case StageWaiting():
                    self._tell(run_lines.waiting(event))
                case StageRetried():
                    again = f'attempt {event.attempt + 1} of {event.most}'
                    self._tell(Line(f'note: {event.stage}: {event.message}: {again}', 'note:'))
                case Note():
                    self._tell(Line(f'note: {event.stage + ": " if event.stage else ""}{event.text}', 'note:'))
                case RunStopping():
                    self._say_stopping()
                case _:
                    pass

    def _stage(self, name: str) -> Stage:
        """As the pipeline has it; whoever follows a run may have another pipeline by now."""
        found = self.bench.pipeline.stages.get(name)
        return found if found is not None else Stage(name, name.partition('@')[0], Command('shell', ()))

    def _started(self, event: RunStarted) -> None:
        self.held = dict(event.held)
        for line in run_lines.started(event, self.columns or width()):
            self._print(line)
        if not self.quiet and not self.unseen:
            self.thread = threading.Thread(target=self._watch, name='screen', daemon=True)
            self.thread.start()

    def _ended(self, event: StageEnded) -> None:
        state = State(event.state)
        if state is State.RESTORED and not event.notes:
            self.restored.append(event)
            return
        if state is State.FRESH:
            return  # told at the end, all in one line
        self._flush_restored()
        if state is State.FAILED:
            self.failures.append(event)
        if self.quiet and state.good:
            return
        line = run_lines.ended(event, self._parts(event), self.names, self.columns)
        self._print(line, always=state is State.FAILED)
        if self.verbose and (used := run_lines.usage(event)):
            self._print(Line(f'{"":<12}{used}'))
        for note in event.notes if state is not State.FAILED else ():
            self._tell(Line(f'{"":<12}note: {one_line(note)}', 'note:'))

    def _parts(self, event: StageEnded) -> list[str]:
        state = State(event.state)
        if not state.good:
            from mlops_cli.cli.screens.failure import message

            return [message(event)]
        stage = self._stage(event.stage)
        parts = made(stage, event.outputs, event.metrics, self._before(stage, event), self.bench.store)
        if not parts and event.log:
            parts = [line] if (line := self._last_line(event.log).strip()) else []
        if state is State.RESTORED and event.seconds >= 1:
            parts.append(f'saved {show_seconds(event.seconds)}')
        return parts

    def _before(self, stage: Stage, event: StageEnded) -> dict[tuple[str, str], float | int]:
        """The metrics of the state that the workspace held when the run began."""
        found: dict[tuple[str, str], float | int] = {}
        files = {file for file, _, _ in shown_metrics(stage, event.metrics)} & self.held.keys()
        for pin in self.bench.pins.of_stage(stage.name) if files else ():
            made_then = dict(pin.outputs)
            for file, name, value in pin.metrics:
                if file in files and made_then.get(file) == self.held[file]:
                    found[file, name] = value
        return found

    def _last_line(self, log: str) -> str:
        return plain(last_line(self.bench.root, log))

    def _flush_restored(self) -> None:
        """Restored stages one after the other share a line per group, so that a thousand do not flood the screen."""
        events, self.restored = self.restored, []
        by_group: dict[str, list[StageEnded]] = {}
        for event in events:
            by_group.setdefault(self._stage(event.stage).group, []).append(event)
        for members in by_group.values():
            if self.quiet:
                continue
            if len(members) < FOLD or self.verbose:
                for event in members:
                    self._print(run_lines.ended(event, self._parts(event), self.names, self.columns))
                continue
            text = ', '.join(fold([event.stage for event in members], self.groups))
            saved = sum(event.seconds for event in members)
            whole = f', {len(members):,} instances' if text.endswith('@*') else ''
            self._print(run_lines.restored_group(text + whole, saved, self.columns))

    # What moves

    def _watch(self) -> None:
        """In a thread of its own: draws what runs, or says once a minute what does."""
        began = self.clock()
        while not self.over.wait(TICK if self.watched else 1.0):
            now = self.clock()
            if self.watched and self.moving is None and now - began >= PATIENCE:
                self._start_moving()
            with self.lock:
                long_ones = self.board.long_ones(now) if self.moving else []
            last = {one.stage: self._last_line(one.log) for one in long_ones if one.progress is None}
            with self.lock:
                if self.over.is_set():
                    return
                self._flush_restored()
                if self.interrupted():
                    self._say_stopping()
                if self.moving is not None:
                    self._draw(now, last)
                elif now - self.last_line >= HEARTBEAT and (text := self.board.heartbeat(now)):
                    self._tell(Line(text))

    def _say_stopping(self) -> None:
        """Once; as soon as it is asked, where that is here."""
        if self.told_stopping:
            return
        self.told_stopping = True
        running = plural(len(self.board.running), 'stage')
        more = 'once more to end them at once' if self.interrupted() else 'mlops runs cancel --now ends them at once'
        self._tell(Line(f'stopping: {running} being ended; {more}', 'stopping'))

    def _start_moving(self) -> None:
        from mlops_cli.cli.console.moving import Moving

        with self.lock:
            if not self.over.is_set():
                try:
                    self.moving = Moving(sys.stderr)
                except OSError:  # the terminal is gone; the run goes on
                    self.watched = False

    def _draw(self, now: float, last: Mapping[str, str]) -> None:
        assert self.moving is not None
        columns = width(sys.stderr)
        lines = self.board.lines(now, columns - 1, height(sys.stderr) - 2, last, self.names)
        try:
            self.moving.show(lines)
        except OSError:  # the terminal is gone; the run goes on
            self.moving, self.watched = None, False

    def _stop(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.moving is not None:
            with suppress(OSError):  # the terminal is gone, with all that moved on it
                self.moving.close()
            self.moving = None
        self._flush_restored()

    # Lines that stay

    def _print(self, line: Line | str = '', *, always: bool = False) -> None:
        """A line of data.  A reader that went away, or a full disk, does not end the run.  ``always``: also with --quiet."""
        line = line if isinstance(line, Line) else Line(line)
        if self.deaf or (self.quiet and not always):
            return
        self.last_line = self.clock()
        if self.columns is not None and self._above(line):
            return
        try:
            out(line)
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:
            self.deaf = True
            hung_up()
            if not isinstance(error, BrokenPipeError):
                self._tell(Line(f'note: what a run prints cannot be written any more ({error.strerror}); it goes on', 'note:'))

    def _tell(self, line: Line) -> None:
        if self.quiet:
            return
        self.last_line = self.clock()
        if not self._above(line):
            say(line)

    def _above(self, line: Line) -> bool:
        """Prints above what moves; False where nothing does, or not any more since the terminal is gone."""
        if self.moving is None:
            return False
        try:
            self.moving.print(line)
        except OSError:
            self.moving, self.watched = None, False
            return False
        return True

    # The end

    def leave(self) -> None:
        """The run goes on; what moves here goes away."""
        self._stop()

    def finish(self, report: Report) -> None:
        """The last lines, once the run is over."""
        self._stop()
        if report.run is None:
            self._nothing_to_do(report)
            return
        columns, failed = self.columns or width(), [event.stage for event in self.failures]
        for line in (
            *run_lines.made_meanwhile(report, self.groups, columns),
            *run_lines.cut_short(report, self.groups, columns),
            *run_lines.skipped(report, failed, self.groups, columns),
        ):
            self._print(line)
        self._say_failures(report, columns)
        if len(failed) > SHOWN_FAILURES:
            names = some(list(map(one_line, failed[SHOWN_FAILURES:])), 8)
            self._print(always=True)
            self._print(f'Failed too: {", ".join(names)} (mlops logs STAGE)', always=True)
        word = 'failed' if failed else 'stopped' if report.ended == 'interrupted' else 'done'
        self._print(Line(run_lines.summary(report), word), always=bool(failed))
        self._what_next(report)

    def _say_failures(self, report: Report, columns: int) -> None:
        if not self.failures:
            return
        from mlops_cli.cli.screens.failure import failure

        for event in self.failures[:SHOWN_FAILURES]:
            self._print(always=True)
            stage = self._stage(event.stage)
            for line in failure(event, stage, report.steps.get(event.stage), columns):
                self._print(line, always=True)

    def _nothing_to_do(self, report: Report) -> None:
        steps = report.plan.steps
        held = {one.stage: (one.manifest.digest, outputs_digest(one.outputs).hex[:8]) for one in steps if one.manifest}
        last = self.bench.runs.last_of_workspace(held).partition('-')[2]
        self._print(run_lines.up_to_date(len(report.settled), show_seconds(report.seconds), last))
        if not self.quiet and (text := unchanged.note(unchanged.cosmetic(self.bench, report.plan))):
            self._tell(Line(f'note: {text}', 'note:'))
        keep(self.bench, report.plan, 'run', [Line(run_lines.up_to_date(len(report.settled), open_moment(), last))])
        if report.ignored:
            self._what_next(report)

    def _what_next(self, report: Report) -> None:
        if report.ended == 'interrupted':
            self._print('To go on: mlops run')
        elif self.failures:
            for line in run_lines.to_fix(report, self.groups, self.columns or width()):
                self._print(line)
        elif report.run is not None and report.run.overlay:
            self._print(f'The workspace is as it was. To take this over: mlops runs apply {report.run.short}')
        elif (report.pins or report.ignored) and not self.quiet:
            lacking = to_keep(self.bench)
            if lacking.data:
                self._print(run_lines.track_it(_elsewhere(self.bench), lacking.data))
            if lacking.to_add:
                self._print(run_lines.keep_it(_elsewhere(self.bench), lacking.to_add))


def to_keep(bench: Workbench) -> Uncommitted:
    """What git does not have as it is: records, the pipeline, and what stages use."""
    from mlops_cli.cli.uncommitted import NOTHING, recorded, uncommitted

    try:
        return uncommitted(bench, recorded(bench))
    except UserError:  # an input that cannot be read by now: the run has said what there is to say
        return NOTHING


def _elsewhere(bench: Workbench) -> str:
    """The project's folder, where the user does not stand in it."""
    return context.elsewhere(bench.root.path)
