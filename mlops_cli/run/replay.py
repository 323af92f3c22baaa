"""A run read back from its folder: its events as they come, and in the end the report that its screen was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core.clock import check_moment, iso
from mlops_cli.core.events import Event, RunEnded, RunStarted, StageEnded, event_of
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Blessing, Plan, Reason, Rival, Step, Surrounding, Verdict
from mlops_cli.records.runs import Run
from mlops_cli.run.live import open_events
from mlops_cli.run.report import Report, Settled
from mlops_cli.run.states import State

if TYPE_CHECKING:  # most runs have none
    from mlops_cli.usage.cost import Cost

PIECE = 4 << 20  # bytes that are read at once
LINE = 64 << 20  # bytes of a line that is still one of ours
TEXT, NUMBER = str | None, float | int | None
ROW = (str, str, float | int, int | None, bool)
REASON = (str, str, TEXT, TEXT, str)
SURROUNDING = (str, TEXT, TEXT)
RIVAL = (str, str, [str], [(str, str, NUMBER, NUMBER)], bool)
BLESSING = (str, str, str, str, str, str, int, [REASON])


def report_document(report: Report) -> dict[str, Any]:
    """What the last words about a run are made of, beside its events."""
    failed = [name for name, one in report.settled.items() if one.state is State.FAILED]
    missed = [name for name, one in report.settled.items() if one.state is State.SKIPPED]
    maybe = {step.stage for step in report.plan.steps if step.verdict is Verdict.MAYBE}
    rows = [(name, str(one.state), one.seconds, one.exit_code, name in maybe) for name, one in report.settled.items()]
    stale = {step.stage for step in report.plan.steps if step.verdict in (Verdict.RUN, Verdict.RESTORE)}
    told = {name: _step(one, report.steps.get(name), name in stale) for name, one in report.settled.items()}
    run = report.run
    return {
        'pipeline': report.plan.pipeline,
        'stages': rows,
        'seconds': report.seconds,
        'saved_seconds': report.saved_seconds,
        'ended': report.ended,
        'record': report.record,
        'keep': bool(report.pins or report.ignored),
        'command': list(run.command) if run else [],
        'set': [list(item) for item in run.overlay] if run else [],
        'edges': {name: list(report.plan.edges.get(name, ())) for name in (*failed, *missed)},
        'steps': {name: step for name, step in told.items() if step},
        'exit_code': int(report.exit_code),
        **_cost(report),
        **({'refused': report.refused} if report.refused else {}),
    }


def _cost(report: Report) -> dict[str, Any]:
    """Of all stages together; nothing where nobody says what anything costs."""
    if not report.costs:
        return {}
    from mlops_cli.usage.cost import added

    amounts, unknown = added(report.costs.values())
    return {'cost': amounts, 'cost_unknown': unknown}


def _step(one: Settled, step: Step | None, stale: bool) -> dict[str, Any]:
    """What was decided about a stage, as far as it is told in the end.  ``stale``: it was to run, or to be restored."""
    if stale and one.state is State.FRESH:
        return {'meanwhile': step.run if step is not None else ''}
    if step is not None and one.state is State.FAILED:
        return {'reasons': [list(_tuple(reason)) for reason in step.reasons]}
    if step is not None and one.state is State.RESTORED:
        found = {'run': step.run, 'origin': step.origin, 'rivals': list(map(_tuple, step.rivals))}
        found['surroundings'] = list(map(_tuple, step.surroundings))
        return found | {'accepted': None if step.accepted is None else _tuple(step.accepted)}
    return {'made': list(map(_tuple, one.rivals))} if one.rivals else {}


def _tuple(one: Reason | Rival | Surrounding | Blessing) -> tuple[Any, ...]:
    from dataclasses import astuple  # slow to load, and of most runs there is nothing to tell with it

    return astuple(one)


def report_of(run: str, document: Mapping[str, Any], ended: Mapping[str, StageEnded], started: float) -> Report:
    """The inverse, as far as screens ask.  ``ended``: stage -> its last event.  Raises ValueError, TypeError, KeyError for what
    :func:`report_document` cannot have made."""
    rows = _shaped(document['stages'], [ROW])
    known = {str(name): step for name, step in document['steps'].items()}
    made = {name: tuple(Rival(*_shaped(one, RIVAL)) for one in step.get('made', ())) for name, step in known.items()}
    settled = {row[0]: _settled(row, ended.get(row[0]), made.get(row[0], ())) for row in rows}
    plan = Plan(
        str(document['pipeline']),
        tuple(Step(row[0], _verdict(row, known)) for row in rows),
        {str(name): tuple(map(str, others)) for name, others in document['edges'].items()},
    )
    steps = {name: _step_of(name, step) for name, step in known.items()}
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
        stopped_by={129: 1, 143: 15}.get(document['exit_code'], 0),
        costs=_costs_of(document),
        refused=str(document.get('refused', '')),
    )


def _verdict(row: tuple[str, str, float, int | None, bool], known: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """What was planned for a stage."""
    name, state, *_, maybe = row
    if maybe:
        return Verdict.MAYBE
    return Verdict.FRESH if state == State.FRESH and 'meanwhile' not in known.get(name, ()) else Verdict.RUN


def _costs_of(document: Mapping[str, Any]) -> dict[str, Cost]:
    """As many as it says are not known, with the sum of all in the first one."""
    if not isinstance(found := document.get('cost'), dict):
        return {}
    from mlops_cli.usage.cost import Cost

    amounts = {str(currency): float(amount) for currency, amount in found.items()}
    unknown = min(int(document['cost_unknown']), len(document['stages']))
    return {'': Cost(amounts)} | {str(number): Cost({}, 'what it cost') for number in range(unknown)}


def _settled(
    row: tuple[str, str, float, int | None, bool], event: StageEnded | None, rivals: tuple[Rival, ...]
) -> Settled:
    name, state, seconds, code = row[0], State(row[1]), row[2], row[3]
    if event is None or event.state != state:
        return Settled(name, state, seconds, exit_code=code)
    return Settled(name, state, seconds, event.outputs, event, '', event.usage, event.exit_code, rivals=rivals)


def _step_of(name: str, known: Mapping[str, Any]) -> Step:
    accepted = known.get('accepted')
    return Step(
        name,
        Verdict.RESTORE if 'origin' in known else Verdict.RUN,
        tuple(Reason(*_shaped(one, REASON)) for one in known.get('reasons', ())),
        origin=str(known.get('origin', '')),
        run=str(known.get('run', known.get('meanwhile', ''))),
        rivals=tuple(Rival(*_shaped(one, RIVAL)) for one in known.get('rivals', ())),
        accepted=None if accepted is None else Blessing(*_shaped(accepted, BLESSING)),
        surroundings=tuple(Surrounding(*_shaped(one, SURROUNDING)) for one in known.get('surroundings', ())),
    )


def _shaped(value: Any, shape: Any) -> Any:
    """A value in which each list is a tuple again, if it has the shape: a type, a list of one shape, or a tuple of several.
    Raises TypeError; the file may have been written by anybody."""
    if isinstance(shape, list) and isinstance(value, list):
        return tuple(_shaped(item, shape[0]) for item in value)
    if isinstance(shape, tuple) and isinstance(value, list) and len(value) == len(shape):
        return tuple(map(_shaped, value, shape))
    if isinstance(shape, list | tuple) or not isinstance(value, shape):
        raise TypeError(f'not as it was written: {str(value)[:80]}')
    return value


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
        self._begun = self._over = False

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
        if self._over:  # a run ends once, and begins once
            self.damaged += 1
            return
        try:
            document = json.loads(line)
            at, kind = check_moment(document['at']), document['event']
            if kind == 'live':
                self.first = document
            elif kind == 'report':
                self.report = report_of(self.run, document, self._ended, check_moment(self.first.get('at', at)))
            elif (event := event_of(document)) is not None:
                if isinstance(event, StageEnded):
                    State(event.state)
                    self._ended[event.stage] = event
                if isinstance(event, RunStarted):
                    if self._begun:
                        raise ValueError('it began before')
                    self._begun = True
                self._over = isinstance(event, RunEnded)
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
