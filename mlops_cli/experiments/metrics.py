"""The numbers of a named state of the project, and of two of them compared by what the pipeline declares about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal

from mlops_cli.checks.gate import read_metrics
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.experiments.model import UNKNOWN, Point
from mlops_cli.experiments.points import read_output
from mlops_cli.pipeline.spec import Metric, Pipeline
from mlops_cli.records.metrics import ALONE, DEPTH, LIMIT
from mlops_cli.run.workbench import Workbench

ENDED = {'interrupted': 'stopped'}  # as people call it
CLOSE = 1e-9  # of a tolerance: 0.9583 - 0.9573 is not quite 0.001
READ = 200  # metrics files that are read again to tell of NaN where nothing is known to be missing

Goal = Literal['max', 'min']
Verdict = Literal['better', 'worse', 'within', 'same', 'changed', 'new', 'gone']
Wanted = Callable[[str, str], bool]  # (stage, file) -> whether it is asked for


@dataclass(frozen=True, slots=True)
class Value:
    """One number at one point.  ``value`` None: NaN or infinite (``note`` says which), which no record holds."""

    stage: str
    file: str
    name: str
    value: float | int | None
    primary: bool
    goal: Goal | None
    tolerance: float
    note: str = ''


@dataclass(frozen=True, slots=True)
class Missing:
    """A metrics file without numbers at a point, or (``file`` empty) a stage; why."""

    stage: str
    file: str
    point: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One number at two points.  ``verdict``: ``within`` is a difference within the tolerance, ``changed`` one without a goal.
    The notes: why there is no number on a side.  ``lost``: it has a goal, and no number after."""

    stage: str
    file: str
    name: str
    before: float | int | None
    after: float | int | None
    primary: bool
    goal: Goal | None
    tolerance: float
    verdict: Verdict
    before_note: str = ''
    after_note: str = ''
    lost: bool = False

    @property
    def change(self) -> float | int | None:
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def failing(self) -> bool:
        """What ``--exit-code`` is about."""
        return self.verdict == 'worse' or self.lost


@dataclass(frozen=True, slots=True)
class Values:
    """``stale``: stages of the workspace that are out of date, so that its files say nothing about its present state."""

    rows: tuple[Value, ...]
    missing: tuple[Missing, ...]
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """``stale``: as of :class:`Values`."""

    rows: tuple[Change, ...]
    missing: tuple[Missing, ...]
    stale: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[Change, ...]:
        return tuple(row for row in self.rows if row.failing)


def everything(_stage: str, _file: str) -> bool:
    return True


def values(bench: Workbench, point: Point, wanted: Wanted = everything) -> Values:
    """Primary ones first within a file; in the order of the pipeline.  Raises OSError."""
    rows: list[Value] = []
    missing: list[Missing] = []
    budget = READ
    for stage, file, metric in _files(point, wanted):
        numbers = _numbers(point, stage, file)
        broken, reason = _broken_of(bench, point, stage, file, numbers, metric, look=budget > 0)
        budget -= 1
        found = {**numbers, **dict.fromkeys(broken)}
        rows += [_value(stage, file, name, found[name], metric, broken.get(name, '')) for name in _order(found, metric)]
        if not found:
            missing.append(Missing(stage, file, point.label, reason))
    return Values(tuple(rows), _folded(point, missing), _stale([point], {row.stage for row in rows}))


def compare(bench: Workbench, before: Point, after: Point, wanted: Wanted = everything) -> Comparison:
    """Every number of either point, as :func:`values` orders them; what counts is declared where it is after, else before.

    Stages that a run has no record of, since they were fresh in it, are not compared.  Raises OSError."""
    rows: list[Change] = []
    missing: list[Missing] = []
    new = {(stage, file): metric for stage, file, metric in _files(after, wanted)}
    old = {(stage, file): metric for stage, file, metric in _files(before, wanted)}
    for stage, file in dict.fromkeys([*new, *old]):
        if any(point.kind == 'run' and stage not in point.stages for point in (before, after)):
            continue
        metric = new.get((stage, file)) or old[stage, file]
        sides = [_Side(point, stage, file, (stage, file) in of) for point, of in ((before, old), (after, new))]
        rows += _compared(bench, sides[0], sides[1], metric)
        missing += [Missing(stage, file, side.point.label, side.reason) for side in sides if side.told]
    stale = _stale([before, after], {row.stage for row in rows})
    return Comparison(tuple(rows), (*_folded(before, missing), *_folded(after, missing)), stale)


class _Side:
    """One metrics file at one point.  ``declared``: the pipeline there has it."""

    def __init__(self, point: Point, stage: str, file: str, declared: bool) -> None:
        self.point, self.stage, self.file, self.declared = point, stage, file, declared
        self.numbers = _numbers(point, stage, file)
        self.broken: dict[str, str] = {}
        self.reason = ''

    def look(self, bench: Workbench, metric: Metric, other: Iterable[str]) -> None:
        """Finds out what became of numbers that are not here, where there should be some."""
        if self.declared and (not self.numbers or any(name not in self.numbers for name in (*other, *_expected(metric)))):
            self.broken, self.reason = _broken_of(bench, self.point, self.stage, self.file, self.numbers, metric, look=True)

    @property
    def told(self) -> bool:
        return self.declared and not self.numbers and not self.broken

    def why(self, name: str) -> str:
        """Why there is no such number here."""
        if name in self.broken:
            return self.broken[name]
        if not self.declared:
            return 'no such file there'
        return self.reason if not self.numbers and not self.broken else 'not in the file'


def _compared(bench: Workbench, before: _Side, after: _Side, metric: Metric) -> Iterator[Change]:
    before.look(bench, metric, after.numbers)
    after.look(bench, metric, before.numbers)
    expected = metric.goals if after.declared else ()
    names = dict.fromkeys((*after.numbers, *before.numbers, *before.broken, *after.broken, *expected))
    for name in _order(names, metric):
        one, two = before.numbers.get(name), after.numbers.get(name)
        goal, tolerance = metric.goals.get(name), metric.tolerance.get(name, 0.0)
        notes = (before.why(name) if one is None else '', after.why(name) if two is None else '')
        lost = two is None and goal is not None and after.declared
        verdict = _verdict(one, two, goal, tolerance)
        primary = name == metric.primary
        yield Change(after.stage, after.file, name, one, two, primary, goal, tolerance, verdict, *notes, lost)


def _verdict(before: float | None, after: float | None, goal: Goal | None, tolerance: float) -> Verdict:
    if before is None or after is None:
        return 'same' if before is after else 'new' if before is None else 'gone'
    difference = after - before
    if difference == 0:
        return 'same'
    if abs(difference) <= tolerance * (1 + CLOSE):
        return 'within'
    if goal is None:
        return 'changed'
    return 'better' if (difference > 0) == (goal == 'max') else 'worse'


# One point


def _stale(points: Iterable[Point], shown: Collection[str]) -> tuple[str, ...]:
    here = [point for point in points if point.kind == 'workspace']
    known = here[0].stages.values() if here else ()
    return tuple(one.stage for one in known if one.state == UNKNOWN and one.metrics and one.stage in shown)


def _files(point: Point, wanted: Wanted) -> Iterator[tuple[str, str, Metric]]:
    """The metrics files that the pipeline of a point declares.  Of a run, those of the stages in its record."""
    for name, stage in point.pipeline.stages.items():
        if point.kind == 'run' and name not in point.stages:
            continue
        for output in stage.read_as('metric'):
            if wanted(name, output.path):
                yield name, output.path, output.metric or Metric()


def declared_stages(pipeline: Pipeline) -> tuple[str, ...]:
    """The stages with metrics."""
    return tuple(name for name, stage in pipeline.stages.items() if any(stage.read_as('metric')))


def _numbers(point: Point, stage: str, file: str) -> dict[str, float | int]:
    known = point.stages.get(stage)
    return {name: number for path, name, number in known.metrics if path == file} if known else {}


def _expected(metric: Metric) -> tuple[str, ...]:
    return (*([metric.primary] if metric.primary else []), *metric.goals)


def _order(names: Iterable[str], metric: Metric) -> list[str]:
    """Primary first, then those with a goal, then the others; each as they were."""
    return sorted(names, key=lambda name: (name != metric.primary, name not in metric.goals))


def _value(stage: str, file: str, name: str, number: float | int | None, metric: Metric, note: str) -> Value:
    goal, tolerance = metric.goals.get(name), metric.tolerance.get(name, 0.0)
    return Value(stage, file, name, number, name == metric.primary, goal, tolerance, note)


def _broken_of(
    bench: Workbench,
    point: Point,
    stage: str,
    file: str,
    numbers: Mapping[str, float | int],
    metric: Metric,
    *,
    look: bool,
) -> tuple[dict[str, str], str]:
    """(name -> NaN or inf, why the file has no number).  The file is read only where that can tell something."""
    known = point.stages.get(stage)
    if known is None or (known.state == UNKNOWN and not numbers and point.kind != 'workspace'):
        return {}, 'nothing recorded for this state'
    if not look and numbers and all(name in numbers for name in _expected(metric)):
        return {}, ''
    if file in known.refused:
        return {}, f'cannot be read: {known.refused[file]}'
    try:
        data = read_output(bench, point, file, LIMIT)
        if data is None:
            return {}, _absent(point, known.state, bool(known.outputs))
        return dict(_not_finite(read_metrics(data, file))), 'no number in it'
    except UserError as error:
        where = f'line {error.where.line}: ' if error.where and error.where.line else ''
        return {}, f'cannot be read: {where}{error.message}'


def _absent(point: Point, state: str, made: bool) -> str:
    if point.kind == 'workspace':
        return 'not in the workspace'
    if not made:
        return 'nothing recorded' if state in (UNKNOWN, 'recorded') else f'the stage was {ENDED.get(state, state)}'
    return 'not in this cache'


def _not_finite(value: Any) -> Iterator[tuple[str, str]]:
    """(dotted name, how it reads) of the numbers that are none."""
    stack: list[tuple[str, Any, int]] = [('', value, 0)]
    while stack:
        name, item, depth = stack.pop()
        if isinstance(item, dict | list) and depth < DEPTH:
            inner = islice(item.items() if isinstance(item, dict) else enumerate(item), 10_000)
            stack += [(f'{name}.{key}' if name else str(key), leaf, depth + 1) for key, leaf in inner]
        elif isinstance(item, float) and not math.isfinite(item):
            yield name or ALONE, 'NaN' if math.isnan(item) else 'inf' if item > 0 else '-inf'


def _folded(point: Point, missing: Iterable[Missing]) -> tuple[Missing, ...]:
    """Those at this point; of a stage whose files are all missing for one reason, the stage."""
    here = [one for one in missing if one.point == point.label]
    found: dict[tuple[str, str], list[Missing]] = {}
    for one in here:
        found.setdefault((one.stage, one.reason), []).append(one)
    return tuple(
        Missing(stage, '', point.label, reason) if len(many) > 1 else many[0] for (stage, reason), many in found.items()
    )
