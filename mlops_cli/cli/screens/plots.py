"""Plots as characters: of one point, or of two.  Values in, lines out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, wrap
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.units import plural, show_size
from mlops_cli.experiments.plots_values import (
    Bars,
    Broken,
    Confusion,
    Content,
    Drawing,
    Facts,
    Histogram,
    Lines,
    Picture,
    Plot,
    facts_of,
)
from mlops_cli.report.chart import ASCII_MARKS, MARKS, bar, bins, buckets, chart, counted, sparkline
from mlops_cli.report.scale import extent, figure

Pair = tuple[Plot | None, Plot | None]

NAME = 24  # columns of the name of a series
SPARK, LEAST = 60, 24  # columns of a small chart, at most, and from which more is told beside it
BIG = 14  # rows of a large chart
CATEGORIES = 20  # bars of one plot, unless everything is asked for
MOST = 30  # plots, unless everything is asked for


class Pen:
    """How to draw.  ``labels``: of the two points.  ``single``: only the second is shown.  ``big``: there is room for more than
    a line."""

    def __init__(
        self, columns: int, labels: tuple[str, str], *, single: bool, ascii_only: bool, everything: bool = False
    ) -> None:
        self.columns, self.labels, self.single = columns, (one_line(labels[0]), one_line(labels[1])), single
        self.ascii_only, self.everything = ascii_only, everything
        self.big = everything

    def narrower(self, by: int) -> Pen:
        """The same for what stands further in."""
        found = Pen(self.columns - by, self.labels, single=self.single, ascii_only=self.ascii_only, everything=self.everything)
        found.big = self.big
        return found


def plots_lines(pairs: Sequence[Pair], pen: Pen) -> list[Line]:
    """Each plot in a few lines, below the stage that made it; one alone is drawn large."""
    lines = [Line(f'Plots of {pen.labels[1]}' if pen.single else f'Plots, {pen.labels[0]} -> {pen.labels[1]}')]
    pen.big |= len(pairs) == 1
    shown = pairs if pen.everything else pairs[:MOST]
    stage = None
    for pair in shown:
        plot = _one(pair)
        if plot.stage != stage:
            stage = plot.stage
            lines += [Line(''), Line(clip(f'  {one_line(stage) or "files of the workspace"}', pen.columns))]
        lines += [Line(text, word) for text, word in _plot(pair, pen)]
    if len(shown) < len(pairs):
        lines += [
            Line(''),
            Line(f'  and {plural(len(pairs) - len(shown), "more plot")} (-v shows them, --html FILE draws them)'),
        ]
    return lines


def _one(pair: Pair) -> Plot:
    plot = pair[1] or pair[0]
    assert plot is not None
    return plot


def _plot(pair: Pair, pen: Pen) -> list[tuple[str, str]]:
    plot = _one(pair)
    title, path = one_line(plot.drawing.title), one_line(plot.path)
    heading = title if title == path else f'{title}   {path}'
    heading += f'   {one_line(plot.drawing.part)}' if plot.drawing.part else ''
    lines = [(clip(f'    {heading}', pen.columns), '')]
    lines += [(f'      {text}'.rstrip(), word) for text, word in _body(pair, pen)]
    for text in dict.fromkeys(text for one in pair if one for text in one.drawing.notes):
        lines += [(f'      {part}', '') for part in wrap(f'({one_line(text)})', pen.columns - 6)]
    return lines


def _body(pair: Pair, pen: Pen) -> list[tuple[str, str]]:
    before, after = (plot.drawing if plot else None for plot in pair)
    if pen.single and after is not None:
        return _alone(after, pen)
    if before is not None and after is not None and (both := _together(before, after, pen)) is not None:
        return both
    found: list[tuple[str, str]] = []
    for drawing, label in zip((before, after), pen.labels, strict=True):
        found.append((f'{label}:' if drawing else f'{label}: no such plot here', ''))
        found += [(f'  {text}', word) for text, word in _alone(drawing, pen.narrower(2))] if drawing else []
    return found


def _alone(drawing: Drawing, pen: Pen) -> list[tuple[str, str]]:
    content = drawing.content
    if isinstance(content, Broken):
        text = f'cannot be drawn: {one_line(content.problem)}'
        hint = [(f'({one_line(content.hint)})', '')] if content.hint else []
        room = pen.columns - 8
        return [*((part, 'cannot be drawn:' if not index else '') for index, part in enumerate(wrap(text, room))), *hint]
    if isinstance(content, Lines):
        return _plain(_lines([('', content)], drawing, pen))
    if isinstance(content, Bars):
        return _plain(_bars(None, content, pen))
    if isinstance(content, Histogram):
        return _plain(_histogram([('', content)], pen))
    if isinstance(content, Confusion):
        return _plain(_confusion(content, None, pen))
    return [(f'picture: {_picture(content)}', '')]


def _together(before: Drawing, after: Drawing, pen: Pen) -> list[tuple[str, str]] | None:
    one, two = before.content, after.content
    if isinstance(one, Lines) and isinstance(two, Lines):
        return _plain(_lines([(pen.labels[0], one), (pen.labels[1], two)], after, pen))
    if isinstance(one, Bars) and isinstance(two, Bars):
        return _plain(_bars(one, two, pen))
    if isinstance(one, Histogram) and isinstance(two, Histogram):
        return _plain(_histogram([(pen.labels[0], one), (pen.labels[1], two)], pen))
    if isinstance(one, Confusion) and isinstance(two, Confusion):
        return _plain(_confusion(two, one, pen))
    if isinstance(one, Picture) and isinstance(two, Picture):
        told = 'the same as before' if one.data == two.data else f'before: {_picture(one)}'
        return _plain([f'picture: {_picture(two)}; {told}'])
    if isinstance(one, Broken) and isinstance(two, Broken) and one == two:
        return _alone(after, pen)
    return None


def _plain(lines: list[str]) -> list[tuple[str, str]]:
    return [(line, '') for line in lines]


# Lines


def _lines(sides: Sequence[tuple[str, Lines]], drawing: Drawing, pen: Pen) -> list[str]:
    names = list(dict.fromkeys(one.name for _, side in reversed(sides) for one in side.series))
    if pen.big and any(side.series for _, side in sides):
        return _large(sides, drawing, pen)
    known = [(label, {one.name: one for one in side.series}) for label, side in sides]
    wide = extent(n for _, side in sides for one in side.series for n in one.x) or (0.0, 1.0)
    width = min(NAME, max(cells(one_line(name)) for name in names))
    beside = max((cells(label) for label, _ in sides), default=0)
    facts = {(label, one.name): _facts(side, one.name) for label, side in sides for one in side.series}
    rest = pen.columns - (12 if beside else 10) - width - beside
    brief = rest - max((len(_tail(one)) for one in facts.values()), default=0) < LEAST
    room = min(SPARK, max(8, rest - max((len(_tail(one, brief=brief)) for one in facts.values()), default=0)))
    lines = []
    for name in names:
        here = [(label, side[name]) for label, side in known if name in side]
        low, high = extent(n for _, one in here for n in one.y) or (0.0, 1.0)
        for index, (label, one) in enumerate(here):
            spark = sparkline(buckets(one.x, one.y, room, *wide), low, high, ascii_only=pen.ascii_only)
            head = f'{pad(clip(one_line(name) if not index else "", width), width)}  {pad(label, beside)}  '
            lines.append(f'{head if beside else head[: width + 2]}{spark:<{room}}  {_tail(facts[label, name], brief=brief)}')
    axis = one_line(drawing.x_label) or 'row'
    text = f'{axis} {_first_last(sides[-1][1], wide)}'
    return [*lines, f'{"":<{width + 2 + (beside + 2 if beside else 0)}}{clip(text, room)}']


def _first_last(lines: Lines, wide: tuple[float, float]) -> str:
    if lines.names:
        return f'{one_line(lines.names[0])} to {one_line(lines.names[-1])}'
    return f'{figure(wide[0])} to {figure(wide[1])}'


def _facts(side: Lines, name: str) -> Facts:
    return side.facts.get(name) or facts_of(number for one in side.series if one.name == name for number in one.y)


def _tail(facts: Facts, *, brief: bool = False) -> str:
    """``brief``: where there is no room for more, the last number."""
    last = f'last {figure(facts.last)}'
    return last if brief else f'min {figure(facts.low)}  max {figure(facts.high)}  {last}'


def _large(sides: Sequence[tuple[str, Lines]], drawing: Drawing, pen: Pen) -> list[str]:
    drawn = [(label, one, _facts(side, one.name)) for label, side in sides for one in side.series]
    joined = sides[0][1].joined
    points = [(one.x, one.y) for _, one, _ in drawn]
    lines = chart(points, min(pen.columns - 8, 110), BIG, joined=joined, ascii_only=pen.ascii_only)
    axis = one_line(drawing.x_label)
    lines.append(f'{axis:>{len(lines[-1])}}' if axis else '')
    marks = ASCII_MARKS if pen.ascii_only else MARKS
    for number, (label, one, facts) in enumerate(drawn):
        mark = f'{marks[number % len(marks)]} ' if len(drawn) > 1 or pen.ascii_only else ''
        lines.append(f'{mark}{one_line(one.name)}{f", {label}" if label else ""}: {_tail(facts)}')
    return lines


# Bars, histograms


def _bars(before: Bars | None, after: Bars, pen: Pen) -> list[str]:
    old = {name: dict(zip(before.categories, numbers, strict=True)) for name, numbers in before.series} if before else {}
    highest = max((abs(n) for _, numbers in after.series for n in numbers if not math.isnan(n)), default=0.0) or 1.0
    width = min(NAME, max((cells(one_line(name)) for name in after.categories), default=0))
    lines = []
    for name, numbers in after.series:
        if len(after.series) > 1:
            lines.append(one_line(name))
        shown = list(zip(after.categories, numbers, strict=True))
        for category, number in shown if pen.everything else shown[:CATEGORIES]:
            was = old.get(name, {}).get(category)
            same = was is None or figure(was) == figure(number)
            told = figure(number) if same else f'{figure(number)} (was {figure(was or 0.0)})'
            drawn = '' if math.isnan(number) else bar(abs(number) / highest, 30, ascii_only=pen.ascii_only)
            lines.append(f'{pad(clip(one_line(category), width), width)}  {pad(drawn, 30)}  {told}')
        if len(shown) > CATEGORIES and not pen.everything:
            lines.append(f'and {len(shown) - CATEGORIES:,} more (-v shows them)')
    return lines


def _histogram(sides: Sequence[tuple[str, Histogram]], pen: Pen) -> list[str]:
    low, high, count = bins([n for _, side in sides for _, numbers in side.series for n in numbers])
    rows = []
    for label, side in sides:
        for name, numbers in side.series:
            heights = counted(numbers, low, high, count)
            spark = sparkline([float(n) for n in heights], 0.0, float(max(heights) or 1), ascii_only=pen.ascii_only)
            rows.append((f'{one_line(name)}{f", {label}" if label else ""}', spark, plural(len(numbers), 'value')))
    width = min(NAME * 2, max(cells(told) for told, _, _ in rows))
    span = f'{figure(low)} to {figure(high)}'
    return [f'{pad(clip(told, width), width)}  {spark}  {span}, {number}' for told, spark, number in rows]


# Confusion matrices, pictures


def _confusion(now: Confusion, before: Confusion | None, pen: Pen) -> list[str]:
    """How much is right, the matrix where it fits, and what is taken for what most often."""
    lines = [_right(now) if before is None else f'{_right(before)} -> {_right(now)}']
    names = [one_line(label) for label in now.labels]
    head = [Column('ACTUAL'), *(Column(name, right=True) for name in names)]
    rows = [[name, *(figure(n) if n else '.' for n in row)] for name, row in zip(names, now.counts, strict=True)]
    drawn = table(head, rows, 10_000, indent=0)
    if len(names) <= CATEGORIES and max(map(cells, drawn)) <= pen.columns - 8:
        lines += drawn
    wrong = [
        (number, one, two)
        for one, row in zip(names, now.counts, strict=True)
        for two, number in zip(names, row, strict=True)
        if one != two and number
    ]
    worst = sorted(wrong, reverse=True)[:3]
    if worst:
        told = ', '.join(f'{one} as {two} ({figure(number)})' for number, one, two in worst)
        lines += wrap(f'most often: {told}', pen.columns - 8)
    return lines


def _right(matrix: Confusion) -> str:
    total = sum(map(sum, matrix.counts))
    right = sum(row[place] for place, row in enumerate(matrix.counts))
    return f'{figure(right)} of {figure(total)} right' + (f' ({right / total:.1%})' if total else '')


def _picture(one: Picture) -> str:
    kind = {'image/svg+xml': 'SVG', 'image/jpeg': 'JPEG'}.get(one.media, one.media.partition('/')[2].upper())
    size = f' {one.size[0]:,} x {one.size[1]:,}' if one.size else ''
    return f'{kind}{size}, {show_size(len(one.data))}'


def kind_of(content: Content) -> str:
    """What a plot is, in one word, for programs."""
    if isinstance(content, Lines):
        return 'line' if content.joined else 'scatter'
    return type(content).__name__.lower().replace('bars', 'bar')
