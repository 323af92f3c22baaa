"""The contents of one plot, or of the same plot at two points, as pictures.  Values in, SVG out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.experiments.plots_values import Bars, Confusion, Drawing, Histogram, Lines, Picture, Series
from mlops_cli.report import svg
from mlops_cli.report.svg import Axes, Group, Line

SHARED = 0.5  # of two points' x names that must be the same for their lines to be drawn over each other


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart, a picture or a sentence.  ``caption``: which point it is of, '' for both.  ``name``: for a file of it."""

    caption: str
    chart: str = ''
    picture: Picture | None = None
    problem: str = ''
    hint: str = ''
    name: str = ''


def panels(
    before: Drawing | None, after: Drawing | None, labels: tuple[str, str], *, titled: bool = False, single: bool = False
) -> list[Panel]:
    """What to show for a plot.  ``single``: there is only one point, ``after``.  ``titled``: charts carry their title."""
    if before is not None and after is not None and (both := _together(before, after, labels, titled)):
        return both
    found = []
    for drawing, label, name in ((before, labels[0], 'before'), (after, labels[1], 'after')):
        caption = '' if single else label
        if drawing is None:
            if not single:
                found.append(Panel(caption, problem='no such plot here', name=name))
        else:
            found.append(replace(_alone(drawing, titled), caption=caption, name='' if single else name))
    return found


def _axes(drawing: Drawing, titled: bool) -> Axes:
    return Axes(drawing.x_label, drawing.y_label, drawing.title if titled else '')


def _alone(drawing: Drawing, titled: bool) -> Panel:
    content, axes = drawing.content, _axes(drawing, titled)
    if isinstance(content, Lines):
        made = [Line(one.name, one.x, one.y, place) for place, one in enumerate(content.series)]
        return Panel('', svg.lines(made, axes, joined=content.joined, names=content.names))
    if isinstance(content, Bars):
        return Panel('', svg.bars(content.categories, [Group(n, v, i) for i, (n, v) in enumerate(content.series)], axes))
    if isinstance(content, Histogram):
        return Panel('', svg.histogram([Group(n, v, i) for i, (n, v) in enumerate(content.series)], axes))
    if isinstance(content, Confusion):
        return Panel('', svg.confusion(content.labels, content.counts, _corners(axes)))
    if isinstance(content, Picture):
        return Panel('', picture=content)
    return Panel('', problem=content.problem, hint=content.hint)


def _corners(axes: Axes) -> Axes:
    """Of a confusion matrix: the column of actual labels is told at the side, that of predicted ones below."""
    return Axes(axes.y or 'predicted', axes.x or 'actual', axes.title)


def together(drawings: Sequence[tuple[str, Drawing]]) -> str:
    """The lines of several drawings in one chart, each in a colour of its own; nothing where they do not fit together."""
    contents = [drawing.content for _, drawing in drawings]
    if not all(isinstance(one, Lines) and one.joined and not one.names and len(one.series) == 1 for one in contents):
        return ''
    made = [
        Line(name, content.series[0].x, content.series[0].y, place)
        for place, ((name, _), content) in enumerate(zip(drawings, contents, strict=True))
        if isinstance(content, Lines)
    ]
    return svg.lines(made, _axes(drawings[0][1], False))


# Two points in one chart


def _together(before: Drawing, after: Drawing, labels: tuple[str, str], titled: bool) -> list[Panel] | None:
    """None where they have to stand beside each other."""
    one, two, axes = before.content, after.content, _axes(after, titled)
    if isinstance(one, Lines) and isinstance(two, Lines) and one.joined == two.joined:
        return _lines(one, two, labels, axes)
    if isinstance(one, Bars) and isinstance(two, Bars):
        return [Panel('', _bars(one, two, labels, axes))]
    if isinstance(one, Histogram) and isinstance(two, Histogram):
        groups = [
            Group(_named(name, label, one.series, two.series), numbers, place, old)
            for name, place, numbers, label, old in _interleaved(one.series, two.series, labels)
        ]
        return [Panel('', svg.histogram(groups, axes))]
    if isinstance(one, Confusion) and isinstance(two, Confusion):
        return _confusions(one, two, labels, axes)
    return None


def _named(name: str, label: str, *sides: Sequence[tuple[str, object]]) -> str:
    """The point alone where there is one series only; else the series and the point."""
    names = {name for side in sides for name, _ in side}
    return label if len(names) == 1 else f'{name}, {label}'


def _interleaved(
    one: Sequence[tuple[str, Sequence[float]]], two: Sequence[tuple[str, Sequence[float]]], labels: tuple[str, str]
) -> list[tuple[str, int, Sequence[float], str, bool]]:
    """(name, colour, numbers, point, whether it is the older one), the two of a name beside each other."""
    old, new = dict(one), dict(two)
    names = list(dict.fromkeys([*new, *old]))
    found = []
    for place, name in enumerate(names):
        for side, label, is_old in ((old, labels[0], True), (new, labels[1], False)):
            if name in side:
                found.append((name, place, side[name], label, is_old))
    return found


def _lines(one: Lines, two: Lines, labels: tuple[str, str], axes: Axes) -> list[Panel] | None:
    if bool(one.names) != bool(two.names):
        return None
    names = two.names
    if names and one.names != names:
        shared = set(one.names) & set(names)
        if len(shared) < SHARED * min(len(set(one.names)), len(set(names))):
            return None
        one, names = _moved(one, names)
    old, new = ({series.name: series for series in side.series} for side in (one, two))
    made = []
    for place, name in enumerate(dict.fromkeys([*new, *old])):
        for side, label, is_old in ((old, labels[0], True), (new, labels[1], False)):
            if name in side:
                told = label if len({*old, *new}) == 1 else f'{name}, {label}'
                made.append(Line(told, side[name].x, side[name].y, place, is_old))
    return [Panel('', svg.lines(made, axes, joined=two.joined, names=names))]


def _moved(lines: Lines, names: tuple[str, ...]) -> tuple[Lines, tuple[str, ...]]:
    """The lines at the places that their names have among ``names``; what is not among them comes behind."""
    places = {name: float(place) for place, name in reversed(list(enumerate(names)))}
    for name in lines.names:
        places.setdefault(name, float(len(places)))
    everywhere = [places[name] for name in lines.names]
    series = []
    for one in lines.series:
        points = sorted((everywhere[int(x)], y) for x, y in zip(one.x, one.y, strict=True) if int(x) < len(everywhere))
        series.append(Series(one.name, tuple(x for x, _ in points), tuple(y for _, y in points)))
    return replace(lines, series=tuple(series)), tuple(sorted(places, key=places.__getitem__))


def _bars(one: Bars, two: Bars, labels: tuple[str, str], axes: Axes) -> str:
    categories = list(dict.fromkeys([*two.categories, *one.categories]))
    spread = []
    for bars in (one, two):
        place = {name: index for index, name in reversed(list(enumerate(bars.categories)))}
        spread.append(
            [(name, [numbers[place[c]] if c in place else math.nan for c in categories]) for name, numbers in bars.series]
        )
    groups = [
        Group(_named(name, label, *spread), numbers, place, old)
        for name, place, numbers, label, old in _interleaved(spread[0], spread[1], labels)
    ]
    return svg.bars(categories, groups, axes)


def _confusions(one: Confusion, two: Confusion, labels: tuple[str, str], axes: Axes) -> list[Panel]:
    """Before, after, and the difference."""
    names = two.labels if set(one.labels) <= set(two.labels) else tuple(dict.fromkeys([*two.labels, *one.labels]))
    old, new = _spread(one, names), _spread(two, names)
    change = [[b - a for a, b in zip(*rows, strict=True)] for rows in zip(old, new, strict=True)]
    corners = _corners(axes)
    return [
        Panel(labels[0], svg.confusion(names, old, corners), name='before'),
        Panel(labels[1], svg.confusion(names, new, corners), name='after'),
        Panel(
            'difference: blue is better, orange is worse', svg.confusion(names, change, corners, difference=True), name='diff'
        ),
    ]


def _spread(matrix: Confusion, names: Sequence[str]) -> list[list[float]]:
    place = {name: index for index, name in enumerate(matrix.labels)}
    return [
        [matrix.counts[place[down]][place[across]] if down in place and across in place else 0.0 for across in names]
        for down in names
    ]
