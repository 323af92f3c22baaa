"""The list of runs.  Values in, lines out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mlops_cli.cli.console import Line, cells, clip, one_line
from mlops_cli.cli.tables import GAP, Column, table
from mlops_cli.cli.words import ago, number
from mlops_cli.core import layout
from mlops_cli.core.clock import from_iso
from mlops_cli.core.units import show_seconds
from mlops_cli.records.asking import METRIC, PARAM, Row
from mlops_cli.records.history import overlay_parameters

METRICS = 3  # columns of metrics without any being asked for
VALUE_WIDTH = 16  # columns of a parameter's value
NAME_WIDTH = 24  # columns of a metric's or parameter's name
ENDED = {'interrupted': 'stopped'}


def list_lines(rows: Sequence[Row], kept: frozenset[str], chosen: Sequence[str], now: float, columns: int) -> list[Line]:
    """A line per run.  ``kept``: ids.  ``chosen``: the columns asked for; without any, those that fit."""
    asked = [_column(name, rows, kept, now) for name in dict.fromkeys(('run', *chosen))] if chosen else []
    heads = [(replace(head, optional=False), make) for head, make in asked]
    heads = heads or _fitting(_usual(rows, kept, now), rows, columns)
    texts = [[make(row) for _, make in heads] for row in rows]
    words = {ENDED.get(row.ended, row.ended) for row in rows}
    return [
        Line(text, next((word for word in words if f'  {word} ' in text), ''))
        for text in table([head for head, _ in heads], texts, columns)
    ]


Made = tuple[Column, Callable[[Row], str]]


def _usual(rows: Sequence[Row], kept: frozenset[str], now: float) -> list[Made]:
    """What a list shows by itself: who won, and by what the runs differ."""
    first = list(dict.fromkeys(name for row in rows for name in row.primary))
    others = [name for name in _differing([row.metrics for row in rows]) if name not in first]
    params = _differing([row.params for row in rows])
    metrics = [f'{METRIC}{name}' for name in first[:METRICS]]
    rest = [f'{METRIC}{name}' for name in others]
    set_ = {name for row in rows for name in overlay_parameters(row.overlay)}
    own = ['set'] if not set_ <= set(params) else []
    names = ['run', 'when', 'ended', 'seconds', 'stages', *metrics, *own, *(f'{PARAM}{name}' for name in params), *rest]
    names += ['kept'] if any(row.id in kept for row in rows) else []
    return [_column(name, rows, kept, now) for name in [*names, 'branch', 'who']]


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
    """As many of the optional columns as there is room for: of those in the middle the first, then those at the end."""
    needed = [min(_wanted(made, rows), made[0].least or columns) + GAP for made in heads]
    kept = [index for index, (head, _) in enumerate(heads) if not head.optional]
    used = sum(needed[index] for index in kept)
    for index, (head, _) in enumerate(heads):
        if head.optional and used + needed[index] <= columns:
            used += needed[index]
            kept.append(index)
    return [heads[index] for index in sorted(kept)]


def _wanted(made: Made, rows: Sequence[Row]) -> int:
    head, make = made
    return max([cells(head.name), *(cells(make(row)) for row in rows)])


def _column(name: str, rows: Sequence[Row], kept: frozenset[str], now: float) -> Made:
    if name.startswith(METRIC):
        plain = name.removeprefix(METRIC)
        first = any(plain in row.primary for row in rows)
        return Column(clip(one_line(plain), NAME_WIDTH), right=True, optional=not first), lambda row: _number(row, plain)
    if name.startswith(PARAM):
        plain = name.removeprefix(PARAM)
        numeric = all(_is_number(row.params[plain]) for row in rows if plain in row.params)
        return Column(clip(one_line(plain), NAME_WIDTH), right=numeric, optional=True), lambda row: _value(row, plain)
    own: dict[str, Made] = {
        'run': (Column('RUN'), lambda row: row.short),
        'when': (Column('WHEN'), lambda row: ago(max(0.0, now - from_iso(row.started) - row.seconds))),
        'started': (Column('STARTED'), lambda row: row.started.replace('T', ' ')),
        'ended': (Column('ENDED'), lambda row: ENDED.get(row.ended, row.ended)),
        # Of a killed run nobody measured it.
        'seconds': (Column('TIME', right=True), lambda row: '' if row.ended == 'killed' else show_seconds(row.seconds)),
        'saved_seconds': (Column('SAVED', right=True), lambda row: show_seconds(row.saved_seconds)),
        'cpu_seconds': (Column('CPU', right=True), lambda row: show_seconds(row.cpu_seconds)),
        'stages': (Column('STAGES', least=12), _stages),
        'set': (Column('SET', least=10, optional=True), lambda row: one_line(' '.join(assignments(row.overlay)))),
        'kept': (Column('KEPT', optional=True), lambda row: 'kept' if row.id in kept else ''),
        'trial': (Column('TRIAL', optional=True), lambda row: 'trial' if row.overlay else ''),
        'branch': (Column('BRANCH', least=8, optional=True), lambda row: one_line(row.branch)),
        'who': (Column('BY', optional=True), lambda row: one_line(row.who)),
        'host': (Column('HOST', optional=True), lambda row: one_line(row.host)),
        'commit': (Column('COMMIT', optional=True), lambda row: row.commit[:12]),
        'id': (Column('ID'), lambda row: row.id),
        'fresh': (Column('FRESH', right=True), lambda row: str(row.fresh)),
    }
    return own.get(name) or (Column(name.upper(), right=True), lambda row: str(row.counts[name]))


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
    """``4 done, 3 fresh``."""
    found = {**row.counts, 'fresh': row.fresh}
    return ', '.join(f'{found[state]} {ENDED.get(state, state)}' for state in found if found[state])


def assignments(overlay: Iterable[tuple[str, str, Any]]) -> list[str]:
    """``train.depth=12``, of another file than params.yaml with its name."""
    return [f'{"" if file == layout.PARAMS_FILE else f"{file}:"}{key}={shown(value)}' for file, key, value in overlay]
