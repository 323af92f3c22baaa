"""Charts and pages that a command writes where the user said so."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

from mlops_cli.cli import options
from mlops_cli.cli.console import Line, one_line, out
from mlops_cli.cli.pages import replace_ours
from mlops_cli.core.errors import UserError
from mlops_cli.core.units import plural, show_size
from mlops_cli.fsio.paths import Root

Html = Annotated[str, options.Option('--html', metavar='FILE', help='Write one page that stands alone: no network, no script.')]
Svg = Annotated[str, options.Option('--svg', metavar='DIR', help='Write a file for each chart into DIR.')]


def asked(html: str, svg: str, **others: bool) -> bool:
    """Whether there is anything to draw.  ``others``: options that want standard output for something else.  Raises UserError
    for two at once."""
    for name in (name for name, given in others.items() if given and (html or svg)):
        raise UserError(f'--{"html" if html else "svg"} and --{name} are two things', hint='ask for one of them')
    return bool(html or svg)


def write_page(project: Root, target: str, text: str) -> None:
    """Raises UserError (exit 5) where a file of somebody else's stands, OSError."""
    from mlops_cli.report.page import MADE

    size = replace_ours(project, target, text, MADE.encode())
    out(Line(f'  {"wrote":<9} {one_line(target)}, {show_size(size)}'))


def write_charts(project: Root, folder: str, found: Iterable[tuple[str, str]]) -> None:
    """``found``: (name, chart).  Two of one name are told apart.  Raises UserError (exit 5) where a file of somebody else's
    stands, OSError."""
    from mlops_cli.records.pins import slug
    from mlops_cli.report.svg import document

    written, total = set[str](), 0
    for name, chart in found:
        stem = slug(name)
        while stem in written:
            stem += '-2'
        written.add(stem)
        total += replace_ours(project, os.path.join(folder, f'{stem}.svg'), document(chart), b'class="chart"')
    out(Line(f'  {"wrote":<9} {one_line(folder)}, {plural(len(written), "chart")}, {show_size(total)}'))
