"""Figures as tables: on a terminal, and in README.md between two marks."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.bounds import Finding, Measure
from bench.errors import BenchError
from bench.measure import Timed
from bench.tools import Tools

README = Path(__file__).resolve().parent / 'README.md'
BEGIN, END = '<!-- figures: written by bench/run -->', '<!-- end of figures -->'


def seconds(value: float) -> str:
    if value >= 100:
        return f'{value:,.0f} s'
    if value >= 1:
        return f'{value:.2f} s'
    return f'{value * 1000:.1f} ms'


def _number(finding: Finding, value: float) -> str:
    match finding.bound.measure:
        case Measure.MEMORY:
            return f'{value:.0f} MiB'
        case Measure.BEYOND:
            return f'{value * 1000:+.0f} ms'
    return f'{value:.2f}' if value >= 0.1 else f'{value:.4f}'


def cells(finding: Finding) -> tuple[str, ...]:
    """Ours, its figure, the peer, its figure, ratio of medians, median of pairs, range, bound, verdict."""
    memory = finding.bound.measure is Measure.MEMORY
    mine = f'{finding.subject:.0f} MiB' if memory else seconds(finding.subject)
    theirs = ('over ' if finding.over_cut else '') + seconds(finding.reference) if finding.reference is not None else ''
    if finding.paired is None or finding.medians is None or memory:
        values: tuple[str, ...] = ('', '', '')
    else:
        spread = f'{_number(finding, finding.low)}..{_number(finding, finding.high)}'
        values = (_number(finding, finding.medians), _number(finding, finding.paired), spread)
    reference = finding.bound.reference or ('own memory' if finding.bound.most < 100 else 'peak memory')
    if finding.bound.scale != 1:
        reference += f' (per stage: / {finding.bound.scale:.3g})'
    return finding.bound.subject, mine, reference, theirs, *values, finding.bound.text, finding.verdict


FINDING_HEADS = ('ours', 'takes', 'beside', 'takes', 'ratio', 'paired', 'from..to', 'at most', 'verdict')
FIGURE_HEADS = ('command', 'wall', 'from..to', 'processor', 'peak MiB')


def figures(timed: Iterable[Timed]) -> list[tuple[str, ...]]:
    """Name, median wall, its range, median processor time, most memory."""
    found: list[tuple[str, ...]] = []
    for one in timed:
        walls = [sample.wall for sample in one.samples]
        cpu = statistics.median(sample.cpu for sample in one.samples)
        peak = max(sample.peak for sample in one.samples)
        wall = ('over ' if one.cut else '') + seconds(statistics.median(walls))
        found.append((one.contender.name, wall, f'{seconds(min(walls))}..{seconds(max(walls))}', seconds(cpu), f'{peak:.0f}'))
    return found


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    return [
        '  ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ['---'] * len(heads), *rows]
    return ['| ' + ' | '.join(line) + ' |' for line in lines]


def machine(folder: Path) -> str:
    """Cores, processor, memory, the file system that ``folder`` is on, system and Python."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30)
    cores = len(os.sched_getaffinity(0))
    return (
        f'{cores} cores ({_processor()}), {memory:.0f} GiB, {_file_system(folder)}, {platform.system()} {platform.release()}, '
        f'Python {platform.python_version()}'
    )


def _processor() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return ' '.join(line.partition(':')[2].split())
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The kind of the mount that holds it: of those above it, the one with the longest name."""
    place, kind, longest = f'{folder.resolve()}/', 'unknown file system', -1
    for line in Path('/proc/self/mountinfo').read_text().splitlines():
        mount, rest = line.split()[4], line.partition(' - ')[2].split()
        above = mount.rstrip('/') + '/'
        if place.startswith(above) and len(above) >= longest:
            kind, longest = rest[0], len(above)
    return kind


def write_readme(
    works: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    timed: Sequence[tuple[str, list[Timed]]],
    tools: Tools,
    about: str,
) -> None:
    """``works``: name of a row and its work; ``about``: commit and machine, a line of text."""
    before, begin, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f'{README} lacks its marks, {BEGIN} and {END}')
    described = dict(works)
    verdicts = [[finding.row, described[finding.row], *cells(finding)] for finding in findings]
    raw = [[name, *figure] for name, runs in timed for figure in figures(runs)]
    lines = [
        f'{time.strftime("%Y-%m-%d", time.gmtime())}. {about}',
        '',
        'Peers: ' + '; '.join(tool.version for tool in tools.found) + '.',
        *(f'Not to be had: {name} ({reason.splitlines()[0]}).' for name, reason in tools.absent.items()),
        '',
        *markdown_table(('row', 'work', *FINDING_HEADS), verdicts),
        '',
        'Every command that was timed:',
        '',
        *markdown_table(('row', *FIGURE_HEADS), raw),
    ]
    README.write_text(before + begin + '\n' + '\n'.join(lines) + '\n' + end + after)
