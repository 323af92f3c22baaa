"""Which two states a comparison is of, when fewer than two are named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from mlops_cli import git
from mlops_cli.cli.console import Line, say
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.experiments.points import WORKSPACE, Point, find_point
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench

LOOKED_AT = 100  # newest runs


def two_points(bench: Workbench, before: str, after: str) -> tuple[Point, Point]:
    """What stands before, and what after it.  Of one that is named, the workspace comes after; only a trial is itself what
    comes after, since it tries what the workspace may become.  Without any: HEAD and the workspace.

    Raises UserError."""
    if not before and not after:
        return _present(bench)
    one = find_point(bench, before)
    if after:
        return one, find_point(bench, after)
    workspace = find_point(bench, WORKSPACE)
    if one.run is not None and one.run.overlay:
        return workspace, replace(one, label=f'{one.label} (trial)')
    return one, workspace


def _present(bench: Workbench) -> tuple[Point, Point]:
    """Where git has no commit yet, the run before the last one stands for it, or else the last one."""
    try:
        return find_point(bench, 'HEAD'), find_point(bench, WORKSPACE)
    except UserError:
        head = git.head(bench.root.path)
        whole = list(islice(_whole_runs(bench), 2))
        if (head is not None and head.commit) or not whole:
            raise
    which = 'the run before the last one' if len(whole) > 1 else 'the last run'
    say(Line(f'note: there is no commit to compare with, so {which} is', 'note:'))
    return find_point(bench, whole[-1].id), find_point(bench, WORKSPACE)


def _whole_runs(bench: Workbench) -> Iterator[Run]:
    """Newest first, those that left the workspace as they say; damaged records are passed over."""
    for run_id in islice(bench.runs.ids(), LOOKED_AT):
        try:
            run = bench.runs.get(run_id)
        except (FileNotFoundError, UserError):
            continue
        if run.ended == 'done' and not run.overlay:
            yield run
