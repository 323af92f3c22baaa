"""Which plots a table makes: as it is declared, else by what its columns are called and hold.

The choice follows from the declaration and the names of columns where it can, so that a file makes the same at two points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import plural
from mlops_cli.experiments.plots_read import Cell, Table, drawable
from mlops_cli.experiments.plots_values import (
    TEMPLATES,
    Bars,
    Broken,
    Confusion,
    Content,
    Drawing,
    Facts,
    Histogram,
    Kind,
    Lines,
    Series,
    facts_of,
)

SERIES = 12  # in one plot
PARTS = 12  # plots of one file
CATEGORIES = 60  # bars
TOO_LARGE = 'too large to be drawn'
LABELS = 40  # of a confusion matrix
POINTS = 4000  # of a line or a cloud
VALUES = 200_000  # of a histogram
STEPS = ('step', 'steps', 'global_step', 'epoch', 'epochs', 'round', 'iteration', 'iter', 'batch', 'index', 'idx', 'time')
ACTUAL = ('actual', 'y_true', 'true', 'truth', 'target', 'label', 'expected', 'ground_truth', 'reference')
PREDICTED = ('predicted', 'y_pred', 'pred', 'prediction', 'predictions', 'predict', 'guess')
COUNTS = ('count', 'counts', 'n', 'number', 'support')
_SPLITS = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing', 'eval', 'evaluation', 'dev'}
_PIECES = pattern(r'[_\-./ ]+')
_DATE = pattern(r'\d{4}-\d\d(-\d\d)?([T ]\d\d:\d\d|$)')
_SMALL_SET = 50  # different whole numbers that may be labels


def drawings(table: Table, settings: Mapping[str, Any], title: str) -> tuple[Drawing, ...]:
    """At least one.  ``settings``: as under ``plots``; ``title``: for plots that declare none.

    Raises UserError for a column that is not there, and for columns without a number."""
    title = str(settings.get('title') or title)
    kind, x, ys = _chosen(table, settings)
    if kind == 'confusion':
        return (_labelled(_confusion(table, x or '', ys[0]), settings, title, x or '', ys[0]),)
    groups = [ys] if 'y' in settings or kind != 'line' else _alike(ys)
    found = []
    for columns in groups[:PARTS]:
        part = '' if len(groups) == 1 else ', '.join(columns)
        content, notes = _content(table, kind, x, columns[:SERIES])
        if len(columns) > SERIES:
            notes = [*notes, f'the first {SERIES} of {len(columns):,} columns']
        label = columns[0] if len(columns) == 1 else ''
        found.append(_labelled((content, notes), settings, title, _x_name(kind, x, columns), label, part))
    if len(groups) > PARTS:
        last = found[-1]
        rest = plural(len(groups) - PARTS, 'more plot')
        found[-1] = replace(last, notes=(*last.notes, f'{rest} of this file left out: choose columns with y'))
    return tuple(found)


def _labelled(
    made: tuple[Content, list[str]], settings: Mapping[str, Any], title: str, x: str, y: str, part: str = ''
) -> Drawing:
    x_label, y_label = str(settings.get('x_label') or x), str(settings.get('y_label') or y)
    return Drawing(title, made[0], x_label, y_label, part, tuple(made[1]))


def _x_name(kind: Kind, x: str | None, columns: Sequence[str]) -> str:
    if kind == 'histogram':
        return columns[0] if len(columns) == 1 else ''
    return x or 'row'


# What is drawn


def _chosen(table: Table, settings: Mapping[str, Any]) -> tuple[Kind, str | None, list[str]]:
    """(kind, column of x or None for the number of the row, columns of y).  Raises UserError."""
    written = settings.get('y')
    x = settings.get('x')
    ys = [written] if isinstance(written, str) else list(written or ())
    for name in ([x] if x else []) + ys:
        if name not in table.columns:
            raise UserError(f'no column {name[:80]!r}', hint=did_you_mean(name, table.columns, what='columns'))
    kind = _declared(settings)
    if kind == 'confusion' or (kind is None and 'kind' not in settings and not ys and not x and _pair(table)):
        return 'confusion', *_confusion_columns(table, x, ys)
    numeric = [name for name, cells in table.columns.items() if _is_numeric(cells)]
    if kind == 'histogram':
        # Of values alone, x is what is counted, as y is.
        ys = ys or ([x] if x else [name for name in numeric if not _is_step(name)][:1])
        return 'histogram', None, _all_numeric(ys, table)
    if kind is None and x and len(ys) == 1 and not _is_numeric(table.columns[x]) and not _is_numeric(table.columns[ys[0]]):
        return 'confusion', x, ys
    if x is None:
        x = next((name for step in STEPS for name in numeric if name.lower() == step), None)
    if x is None and (kind == 'bar' or (kind is None and _names_rows(table))):
        x = next(iter(table.columns), None)
    x = None if ys == [x] else x
    ys = ys or [name for name in numeric if name != x]
    if kind is None:
        kind = 'bar' if x is not None and _are_categories(table.columns[x]) else 'line'
    return kind, x, _all_numeric(ys, table)


def _declared(settings: Mapping[str, Any]) -> Kind | None:
    """None, too, for a template of somebody's own: then what the columns hold decides."""
    kind, template = settings.get('kind'), settings.get('template')
    if kind is not None:
        return TEMPLATES[str(kind)]
    if template is None:
        return None
    return TEMPLATES.get(str(template))


def _all_numeric(names: list[str], table: Table) -> list[str]:
    if not names:
        raise UserError('no column of numbers', hint=f'columns: {", ".join(list(table.columns)[:8])}')
    for name in names:
        if not _is_numeric(table.columns[name]):
            cells = [cell for cell in table.columns[name] if cell is not None]
            text = next((cell for cell in cells if isinstance(cell, str)), None)
            told = f'holds text, as {text[:40]!r}' if text is not None else 'holds no number'
            raise UserError(f'the column {name[:80]!r} {told}', hint='name a column of numbers as y')
    return names


def _is_numeric(cells: Sequence[Cell]) -> bool:
    """Numbers, NaN and gaps, and at least one of the first two."""
    return any(isinstance(cell, float) for cell in cells) and not any(isinstance(cell, str) for cell in cells)


def _is_step(name: str) -> bool:
    return name.lower() in STEPS


def _distinct(cells: Sequence[Cell]) -> bool:
    return len(set(cells)) == len(cells) <= CATEGORIES


def _are_categories(cells: Sequence[Cell]) -> bool:
    """Different texts, and no dates, which follow each other as numbers do."""
    if _is_numeric(cells) or not _distinct(cells):
        return False
    return not all(isinstance(cell, str) and _DATE.match(cell) for cell in cells)


def _names_rows(table: Table) -> bool:
    """The first column is text, a name for each row."""
    first = next(iter(table.columns.values()), ())
    return any(isinstance(cell, str) for cell in first) and _distinct(first)


def _alike(names: Sequence[str]) -> list[list[str]]:
    """Columns that differ in the split of the data alone are drawn together: train_loss and val_loss."""
    found: dict[str, list[str]] = {}
    for name in names:
        stem = ' '.join(piece for piece in _PIECES.split(name.lower()) if piece not in _SPLITS)
        found.setdefault(stem, []).append(name)
    return list(found.values())


# Contents


def _content(table: Table, kind: Kind, x: str | None, ys: Sequence[str]) -> tuple[Content, list[str]]:
    """The content and what to tell about it."""
    numbers = {name: tuple(map(drawable, table.columns[name])) for name in ys}
    if all(math.isnan(number) for column in numbers.values() for number in column):
        what = 'the only number is' if table.rows == 1 else 'all numbers are'
        large = any(_kind(cell) == TOO_LARGE for name in ys for cell in table.columns[name])
        kinds = f'NaN, infinite, {TOO_LARGE} or missing' if large else 'NaN, infinite or missing'
        return Broken(f'nothing to draw: {what} {kinds}', 'look at what the stage printed: mlops logs'), []
    notes = _gaps(table, ys)
    if kind == 'histogram':
        found = {name: tuple(n for n in column if not math.isnan(n)) for name, column in numbers.items()}
        if (most := max(map(len, found.values()))) > VALUES:
            notes = [*notes, f'{most:,} values; counted is one of every {math.ceil(most / VALUES)}']
        series = tuple((name, some[:: math.ceil(len(some) / VALUES) or 1]) for name, some in found.items())
        return Histogram(series, _facts(table, ys)), notes
    if kind == 'bar':
        return _bars(table, x, numbers, notes)
    return _lines(table, x, numbers, notes, joined=kind == 'line')


def _lines(
    table: Table, x: str | None, numbers: Mapping[str, tuple[float, ...]], notes: list[str], *, joined: bool
) -> tuple[Content, list[str]]:
    named = x is not None and not _is_numeric(table.columns[x]) and table.rows <= POINTS
    if x is None or not _is_numeric(table.columns[x]):
        places = tuple(map(float, range(table.rows)))
    else:
        places = tuple(map(drawable, table.columns[x]))
    rows = [row for row in range(table.rows) if not math.isnan(places[row])]
    if not rows:
        return Broken('nothing to draw: the column of x holds no number that can be drawn'), []
    lost = [row for row in range(table.rows) if math.isnan(places[row])]
    if lost and x is not None:
        what = 'its row is' if len(lost) == 1 else 'their rows are'
        notes = [*notes, f'{_of_rows(x, [table.columns[x][row] for row in lost], table)}, so {what} not drawn']
    if joined:
        rows.sort(key=places.__getitem__)
    series = []
    for name, column in numbers.items():
        whole = Series(name, tuple(places[row] for row in rows), tuple(column[row] for row in rows))
        series.append(thinned(whole) if joined else sampled(whole))
    if len(rows) > POINTS:
        kept = 'the lowest and the highest of every' if joined else 'one of every'
        notes = [
            *notes,
            f'{len(rows):,} points; drawn are {kept} {math.ceil(len(rows) / (POINTS // 2 if joined else POINTS)):,}',
        ]
    names = tuple(map(_text, table.columns[x])) if named and x is not None else ()
    return Lines(tuple(series), joined, names, _facts(table, list(numbers), lost, rows)), notes


def thinned(series: Series) -> Series:
    """At most POINTS points and both ends: of each stretch of a longer line the lowest and the highest, so that no peak is
    lost; a stretch without any number is a gap."""
    count = len(series.x)
    if count <= POINTS:
        return series
    step = math.ceil(count / (POINTS // 2))
    kept = [0]
    for start in range(0, count, step):
        stretch = [row for row in range(start, min(start + step, count)) if not math.isnan(series.y[row])] or [start]
        kept += sorted({min(stretch, key=series.y.__getitem__), max(stretch, key=series.y.__getitem__)})
    rows = sorted({*kept, count - 1})
    return Series(series.name, tuple(series.x[row] for row in rows), tuple(series.y[row] for row in rows))


def sampled(series: Series) -> Series:
    """At most POINTS points, evenly chosen."""
    step = math.ceil(len(series.x) / POINTS)
    return Series(series.name, series.x[::step], series.y[::step])


def _gaps(table: Table, ys: Sequence[str]) -> list[str]:
    """A sentence for numbers that cannot be drawn; cells without anything are just gaps."""
    lost = {name: [cell for cell in table.columns[name] if _is_lost(cell)] for name in ys}
    return [_of_rows(name, found, table) for name, found in lost.items() if found]


def _of_rows(name: str, lost: Sequence[Cell], table: Table) -> str:
    kinds = ' and '.join(dict.fromkeys(map(_kind, lost)))
    return f'{name}: {len(lost):,} of {table.rows:,} values {"is" if len(lost) == 1 else "are"} {kinds}'


def _is_lost(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isnan(drawable(cell))


def _kind(cell: Cell) -> str:
    if not isinstance(cell, float):
        return 'missing'
    return 'NaN' if math.isnan(cell) else 'infinite' if math.isinf(cell) else TOO_LARGE


def _facts(table: Table, ys: Sequence[str], lost: Sequence[int] = (), rows: Sequence[int] | None = None) -> Mapping[str, Facts]:
    """``rows``: those that have a place, in its order; None: all.  ``lost``: those that have none."""
    found = {}
    for name in ys:
        cells = table.columns[name]
        placed = [cells[row] for row in rows] if rows is not None else list(cells)
        beside = [cells[row] for row in lost]
        left_out = sum(map(_is_lost, placed)) + sum(isinstance(cell, float) for cell in beside)
        # What has no place comes first, so that the last number is the last one drawn over.
        found[name] = facts_of((cell for cell in (*beside, *placed) if isinstance(cell, float)), left_out)
    return found


def _bars(table: Table, x: str | None, numbers: Mapping[str, tuple[float, ...]], notes: list[str]) -> tuple[Bars, list[str]]:
    names = [str(row) for row in range(table.rows)] if x is None else [_text(cell) for cell in table.columns[x]]
    if len(names) > CATEGORIES:
        notes = [*notes, f'the first {CATEGORIES} of {len(names):,} bars']
    series = tuple((name, column[:CATEGORIES]) for name, column in numbers.items())
    return Bars(tuple(names[:CATEGORIES]), series, _facts(table, list(numbers))), notes


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f'{cell:.6g}'
    return cell or ''


# Confusion matrices


def _pair(table: Table) -> tuple[str, str] | None:
    """The columns of actual and predicted labels, by their names."""
    lower = {name.lower(): name for name in table.columns}
    actual = next((lower[name] for name in ACTUAL if name in lower), None)
    predicted = next((lower[name] for name in PREDICTED if name in lower), None)
    if actual is None or predicted is None or not all(_are_labels(table.columns[name]) for name in (actual, predicted)):
        return None
    return actual, predicted


def _are_labels(cells: Sequence[Cell]) -> bool:
    """Text, or few different whole numbers."""
    different = set(cells)
    if any(isinstance(cell, str) for cell in different):
        return True
    return len(different) <= _SMALL_SET and all(isinstance(cell, float) and cell.is_integer() for cell in different)


def _confusion_columns(table: Table, x: str | None, ys: Sequence[str]) -> tuple[str, list[str]]:
    """(column of actual labels, [column of predicted ones]).  Raises UserError."""
    if x and len(ys) == 1:
        return x, [ys[0]]
    if (pair := _pair(table)) is None:
        names = list(table.columns)
        if len(names) != 2 or x or ys:
            raise UserError('which columns hold the actual and the predicted labels?', hint='kind: confusion, x: ..., y: ...')
        pair = (names[0], names[1])
    return x or pair[0], [ys[0] if ys else pair[1]]


def _confusion(table: Table, actual: str, predicted: str) -> tuple[Content, list[str]]:
    """Rows are counted; or they hold counts, in a column that is called so."""
    counted = next((name for name in table.columns if name.lower() in COUNTS and name not in (actual, predicted)), None)
    weights, notes, left_out = [1.0] * table.rows, list[str](), 0
    if counted is not None and _is_numeric(table.columns[counted]):
        left_out, notes = sum(map(_is_lost, table.columns[counted])), _gaps(table, [counted])
        weights = [0.0 if math.isnan(number := drawable(cell)) else number for cell in table.columns[counted]]
    pairs: dict[tuple[str, str], float] = {}
    sums: dict[str, float] = {}
    for one, two, weight in zip(table.columns[actual], table.columns[predicted], weights, strict=True):
        pair = (_text(one), _text(two))
        pairs[pair] = pairs.get(pair, 0.0) + weight
        for label in pair:
            sums[label] = sums.get(label, 0.0) + weight
    labels = _ordered(sums)
    if len(labels) > LABELS:
        notes = [*notes, f'the {LABELS} most frequent of {len(labels):,} labels']
        kept = set(sorted(sums, key=lambda name: -sums[name])[:LABELS])
        labels = [name for name in labels if name in kept]
    rows = tuple(tuple(pairs.get((one, two), 0.0) for two in labels) for one in labels)
    return Confusion(tuple(labels), rows, left_out), notes


def _ordered(labels: Mapping[str, float]) -> list[str]:
    """Numbers by their size, else by the alphabet."""

    def place(label: str) -> tuple[int, float, str]:
        try:
            number = float(label)
        except ValueError:
            return (1, 0.0, label)
        return (0, number, label) if math.isfinite(number) else (1, 0.0, label)

    return sorted(labels, key=place)
