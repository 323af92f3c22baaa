"""``mlops lineage``: where something came from, and what was made from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.groups import group
from mlops_cli.cli.lineage_documents import downstream_document, upstream_document
from mlops_cli.cli.screens.lineage import downstream_lines, upstream_lines
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode
from mlops_cli.experiments.lineage import downstream as walk_down
from mlops_cli.experiments.lineage import upstream as walk_up
from mlops_cli.experiments.lineage import whatever, with_presence
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.lineage_targets import Targets

app = group('Where something came from, and what was made from it: upstream, downstream.')


TARGET = 'A file or folder, here or elsewhere; a stage; FILE:KEY; a run; blake3:DIGEST. As it was elsewhere: POINT:TARGET.'
Target = Annotated[str, typer.Argument(metavar='TARGET', help=TARGET)]
Depth = Annotated[int | None, typer.Option('--depth', metavar='N', min=1, help='So many results deep. Default: all the way.')]
Full = Annotated[bool, typer.Option('--full', help='Every file, value and instance; nothing folded.')]
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
    json: options.Json = False,
) -> int:
    """Everything that something came from: stages, runs, code, parameters, data, environment.

    Example:  mlops lineage upstream models/best.skops
    """
    with _records() as (records, targets):
        found = walk_up(records, targets.find(target), depth)
    if json:
        print_json(upstream_document(found))
    else:
        out_lines(upstream_lines(found, width(sys.stdout), full=full))
    return ExitCode.DONE if found.target.found else ExitCode.FAILED


@app.command('downstream', epilog=FOUND)
def downstream(
    target: Target,
    depth: Depth = None,
    full: Full = False,
    every: Annotated[bool, typer.Option('--any', help='Whatever content or value it had, not only what it has now.')] = False,
    json: options.Json = False,
) -> int:
    """Everything that was made from something: stages, outputs, metrics, runs.

    Example:  mlops lineage downstream params.yaml:train.rate
    """
    with _records() as (records, targets):
        meant = targets.find(target)
        found = with_presence(walk_down(records, whatever(meant) if every else meant, depth), targets.is_present)
    if json:
        print_json(downstream_document(found))
    else:
        out_lines(downstream_lines(found, width(sys.stdout), full=full))
    return ExitCode.DONE if found.target.found else ExitCode.FAILED
