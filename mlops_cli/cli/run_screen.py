"""What a person sees of a run: a line per stage as it ends, what runs now where a terminal watches, the failure, the end."""

from __future__ import annotations

from types import TracebackType

from mlops_cli.cli.console import out, say
from mlops_cli.cli.words import count, groups, made, reason
from mlops_cli.core.events import Event, Note, RunStarted, StageEnded, StageStarted, StageWaiting
from mlops_cli.core.units import show_seconds
from mlops_cli.run.invoke import Report
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench

SHOWN = {State.DONE: 'done', State.RESTORED: 'restored', State.FAILED: 'FAILED', State.INTERRUPTED: 'stopped'}


class RunScreen:
    """Listens to a run.  ``silent``: shows nothing (machine output was asked for)."""

    def __init__(self, bench: Workbench, *, silent: bool = False) -> None:
        self.bench = bench
        self.silent = silent
        self.name_width = min(40, max((len(name) for name in bench.pipeline.stages), default=8))
        self.failures: list[StageEnded] = []

    def __enter__(self) -> RunScreen:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def listen(self, event: Event) -> None:
        if self.silent:
            return
        match event:
            case RunStarted():
                fresh = f', {event.fresh} fresh' if event.fresh else ''
                out(f'{event.pipeline}: {count(event.total, "stage")} to run{fresh}. {count(event.jobs, "job")}, this machine')
            case StageEnded():
                self._ended(event)
            case StageWaiting():
                say(f'  waiting   {event.stage}: held by {event.holder}, {show_seconds(event.seconds)}')
            case Note():
                say(f'note: {event.stage + ": " if event.stage else ""}{event.text}')
            case StageStarted() | _:
                pass

    def _ended(self, event: StageEnded) -> None:
        state = State(event.state)
        stage = self.bench.pipeline.stages[event.stage]
        text = made(stage, event.outputs, event.metrics) if state.good else event.message
        if state is State.FAILED:
            self.failures.append(event)
        out(f'  {SHOWN.get(state, state):<9} {event.stage:<{self.name_width}} {show_seconds(event.seconds):>7}  {text}')
        for note in event.notes:
            say(f'            note: {note}')

    def finish(self, report: Report) -> None:
        if report.run is None:
            out(
                f'Nothing to do: {count(len(report.settled), "stage")} {"is" if len(report.settled) == 1 else "are"} up to date '
                f'(checked in {show_seconds(report.seconds)}).'
            )
            return
        skipped = [name for name, one in report.settled.items() if one.state is State.SKIPPED]
        if skipped:
            needed = f': they need {groups(f.stage for f in self.failures)}' if self.failures else ''
            out(f'  skipped   {groups(skipped)}{needed}')
        for failure in self.failures:
            self._failure(failure, report)
        self._summary(report)

    def _failure(self, event: StageEnded, report: Report) -> None:
        stage = self.bench.pipeline.stages[event.stage]
        out()
        out(
            f'{event.stage} failed: {" && ".join(stage.command.words) if stage.command.kind == "shell" else " ".join(stage.command.words)}'
        )
        for line in event.tail:
            out(f'  | {line}')
        step = report.steps.get(event.stage)
        for number, one in enumerate(step.reasons[:3] if step else ()):
            out(f'  {"ran because" if number == 0 else "":<12} {reason(one)}')
        if event.hint:
            out(f'  {"try":<12} {event.hint}')
        if event.log:
            out(f'  {"whole log":<12} mlops logs {event.stage}')

    def _summary(self, report: Report) -> None:
        assert report.run is not None
        words = [
            ('failed', State.FAILED),
            ('done', State.DONE),
            ('restored', State.RESTORED),
            ('fresh', State.FRESH),
            ('skipped', State.SKIPPED),
            ('stopped', State.INTERRUPTED),
        ]
        parts = [f'{report.count(state)} {word}' for word, state in words if report.count(state)]
        work = sum(one.seconds for one in report.settled.values() if one.state is State.DONE)
        extra = f' ({show_seconds(work)} of work)' if work > report.seconds * 1.05 else ''
        out(f'{", ".join(parts)} in {show_seconds(report.seconds)}{extra}. Run {report.run.short}.')
        if report.ended == 'failed':
            out('Fix, then: mlops run')
        elif report.pins or report.ignored:
            out(f'Keep it: git add .mlops{" .gitignore .gitattributes" if report.ignored else ""} pipeline.yaml && git commit')
