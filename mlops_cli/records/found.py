"""Runs as the tables of history.py know them, a row each.  Asks; changes nothing.

Ten thousand rows are read in the time of one command: what is the same in many of them is made once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.collector import without_collector
from mlops_cli.records.history import CHUNK, marks, overlay_parameters
from mlops_cli.records.runs import STATES

if TYPE_CHECKING:
    from mlops_cli.pipeline.spec import Pipeline

MANY = 4  # where more than one run in so many is asked about, all are read
Numbers = tuple[str, list[tuple[str, str, float]]]  # stage, (name, file, value)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_PLAIN = 'id, started, ended, seconds, who, host, branch, commit_id, fresh, saved_seconds, cpu_seconds'
_WIDTH = len(_PLAIN.split(','))  # the columns of it; behind them the counts of states, what was set, and these
_OVERLAY = _WIDTH + len(STATES)
_NUMBER = _OVERLAY + 1
_decode = json.JSONDecoder().raw_decode


class Row(NamedTuple):
    """``began``: seconds since 1970.  ``metrics``: name -> number; of a name that several stages have, that of the last, and of
    its instances the best.  ``params``: name -> value.  ``primary``: those of the metrics that tables show first."""

    id: str
    began: float
    ended: str
    seconds: float
    who: str
    host: str
    branch: str
    commit: str
    fresh: int
    saved_seconds: float
    cpu_seconds: float
    counts: Mapping[str, int]
    overlay: tuple[tuple[str, str, Any], ...] = ()
    metrics: Mapping[str, float] = _NOTHING
    params: Mapping[str, Any] = _NOTHING
    primary: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        return self.id.partition('-')[2]

    @property
    def started(self) -> str:
        """UTC, as 2026-11-20T10:15:22Z."""
        return iso(self.began)


class Meaning:
    """What a pipeline says about its metrics."""

    def __init__(self, pipeline: Pipeline | None) -> None:
        self.primary: dict[tuple[str, str, str], tuple[str]] = {}  # (name, stage, file) -> the name
        self.goals: dict[str, str] = {}
        self.place: dict[str, int] = {}
        for position, stage in enumerate(pipeline.stages.values() if pipeline else ()):
            self.place.setdefault(stage.group, position)
            for output in stage.outputs:
                if output.metric is not None:
                    if primary := output.metric.primary:
                        self.primary[primary, stage.name, output.path] = (primary,)
                    self.goals |= output.metric.goals

    def goal(self, name: str) -> str:
        """``max``, ``min`` or nothing."""
        return self.goals.get(name, '')

    def best(self, name: str, rows: Sequence[tuple[str, str, float]]) -> float:
        """Of (stage, file, number): those of the last stage of the pipeline, and of its instances the best."""
        last = max((self.place.get(stage.partition('@')[0], -1), stage.partition('@')[0]) for stage, _, _ in rows)[1]
        numbers = [number for stage, _, number in rows if stage.partition('@')[0] == last]
        return min(numbers) if self.goal(name) == 'min' else max(numbers)

    def of(self, made: Sequence[Numbers]) -> tuple[dict[str, float], tuple[str, ...]]:
        """A run's metrics by their names, and which of them are primary.  ``made``: by its stages, in their order."""
        if len(made) == 1 and len(made[0][1]) == 1:  # as of most there are
            stage, ((name, file, value),) = made[0]
            return {name: value}, self.primary.get((name, stage, file), ())
        metrics = {name: value for _, numbers in made for name, _, value in numbers}
        if len(metrics) < sum([len(numbers) for _, numbers in made]):
            rows: dict[str, list[tuple[str, str, float]]] = {}
            for stage, numbers in made:
                for name, file, value in numbers:
                    rows.setdefault(name, []).append((stage, file, value))
            metrics = {name: self.best(name, found) for name, found in rows.items()}
        told = {name for stage, numbers in made for name, file, _ in numbers if (name, stage, file) in self.primary}
        if len(metrics) > 1:
            return dict(sorted(metrics.items())), tuple([name for name in metrics if name in told])
        return metrics, tuple(told)


@dataclass
class Found:
    """``facts``: what tells of the record of each row whether it is still the one that was read, by its id."""

    rows: list[Row]
    facts: dict[str, str]


def newest(connection: sqlite3.Connection, meaning: Meaning) -> Found:
    """All there are, newest first."""
    found = _Reading(connection, meaning).found("problem = ''")
    found.rows.sort(key=itemgetter(0), reverse=True)  # in a tenth of the time that SQLite takes for whole rows
    return found


def these(connection: sqlite3.Connection, ids: Sequence[str], meaning: Meaning) -> Found:
    """In the order of the ids."""
    reading = _Reading(connection, meaning)
    (every,) = connection.execute('SELECT count(*) FROM runs').fetchone()
    if len(ids) > CHUNK and len(ids) * MANY > every:
        found = reading.found("problem = ''")
    else:
        found = Found([], {})
        for start in range(0, len(ids), CHUNK):
            some = reading.found(f'id IN ({marks(ids[start : start + CHUNK])})', ids[start : start + CHUNK])
            found.rows.extend(some.rows)
            found.facts.update(some.facts)
    rows = {row.id: row for row in found.rows}
    return Found([rows[run_id] for run_id in ids], {run_id: found.facts[run_id] for run_id in ids})


class _Reading:
    def __init__(self, connection: sqlite3.Connection, meaning: Meaning) -> None:
        self.connection, self.meaning = connection, meaning

    def found(self, where: str, ids: Sequence[str] = ()) -> Found:
        """``ids``: those that are asked about; without any, nearly all are, and nothing is looked up for each."""
        columns = f'{_PLAIN}, {", ".join(STATES)}, overlay, number, trial, facts'
        with without_collector():
            basic = self.connection.execute(f'SELECT {columns} FROM runs WHERE {where}', ids).fetchall()
            runs = [row[_NUMBER] for row in basic] if ids else []
            trials = {row[_NUMBER] for row in basic if row[_NUMBER + 1]}
            metrics, params = self._made(runs, trials)
            return Found(list(self._rows(basic, metrics, params)), {row[0]: row[-1] for row in basic})

    def _asked(self, what: str, runs: Sequence[int], order: str, which: str = 'run IN ({})') -> sqlite3.Cursor:
        """Of these runs, of all where there are none."""
        where = f' WHERE {which.format(marks(runs))}' if runs else ''
        return self.connection.execute(f'SELECT {what}{where} ORDER BY {order}', runs)

    def _made(self, runs: Sequence[int], trials: set[int]) -> tuple[dict[int, list[Numbers]], dict[int, dict[str, Any]]]:
        """Run -> its metrics, and its parameters: what its templates used, then what its stages' results depend on.

        Trials have numbers of their own, other runs those of the pins."""
        of_result = 'result IN (SELECT result FROM stages WHERE run IN ({}))'
        numbers: dict[int, list[tuple[str, str, float]]] = {}
        for name, result, file, value in self._asked(
            'name, result, file, value FROM numbers', runs, 'name, result, file', of_result
        ):
            if result in numbers:
                numbers[result].append((name, file, value))
            else:
                numbers[result] = [(name, file, value)]
        values: dict[int, dict[str, Any]] = {}
        for name, result, text in self._asked('name, result, value FROM params', runs, 'name, result', of_result):
            if result in values:
                values[result][name] = _decode(text)[0]
            else:
                values[result] = {name: _decode(text)[0]}
        metrics: dict[int, list[Numbers]] = {}
        params: dict[int, dict[str, Any]] = {}
        for name, run, text in self._asked('name, run, value FROM run_values', runs, 'name, run'):
            params.setdefault(run, {})[name] = _decode(text)[0]
        for run, stage, result in self._asked('run, name, result FROM stages', runs, 'run, position'):
            if result in numbers and run not in trials:
                metrics.setdefault(run, []).append((stage, numbers[result]))
            if result in values:
                params[run] = {**params[run], **values[result]} if run in params else values[result]
        for name, run, stage, file, value in self._asked(
            'name, run, stage, file, value FROM trial_numbers', runs, 'name, run, stage, file'
        ):
            metrics.setdefault(run, []).append((stage, [(name, file, value)]))
        return metrics, params

    def _rows(
        self, basic: Iterable[tuple[Any, ...]], metrics: Mapping[int, list[Numbers]], params: Mapping[int, dict[str, Any]]
    ) -> Iterator[Row]:
        counts: dict[tuple[int, ...], Mapping[str, int]] = {}
        overlays: dict[str, tuple[tuple[str, str, Any], ...]] = {'[]': ()}
        meaning, nothing, new = self.meaning.of, (_NOTHING, ()), tuple.__new__
        for row in basic:
            number, text, states = row[_NUMBER], row[_OVERLAY], row[_WIDTH:_OVERLAY]
            if states not in counts:
                counts[states] = dict(zip(STATES, states, strict=True))
            if text not in overlays:
                overlays[text] = tuple((file, key, value) for file, key, value in json.loads(text))
            overlay, values = overlays[text], params.get(number, _NOTHING)
            if overlay:
                values = {**values, **overlay_parameters(overlay)}
            if len(values) > 1:
                values = {name: values[name] for name in sorted(values)}
            found = meaning(metrics[number]) if number in metrics else nothing
            yield new(Row, (*row[:_WIDTH], counts[states], overlay, found[0], values, found[1]))
