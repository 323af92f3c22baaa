"""Charts of characters, for terminals.  Values in, lines of text out; Unicode, or ASCII where that is all there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from mlops_cli.report.scale import Scale, extent, figure, scale

BLOCKS = '▁▂▃▄▅▆▇█'
RAMP = '_.-~=+*#'  # the same in ASCII: rising ink
MARKS = '●○▲△■□◆◇'
ASCII_MARKS = 'ox+*#@%&'
SHADES = ' ░▒▓█'
ASCII_SHADES = ' .:*#'
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille character, by row and column


def buckets(x: Sequence[float], y: Sequence[float], columns: int, low: float, high: float) -> list[float]:
    """The mean of what falls into each of so many columns between ``low`` and ``high``; a column without a number lies on the
    line between its neighbours, unless a NaN fell into it."""
    sums, counts, gaps = [0.0] * columns, [0] * columns, [False] * columns
    span = (high - low) or 1.0
    for one, two in zip(x, y, strict=True):
        if math.isnan(one):
            continue
        column = min(columns - 1, max(0, int((one - low) / span * columns)))
        if math.isnan(two):
            gaps[column] = True
        else:
            sums[column] += two / 2  # halved, so that the sum of huge numbers stays a number
            counts[column] += 1
    found = [2 * (sums[i] / counts[i]) if counts[i] else math.nan for i in range(columns)]
    return _bridged(found, gaps)


def _bridged(found: list[float], gaps: list[bool]) -> list[float]:
    known = [index for index, number in enumerate(found) if not math.isnan(number)]
    for left, right in pairwise(known):
        if any(gaps[left + 1 : right]):
            continue
        for index in range(left + 1, right):
            share = (index - left) / (right - left)
            found[index] = found[left] * (1 - share) + found[right] * share
    return found


def sparkline(numbers: Sequence[float], low: float, high: float, *, ascii_only: bool = False) -> str:
    """A character for each number, by its place between ``low`` and ``high``; a blank for NaN."""
    ramp = RAMP if ascii_only else BLOCKS
    most, span = len(ramp) - 1, high - low

    def character(number: float) -> str:
        if math.isnan(number):
            return ' '
        place = (number - low) / span if span > 0 else 0.5
        return ramp[min(most, max(0, int(place * len(ramp))))]

    return ''.join(map(character, numbers))


def bar(share: float, columns: int, *, ascii_only: bool = False) -> str:
    """A horizontal bar of ``share`` (0 to 1) of so many columns, to an eighth of one."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        return '#' * max(round(share * columns), 1 if share > 0 else 0)
    eighths = max(round(share * columns * 8), 1 if share > 0 else 0)
    return '█' * (eighths // 8) + ('', '▏', '▎', '▍', '▌', '▋', '▊', '▉')[eighths % 8]


def chart(
    series: Sequence[tuple[Sequence[float], Sequence[float]]],
    columns: int,
    rows: int,
    *,
    joined: bool = True,
    ascii_only: bool = False,
) -> list[str]:
    """Lines or points over each other, with both axes, ``columns`` wide and ``rows`` high without the axis below.

    ``series``: (x, y) each.  One alone is drawn with fine dots, several by marks, in the order of :data:`MARKS`."""
    wide = extent(n for x, _ in series for n in x) or (0.0, 1.0)
    tall = scale((n for _, y in series for n in y), max(3, min(6, rows // 2 + 1)), tight=True)
    labels = _beside(tall, rows)
    margin = max(map(len, labels.values()), default=0)
    inner = max(10, columns - margin - 2)
    if len(series) == 1 and not ascii_only:
        body = _fine(*series[0], inner, rows, wide, tall, joined)
    else:
        body = _marked(series, inner, rows, wide, tall, joined, ascii_only)
    edge, tick, corner, floor = ('|', '+', '+', '-') if ascii_only else ('│', '┤', '└', '─')
    lines = [
        f'{labels.get(row, ""):>{margin}} {tick if row in labels else edge}{text}'.rstrip() for row, text in enumerate(body)
    ]
    lines.append(f'{"":>{margin}} {corner}{floor * inner}')
    first, last = figure(wide[0]), figure(wide[1])
    ends = f'{first}{last:>{inner - len(first)}}' if len(first) + len(last) < inner else first[:inner]
    return [*lines, f'{"":>{margin}}  {ends}']


def _beside(tall: Scale, rows: int) -> dict[int, str]:
    """Row -> label of the tick in it, from the top."""
    found: dict[int, str] = {}
    for tick, label in zip(tall.ticks, tall.labels, strict=True):
        found.setdefault(_row(tall.place(tick), rows), label)
    return found


def _row(place: float, rows: int) -> int:
    return min(rows - 1, max(0, round((1 - place) * (rows - 1))))


def _fine(
    x: Sequence[float], y: Sequence[float], columns: int, rows: int, wide: tuple[float, float], tall: Scale, joined: bool
) -> list[str]:
    """Two by four dots to a character."""
    cells = [[0] * columns for _ in range(rows)]

    def dot(across: int, down: int) -> None:
        cells[down // 4][across // 2] |= _DOTS[down % 4][across % 2]

    if joined:
        heights = buckets(x, y, columns * 2, *wide)
        before: int | None = None
        for across, height in enumerate(heights):
            if math.isnan(height):
                before = None
                continue
            down = _row(tall.place(height), rows * 4)
            start = down if before is None else before + (1 if down > before else -1 if down < before else 0)
            for between in range(min(start, down), max(start, down) + 1):
                dot(across, between)
            before = down
    else:
        for one, two in zip(x, y, strict=True):
            if not math.isnan(one) and not math.isnan(two):
                dot(_column(one, columns * 2, wide), _row(tall.place(two), rows * 4))
    return [''.join(chr(0x2800 + bits) if bits else ' ' for bits in line).rstrip() for line in cells]


def _marked(
    series: Sequence[tuple[Sequence[float], Sequence[float]]],
    columns: int,
    rows: int,
    wide: tuple[float, float],
    tall: Scale,
    joined: bool,
    ascii_only: bool,
) -> list[str]:
    """A mark to a character; where lines cross, the later one shows."""
    marks = ASCII_MARKS if ascii_only else MARKS
    cells = [[' '] * columns for _ in range(rows)]
    for number, (x, y) in enumerate(series):
        mark = marks[number % len(marks)]
        if joined:
            points = list(enumerate(buckets(x, y, columns, *wide)))
        else:
            points = [(_column(one, columns, wide), two) for one, two in zip(x, y, strict=True) if not math.isnan(one)]
        before: tuple[int, int] | None = None
        for across, height in points:
            if math.isnan(height):
                before = None
                continue
            down = _row(tall.place(height), rows)
            upright = range(min(before[1], down) + 1, max(before[1], down)) if joined and before else range(0)
            for row in (*upright, down):
                cells[row][across] = mark
            before = (across, down)
    return [''.join(line).rstrip() for line in cells]


def _column(number: float, columns: int, wide: tuple[float, float]) -> int:
    span = (wide[1] - wide[0]) or 1.0
    return min(columns - 1, max(0, int((number - wide[0]) / span * columns)))


def bins(numbers: Sequence[float], most: int = 24) -> tuple[float, float, int]:
    """(low, high, how many bins of equal width between them) for a histogram of these numbers."""
    low, high = extent(numbers) or (0.0, 0.0)
    if low == high:
        room = max(0.5, abs(low) * 1e-3)
        return low - room, high + room, 1
    different = set(numbers) if len(numbers) <= 10_000 else set(numbers[:10_000])
    if len(different) <= most and all(number.is_integer() for number in different) and high - low < most:
        return low - 0.5, high + 0.5, int(high - low) + 1
    return low, high, max(1, min(most, math.ceil(math.sqrt(len(numbers)))))


def counted(numbers: Sequence[float], low: float, high: float, count: int) -> list[int]:
    """How many numbers fall into each bin."""
    found = [0] * count
    for number in numbers:
        found[min(count - 1, max(0, int((number - low) / (high - low) * count)))] += 1
    return found
