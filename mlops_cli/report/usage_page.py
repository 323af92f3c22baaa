"""What the stages of a run consumed over their time, as charts and as one page.  Values in, SVG and HTML out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import show_joules, show_seconds, show_size
from mlops_cli.experiments.consumed import Consumed, Rows, average, level, rate
from mlops_cli.report import svg
from mlops_cli.report.page import escape, page
from mlops_cli.report.svg import Axes, Line
from mlops_cli.usage.series import COLUMNS, GPU_COLUMNS, cards, network_at

PARTS = 240  # of the time of a stage, in each of which a rate is told
CARDS = 16  # GPUs that are drawn of one stage
GB, MB = 1e9, 1e6  # as sizes are told elsewhere
SMALL = 4096  # bytes per second, below which moving them is not worth a chart
STYLE = (
    svg.STYLE
    + """
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr));gap:1rem;align-items:start}
.charts svg.chart{width:100%}
"""
)

# Heading, name in the sums, how it is written; those that no stage tells are left out.
FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ('processors', 'cpu_seconds', show_seconds),
    ('memory', 'memory_peak_bytes', show_size),
    ('received', 'network_received_bytes', show_size),
    ('sent', 'network_sent_bytes', show_size),
    ('GPUs busy', 'gpu_seconds', show_seconds),
    ('GPU memory', 'gpu_memory_peak_bytes', show_size),
    ('GPU energy', 'gpu_energy_joules', show_joules),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """``name``: of what it draws, for a file.  ``said``: the sums beside it."""

    name: str
    title: str
    said: str
    text: str


def usage_page(run: str, started: str, stages: Sequence[Consumed]) -> str:
    """``run``: its name, as people type it."""
    head = f'<h1>What run {escape(run)} consumed</h1><p class="soft">started {escape(started)}</p>'
    body = [f'<header>{head}</header>', _table(stages)]
    for one in stages:
        if found := list(charts(one)):
            figures = ''.join(
                f'<figure><figcaption>{escape(chart.title)}<small>{escape(chart.said)}</small></figcaption>{chart.text}</figure>'
                for chart in found
            )
            body.append(f'<h2>{escape(one.run.name)}</h2><div class="charts">{figures}</div>')
    if not stages:
        body.append('<p class="note">Nothing ran: all was up to date, restored, or not begun.</p>')
    elif short := [one.run.name for one in stages if not one.rows]:
        names = ', '.join(short[:20]) + (f' and {len(short) - 20:,} more' if len(short) > 20 else '')
        body.append(f'<p class="note">Not drawn, as over within two seconds, or not known here: {escape(names)}.</p>')
    body.append('<footer>Made by mlops. This page is one file: it needs no network and runs no script.</footer>')
    return page(f'What run {run} consumed', '\n'.join(body), style=STYLE)


def charts(one: Consumed, *, titled: bool = False) -> Iterator[Chart]:
    """Processors, memory, storage and GPUs of a stage over its time.  ``titled``: each carries its title, for a file."""
    rows, usage = one.rows, one.run.usage
    if not rows:
        return
    last = float(rows[-1][0] or 0)
    unit, each = ('hours', 3600.0) if last >= 7200 else ('minutes', 60.0) if last >= 300 else ('seconds', 1.0)
    parts = max(1, min(PARTS, len(rows)))
    between = tuple((number + 0.5) * last / parts / each for number in range(parts))

    def drawn(name: str, title: str, said: str, lines: Sequence[Line], y: str) -> Chart:
        axes = Axes(unit, y, f'{one.run.name}: {title}' if titled else '')
        return Chart(name, title, said, svg.lines(lines, axes, zero=True))

    busy = rate(rows, 1, parts)
    mean = usage.get('cpu_seconds', rows[-1][1] or 0.0) / max(one.run.seconds, 0.01)
    yield drawn('processors', 'Processors', f'{mean:.1f} busy on average, {max(busy):.1f} at most',
                [Line('busy', between, busy, 0)], 'processors')  # fmt: skip
    held = level(rows, 2, parts)
    yield drawn('memory', 'Memory', f'{show_size(usage.get("memory_peak_bytes") or max(held))} at most',
                [Line('memory', between, [each / GB for each in held], 1)], 'GB')  # fmt: skip
    network = network_at(rows)
    for file, title, first, names in (
        ('storage', 'Storage', 3, ('read', 'written')), ('network', 'Network', network, ('received', 'sent'))
    ):  # fmt: skip
        told = [] if first is None else enumerate(names, first)
        moved = [(name, column) for column, name in told if (rows[-1][column] or 0) > SMALL * max(last, 1)]
        if moved:
            said = ', '.join(f'{show_size(rows[-1][column] or 0)} {name}' for name, column in moved)
            yield drawn(file, title, said, [
                Line(name, between, [speed / MB for speed in rate(rows, column, parts)], colour + 2)
                for colour, (name, column) in enumerate(moved)
            ], 'MB a second')  # fmt: skip
    count = min(CARDS, cards(rows))
    for place, (name, title, y, scale) in enumerate(
        (('gpu', 'GPU busy', '%', 0.01), ('gpu-memory', 'GPU memory', 'GB', GB), ('gpu-power', 'GPU power', 'W', 1.0))
    ):
        columns = [len(COLUMNS) + card * len(GPU_COLUMNS) + place for card in range(count)]
        if any(row[column] is not None for row in rows for column in columns):
            lines = [Line(f'GPU {card}', between, [each / scale for each in means(rows, column, parts)], card)
                     for card, column in enumerate(columns)]  # fmt: skip
            yield drawn(name, title, _gpu_said(one, place, columns), lines, y)


def means(rows: Rows, column: int, parts: int) -> list[float]:
    """Of a figure that stands for the time since the look before, in each of so many equal parts of the time; NaN where it was
    not told."""
    last = float(rows[-1][0] or 0) or 1.0
    sums, spans = [0.0] * parts, [0.0] * parts
    before = 0.0
    for row in rows:
        now, figure = float(row[0] or 0), row[column]
        first, final = (min(parts - 1, int(when / last * parts)) for when in (before, now))
        for part in range(first, final + 1) if figure is not None else ():
            span = max(0.0, min(now, (part + 1) * last / parts) - max(before, part * last / parts))
            sums[part] += float(figure or 0) * span
            spans[part] += span
        before = now
    return [total / span if span else math.nan for total, span in zip(sums, spans, strict=True)]


def _gpu_said(one: Consumed, place: int, columns: Sequence[int]) -> str:
    if place == 0:
        return ', '.join(f'{average(one.rows, column):.0%}' for column in columns) + ' on average'
    if place == 1:
        return f'{show_size(max(row[column] or 0 for row in one.rows for column in columns))} at most'
    joules = one.run.usage.get('gpu_energy_joules')
    about = 'about ' if one.run.usage.get('gpu_energy_estimated_joules') else ''
    return f'{about}{show_joules(joules)} in all' if joules else ''


def _table(stages: Sequence[Consumed]) -> str:
    if not stages:
        return ''
    told = [column for column in FIGURES if any(one.run.usage.get(column[1]) is not None for one in stages)]
    rows = []
    for one in stages:
        cells = [show_seconds(one.run.seconds), *(_told(one.run.usage.get(name), show) for _, name, show in told)]
        numbers = ''.join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
        rows.append(f'<tr><td>{escape(one.run.name)}</td><td>{escape(one.run.state)}</td>{numbers}</tr>')
    names = ('time', *(heading for heading, _, _ in told))
    head = '<th>stage</th><th>state</th>' + ''.join(f'<th class="number">{name}</th>' for name in names)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _told(value: float | None, show: Callable[[float], str]) -> str:
    return '–' if value is None else show(value)
