"""The list of runs.  Values in, lines out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from mlops_cli.cli.console import Line, cells, clip, one_line
from mlops_cli.cli.stateword import state_word
from mlops_cli.cli.tables import GAP, Column, laid_out, widest
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.collector import without_collector
from mlops_cli.core.units import ago, show_number, show_seconds
from mlops_cli.records.asking import METRIC, PARAM
from mlops_cli.records.found import Row
from mlops_cli.records.history import overlay_parameters

METRICS = 1  # primary metrics that are shown however narrow it is
NARROW = 6  # columns of a number, where there is room for no more
UNDECLARED = 2  # metrics that are shown where none is primary
VALUE_WIDTH = 16  # columns of a parameter's value
ALIKE = 3  # days after which how long ago something was is told in days
SET_WIDTH = 24  # columns in which something can be read of what was set
NAME_WIDTH = 24  # columns of a metric's or parameter's name
WORDS = {'failed': 'failed', 'interrupted': 'stopped', 'skipped': 'skipped', 'done': 'ran', 'restored': 'restored'}


_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of runs beyond their rows, by their ids."""

    kept: frozenset[str]
    costs: Mapping[str, str]


def list_lines(
    rows: Sequence[Row], kept: frozenset[str], chosen: Sequence[str], now: float, columns: int, named: Sequence[str] = (),
    costs: Mapping[str, str] = _NOTHING,
) -> list[Line]:  # fmt: skip
    """A line per run.  ``kept``: ids.  ``chosen``: the columns asked for; without any, those that fit.  ``named``: what the
    runs were filtered and sorted by, which is always shown.  ``costs``: id -> what it cost, for the column of that name."""
    with without_collector():
        return _lines(rows, Known(kept, costs), chosen, now, columns, named)


def _lines(
    rows: Sequence[Row], known: Known, chosen: Sequence[str], now: float, columns: int, named: Sequence[str]
) -> list[Line]:
    asked = [_column(name, rows, known, now) for name in dict.fromkeys(('run', *chosen))] if chosen else []
    made = [replace(one, head=replace(one.head, optional=False)) for one in asked]
    made = made or _fitting(_usual(rows, known, now, named), columns)
    head, *texts = laid_out([one.head for one in made], [one.texts for one in made], columns)
    words = {row.ended: state_word(row.ended) for row in rows}
    others = list(dict.fromkeys(words.values()))
    marks = {ended: f'  {word} ' for ended, word in words.items()}
    lines = [
        Line(text, words[row.ended] if marks[row.ended] in text else _word(text, others))
        for text, row in zip(texts, rows, strict=True)
    ]
    return [Line(head, _word(head, others)), *lines]


def _word(text: str, words: Iterable[str]) -> str:
    """The word for how a run ended that stands in the line."""
    return next((word for word in words if f'  {word} ' in f'{text} '), '')


@dataclass
class Made:
    """A column of the list, the texts of which are made when somebody looks at them."""

    head: Column
    make: Callable[[], list[str]]
    made: list[str] | None = None

    @property
    def texts(self) -> list[str]:
        if self.made is None:
            self.made = self.make()
        return self.made

    def needed(self, columns: int) -> int:
        """How much room it takes at least, of so many columns."""
        wanted = max(cells(self.head.name), widest(self.texts))
        return min(wanted, self.head.least or columns) + GAP

    def cannot_fit(self, room: int) -> bool:
        """Whether its name alone is too long, so that nobody has to look at its texts."""
        return min(cells(self.head.name), self.head.least or room) + GAP > room


def _usual(rows: Sequence[Row], known: Known, now: float, named: Sequence[str]) -> list[Made]:
    """What a list shows by itself, what tells most first: how runs ended, who won, and by what they differ."""
    metrics, differing = _differing([row.metrics for row in rows])
    primary = list(dict.fromkeys(chain.from_iterable(dict.fromkeys([row.primary for row in rows]))))
    first = primary or (differing or metrics)[:UNDECLARED]
    others = [name for name in differing if name not in first]
    set_ = {name for row in rows if row.overlay for name in overlay_parameters(row.overlay)}
    params = sorted(_differing([row.params for row in rows])[1], key=lambda name: name not in set_)
    apart = frozenset({*params, *(name.removeprefix(PARAM) for name in named if name.startswith(PARAM))})
    own = ['set'] if not set_ <= apart else []
    told = [*(f'{METRIC}{name}' for name in first), *(f'{PARAM}{name}' for name in params), *own]
    names = ['run', 'when', 'ended', *told[:1], *named, *told[1:], *(f'{METRIC}{name}' for name in others), 'stages', 'seconds']
    names += ['kept'] if known.kept and any(row.id in known.kept for row in rows) else []
    always = {'run', 'when', 'ended', *named, *(f'{METRIC}{name}' for name in primary[:METRICS])}
    made = {name: _column(name, rows, known, now, apart) for name in [*names, 'branch', 'who']}
    plain = Counter(name.partition('.')[2] for name in made if name.startswith((METRIC, PARAM)))
    twice = {start + name for name, count in plain.items() if count > 1 for start in (METRIC, PARAM)}
    for name, one in made.items():
        one.head = replace(one.head, name=_short(name) if name in twice else one.head.name, optional=name not in always)
    return list(made.values())


def _differing(values: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """All names, and those of which two runs have different values."""
    first: dict[str, Any] = {}
    differing: set[str] = set()
    for mapping in values:
        for name, value in mapping.items():
            known = first.setdefault(name, value)
            if known is not value and known != value:
                differing.add(name)
    return list(first), [name for name in first if name in differing]


def _fitting(made: list[Made], columns: int) -> list[Made]:
    """As many of the optional columns as there is room for, the first ones first."""
    always = [one for one in made if not one.head.optional]
    used = sum(one.needed(columns) for one in always)
    if used > columns:
        for one in made:
            one.head = replace(one.head, least=one.head.least or NARROW) if one.head.right else one.head
        used = sum(one.needed(columns) for one in always)
    kept = []
    for one in made:
        if one.head.optional:
            if one.cannot_fit(columns - used) or used + (needed := one.needed(columns)) > columns:
                continue
            used += needed
        kept.append(one)
    return kept


def _column(name: str, rows: Sequence[Row], known: Known, now: float, apart: frozenset[str] = frozenset()) -> Made:
    """``apart``: parameters with a column of their own, which the one of what was set leaves out."""
    if name.startswith(METRIC):
        plain = name.removeprefix(METRIC)
        return Made(Column(_short(plain), right=True), lambda: _numbers(rows, plain))
    if name.startswith(PARAM):
        plain = name.removeprefix(PARAM)
        numeric = all(_is_number(row.params[plain]) for row in rows if plain in row.params)
        return Made(Column(_short(plain), right=numeric), lambda: _values(rows, plain))
    state = 'interrupted' if name == 'stopped' else name
    column, make = _own(rows, known, now, apart).get(name) or (
        Column(name.upper(), right=True), lambda: [str(row.counts[state]) for row in rows]
    )  # fmt: skip
    return Made(column, make)


def _own(
    rows: Sequence[Row], known: Known, now: float, apart: frozenset[str]
) -> dict[str, tuple[Column, Callable[[], list[str]]]]:
    """The columns that are neither metrics nor parameters, nor states."""
    return {
        'run': (Column('RUN'), lambda: [row.short for row in rows]),
        'cost': (Column('COST', right=True), lambda: [known.costs.get(row.id, '') for row in rows]),
        'when': (Column('WHEN'), lambda: _whens(rows, now)),
        'started': (Column('STARTED'), lambda: [row.started.replace('T', ' ') for row in rows]),
        'ended': (Column('ENDED'), lambda: _each(state_word, [row.ended for row in rows])),
        # Of a killed run nobody measured it.
        'seconds': (
            Column('TIME', right=True),
            lambda: ['' if row.ended == 'killed' else show_seconds(row.seconds) for row in rows],
        ),
        'saved_seconds': (Column('SAVED', right=True), lambda: _each(show_seconds, [row.saved_seconds for row in rows])),
        'cpu_seconds': (Column('CPU', right=True), lambda: _each(show_seconds, [row.cpu_seconds for row in rows])),
        'stages': (Column('STAGES'), lambda: _stages(rows)),
        'set': (Column('SET', least=SET_WIDTH), lambda: [one_line(' '.join(_assigned(row, apart))) for row in rows]),
        'kept': (Column('KEPT'), lambda: ['kept' if row.id in known.kept else '' for row in rows]),
        'trial': (Column('TRIAL'), lambda: ['trial' if row.overlay else '' for row in rows]),
        'branch': (Column('BRANCH', least=8), lambda: _each(one_line, [row.branch for row in rows])),
        'who': (Column('BY'), lambda: _each(one_line, [row.who for row in rows])),
        'host': (Column('HOST'), lambda: _each(one_line, [row.host for row in rows])),
        'commit': (Column('COMMIT'), lambda: [row.commit[:12] for row in rows]),
        'id': (Column('ID'), lambda: [row.id for row in rows]),
        'fresh': (Column('FRESH', right=True), lambda: [str(row.fresh) for row in rows]),
    }


def _whens(rows: Sequence[Row], now: float) -> list[str]:
    days: dict[int, str] = {}
    texts = []
    for row in rows:
        seconds = max(0.0, now - row.began - row.seconds)
        day = round(seconds / 86400)
        if day < ALIKE:
            texts.append(ago(seconds))
            continue
        if day not in days:
            days[day] = ago(seconds)
        texts.append(days[day])
    return texts


Value = TypeVar('Value')


def _each(show: Callable[[Value], str], values: Sequence[Value]) -> list[str]:
    """What is shown of each, of which most are alike."""
    shown = {value: show(value) for value in set(values)}
    return [shown[value] for value in values]


def _short(name: str) -> str:
    """Of a long name the end, which tells it from others: ``…timizer.learning_rate``."""
    text = one_line(name)
    while cells(text) > NAME_WIDTH:
        text = f'…{text.lstrip("…")[1:]}'
    return text


def _numbers(rows: Sequence[Row], name: str) -> list[str]:
    values = [row.metrics.get(name) for row in rows]
    return ['' if value is None else show_number(value) for value in values]


def _values(rows: Sequence[Row], name: str) -> list[str]:
    return [clip(one_line(shown(row.params[name])), VALUE_WIDTH) if name in row.params else '' for row in rows]


def shown(value: Any) -> str:
    """A parameter's value as one would type it."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stages(rows: Sequence[Row]) -> list[str]:
    known: dict[tuple[int, ...], str] = {}
    texts = []
    for row in rows:
        counted = (*row.counts.values(), row.fresh)
        if counted not in known:
            known[counted] = _of_stages(row)
        texts.append(known[counted])
    return texts


def _of_stages(row: Row) -> str:
    """``1 of 7 failed``, ``2 of 7 ran``, ``7 fresh``: what counts most."""
    every = sum(row.counts.values()) + row.fresh
    for state, word in WORDS.items():
        if found := row.counts.get(state, 0):
            return f'{found} {word}' if found == every else f'{found} of {every} {word}'
    return f'{every} fresh' if row.fresh == every and every else ''


def _assigned(row: Row, apart: frozenset[str]) -> list[str]:
    return assignments(item for item in row.overlay if apart.isdisjoint(overlay_parameters([item])))


def assignments(overlay: Iterable[tuple[str, str, Any]]) -> list[str]:
    """``train.depth=12``, of another file than params.yaml with its name."""
    return [f'{"" if file == layout.PARAMS_FILE else f"{file}:"}{key}={shown(value)}' for file, key, value in overlay]
