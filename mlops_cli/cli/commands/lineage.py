"""``mlops lineage``: where something came from, and what was made from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, out_lines, print_json, width
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.lineage_words import meant
from mlops_cli.cli.screens.lineage import downstream_lines, upstream_lines
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode
from mlops_cli.experiments.lineage import downstream as walk_down
from mlops_cli.experiments.lineage import upstream as walk_up
from mlops_cli.experiments.lineage import whatever, with_edits, with_presence
from mlops_cli.experiments.lineage_model import Downstream, Upstream
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.lineage_targets import Targets

if TYPE_CHECKING:
    from mlops_cli.experiments.lineage_diff import LineageDiff
    from mlops_cli.report.dag import Drawing

app = Folder(
    'Where something came from, and what was made from it: upstream, downstream, diff, export, verify.', otherwise='upstream'
)


class Format(StrEnum):
    TEXT = 'text'
    MERMAID = 'mermaid'
    DOT = 'dot'
    SVG = 'svg'
    HTML = 'html'
    JSON = 'json'


class Standard(StrEnum):
    PROVENANCE = 'provenance'
    OPENLINEAGE = 'openlineage'


TARGET = 'A file or folder, here or elsewhere; a stage; FILE:KEY; a run; a model; blake3:DIGEST. As it was: POINT:TARGET.'
Target = Annotated[str, options.Argument(metavar='TARGET', help=TARGET)]
Depth = Annotated[int | None, options.Option('--depth', metavar='N', min=1, help='So many results deep. Default: all the way.')]
Full = Annotated[bool, options.Option('--full', help='Every file, value and instance; nothing folded.')]
Form = Annotated[Format, options.Option('--format', help='How to show it.')]
FOUND = exits.line(ExitCode.FAILED, failed='nothing recorded knows it')


@contextmanager
def _records() -> Iterator[tuple[Records, Targets]]:
    here = os.getcwd()
    with workbench() as bench:
        records = Records(bench)
        try:
            yield records, Targets(records, here)
        finally:
            records.close()


@app.command('upstream', epilog=FOUND)
def upstream(
    target: Target,
    depth: Depth = None,
    full: Full = False,
    form: Form = Format.TEXT,
    json: options.Json = False,
) -> int:
    """Everything that something came from: stages, runs, code, parameters, data, environment.

    Example:  mlops lineage upstream digits@prod
    """
    with _records() as (records, targets):
        found = with_edits(records, walk_up(records, meant(records, targets, target), depth))
    _show(
        Format.JSON if json else form,
        [found.target.title, *found.target.said],
        found,
        full,
        lambda: upstream_lines(found, width(sys.stdout), full=full),
    )
    return ExitCode.DONE if found.target.found else ExitCode.FAILED


@app.command('downstream', epilog=FOUND)
def downstream(
    target: Target,
    depth: Depth = None,
    full: Full = False,
    every: Annotated[bool, options.Option('--any', help='Whatever content or value it had, not only what it has now.')] = False,
    form: Form = Format.TEXT,
    json: options.Json = False,
) -> int:
    """Everything that was made from something: stages, outputs, metrics, runs.

    Example:  mlops lineage downstream params.yaml:train.rate
    """
    with _records() as (records, targets):
        found_target = meant(records, targets, target)
        wanted = whatever(found_target) if every else found_target
        found = with_presence(walk_down(records, wanted, depth), targets.is_present)
    _show(
        Format.JSON if json else form,
        [found.target.title, *found.target.said],
        found,
        full,
        lambda: downstream_lines(found, width(sys.stdout), full=full),
    )
    return ExitCode.DONE if found.target.found else ExitCode.FAILED


@app.command('diff', epilog=FOUND)
def diff(
    before: Target,
    after: Target,
    full: Full = False,
    form: Form = Format.TEXT,
    json: options.Json = False,
) -> int:
    """Where two things part: the first stages whose code, parameters, data, command or environment differ.

    Example:  mlops lineage diff HEAD~1:best.skops best.skops
    """
    from mlops_cli.cli.screens.lineage_diff import diff_lines
    from mlops_cli.experiments.lineage_diff import compare

    with _records() as (records, targets):
        one, two = (walk_up(records, meant(records, targets, word, whole=True)) for word in (before, after))
        found = compare(records, one, two)
    _show(
        Format.JSON if json else form,
        [
            f'{which}: {text}'
            for which, of in (('First', found.before), ('Second', found.after))
            for text in (of.title, *of.said)
        ],
        found,
        full,
        lambda: diff_lines(found, width(sys.stdout), full=full),
    )
    return ExitCode.DONE if found.before.found and found.after.found else ExitCode.FAILED


@app.command('export', epilog=exits.line(ExitCode.UNREACHABLE, failed='nothing recorded made it'))
def export(
    target: Target,
    form: Annotated[
        Standard,
        options.Option(
            '--format', help='provenance: an in-toto statement with SLSA provenance; openlineage: a JSON event a line.'
        ),
    ] = Standard.PROVENANCE,
    output: Annotated[
        str,
        options.Option(
            '--output', '-o', metavar='FILE', help='Where to write it. Default: standard output.', show_default=False
        ),
    ] = '',
    sign: Annotated[
        bool, options.Option('--sign', help='Sign provenance with the key that git signs with (user.signingKey).')
    ] = False,
    key: Annotated[str, options.Option('--key', metavar='FILE', help='Sign provenance with this ssh key.')] = '',
    namespace: Annotated[
        str,
        options.Option(
            '--namespace', metavar='TEXT', help='Of OpenLineage. Default: the address of origin.', show_default=False
        ),
    ] = '',
    send: Annotated[str, options.Option('--send', metavar='URL', help='Post the events of OpenLineage there, too.')] = '',
    json: options.Json = False,
) -> int:
    """Hand what is recorded of an output, a model or a run to other tools: OpenLineage, in-toto, SLSA.

    Example:  mlops lineage export digits@prod --sign -o digits.intoto.json
    """
    from mlops_cli.cli.lineage_export import Choice, write

    with _records() as (records, targets):
        found = with_edits(records, walk_up(records, meant(records, targets, target)))
        return write(records, found, Choice(str(form), output, sign, key, namespace, send, json))


@app.command('verify', epilog=exits.line(failed='the signature or the bytes are not as it says'))
def verify(
    file: Annotated[str, options.Argument(metavar='FILE', help='As export wrote it.')],
    path: Annotated[
        str, options.Argument(metavar='[PATH]', help='What it is about. Default: the path that it names.', show_default=False)
    ] = '',
    unsigned: Annotated[bool, options.Option('--unsigned', help='Take a statement that nobody signed.')] = False,
    json: options.Json = False,
) -> int:
    """Check a signed statement about where something came from: whose signature it is, and that the bytes are these.

    Example:  mlops lineage verify digits.intoto.json serving/best.skops
    """
    from mlops_cli.cli.lineage_verify import verify as check

    return check(file, path, unsigned, json)


def _show(
    form: Format, said: Sequence[str], found: Upstream | Downstream | LineageDiff, full: bool, lines: Callable[[], list[Line]]
) -> None:
    """What is not asked for is not loaded: most ask for text."""
    if form is Format.JSON:
        from mlops_cli.cli.lineage_documents import document

        print_json(document(found))
    elif form is Format.TEXT:
        out_lines(lines())
    else:
        out_lines(_drawn(form, said, _drawing(found, full)).splitlines(), foreign=True)


def _drawing(found: Upstream | Downstream | LineageDiff, full: bool) -> Drawing:
    from mlops_cli.report.lineage_drawing import diff_drawing, downstream_drawing, upstream_drawing

    if isinstance(found, Upstream):
        return upstream_drawing(found, full=full)
    return downstream_drawing(found, full=full) if isinstance(found, Downstream) else diff_drawing(found)


def _drawn(form: Format, said: Sequence[str], drawing: Drawing) -> str:
    from mlops_cli.report import dag_page, dag_svg, dag_text
    from mlops_cli.report.lineage_drawing import PARTS, STATES

    if form is Format.MERMAID:
        return dag_text.mermaid(drawing)
    if form is Format.DOT:
        return dag_text.dot(drawing)
    if form is Format.SVG:
        return dag_svg.svg(drawing, alone=True)
    return dag_page.dag_page(drawing, said, STATES | PARTS)
