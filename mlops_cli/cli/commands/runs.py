"""``mlops runs``: runs that were."""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import Annotated, Any

import typer

from mlops_cli import git
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, out, out_lines, print_json, width
from mlops_cli.cli.documents import run_document
from mlops_cli.cli.groups import group
from mlops_cli.cli.history import Past, past, primary, row
from mlops_cli.cli.performing import perform
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.screens.runs import list_lines, show_lines
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.run.invoke import Report, Request
from mlops_cli.run.trials import write_parameters

app = group('Runs that were: list, show, apply.')

RunId = Annotated[str, typer.Argument(metavar='RUN', help="A run's id, or an unambiguous beginning of it.")]


@app.command('list', epilog=exits.line())
def list_runs(
    most: Annotated[int, typer.Option('--most', '-n', metavar='N', min=1, help='So many, newest first.')] = 20,
    json: options.Json = False,
) -> int:
    """Runs, newest first, with their primary metrics.

    Example:  mlops runs list --json | jq '.rows[0]'
    """
    with workbench() as bench:
        found = [past(bench, run) for run in islice(bench.runs.newest(), most)]
        runs = [(one, primary(bench.pipeline, one)) for one in found]
    if json:
        print_json({'schema': 'mlops/runs-list/v1', 'rows': [row(one.run, metrics) for one, metrics in runs]})
    elif runs:
        out_lines(list_lines(runs, time.time(), width(sys.stdout)))
    else:
        out('No runs yet: mlops run')
    return 0


@app.command('show', epilog=exits.line())
def show(run: RunId, json: options.Json = False) -> int:
    """One run: its stages, what they took and made, what it was asked.

    Example:  mlops runs show 7k2m
    """
    with workbench() as bench:
        found = past(bench, bench.runs.find(run))
        metrics = primary(bench.pipeline, found)
        described = None if json else git.describe(bench.root.path, found.run.commit)
    if json:
        print_json(_document(found, row(found.run, metrics)))
    else:
        out_lines(show_lines(found, width(sys.stdout), described))
    return 0


def _document(found: Past, flat: dict[str, Any]) -> dict[str, Any]:
    stages = [
        {
            'name': stage.name,
            'state': stage.state,
            'seconds': stage.seconds,
            'exit_code': stage.exit_code,
            'key': str(stage.key) if stage.key else None,
            'bytes': found.sizes.get(stage.name),
            **stage.usage,
        }
        for stage in found.run.stages
    ]
    return {
        'schema': 'mlops/runs-show/v1',
        **flat,
        'command': list(found.run.command),
        'stages': stages,
        'set': [list(item) for item in found.run.overlay],
        'environment': dict(found.run.environment),
        'metrics': {f'{stage}:{file}:{name}': value for stage, file, name, value in found.metrics},
    }


@app.command('apply', epilog=exits.line(ExitCode.REFUSED, failed='a stage failed'))
def apply(run: RunId, json: options.Json = False) -> int:
    """Take a trial over: its parameters are written into the parameter files, its results become the workspace's.

    Example:  mlops run --set train.depth=12 && mlops runs apply 7k2m
    """
    with workbench() as bench:
        found = bench.runs.find(run)
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
        return perform(bench, Request(names, command=('mlops', *sys.argv[1:])), silent=json, then=then)
