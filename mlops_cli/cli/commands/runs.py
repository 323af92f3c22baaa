"""``mlops runs``: runs that were."""

from __future__ import annotations

import os
import sys
import time
from itertools import islice
from typing import Annotated, Any

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.commands.run import exit_code, signals
from mlops_cli.cli.console import one_line, out, print_json
from mlops_cli.cli.documents import run_document
from mlops_cli.cli.groups import group
from mlops_cli.cli.run_screen import RunScreen
from mlops_cli.cli.wiring import workbench
from mlops_cli.cli.words import count
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_seconds, show_size
from mlops_cli.records.runs import Run
from mlops_cli.run.invoke import Request, execute
from mlops_cli.run.trials import write_parameters
from mlops_cli.run.workbench import Workbench

app = group('Runs that were: list, show, apply.')

RunId = Annotated[str, typer.Argument(metavar='RUN', help="A run's id, or an unambiguous beginning of it.")]


@app.command('list', epilog=exits.line())
def list_runs(
    most: Annotated[int, typer.Option('--most', '-n', metavar='N', min=1, help='So many, newest first.')] = 20,
    json: options.Json = False,
) -> int:
    """Runs, newest first.

    Example:  mlops runs list --json | jq '.rows[0]'
    """
    with workbench() as bench:
        runs = list(islice(bench.runs.newest(), most))
    if json:
        print_json({'schema': 'mlops/runs-list/v1', 'rows': [_row(run) for run in runs]})
        return 0
    if not runs:
        out('No runs yet: mlops run')
    for run in runs:
        row = _row(run)
        what = ', '.join(
            f'{row[state]} {state}' for state in ('done', 'restored', 'failed', 'skipped', 'interrupted') if row[state]
        )
        trial = '  trial ' + ' '.join(f'{key}={value}' for _, key, value in run.overlay) if run.overlay else ''
        out(
            f'  {run.short}  {run.started[:16].replace("T", " ")}  {run.ended:<11} {show_seconds(run.seconds):>7}  '
            f'{one_line(run.who):<10} {one_line(run.branch):<16} {what}{one_line(trial)}'
        )
    return 0


def _row(run: Run) -> dict[str, Any]:
    states = [stage.state for stage in run.stages]
    return {
        'run': run.short,
        'id': run.id,
        'started': run.started,
        'ended': run.ended,
        'seconds': run.seconds,
        'who': run.who,
        'host': run.host,
        'branch': run.branch,
        'commit': run.commit,
        'trial': bool(run.overlay),
        'fresh': run.fresh,
        **{state: states.count(state) for state in ('done', 'restored', 'failed', 'skipped', 'interrupted')},
        'saved_seconds': run.saved_seconds,
        'cpu_seconds': round(sum(s.usage.get('cpu_seconds', 0) for s in run.stages), 3),
    }


@app.command('show', epilog=exits.line())
def show(run: RunId, json: options.Json = False) -> int:
    """One run: its stages, what they took, what it was asked.

    Example:  mlops runs show 7k2m
    """
    with workbench() as bench:
        found = bench.runs.find(run)
        metrics = _metrics(bench, found)
    stages = [
        {
            'name': s.name,
            'state': s.state,
            'seconds': s.seconds,
            'exit_code': s.exit_code,
            'key': f'blake3:{s.key.hex}' if s.key else None,
            **s.usage,
        }
        for s in found.stages
    ]
    if json:
        print_json(
            {
                'schema': 'mlops/runs-show/v1',
                **_row(found),
                'command': list(found.command),
                'stages': stages,
                'set': [list(item) for item in found.overlay],
                'environment': dict(found.environment),
                'metrics': {f'{stage}:{file}:{name}': value for stage, file, name, value in metrics},
            }
        )
        return 0
    out(f'Run {found.short}, {found.started}, {found.ended} in {show_seconds(found.seconds)}')
    branch, commit = one_line(found.branch) or 'none', found.commit[:12] or 'none'
    out(f'  by {one_line(found.who)} on {one_line(found.host)}, branch {branch}, commit {commit}')
    out(f'  {one_line(" ".join(found.command))}')
    for file, key, value in found.overlay:
        out(f'  set {file}:{key} = {one_line(str(value))}')
    for stage in found.stages:
        peak = stage.usage.get('memory_peak_bytes')
        out(
            f'  {stage.state:<11} {one_line(stage.name):<28} {show_seconds(stage.seconds):>7}'
            + (f'  cpu {show_seconds(stage.usage["cpu_seconds"])}' if 'cpu_seconds' in stage.usage else '')
            + (f'  memory {show_size(peak)}' if peak else '')
        )
        for name, _, metric, value in metrics:
            if name == stage.name:
                out(f'{"":<42}{one_line(metric)} {value:.6g}')
    if found.fresh:
        out(f'  and {count(found.fresh, "stage")} fresh')
    return 0


def _metrics(bench: Workbench, run: Run) -> list[tuple[str, str, str, float]]:
    """Of a trial from its record, of any other run from the pins."""
    if run.metrics:
        return list(run.metrics)
    return [
        (stage.name, *metric)
        for stage in run.stages
        if stage.key
        for pin in bench.pins.of_key(stage.key)
        if pin.outs8 == stage.outs8
        for metric in pin.metrics
    ]


@app.command('apply', epilog=exits.line(ExitCode.REFUSED, failed='a stage failed'))
def apply(run: RunId, json: options.Json = False) -> int:
    """Take a trial over: its parameters are written into the parameter files, its results become the workspace's.

    Example:  mlops run --set train.depth=12 && mlops runs apply 7k2m && git diff params.yaml
    """
    with workbench() as bench:
        found = bench.runs.find(run)
        if not found.overlay:
            raise UserError(
                f'run {found.short} was no trial: it had no --set',
                hint='its results are pinned already; mlops checkout --at REV goes back',
            )
        changed = write_parameters(bench.root, found.overlay)
    with workbench() as bench:
        names = tuple(stage.name for stage in found.stages if stage.name in bench.pipeline.stages)
        with signals() as interrupted, RunScreen(bench, silent=json, interrupted=interrupted.level) as screen:
            report = execute(
                bench,
                Request(names, command=('mlops', *sys.argv[1:])),
                emit=screen.listen,
                now=time.time,
                clock=time.monotonic,
                random_bytes=os.urandom(16),
                interrupted=interrupted.level,
            )
        if json:
            print_json({**run_document(report), 'schema': 'mlops/runs-apply/v1', 'changed': list(changed)})
        else:
            for file in changed:
                out(f'  wrote     {file}')
            screen.finish(report)
    return exit_code(report, interrupted.signal)
