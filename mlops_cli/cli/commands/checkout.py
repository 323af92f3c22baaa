"""``mlops checkout``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.cli.words import count
from mlops_cli.core.clock import run_id
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.plan.select import matching
from mlops_cli.run.checkout import Outcome, Targets, at_revision, bring, recorded, tracked_targets, unsaved
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.REFUSED, failed='nothing recorded for a stage')


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar='[PATH|STAGE]...', help='Outputs, tracked data or stages. Default: all.')
    ] = None,
    revision: Annotated[
        str, typer.Option('--at', metavar='REV', help='What a git revision computes, instead of the present state.')
    ] = '',
    force: Annotated[
        bool,
        typer.Option(
            '--force', '-f', help='Also over changes that are saved nowhere; they are kept under .mlops/local/rescue.'
        ),
    ] = False,
    no_backup: Annotated[bool, typer.Option('--no-backup', help='With --force: destroy them instead.')] = False,
    clean: Annotated[bool, typer.Option('--clean', help='Take untracked files of tracked folders away too.')] = False,
    json: options.Json = False,
) -> int:
    """Put recorded outputs of the present state into the workspace.  Never runs a stage, never destroys unsaved work.

    Example:  git checkout v1.2 && mlops checkout        the models of that version, byte for byte
    """
    with workbench() as bench, writing(bench):
        if revision:
            with at_revision(bench, revision) as other:
                targets = _targets(other, paths or ())
        else:
            targets = _targets(bench, paths or ())
        _refuse_loss(unsaved(bench, targets.wanted, clean=clean), force)
        identity = run_id(time.time(), os.urandom(16))
        done = bring(bench, targets.wanted, identity, backup=not (force and no_backup), clean=clean)
    if json:
        rows = [{'stage': stage, 'reason': why} for stage, why in targets.unknown]
        print_json(
            {
                'schema': 'mlops/checkout/v1',
                'placed': list(done.placed),
                'same': done.same,
                'kept': list(done.kept),
                'stayed': list(done.stayed),
                'unknown': rows,
            }
        )
    else:
        _show(done, targets)
    return ExitCode.FAILED if targets.unknown else ExitCode.DONE


def _refuse_loss(lost: Mapping[str, str], force: bool) -> None:
    if lost and not force:
        what = '; '.join(f'{path} ({what})' for path, what in sorted(lost.items())[:5])
        raise UserError(
            f'not saved anywhere, so left alone: {what}',
            exit_code=ExitCode.REFUSED,
            hint='mlops checkout --force keeps them under .mlops/local/rescue first',
        )


def _show(done: Outcome, targets: Targets) -> None:
    for path in done.placed:
        out(f'  placed    {path}')
    for path in done.kept:
        out(f'  kept      {path}: what stood there before (mv it back to undo)')
    for path in done.stayed:
        out(f'  stayed    {path}: not tracked (--clean takes it away)')
    for stage, why in targets.unknown:
        out(f'  nothing   {stage}: {why} (mlops run {stage})')
    out(f'{count(len(done.placed), "path")} placed, {done.same} already right.')


def _targets(bench: Workbench, words: list[str] | tuple[()]) -> Targets:
    """Everything, or what the words mean: paths of tracked data, outputs, stages.  Raises UserError."""
    tracked = tracked_targets(bench)
    if not words:
        found = recorded(bench, bench.order)
        return Targets({**found.wanted, **tracked}, found.unknown)
    makers = {output.path: stage.name for stage in bench.pipeline.stages.values() for output in stage.outputs}
    wanted, stages, single = {}, set(), set()
    for word in words:
        path = word.removeprefix('./').rstrip('/')
        if path in tracked:
            wanted[path] = tracked[path]
        elif path in makers:
            single.add(path)
            stages.add(makers[path])
        else:
            names = matching(bench.pipeline, word)
            stages.update(names)
            single.update(output.path for name in names for output in bench.pipeline.stages[name].outputs)
    found = recorded(bench, bench.order)
    wanted |= {path: ref for path, ref in found.wanted.items() if path in single}
    return Targets(wanted, tuple(item for item in found.unknown if item[0] in stages))
