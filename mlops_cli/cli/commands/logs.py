"""``mlops logs``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mlops_cli.cli import exits
from mlops_cli.cli.console import out
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import UserError
from mlops_cli.plan.select import matching
from mlops_cli.run.attempt import log_path
from mlops_cli.run.workbench import Workbench

EXITS = exits.line()


def command(
    stage: Annotated[str, typer.Argument(metavar='STAGE', help='A stage or an instance.')],
    run: Annotated[
        str, typer.Option('--run', metavar='ID', help='Of this run. Default: the last one in which the stage ran.')
    ] = '',
) -> int:
    """What a stage printed, both streams, as it came.

    Example:  mlops logs train@forest-2 | less
    """
    with workbench() as bench:
        for name in matching(bench.pipeline, stage):
            for line in read_log(bench, name, run):
                out(line)
    return 0


def read_log(bench: Workbench, stage: str, run: str) -> list[str]:
    """The lines of a log: the file of this machine, else the copy in the store.  Raises UserError if there is none."""
    runs = [bench.runs.find(run)] if run else list(bench.runs.newest())
    for one in runs:
        found = next((row for row in one.stages if row.name == stage and row.state not in ('restored', 'skipped')), None)
        if found is None:
            continue
        numbers = range(50, 0, -1)
        path = next((p for n in numbers if os.path.exists(bench.root.full(p := log_path(one.id, stage, n)))), None)
        if path is not None:
            with open(bench.root.open(path, os.O_RDONLY), 'rb') as file:
                return file.read().decode(errors='replace').splitlines()
        for entry in bench.results.lookup(found.key) if found.key else ():
            if entry.entry8 == found.outs8 and entry.log is not None and not bench.store.missing([entry.log]):
                return bench.store.read(entry.log.digest).decode(errors='replace').splitlines()
    raise UserError(
        f'no log of {stage}' + (f' in run {run}' if run else ''), hint='logs are kept on the machine that ran the stage'
    )
