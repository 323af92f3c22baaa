"""``mlops`` with no arguments: what to do next, in the place where one stands."""

from __future__ import annotations

import os
import sys
import time

from mlops_cli.cli import context, finding
from mlops_cli.cli.beside import Beside
from mlops_cli.cli.commands.status import may_be_pulled, planned
from mlops_cli.cli.console import out_lines, width
from mlops_cli.cli.problems import tell_problems
from mlops_cli.cli.screens.here import Here, here_lines, outside_lines
from mlops_cli.cli.standing import data_changes, in_git, last_run, working
from mlops_cli.cli.uncommitted import uncommitted
from mlops_cli.cli.wiring import workbench
from mlops_cli.fsio.paths import Root
from mlops_cli.records.repository import access
from mlops_cli.run.killed import killed
from mlops_cli.run.request import Request
from mlops_cli.run.workbench import Workbench


def command() -> int:
    """Raises UserError for a pipeline that cannot be read, as every command does."""
    here = os.getcwd()
    if not finding.find_project(here):
        from mlops_cli.adopt.surroundings import look_around

        with Root(here) as root:
            out_lines(outside_lines(here, look_around(root), finding.is_bare_repository(here), width(sys.stdout)))
        return 0
    with workbench() as bench:
        out_lines(here_lines(_look(bench), width(sys.stdout)))
    return 0


def _look(bench: Workbench) -> Here:
    with Beside(lambda: in_git(bench)) as asked:  # git is another process: it works while we do
        plan = planned(bench, Request(()))
        (last, problems), running, data = last_run(bench), working(bench), data_changes(bench)
        head, changed = asked.result()
    tell_problems(problems)
    return Here(
        time.time(),
        plan,
        head.branch if head else None,
        access(bench.root.path).sentence if head is None else '',
        last,
        running,
        uncommitted(bench, changed) if head is not None else uncommitted(bench, ()),
        data,
        killed(bench.root),
        len(problems),
        may_be_pulled(bench, plan),
        context.elsewhere(bench.root.path),
    )
