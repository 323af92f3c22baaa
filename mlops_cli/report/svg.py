"""Charts as SVG: axes with round ticks, a palette for all eyes, light and dark.  Values in, text out.

Colours are variables of CSS, set by :data:`STYLE`, which a file of its own carries inside and a page has once.  Without style
they fall back to those for light ground.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mlops_cli.core.classes import dataclass, field
from mlops_cli.report.chart import bins, counted
from mlops_cli.report.page import escape
from mlops_cli.report.scale import Scale, figure, scale

WIDTH, HEIGHT = 640, 340
STRIPS = 160  # places of a line chart that tell their values
MARKED = 40  # points of a line that are marked one by one
TEXT = 12  # pixels
LABEL = 28  # characters of a category at an axis
# Okabe and Ito's colours, darker on light ground and lighter on dark so that lines can be seen.
LIGHT = ('#0072b2', '#d55e00', '#008a63', '#b0479a', '#a67400', '#3a87c8', '#6b6b6b', '#7a4fbf')
DARK = ('#56b4e9', '#ff8c42', '#2fc79a', '#e28fc6', '#f0c04a', '#9ccfff', '#b5b5b5', '#b79cf2')


def _variables(colours: Sequence[str]) -> str:
    return ';'.join(f'--c{number}:{colour}' for number, colour in enumerate(colours))


STYLE = (
    f'.chart{{{_variables(LIGHT)};--axis:#5b6570;--grid:#e3e7ec;--text:#1b1f24;--paper:#fff}}'
    f'@media (prefers-color-scheme:dark){{.chart{{{_variables(DARK)};--axis:#9aa5b1;--grid:#2c323a;--text:#e4e7eb;'
    '--paper:#14171b}}'
    '.chart{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}'
    '.chart text{fill:var(--axis);font-variant-numeric:tabular-nums}'
    '.chart .name{fill:var(--text)}.chart .head{fill:var(--text);font-weight:600;font-size:14px}'
    '.chart .paper{fill:var(--paper)}.chart .grid{stroke:var(--grid)}.chart .axis{stroke:var(--axis)}'
    '.chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}'
    '.chart .old{stroke-dasharray:5 4;stroke-width:1.6;opacity:.8}'
    '.chart .strip rect{fill:var(--text);fill-opacity:0}.chart .strip:hover rect{fill-opacity:.06}'
    '.chart .strip circle{opacity:0}.chart .strip:hover circle{opacity:1}'
    '.chart .cell text{fill:var(--text)}.chart .cell .on{fill:var(--paper)}'
    '.chart .mark:hover,.chart .cell:hover rect{stroke:var(--text);stroke-width:1.5}'
)


@dataclass(frozen=True, slots=True)
class Line:
    """``colour``: number in the palette.  ``old``: of the point that is compared with; dashed, or hollow points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    old: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """Words around a chart.  ``title``: above it, for a file of its own; a page has its own heading."""

    x: str = ''
    y: str = ''
    title: str = ''


@dataclass
class _Frame:
    """Where things stand.  ``left`` and so on: the corners of the plotted area."""

    wide: Scale
    tall: Scale
    left: float
    top: float
    right: float
    bottom: float
    parts: list[str] = field(default_factory=list)

    def across(self, number: float) -> float:
        return self.left + self.wide.place(number) * (self.right - self.left)

    def down(self, number: float) -> float:
        return self.bottom - self.tall.place(number) * (self.bottom - self.top)


def document(svg: str) -> str:
    """A chart as a file of its own."""
    head, _, rest = svg.partition('>')
    # A ground of its own: whether the one below is light or dark is not always what a browser says.
    ground = '<rect class="paper" width="100%" height="100%" rx="6" fill="#fff"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><style>{STYLE}</style>{ground}{rest}\n'


def _svg(parts: Sequence[str], label: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    body = ''.join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


def _n(number: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f'{number:.1f}'.rstrip('0').rstrip('.')


def _grey(kind: str) -> str:
    return f'{kind}="#5b6570" style="{kind}:var(--axis)"'


def _fill(colour: int, kind: str = 'fill') -> str:
    return f'{kind}="{LIGHT[colour % len(LIGHT)]}" style="{kind}:var(--c{colour % len(LIGHT)})"'


def _text(x: float, y: float, text: str, anchor: str = 'start', more: str = '') -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _width(text: str) -> float:
    """About how many pixels a text takes."""
    return sum(12.5 if ord(character) > 0x2E7F else 6.8 for character in text)


def clipped(text: str, most: int = LABEL) -> str:
    text = re.sub(r'\s+', ' ', text)
    return text if len(text) <= most else f'{text[: most - 1]}…'


# The frame: title, legend, axes


def _frame(
    axes: Axes, wide: Scale, tall: Scale, legend: Sequence[tuple[str, int, str]], *, ticks_below: bool = True, foot: float = 0.0
) -> _Frame:
    """``legend``: (name, colour, kind: line, old, point or box).  ``foot``: more pixels for names below the axis."""
    parts: list[str] = []
    top = 14.0
    if axes.title:
        parts.append(_text(12, 22, clipped(axes.title, 84), more=' class="head"'))
        top += 26
    if len(legend) > 1:
        rows, height = _legend(legend, top)
        parts += rows
        top += height
    if axes.y:
        parts.append(_text(12, top + 4, clipped(axes.y, 60), more=' class="name"'))
        top += 20
    left = 20 + max((_width(label) for label in tall.labels), default=0)
    frame = _Frame(wide, tall, left, top, WIDTH - 18, HEIGHT - (44 if axes.x else 28) - foot, parts)
    for tick, label in zip(tall.ticks, tall.labels, strict=True):
        y = frame.down(tick)
        parts.append(f'<line class="grid" x1="{_n(left)}" x2="{_n(frame.right)}" y1="{_n(y)}" y2="{_n(y)}" stroke="#e3e7ec"/>')
        parts.append(_text(left - 8, y + 4, label, 'end'))
    if ticks_below:
        for tick, label in zip(wide.ticks, wide.labels, strict=True):
            x = frame.across(tick)
            line = f'<line class="axis" x1="{_n(x)}" x2="{_n(x)}" y1="{_n(frame.bottom)}" y2="{_n(frame.bottom + 4)}"'
            parts.append(f'{line} stroke="#5b6570"/>')
            parts.append(_text(x, frame.bottom + 17, label, 'middle'))
    base = f'<line class="axis" x1="{_n(left)}" x2="{_n(frame.right)}" y1="{_n(frame.bottom)}" y2="{_n(frame.bottom)}"'
    parts.append(f'{base} stroke="#5b6570"/>')
    if axes.x:
        parts.append(_text((left + frame.right) / 2, HEIGHT - 8, clipped(axes.x, 60), 'middle', ' class="name"'))
    return frame


def _legend(legend: Sequence[tuple[str, int, str]], top: float) -> tuple[list[str], float]:
    """In as many rows as that takes, at most four; the height of them."""
    parts: list[str] = []
    x, y, rows = 12.0, top, 1
    for position, (name, colour, kind) in enumerate(legend):
        shown = clipped(name, 40)
        room = 26 + _width(shown) + 14
        if x + room > WIDTH - 12 and x > 12:
            x, y, rows = 12.0, y + 18, rows + 1
            if rows > 4:
                rest = len(legend) - position
                parts.append(_text(x, y, f'and {rest} more'))
                break
        parts += [_swatch(x, y, colour, kind), _text(x + 24, y + 4, shown, more=' class="name"')]
        x += room
    return parts, 18.0 * rows + 6


def _swatch(x: float, y: float, colour: int, kind: str) -> str:
    if kind in ('line', 'old'):
        old = ' old' if kind == 'old' else ''
        return f'<line class="line{old}" x1="{_n(x)}" x2="{_n(x + 18)}" y1="{_n(y)}" y2="{_n(y)}" {_fill(colour, "stroke")}/>'
    if kind == 'point':
        return f'<circle cx="{_n(x + 9)}" cy="{_n(y)}" r="4" {_fill(colour)}/>'
    if kind == 'hollow':
        return f'<circle cx="{_n(x + 9)}" cy="{_n(y)}" r="4" fill="none" stroke-width="1.6" {_grey("stroke")}/>'
    if kind == 'outline':
        return f'<rect x="{_n(x + 3)}" y="{_n(y - 6)}" width="12" height="12" fill="none" {_fill(colour, "stroke")}/>'
    light = ' fill-opacity=".4"' if kind == 'lightbox' else ''
    return f'<rect x="{_n(x + 3)}" y="{_n(y - 6)}" width="12" height="12" rx="2"{light} {_fill(colour)}/>'


# Lines and points


def lines(
    series: Sequence[Line], axes: Axes, *, joined: bool = True, names: Sequence[str] = (), zero: bool = False
) -> str:
    """``names``: of the positions 0, 1, 2..., in place of numbers below the axis.  ``zero``: the upright one has 0 in it."""
    wide = scale((n for one in series for n in one.x), 7, tight=True)
    if names:
        wide = _positions(names)
    tall = scale((n for one in series for n in one.y), 6, zero=zero)
    kinds = {(True, False): 'line', (True, True): 'old', (False, False): 'point', (False, True): 'hollow'}
    legend = [(one.name, one.colour, kinds[joined, one.old]) for one in series]
    frame = _frame(axes, wide, tall, legend, ticks_below=not names)
    if names:
        _named_ticks(frame, names)
    draw = _path if joined else _cloud
    for one in sorted(series, key=lambda one: not one.old):
        frame.parts += draw(frame, one)
    if joined:
        frame.parts += _strips(frame, series, names)
    return _svg(frame.parts, _spoken(axes, [one.name for one in series]))


def _positions(names: Sequence[str]) -> Scale:
    last = float(max(1, len(names) - 1))
    return Scale(0.0, last, tuple(float(n) for n in range(len(names))))


def _named_ticks(frame: _Frame, names: Sequence[str], *, tilted: bool = False) -> None:
    """As many names as there is room for."""
    room = (frame.right - frame.left) / max(1, len(names))
    widest = 16 if tilted else max((_width(clipped(name, 16)) for name in names), default=0) + 10
    every = max(1, math.ceil(widest / max(room, 0.01)))
    for position in range(0, len(names), every):
        x, y = frame.across(float(position)), frame.bottom + 17
        if tilted:
            turned = f' transform="rotate(-35 {_n(x + 4)} {_n(y - 4)})"'
            frame.parts.append(_text(x + 4, y - 4, clipped(names[position], 16), 'end', turned))
        else:
            frame.parts.append(_text(x, y, clipped(names[position], 16), 'middle'))


def _foot(names: Sequence[str]) -> float:
    """Pixels that names need below the axis, tilted where they do not fit beside each other; else 0."""
    widest = max((_width(clipped(name, 16)) for name in names), default=0)
    return widest * 0.6 - 4 if (widest + 10) * len(names) > WIDTH - 80 else 0.0


def _path(frame: _Frame, one: Line) -> list[str]:
    words: list[str] = []
    pen, alone = False, []
    points = [(x, y) for x, y in zip(one.x, one.y, strict=True) if not math.isnan(x)]
    for index, (x, y) in enumerate(points):
        if math.isnan(y):
            pen = False
            continue
        before = index > 0 and not math.isnan(points[index - 1][1])
        after = index + 1 < len(points) and not math.isnan(points[index + 1][1])
        if not before and not after:
            alone.append((x, y))
        words.append(f'{"L" if pen else "M"}{_n(frame.across(x))} {_n(frame.down(y))}')
        pen = True
    marked = alone if len(points) > MARKED or one.old else [(x, y) for x, y in points if not math.isnan(y)]
    found = [f'<path class="line{" old" if one.old else ""}" d="{"".join(words)}" {_fill(one.colour, "stroke")}/>']
    return found + [
        f'<circle cx="{_n(frame.across(x))}" cy="{_n(frame.down(y))}" r="2.6" {_fill(one.colour)}/>' for x, y in marked
    ]


def _cloud(frame: _Frame, one: Line) -> list[str]:
    paint = f'fill="none" stroke-width="1.4" {_grey("stroke")}' if one.old else _fill(one.colour)
    found = []
    for x, y in zip(one.x, one.y, strict=True):
        if not math.isnan(x) and not math.isnan(y):
            told = escape(f'{one.name}: {figure(x)}, {figure(y)}')
            place = f'cx="{_n(frame.across(x))}" cy="{_n(frame.down(y))}"'
            found.append(f'<circle class="mark" {place} r="3" opacity=".7" {paint}><title>{told}</title></circle>')
    return found


def _strips(frame: _Frame, series: Sequence[Line], names: Sequence[str]) -> list[str]:
    """Upright strips that, pointed at, mark the points in them and tell their values."""
    places = sorted({x for one in series for x in one.x if not math.isnan(x)})
    if len(places) > STRIPS:
        places = places[:: math.ceil(len(places) / STRIPS)]
    if not places:
        return []
    nearest = [_by_place(one, places) for one in series]
    found = []
    for index, place in enumerate(places):
        here = [(one, near[index]) for one, near in zip(series, nearest, strict=True) if near[index] is not None]
        if not here:
            continue
        x = frame.across(place)
        left = (frame.across(places[index - 1]) + x) / 2 if index else frame.left
        right = (frame.across(places[index + 1]) + x) / 2 if index + 1 < len(places) else frame.right
        name = names[int(place)] if names and int(place) < len(names) else figure(place)
        told = '\n'.join([clipped(name, 60), *(f'{clipped(one.name, 40)}: {figure(y)}' for one, y in here if y is not None)])
        dots = ''.join(
            f'<circle cx="{_n(x)}" cy="{_n(frame.down(y))}" r="4" {_fill(one.colour)}/>' for one, y in here if y is not None
        )
        band = f'<rect x="{_n(left)}" y="{_n(frame.top)}" width="{_n(max(right - left, 0.5))}"'
        band += f' height="{_n(frame.bottom - frame.top)}" fill-opacity="0"/>'
        found.append(f'<g class="strip">{band}{dots}<title>{escape(told)}</title></g>')
    return found


def _by_place(one: Line, places: Sequence[float]) -> list[float | None]:
    """For each place the value of the line there, or of its nearest point not farther than the next place."""
    points = [(x, y) for x, y in zip(one.x, one.y, strict=True) if not math.isnan(x) and not math.isnan(y)]
    found: list[float | None] = []
    at = 0
    for index, place in enumerate(places):
        while at + 1 < len(points) and abs(points[at + 1][0] - place) <= abs(points[at][0] - place):
            at += 1
        after = places[index + 1] - place if index + 1 < len(places) else math.inf
        before = place - places[index - 1] if index else math.inf
        room = min(after, before) if min(after, before) < math.inf else 0.0
        found.append(points[at][1] if points and abs(points[at][0] - place) <= room / 2 else None)
    return found


def _spoken(axes: Axes, names: Sequence[str]) -> str:
    """For who cannot see it."""
    of = ', '.join(dict.fromkeys(clipped(name, 40) for name in names[:8]))
    return f'{axes.title or axes.y or "chart"}: {of} by {axes.x}' if axes.x else f'{axes.title or axes.y or "chart"}: {of}'


# Bars and histograms


@dataclass(frozen=True, slots=True)
class Group:
    """A number for each category, drawn in one colour.  ``old``: lighter."""

    name: str
    numbers: Sequence[float]
    colour: int
    old: bool = False


def bars(categories: Sequence[str], groups: Sequence[Group], axes: Axes) -> str:
    tall = scale((n for group in groups for n in group.numbers), 6, zero=True)
    count = max(1, len(categories))
    wide = Scale(-0.5, count - 0.5, tuple(float(n) for n in range(count)))
    foot = _foot(categories)
    frame = _frame(axes, wide, tall, _boxes(groups), ticks_below=False, foot=foot)
    _named_ticks(frame, categories, tilted=foot > 0)
    room = (frame.right - frame.left) / count
    width = min(room * 0.8 / max(1, len(groups)), 48)
    for place, category in enumerate(categories):
        start = frame.across(float(place)) - width * len(groups) / 2
        for position, group in enumerate(groups):
            number = group.numbers[place] if place < len(group.numbers) else math.nan
            if not math.isnan(number):
                told = f'{clipped(category, 60)}\n{clipped(group.name, 40)}: {figure(number)}'
                frame.parts.append(_box(frame, start + position * width, width, number, group, told))
    return _svg(frame.parts, _spoken(axes, [group.name for group in groups]))


def _boxes(groups: Sequence[Group]) -> list[tuple[str, int, str]]:
    return [(group.name, group.colour, 'lightbox' if group.old else 'box') for group in groups]


def _box(frame: _Frame, x: float, width: float, number: float, group: Group, told: str, gap: float = 1.0) -> str:
    top, base = frame.down(max(number, 0.0)), frame.down(min(number, 0.0))
    light = ' fill-opacity=".4"' if group.old else ''
    size = f'width="{_n(max(width - gap, 0.5))}" height="{_n(max(base - top, 0.5))}"'
    return (
        f'<rect class="mark" x="{_n(x)}" y="{_n(top)}" {size}{light} {_fill(group.colour)}><title>{escape(told)}</title></rect>'
    )


def histogram(series: Sequence[Group], axes: Axes) -> str:
    """``numbers``: the values; all series share their bins.  Several lie over each other, old ones as outlines."""
    low, high, count = bins([n for one in series for n in one.numbers])
    heights = [counted(one.numbers, low, high, count) for one in series]
    wide = scale((low, high), 7, tight=True)
    tall = scale((float(n) for one in heights for n in one), 5, zero=True)
    legend = [(one.name, one.colour, 'outline' if one.old else 'box' if len(series) == 1 else 'lightbox') for one in series]
    frame = _frame(axes, wide, tall, legend)
    step = (high - low) / count
    for group, numbers in sorted(zip(series, heights, strict=True), key=lambda pair: pair[0].old):
        if group.old:
            frame.parts.append(_outline(frame, numbers, low, step, group))
            continue
        see_through = Group(group.name, (), group.colour, len(series) > 1)
        for place, number in enumerate(numbers):
            if number:
                start = low + place * step
                told = f'{figure(start)} to {figure(start + step)}\n{clipped(group.name, 40)}: {number:,}'
                x, end = frame.across(start), frame.across(start + step)
                frame.parts.append(_box(frame, x, end - x, float(number), see_through, told))
    return _svg(frame.parts, _spoken(axes, [one.name for one in series]))


def _outline(frame: _Frame, heights: Sequence[int], low: float, step: float, group: Group) -> str:
    """The upper edge of a histogram."""
    words = [f'M{_n(frame.across(low))} {_n(frame.bottom)}']
    for place, height in enumerate(heights):
        y = _n(frame.down(float(height)))
        words.append(f'L{_n(frame.across(low + place * step))} {y}L{_n(frame.across(low + (place + 1) * step))} {y}')
    words.append(f'L{_n(frame.across(low + len(heights) * step))} {_n(frame.bottom)}')
    told = escape(clipped(group.name, 40))
    return f'<path class="line" d="{"".join(words)}" {_fill(group.colour, "stroke")}><title>{told}</title></path>'


# Confusion matrices


def confusion(labels: Sequence[str], counts: Sequence[Sequence[float]], axes: Axes, *, difference: bool = False) -> str:
    """A row for each actual label.  Shade: the share of the row; with ``difference``, better (more on the diagonal, less beside
    it) is blue and worse is orange."""
    count = max(1, len(labels))
    side = max(11.0, min(44.0, 420.0 / count))
    margin = 22 + max((_width(clipped(label, 18)) for label in labels), default=0)
    top = 34.0 if axes.title else 16.0
    width, height = margin + side * count + 12, top + side * count + 58
    parts = [_text(12, 20, clipped(axes.title, 60), more=' class="head"')] if axes.title else []
    most = max((abs(number) for row in counts for number in row), default=0.0) or 1.0
    for down, row in enumerate(counts):
        total = most if difference else (sum(row) or 1.0)
        for across, number in enumerate(row):
            x, y = margin + across * side, top + down * side
            told = f'actual {labels[down]}, predicted {labels[across]}: {_count(number, difference)}'
            better = number == 0 or (number > 0) == (down == across)
            colour = 0 if better or not difference else 1
            parts.append(_cell(x, y, side, abs(number) / total, colour, _count(number, difference), told))
        parts.append(_text(margin - 6, top + down * side + side / 2 + 4, clipped(labels[down], 18), 'end'))
    parts += _below(labels, margin, top + side * count, side)
    parts.append(_text(margin + side * count / 2, height - 8, clipped(axes.x or 'predicted', 40), 'middle', ' class="name"'))
    middle = top + side * count / 2
    turned = f' class="name" transform="rotate(-90 12 {_n(middle)})"'
    parts.append(_text(12, middle, clipped(axes.y or 'actual', 40), 'middle', turned))
    return _svg(parts, f'confusion matrix of {count} labels', max(width, 220), height)


def _below(labels: Sequence[str], left: float, top: float, side: float) -> list[str]:
    widest = max((_width(clipped(label, 8)) for label in labels), default=0)
    every = max(1, math.ceil((widest + 4) / side))
    return [
        _text(left + place * side + side / 2, top + 16, clipped(labels[place], 8), 'middle')
        for place in range(0, len(labels), every)
    ]


def _count(number: float, difference: bool) -> str:
    return f'+{figure(number)}' if difference and number > 0 else figure(number)


def _cell(x: float, y: float, side: float, share: float, colour: int, text: str, told: str) -> str:
    share = min(max(share, 0.0), 1.0)
    box = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(side - 1)}" height="{_n(side - 1)}" rx="1.5"'
    shade = 0.04 if share == 0 else 0.1 + 0.9 * share
    paint = f'fill-opacity="{shade:.2f}" {_fill(colour)}'
    shown = ''
    if text != '0' and _width(text) <= side - 2 and side >= 14:
        on = ' class="on"' if share > 0.55 else ''
        shown = _text(x + side / 2 - 0.5, y + side / 2 + 4, text, 'middle', on)
    return f'<g class="cell">{box} {paint}/>{shown}<title>{escape(told)}</title></g>'
