"""Which runs, in which order: filters and sorting over the tables of history.py.  Asks; changes nothing but what is stale."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.found import Meaning, Row, newest, these
from mlops_cli.records.history import History, Problem, metric_names, overlay_parameters, parameter_names
from mlops_cli.records.runs import STATES

# What rows are filtered and sorted by besides metrics and parameters -> how the tables call it.
FIELDS = {
    'run': "substr(id, instr(id, '-') + 1)", 'id': 'id', 'started': 'started', 'ended': 'ended', 'seconds': 'seconds',
    'who': 'who', 'host': 'host', 'branch': 'branch', 'commit': 'commit_id', 'trial': 'trial', 'fresh': 'fresh',
    'saved_seconds': 'saved_seconds', 'cpu_seconds': 'cpu_seconds', **{state: state for state in STATES},
    'stopped': 'interrupted',  # as people read it
}  # fmt: skip
METRIC, PARAM = 'metric.', 'param.'
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    '<=': lambda one, two: bool(one <= two),
    '>=': lambda one, two: bool(one >= two),
    '!=': lambda one, two: bool(one != two),
    '==': lambda one, two: bool(one == two),
    '=': lambda one, two: bool(one == two),
    '<': lambda one, two: bool(one < two),
    '>': lambda one, two: bool(one > two),
    '~': lambda one, two: fnmatchcase(str(one), str(two)),
}
_CONDITION = pattern(r'\s*(?P<name>[^\s<>=!~][^<>=!~]*?)\s*(?P<operator><=|>=|!=|==|=|<|>|~)\s*(?P<value>.*?)\s*', re.DOTALL)
_AND = pattern(r'\s+and(?:\s+|\Z)(?=(?:[^"\']|"[^"]*"|\'[^\']*\')*\Z)')
_OR = pattern(r'\sor\s(?=(?:[^"\']|"[^"]*"|\'[^\']*\')*\Z).*[<>=~]')
_ORDERING = ('<', '>', '<=', '>=')


@dataclass(frozen=True, slots=True)
class Condition:
    """``NAME OPERATOR VALUE``.  ``value``: as JSON, else text."""

    name: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Query:
    """``states``: how runs ended, or a state that a stage of theirs is in.  ``stages``, ``branches``, ``whos``, ``hosts``:
    globs, any of which fits.  ``since``, ``until``: seconds since 1970.  ``among``: ids.  ``sort``: a field, metric or
    parameter; empty: newest first.  ``descending`` None: as suits what is sorted by.  ``most`` 0: all."""

    states: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    whos: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    trials: bool | None = None
    among: frozenset[str] | None = None
    where: tuple[Condition, ...] = ()
    sort: str = ''
    descending: bool | None = None
    reverse: bool = False
    most: int = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """``rows``: at most so many as were asked for; ``matching``: how many there are; ``all``: how many without filters."""

    rows: tuple[Row, ...]
    matching: int
    all: int
    problems: tuple[Problem, ...] = ()


def conditions(text: str) -> tuple[Condition, ...]:
    """``accuracy > 0.9 and train.depth <= 8`` taken apart.  Raises UserError."""
    found = []
    for part in _AND.split(text):
        match = _CONDITION.fullmatch(part)
        if match is None or not match['value']:
            raise UserError(
                f'--where {text[:200]!r}: {part.strip()[:80]!r} is no condition',
                hint="NAME OPERATOR VALUE, such as 'accuracy > 0.9 and train.depth <= 8'; operators: " + ' '.join(OPERATORS),
            )
        if _OR.search(part):
            raise UserError(
                f'--where {text[:200]!r}: there is no or', hint="all that is joined by 'and' must hold; ask for each by itself"
            )
        found.append(Condition(match['name'], match['operator'], _value(match['value'])))
    return tuple(found)


def _value(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"':
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def ask(history: History, pipeline: Pipeline | None, query: Query) -> Answer:
    """What fits.  ``pipeline``: what its metrics mean.  Raises UserError for names that nothing has."""

    def work(connection: sqlite3.Connection) -> Answer:
        history.refresh(connection)
        while True:
            asked = _Asked(connection, pipeline, query)
            shown, matching = asked.which()
            found = newest(connection, asked.meaning) if shown is None else these(connection, shown, asked.meaning)
            if not history.recheck(connection, found.facts):
                every = asked.count()
                rows = tuple(found.rows)
                return Answer(rows, len(rows) if shown is None else matching, every, tuple(history.problems(connection)))

    return history.database.use(work)


class _Asked:
    """One question, put to the tables as they are."""

    def __init__(self, connection: sqlite3.Connection, pipeline: Pipeline | None, query: Query) -> None:
        self.connection, self.query = connection, query
        self.meaning = Meaning(pipeline)
        self.known: tuple[set[str], set[str]] | None = None

    # Which

    def which(self) -> tuple[list[str] | None, int]:
        """The ids of those to show, and how many fit.  No ids: all there are, newest first."""
        query = self.query
        if query == Query(most=0):
            return None, 0
        if query.most and query.among is None and not (query.where or query.sort):
            tests, values = self._tests()
            order = 'ASC' if query.reverse or query.descending is False else 'DESC'
            shown = self._ids(tests, f'{order} LIMIT ?', [*values, query.most])
            return shown, self.count(tests, values) if len(shown) == query.most else len(shown)
        found = self._fitting()
        return found[: query.most or len(found)], len(found)

    def count(self, tests: Sequence[str] = (), values: Sequence[Any] = ()) -> int:
        """How many there are, less those that are damaged: indexes know both, without a look at each run."""
        every, damaged = '1', "problem <> ''"
        found = [
            self.connection.execute(f'SELECT count(*) FROM runs WHERE {" AND ".join([which, *tests])}', values).fetchone()[0]
            for which in (every, damaged)
        ]
        return int(found[0] - found[1])

    def _ids(self, tests: Sequence[str], order: str, values: Sequence[Any]) -> list[str]:
        clause = ' AND '.join(["problem = ''", *tests])
        rows = self.connection.execute(f'SELECT id FROM runs WHERE {clause} ORDER BY id {order}', values)
        return [run_id for (run_id,) in rows]

    def _fitting(self) -> list[str]:
        query = self.query
        tests, values = self._tests()
        found = self._ids(tests, 'DESC', values)
        if query.among is not None:
            found = [run_id for run_id in found if run_id in query.among]
        for condition in query.where:
            having = self.values_of(condition.name)
            _check_order(condition, having.values())
            found = [run_id for run_id in found if run_id in having and _holds(condition, having[run_id])]
        if query.sort:
            return self._sorted(found)
        return found[::-1] if query.reverse or query.descending is False else found

    def _tests(self) -> tuple[list[str], list[Any]]:
        """Conditions that the tables answer themselves."""
        query = self.query
        tests: list[str] = []
        values: list[Any] = []
        for column, globs in (('branch', query.branches), ('who', query.whos), ('host', query.hosts)):
            if globs:
                tests.append('(' + ' OR '.join([f'{column} GLOB ?'] * len(globs)) + ')')
                values += globs
        if query.states:
            ended = ', '.join('?' * len(query.states))
            of_stage = [f'{state} > 0' for state in query.states if state in STATES and state not in ('done', 'failed')]
            tests.append('(' + ' OR '.join([f'ended IN ({ended})', *of_stage]) + ')')
            values += query.states
        if query.stages:
            tests.append('number IN (SELECT run FROM stages WHERE ' + ' OR '.join(['name GLOB ?'] * len(query.stages)) + ')')
            values += query.stages
        for test, value in (('started >= ?', query.since), ('started <= ?', query.until), ('trial = ?', query.trials)):
            if value is not None:
                tests.append(test)
                values.append(value)
        return tests, values

    def _sorted(self, ids: list[str]) -> list[str]:
        name, goal = self.query.sort, self.meaning.goal(self.query.sort.removeprefix(METRIC))
        having = self.values_of(name)
        descending = self.query.descending
        if descending is None:
            descending = self._is_metric(name) and goal == 'max'
        if self.query.reverse:
            descending = not descending
        with_value = [run_id for run_id in ids if having.get(run_id) is not None]
        with_value.sort(key=lambda run_id: _order(having[run_id]), reverse=descending)
        return with_value + [run_id for run_id in ids if having.get(run_id) is None]

    # What they have

    def _names(self) -> tuple[set[str], set[str]]:
        if self.known is None:
            self.known = set(metric_names(self.connection)), set(parameter_names(self.connection))
        return self.known

    def _is_metric(self, name: str) -> bool:
        if name in FIELDS or name.startswith(PARAM):
            return False
        return name.startswith(METRIC) or name in self._names()[0]

    def values_of(self, name: str) -> dict[str, Any]:
        """Id -> value of a field, metric or parameter, for all runs that have one.  Raises UserError for an unknown name."""
        if name in FIELDS:
            found = self.connection.execute(f"SELECT id, {FIELDS[name]} FROM runs WHERE problem = ''").fetchall()
            return {run_id: bool(value) if name == 'trial' else value for run_id, value in found}
        metrics, params = self._names()
        if name.removeprefix(METRIC) in metrics and not name.startswith(PARAM):
            return self._metric(name.removeprefix(METRIC))
        if name.removeprefix(PARAM) in params:
            return self._param(name.removeprefix(PARAM))
        near = did_you_mean(name, [*FIELDS, *metrics, *params], what='there are')
        raise UserError(f'no run has a metric, parameter or field {name[:80]!r}', hint=near)

    def _metric(self, name: str) -> dict[str, float]:
        found: dict[str, list[tuple[str, str, float]]] = {}
        of_pins = self.connection.execute(
            'SELECT runs.id, stages.name, numbers.file, numbers.value FROM numbers '
            'JOIN stages ON stages.result = numbers.result JOIN runs ON runs.number = stages.run '
            'WHERE numbers.name = ? AND NOT runs.trial',
            (name,),
        )
        of_trials = self.connection.execute(
            'SELECT runs.id, stage, file, value FROM trial_numbers JOIN runs ON runs.number = run WHERE name = ?', (name,)
        )
        for cursor in (of_pins, of_trials):
            for run_id, stage, file, value in cursor:
                found.setdefault(run_id, []).append((stage, file, value))
        return {run_id: rows[0][2] if len(rows) == 1 else self.meaning.best(name, rows) for run_id, rows in found.items()}

    def _param(self, name: str) -> dict[str, Any]:
        found = {
            run_id: json.loads(value)
            for run_id, value in self.connection.execute(
                'SELECT runs.id, run_values.value FROM run_values JOIN runs ON runs.number = run WHERE name = ?', (name,)
            )
        }
        found |= {
            run_id: json.loads(value)
            for run_id, value in self.connection.execute(
                'SELECT runs.id, params.value FROM params JOIN stages ON stages.result = params.result '
                'JOIN runs ON runs.number = stages.run WHERE params.name = ?',
                (name,),
            )
        }
        for run_id, overlay in self.connection.execute('SELECT id, overlay FROM runs WHERE trial'):
            set_ = overlay_parameters(json.loads(overlay))
            if name in set_:
                found[run_id] = set_[name]
        return found


def _check_order(condition: Condition, values: Iterable[Any]) -> None:
    """Raises UserError where a number would have to be less or more than what is none."""
    wanted = condition.value
    if condition.operator not in _ORDERING or (_is_number(wanted) and math.isfinite(wanted)):
        return
    known = [value for value in values if value is not None]
    if known and all(map(_is_number, known)):
        raise UserError(
            f'--where: {condition.name[:80]} is a number, and {str(wanted)[:40]!r} is none',
            hint=f'{" ".join(_ORDERING)} take a number here, without quotes: {condition.name[:80]} {condition.operator} 0.5',
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds(condition: Condition, value: Any) -> bool:
    """What cannot be compared differs."""
    wanted = condition.value
    if condition.operator != '~' and isinstance(wanted, str) != isinstance(value, str):
        wanted, value = str(wanted), value if isinstance(value, str) else json.dumps(value)
        return condition.operator not in _ORDERING and _compare(condition, value, wanted)
    return _compare(condition, value, wanted)


def _compare(condition: Condition, value: Any, wanted: Any) -> bool:
    try:
        return OPERATORS[condition.operator](value, wanted)
    except TypeError:
        return condition.operator == '!='


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before texts, texts before all else."""
    if isinstance(value, int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, json.dumps(value, sort_keys=True))
