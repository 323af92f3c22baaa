"""The list of runs.  Values in, lines out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlops_cli.cli.console import Line, cells, clip, one_line
from mlops_cli.cli.tables import GAP, Column, table
from mlops_cli.cli.words import ago, number, state_word
from mlops_cli.core import layout
from mlops_cli.core.classes import replace
from mlops_cli.core.clock import from_iso
from mlops_cli.core.units import show_seconds
from mlops_cli.records.asking import METRIC, PARAM, Row
from mlops_cli.records.history import overlay_parameters

METRICS = 1  # primary metrics that are shown however narrow it is
NARROW = 6  # columns of a number, where there is room for no more
UNDECLARED = 2  # metrics that are shown where none is primary
VALUE_WIDTH = 16  # columns of a parameter's value
SET_WIDTH = 24  # columns in which something can be read of what was set
NAME_WIDTH = 24  # columns of a metric's or parameter's name
WORDS = {'failed': 'failed', 'interrupted': 'stopped', 'skipped': 'skipped', 'done': 'ran', 'restored': 'restored'}


def list_lines(
    rows: Sequence[Row], kept: frozenset[str], chosen: Sequence[str], now: float, columns: int, named: Sequence[str] = ()
) -> list[Line]:
    """A line per run.  ``kept``: ids.  ``chosen``: the columns asked for; without any, those that fit.  ``named``: what the
    runs were filtered and sorted by, which is always shown."""
    asked = [_column(name, rows, kept, now) for name in dict.fromkeys(('run', *chosen))] if chosen else []
    heads = [(replace(head, optional=False), make) for head, make in asked]
    heads = heads or _fitting(_usual(rows, kept, now, named), rows, columns)
    texts = [[make(row) for _, make in heads] for row in rows]
    words = {state_word(row.ended) for row in rows}
    return [
        Line(text, next((word for word in words if f'  {word} ' in f'{text} '), ''))
        for text in table([head for head, _ in heads], texts, columns)
    ]


Made = tuple[Column, Callable[[Row], str]]


def _usual(rows: Sequence[Row], kept: frozenset[str], now: float, named: Sequence[str]) -> list[Made]:
    """What a list shows by itself, what tells most first: how runs ended, who won, and by what they differ."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    primary = list(dict.fromkeys(name for row in rows for name in row.primary))
    differing = _differing([row.metrics for row in rows])
    first = primary or (differing or metrics)[:UNDECLARED]
    others = [name for name in differing if name not in first]
    set_ = {name for row in rows for name in overlay_parameters(row.overlay)}
    params = sorted(_differing([row.params for row in rows]), key=lambda name: name not in set_)
    apart = frozenset({*params, *(name.removeprefix(PARAM) for name in named if name.startswith(PARAM))})
    own = ['set'] if not set_ <= apart else []
    told = [*(f'{METRIC}{name}' for name in first), *(f'{PARAM}{name}' for name in params), *own]
    names = ['run', 'when', 'ended', *told[:1], *named, *told[1:], *(f'{METRIC}{name}' for name in others), 'stages', 'seconds']
    names += ['kept'] if any(row.id in kept for row in rows) else []
    always = {'run', 'when', 'ended', *named, *(f'{METRIC}{name}' for name in primary[:METRICS])}
    made = {name: _column(name, rows, kept, now, apart) for name in [*names, 'branch', 'who']}
    plain = [name.partition('.')[2] for name in made if name.startswith((METRIC, PARAM))]
    twice = {start + name for name in plain if plain.count(name) > 1 for start in (METRIC, PARAM)}
    return [
        (replace(head, name=_short(name) if name in twice else head.name, optional=name not in always), make)
        for name, (head, make) in made.items()
    ]


def _differing(values: Iterable[Any]) -> list[str]:
    """Names of which two runs have different values."""
    seen: dict[str, list[Any]] = {}
    for mapping in values:
        for name, value in mapping.items():
            found = seen.setdefault(name, [])
            if value not in found:
                found.append(value)
    return [name for name, found in seen.items() if len(found) > 1]


def _fitting(heads: list[Made], rows: Sequence[Row], columns: int) -> list[Made]:
    """As many of the optional columns as there is room for, the first ones first."""
    needed = [min(_wanted(made, rows), made[0].least or columns) + GAP for made in heads]
    kept = [index for index, (head, _) in enumerate(heads) if not head.optional]
    if sum(needed[index] for index in kept) > columns:
        heads = [(replace(head, least=head.least or NARROW) if head.right else head, make) for head, make in heads]
        needed = [min(_wanted(made, rows), made[0].least or columns) + GAP for made in heads]
    used = sum(needed[index] for index in kept)
    for index, (head, _) in enumerate(heads):
        if head.optional and used + needed[index] <= columns:
            used += needed[index]
            kept.append(index)
    return [heads[index] for index in sorted(kept)]


def _wanted(made: Made, rows: Sequence[Row]) -> int:
    head, make = made
    return max([cells(head.name), *(cells(make(row)) for row in rows)])


def _column(name: str, rows: Sequence[Row], kept: frozenset[str], now: float, apart: frozenset[str] = frozenset()) -> Made:
    """``apart``: parameters with a column of their own, which the one of what was set leaves out."""
    if name.startswith(METRIC):
        plain = name.removeprefix(METRIC)
        return Column(_short(plain), right=True), lambda row: _number(row, plain)
    if name.startswith(PARAM):
        plain = name.removeprefix(PARAM)
        numeric = all(_is_number(row.params[plain]) for row in rows if plain in row.params)
        return Column(_short(plain), right=numeric), lambda row: _value(row, plain)
    own: dict[str, Made] = {
        'run': (Column('RUN'), lambda row: row.short),
        'when': (Column('WHEN'), lambda row: ago(max(0.0, now - from_iso(row.started) - row.seconds))),
        'started': (Column('STARTED'), lambda row: row.started.replace('T', ' ')),
        'ended': (Column('ENDED'), lambda row: state_word(row.ended)),
        # Of a killed run nobody measured it.
        'seconds': (Column('TIME', right=True), lambda row: '' if row.ended == 'killed' else show_seconds(row.seconds)),
        'saved_seconds': (Column('SAVED', right=True), lambda row: show_seconds(row.saved_seconds)),
        'cpu_seconds': (Column('CPU', right=True), lambda row: show_seconds(row.cpu_seconds)),
        'stages': (Column('STAGES'), _stages),
        'set': (Column('SET', least=SET_WIDTH), lambda row: one_line(' '.join(_assigned(row, apart)))),
        'kept': (Column('KEPT'), lambda row: 'kept' if row.id in kept else ''),
        'trial': (Column('TRIAL'), lambda row: 'trial' if row.overlay else ''),
        'branch': (Column('BRANCH', least=8), lambda row: one_line(row.branch)),
        'who': (Column('BY'), lambda row: one_line(row.who)),
        'host': (Column('HOST'), lambda row: one_line(row.host)),
        'commit': (Column('COMMIT'), lambda row: row.commit[:12]),
        'id': (Column('ID'), lambda row: row.id),
        'fresh': (Column('FRESH', right=True), lambda row: str(row.fresh)),
    }
    state = 'interrupted' if name == 'stopped' else name
    return own.get(name) or (Column(name.upper(), right=True), lambda row: str(row.counts[state]))


def _short(name: str) -> str:
    """Of a long name the end, which tells it from others: ``…timizer.learning_rate``."""
    text = one_line(name)
    while cells(text) > NAME_WIDTH:
        text = f'…{text.lstrip("…")[1:]}'
    return text


def _number(row: Row, name: str) -> str:
    return number(row.metrics[name]) if name in row.metrics else ''


def _value(row: Row, name: str) -> str:
    return clip(one_line(shown(row.params[name])), VALUE_WIDTH) if name in row.params else ''


def shown(value: Any) -> str:
    """A parameter's value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stages(row: Row) -> str:
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
