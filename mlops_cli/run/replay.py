"""A run read back from its folder: its events as they come, and in the end the report that its screen was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.core.clock import iso
from mlops_cli.core.events import Event, RunStarted, StageEnded, event_of
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Plan, Reason, Step, Verdict
from mlops_cli.records.runs import Run
from mlops_cli.run.live import open_events
from mlops_cli.run.report import Report
from mlops_cli.run.settle import Settled
from mlops_cli.run.states import State

PIECE = 4 << 20  # bytes that are read at once
LINE = 64 << 20  # bytes of a line that is still one of ours


def report_document(report: Report) -> dict[str, Any]:
    """What the last words about a run are made of, beside its events."""
    failed = [name for name, one in report.settled.items() if one.state is State.FAILED]
    missed = [name for name, one in report.settled.items() if one.state is State.SKIPPED]
    steps = {name: report.steps[name] for name in failed if name in report.steps}
    maybe = {step.stage for step in report.plan.steps if step.verdict is Verdict.MAYBE}
    rows = [(name, str(one.state), round(one.seconds, 3), one.exit_code, name in maybe) for name, one in report.settled.items()]
    run = report.run
    return {
        'pipeline': report.plan.pipeline,
        'stages': rows,
        'seconds': round(report.seconds, 3),
        'saved_seconds': round(report.saved_seconds, 3),
        'ended': report.ended,
        'record': report.record,
        'keep': bool(report.pins or report.ignored),
        'command': list(run.command) if run else [],
        'set': [list(item) for item in run.overlay] if run else [],
        'edges': {name: list(report.plan.edges.get(name, ())) for name in (*failed, *missed)},
        'reasons': {name: [_reason(one) for one in step.reasons] for name, step in steps.items()},
        'exit_code': int(report.exit_code),
    }


def _reason(one: Reason) -> list[str | None]:
    return [one.kind, one.subject, one.before, one.after, one.detail]


def report_of(run: str, document: Mapping[str, Any], ended: Mapping[str, StageEnded], started: float) -> Report:
    """The inverse, as far as screens ask.  ``ended``: stage -> its last event.  Raises ValueError, TypeError, KeyError for what
    :func:`report_document` cannot have made."""
    rows = [(str(n), State(s), float(t), c, bool(m)) for n, s, t, c, m in document['stages']]
    settled = {name: _settled(name, state, seconds, code, ended.get(name)) for name, state, seconds, code, _ in rows}
    plan = Plan(
        str(document['pipeline']),
        tuple(Step(name, Verdict.MAYBE if maybe else Verdict.RUN) for name, *_, maybe in rows),
        {str(name): tuple(map(str, others)) for name, others in document['edges'].items()},
    )
    steps = {
        str(name): Step(str(name), Verdict.RUN, tuple(Reason(*reason) for reason in reasons))
        for name, reasons in document['reasons'].items()
    }
    seconds, saved = float(document['seconds']), float(document['saved_seconds'])
    record = Run(
        run,
        iso(started),
        seconds,
        str(document['ended']),
        (),
        command=tuple(map(str, document['command'])),
        overlay=tuple((str(file), str(key), value) for file, key, value in document['set']),
    )
    return Report(
        plan,
        settled,
        seconds,
        record,
        saved,
        str(document['ended']),
        ('some',) if document['keep'] else (),
        str(document['record']),
        steps=steps,
        terminated=document['exit_code'] == 143,
    )


def _settled(name: str, state: State, seconds: float, code: Any, event: StageEnded | None) -> Settled:
    if event is None or event.state != state:
        return Settled(name, state, seconds, exit_code=code)
    return Settled(name, state, seconds, event.outputs, event, '', event.usage, event.exit_code)


class Follower:
    """Reads a run's file as it grows.  ``first``: the first line; ``report``: what it came to, once that is there;
    ``damaged``: lines that could not be understood."""

    def __init__(self, root: Root, run: str) -> None:
        self.run = run
        self.first: Mapping[str, Any] = {}
        self.report: Report | None = None
        self.damaged = 0
        self._fd = open_events(root, run)
        self._rest = b''
        self._ended: dict[str, StageEnded] = {}

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def found(self) -> bool:
        """Whether there is anything to follow."""
        return self._fd is not None

    def poll(self) -> Iterator[tuple[float, Event]]:
        """What has come since the last call: (when, in seconds since 1970; event).  Raises OSError."""
        while self._fd is not None and (piece := os.read(self._fd, PIECE)):
            *lines, self._rest = (self._rest + piece).split(b'\n')
            for line in lines:
                yield from self._line(line)
            if len(self._rest) > LINE:
                self._rest, self.damaged = b'', self.damaged + 1

    def _line(self, line: bytes) -> Iterator[tuple[float, Event]]:
        try:
            document = json.loads(line)
            at, kind = float(document['at']), document['event']
            if kind == 'live':
                self.first = document
            elif kind == 'report':
                self.report = report_of(self.run, document, self._ended, float(self.first.get('at', at)))
            elif (event := event_of(document)) is not None:
                if isinstance(event, StageEnded):
                    State(event.state)
                    self._ended[event.stage] = event
                yield at, event
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.damaged += 1


def state_of(events: Iterator[tuple[float, Event]]) -> tuple[RunStarted | None, Mapping[str, StageEnded]]:
    """The beginning of a run, and the stages that have ended in it."""
    started: RunStarted | None = None
    ended: dict[str, StageEnded] = {}
    for _, event in events:
        if isinstance(event, RunStarted):
            started = event
        elif isinstance(event, StageEnded):
            ended[event.stage] = event
    return started, ended
