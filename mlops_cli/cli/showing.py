"""Prints what several commands show: the plan."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from mlops_cli.cli import context
from mlops_cli.cli.console import out_lines, width
from mlops_cli.cli.quick.learn import keep
from mlops_cli.cli.screens.plan import View, plan_lines
from mlops_cli.cli.unchanged import unknown_code
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Plan
from mlops_cli.run.machine import machine
from mlops_cli.run.request import Routes, by_host, going_anywhere
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:
    from mlops_cli.run.choosing import Told
    from mlops_cli.run.expense import Outlay
    from mlops_cli.run.unpulled import Unpulled


def show_plan(plan: Plan, bench: Workbench, routes: Routes, jobs: int = 0, outlay: Outlay | None = None) -> None:
    """``jobs`` 0: as config says, else as many as processors.  ``outlay``: what it will cost."""
    there = machine(bench.config.tokens)
    gpus = f', {plural(there.gpus, "GPU")}' if there.gpus else ''
    place = f'this machine ({there.cpus:g} CPU{"" if there.cpus == 1 else "s"}{gpus})'
    view = View(
        bench.pipeline.groups,
        width(sys.stdout),
        jobs or bench.config.jobs or os.cpu_count() or 1,
        place,
        context.current.verbose,
        unknown_code(bench),
        by_host(bench, plan, routes),
        _costs(outlay),
        choices(bench, plan, routes),
        _unpulled(bench, plan),
    )
    lines = plan_lines(plan, view)
    keep(bench, plan, 'plan', lines)
    out_lines(lines)


def choices(bench: Workbench, plan: Plan, routes: Routes) -> list[Told]:
    """Raises UserError where a stage can run nowhere."""
    if not going_anywhere(bench, plan, routes):
        return []
    from mlops_cli.run.anywhere import chosen_hosts, unplaced

    if error := unplaced(bench, plan, routes):
        raise error
    return chosen_hosts(bench, plan, routes)


def _unpulled(bench: Workbench, plan: Plan) -> Unpulled | None:
    if not bench.config.remotes:
        return None
    from mlops_cli.run.unpulled import unpulled

    return unpulled(bench, plan)


def _costs(outlay: Outlay | None) -> list[str]:
    if outlay is None:
        return []
    from mlops_cli.cli.screens.expense import outlay_sentences

    return outlay_sentences(outlay)


def expected_cost(
    bench: Workbench, plan: Plan, routes: Routes, jobs: int, executor: str = '', *, allowed: bool = False
) -> Outlay | None:
    """None where nobody says what anything costs, or may.  ``allowed``: to go beyond budgets."""
    if not bench.config.prices and not bench.config.budgets:
        return None
    from mlops_cli.run.expense import Outlay, expense

    planned = expense(bench, plan, routes, jobs or bench.config.jobs or os.cpu_count() or 1, executor)
    if planned is None or not bench.config.budgets:
        return None if planned is None else Outlay(planned)
    from mlops_cli.run.budget import outlay

    return outlay(bench, planned, time.time(), allowed)


def refused(outlay: Outlay | None) -> bool:
    """Whether run would refuse it."""
    return outlay is not None and bool(outlay.exceeded)
