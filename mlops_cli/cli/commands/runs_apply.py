"""``mlops runs apply``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, out, print_json
from mlops_cli.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from mlops_cli.cli.screens.run import RunScreen
    from mlops_cli.run.invoke import Report

EXITS = exits.line(ExitCode.REFUSED, failed='a stage failed')


def command(
    run: Annotated[str, options.Argument(metavar='RUN', help="A trial's id, or an unambiguous beginning of it.")],
    json: options.Json = False,
) -> int:
    """Take a trial over: its parameters are written into the parameter files, its results become the workspace's.

    Example:  mlops run --set train.depth=12 && mlops runs apply 7k2m
    """
    from mlops_cli.cli.documents import run_document
    from mlops_cli.cli.performing import perform
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.experiments.run_names import find_run
    from mlops_cli.run.invoke import Request
    from mlops_cli.run.trials import write_parameters

    with workbench() as bench:
        found = find_run(bench, run)
        if not found.overlay:
            raise UserError(
                f'run {found.short} was no trial: it had no --set',
                hint='its results are pinned already; mlops checkout --at REV goes back',
            )
        changed = write_parameters(bench.root, found.overlay)

    def then(report: Report, screen: RunScreen) -> None:
        if json:
            print_json({**run_document(report), 'schema': 'mlops/runs-apply/v1', 'changed': list(changed)})
        else:
            screen.finish(report)

    for file in () if json else changed:
        out(Line(f'  {"wrote":<9} {file}'))

    with workbench() as bench:
        names = tuple(stage.name for stage in found.stages if stage.name in bench.pipeline.stages)
        request = Request(names, lock_timeout=context.current.lock_timeout, command=('mlops', *sys.argv[1:]))
        return perform(bench, request, silent=json, then=then)
