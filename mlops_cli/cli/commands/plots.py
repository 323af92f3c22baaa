"""``mlops plots``: what stages drew, or what can be drawn from what they wrote."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.comparing import two_points
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, shows_marks, width
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.pages import open_page, replace_ours
from mlops_cli.cli.pictures import Html, Svg
from mlops_cli.cli.screens.plots import Pair, Pen, kind_of, plots_lines
from mlops_cli.cli.wiring import output_words, project_relative, workbench
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural, show_size
from mlops_cli.experiments import metrics
from mlops_cli.experiments.model import Point
from mlops_cli.experiments.plots import choose, paired, plots_at
from mlops_cli.experiments.plots_values import KINDS, Bars, Broken, Confusion, Histogram, Lines, Plot
from mlops_cli.experiments.points import find_point
from mlops_cli.fsio.paths import Root
from mlops_cli.run.workbench import Workbench

app = Folder('What stages drew, or what can be drawn from what they wrote: show, diff.')

NOTHING = 'No plots: no stage of pipeline.yaml lists a file under plots'
PAGE = f'{layout.LOCAL}/plots.html'  # what --open shows

Open = Annotated[bool, options.Option('--open', help='Show the page in a browser.')]
Ascii = Annotated[bool, options.Option('--ascii', help='Draw with plain characters.')]
Kind = Annotated[
    str, options.Option('--kind', metavar='KIND', help=f'{", ".join(KINDS)}. Default: as declared, or as columns are.')
]

NoHeader = Annotated[
    bool, options.Option('--no-header', help='The first row of a CSV or TSV file is data; columns are 0, 1, 2...')
]


@dataclass(frozen=True)
class Wishes:
    """What becomes of the plots.  ``html``, ``svg``: where files go, '' for none."""

    html: str
    svg: str
    open: bool
    ascii_only: bool
    json: bool


@dataclass(frozen=True)
class Found:
    """``single``: there is one point only, the second label's."""

    pairs: tuple[Pair, ...]
    labels: tuple[str, str]
    numbers: metrics.Values | metrics.Comparison | None
    single: bool
    project: str


@app.command('show', epilog=exits.line(ExitCode.REFUSED))
def show(
    names: Annotated[
        list[str] | None,
        options.Argument(
            metavar='[STAGE|PLOT|FILE]...', help='Stages, instances, globs, plot files, any table or picture. Default: all.'
        ),
    ] = None,
    at: options.At = 'workspace',
    html: Html = '',
    svg: Svg = '',
    open_: Open = False,
    x: options.X = '',
    y: options.Y = None,
    kind: Kind = '',
    no_header: NoHeader = False,
    ascii_only: Ascii = False,
    json: options.Json = False,
) -> int:
    """Draw what stages list under plots: in the terminal, as SVG, or as one HTML page.

    Example:  mlops plots show train --html plots.html
    """
    wishes = Wishes(html, svg, open_, ascii_only, json)
    settings = _settings(x, y, kind, no_header)
    with workbench() as bench:
        point = find_point(bench, at)
        plots = plots_at(bench, point, choose(bench, _words(bench, names), [point.pipeline], settings))
        numbers = metrics.values(bench, point) if wishes.html or wishes.open else None
        found = Found(tuple((None, plot) for plot in plots), ('', point.label), numbers, True, bench.pipeline.name)
        return _deliver(bench, found, wishes)


@app.command('diff', epilog=exits.line(ExitCode.REFUSED))
def diff(
    before: options.A = '',
    after: options.B = '',
    names: Annotated[
        list[str] | None,
        options.Option('--only', metavar='STAGE|PLOT', help='Only these stages or plot files. May be repeated.'),
    ] = None,
    html: Html = '',
    svg: Svg = '',
    open_: Open = False,
    x: options.X = '',
    y: options.Y = None,
    kind: Kind = '',
    no_header: NoHeader = False,
    ascii_only: Ascii = False,
    json: options.Json = False,
) -> int:
    """The same plots at two points: lines over each other, the rest side by side.

    Example:  mlops plots diff main --html plots.html        the workspace against main
    """
    wishes = Wishes(html, svg, open_, ascii_only, json)
    settings = _settings(x, y, kind, no_header)
    with workbench() as bench:
        one, two = two_points(bench, before, after)
        choice = choose(bench, _words(bench, names), [one.pipeline, two.pipeline], settings)
        pairs = paired(plots_at(bench, one, choice), plots_at(bench, two, choice))
        pairs = tuple(pair for pair in pairs if _is_compared(pair, one, two))
        numbers = metrics.compare(bench, one, two) if wishes.html or wishes.open else None
        return _deliver(bench, Found(pairs, (one.label, two.label), numbers, False, bench.pipeline.name), wishes)


def _is_compared(pair: Pair, before: Point, after: Point) -> bool:
    """What a run has no record of, since it was fresh, is not missing in it."""
    stage = (pair[0] or pair[1]).stage  # type: ignore[union-attr]
    return not any(point.kind == 'run' and stage and stage not in point.stages for point in (before, after))


def _settings(x: str, y: list[str] | None, kind: str, no_header: bool) -> dict[str, Any]:
    """Raises UserError for a kind there is none of."""
    if kind and kind not in KINDS:
        raise UserError(f'--kind {kind[:40]}: no such kind of plot', hint=f'there are {", ".join(KINDS)}')
    given = {'x': x, 'y': list(y or ()), 'kind': kind}
    return {**{name: value for name, value in given.items() if value}, **({'header': False} if no_header else {})}


def _words(bench: Workbench, names: Sequence[str] | None) -> tuple[str, ...]:
    """As :func:`output_words`; a file that no stage makes is meant from where the user stands, too."""
    words = []
    for typed, word in zip(names or (), output_words(bench, names or ()), strict=True):
        known = {*bench.pipeline.stages, *bench.pipeline.groups}
        words.append(project_relative(bench.root.path, typed) if word == typed not in known and os.path.isfile(typed) else word)
    return tuple(words)


# What becomes of them


def _deliver(bench: Workbench, found: Found, wishes: Wishes) -> int:
    if wishes.json:
        print_json(_document(found))
        return 0
    plots = [plot for pair in found.pairs for plot in pair if plot is not None]
    if not plots:
        out(NOTHING)
        return 0
    if not (wishes.html or wishes.svg or wishes.open):
        pen = Pen(
            width(sys.stdout),
            found.labels,
            single=found.single,
            ascii_only=wishes.ascii_only or not shows_marks(sys.stdout),
            everything=context.current.verbose,
        )
        out_lines(plots_lines(found.pairs, pen))
        return 0
    if wishes.svg:
        _write_svgs(bench.root, found, wishes.svg)
    if wishes.html or wishes.open:
        target = wishes.html or bench.root.full(PAGE)
        _write_page(bench.root, found, target)
        if wishes.open:
            open_page(target)
    broken = [(plot.path, plot.drawing.content) for plot in plots if isinstance(plot.drawing.content, Broken)]
    for path, content in dict.fromkeys(broken):
        out(Line(f'  {"broken":<9} {one_line(path)}: {one_line(content.problem)}'))
    return 0


def _write_page(project: Root, found: Found, target: str) -> None:
    from mlops_cli.report.page import MADE
    from mlops_cli.report.plots_page import plots_page

    title = f'Plots of {found.project}'
    text = plots_page(title, found.pairs, found.labels, metrics=found.numbers, single=found.single)
    size = replace_ours(project, target, text, MADE.encode())
    out(Line(f'  {"wrote":<9} {one_line(target)}, {plural(len(found.pairs), "plot")}, {show_size(size)}'))


def _write_svgs(project: Root, found: Found, folder: str) -> None:
    written, pictures, total = 0, 0, 0
    for name, text in _svgs(found):
        if text:
            total += replace_ours(project, os.path.join(folder, name), text, b'class="chart"')
            written += 1
        else:
            pictures += 1
    note = f'; {plural(pictures, "picture")} left where {"it is" if pictures == 1 else "they are"}' if pictures else ''
    out(Line(f'  {"wrote":<9} {one_line(folder)}, {plural(written, "chart")}, {show_size(total)}{note}'))


def _svgs(found: Found) -> Iterator[tuple[str, str]]:
    """(file name, text) of each chart; no text for a picture."""
    from mlops_cli.records.pins import slug
    from mlops_cli.report.plots_draw import panels
    from mlops_cli.report.svg import document

    for before, after in found.pairs:
        plot = after or before
        assert plot is not None
        drawings = (before.drawing if before else None, after.drawing if after else None)
        stem = '-'.join(part.replace('/', '-') for part in (plot.stage, plot.path, plot.drawing.part) if part)
        for panel in panels(*drawings, found.labels, titled=True, single=found.single):
            if not panel.problem:
                name = slug(f'{stem}-{panel.name}' if panel.name else stem)
                yield f'{name}.svg', document(panel.chart) if panel.chart else ''


# For programs


def _document(found: Found) -> dict[str, Any]:
    rows = [row for before, after in found.pairs for side in (before, after) if side for row in _rows(side)]
    labels = {'point': found.labels[1]} if found.single else {'before': found.labels[0], 'after': found.labels[1]}
    schema = 'mlops/plots-show/v1' if found.single else 'mlops/plots-diff/v1'
    return {'schema': schema, **labels, 'rows': list({str(row): row for row in rows}.values())}


def _rows(plot: Plot) -> Iterator[dict[str, Any]]:
    """A flat object for each series; one for what has none."""
    content = plot.drawing.content
    flat = {
        'point': plot.point,
        'stage': plot.stage,
        'path': plot.path,
        'part': plot.drawing.part,
        'title': plot.drawing.title,
        'kind': kind_of(content),
        'series': '',
        'count': None,
        'min': None,
        'max': None,
        'last': None,
        'left_out': content.left_out if isinstance(content, Confusion) else None,
        'problem': content.problem if isinstance(content, Broken) else '',
        'notes': '; '.join(plot.drawing.notes),
    }
    if isinstance(content, Lines):
        series = [(one.name, one.y) for one in content.series]
    elif isinstance(content, Bars | Histogram):
        series = list(content.series)
    else:
        yield flat
        return
    for name, numbers in series:
        facts = content.facts[name]
        ends = {'min': facts.low, 'max': facts.high, 'last': facts.last}
        yield {
            **flat,
            'series': name,
            'count': sum(number == number for number in numbers),
            **{key: None if math.isnan(number) else number for key, number in ends.items()},
            'left_out': facts.left_out,
        }
