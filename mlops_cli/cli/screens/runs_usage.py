"""What the stages of one run consumed, drawn.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.cli.console import Line, clip, one_line
from mlops_cli.cli.narrow import narrowed
from mlops_cli.cli.words import state_word
from mlops_cli.core.units import plural, show_joules, show_seconds, show_size
from mlops_cli.experiments.consumed import Consumed, average, level, rate
from mlops_cli.records.runs import Run
from mlops_cli.usage.series import COLUMNS, GPU_COLUMNS, cards, network_at

BARS = ' ▁▂▃▄▅▆▇█'
PLAIN_BARS = ' .:-=+*#@'  # for terminals that have no others
LABEL = 12  # columns
WIDEST = 60  # columns of a drawing
SAID = 34  # columns that are left for what stands beside it
SMALL = 4096  # bytes per second, below which moving them is not worth a line


def usage_lines(run: Run, stages: Sequence[Consumed], columns: int, signs: str = BARS) -> list[Line]:
    """For each stage that ran: how many processors and GPUs it kept busy and how much memory it held, over its time.
    ``signs``: from nothing to the highest."""
    lines = [Line(f'Run {run.short}: what its stages consumed')]
    room = max(10, min(WIDEST, columns - LABEL - SAID - 4))
    short = [one for one in stages if not one.rows]
    for one in stages:
        if one.rows:
            lines += [Line(''), *_stage(one, room, signs)]
    for one in short:
        usage = one.run.usage
        said = [show_seconds(one.run.seconds)]
        said += [f'{show_seconds(usage["cpu_seconds"])} of processors'] if 'cpu_seconds' in usage else []
        said += [f'{show_size(usage["memory_peak_bytes"])} of memory'] if usage.get('memory_peak_bytes') else []
        said += [f'{show_joules(usage["gpu_energy_joules"])} of GPUs'] if usage.get('gpu_energy_joules') else []
        lines += [Line('')] if one is short[0] else []
        lines.append(Line(f'  {one_line(one.run.name)}: {", ".join(said)}'))
    if not stages:
        lines.append(Line('  nothing ran: all was up to date, restored, or not begun'))
    if short:
        text = f'Nothing is drawn of {plural(len(short), "stage")}: over within two seconds, or not known here.'
        lines += [Line(''), Line(f'  {text}')]
    return narrowed(lines, columns)


def _stage(one: Consumed, room: int, signs: str) -> list[Line]:
    run, rows = one.run, one.rows
    state = state_word(run.state)
    lines = [Line(f'  {one_line(run.name)}  {state}, {show_seconds(run.seconds)}', state)]
    busy = rate(rows, 1, room)
    average = run.usage.get('cpu_seconds', rows[-1][1] or 0.0) / max(run.seconds, 0.01)
    lines.append(_drawn('processors', bars(busy, signs), f'{average:.1f} busy on average, {max(busy):.1f} at most'))
    held = level(rows, 2, room)
    peak = run.usage.get('memory_peak_bytes') or max(held)
    lines.append(_drawn('memory', bars(held, signs), f'{show_size(peak)} at most'))
    network = network_at(rows)
    moved = (('received', network), ('sent', network + 1)) if network else ()
    for label, column in (('read', 3), ('written', 4), *moved):
        total = rows[-1][column] or 0
        if total > SMALL * max(run.seconds, 1):
            speed = rate(rows, column, room)
            lines.append(_drawn(label, bars(speed, signs), f'{show_size(total)}, {show_size(max(speed))}/s at most'))
    return lines + _gpus(one, room, signs)


def _gpus(one: Consumed, room: int, signs: str) -> list[Line]:
    """How busy each was, of the whole: half a line is half of it; and what all of them drew."""
    usage, rows, count = one.run.usage, one.rows, cards(one.rows)
    lines = []
    for card in range(count):
        first = len(COLUMNS) + card * len(GPU_COLUMNS)
        busy, held = level(rows, first, room), max(row[first + 1] or 0 for row in rows)
        mean = average(rows, first)
        said = f'{mean:.0%} busy on average, {show_size(held)} at most'
        lines.append(_drawn(f'GPU {card}' if count > 1 else 'GPU', bars(busy, signs, 1.0), said))
    if count and usage.get('gpu_energy_joules'):
        each = [level(rows, len(COLUMNS) + card * len(GPU_COLUMNS) + 2, room) for card in range(count)]
        watts = [sum(of_all) for of_all in zip(*each, strict=True)]
        about = 'about ' if usage.get('gpu_energy_estimated_joules') else ''
        said = f'{about}{show_joules(usage["gpu_energy_joules"])}, {max(watts):.0f} W at most'
        lines.append(_drawn('GPU power', bars(watts, signs), said))
    if usage.get('cpu_energy_joules'):
        drawn = f'{show_joules(usage["cpu_energy_joules"])}, of all that ran on the machine'
        lines.append(Line(f'  {"CPU energy":<{LABEL}}{drawn}'))
    return lines


def _drawn(label: str, drawing: str, said: str) -> Line:
    return Line(f'  {label:<{LABEL}}{drawing}  {clip(said, 60)}')


def bars(figures: Sequence[float], signs: str = BARS, whole: float = 0.0) -> str:
    """A column each, as high as its share of the ``whole``, or else of the highest; the least that is not nothing can still be
    seen."""
    highest = max([*figures, whole], default=0.0)
    if not highest:
        return ' ' * len(figures)
    steps = len(signs) - 1
    return ''.join(signs[max(1, round(steps * figure / highest)) if figure > 0 else 0] for figure in figures)
