"""Prints what several commands show: the plan."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlops_cli.cli import context
from mlops_cli.cli.console import out_lines, width
from mlops_cli.cli.quick.learn import keep
from mlops_cli.cli.screens.plan import View, plan_lines
from mlops_cli.cli.unchanged import unknown_code
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Plan
from mlops_cli.run.machine import machine
from mlops_cli.run.request import by_host
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:
    from mlops_cli.run.expense import Expense


def show_plan(plan: Plan, bench: Workbench, jobs: int = 0, host: str = '', expense: Expense | None = None) -> None:
    """``jobs`` 0: as config says, else as many as processors.  ``host``: where all stages are to run; '' as each says.
    ``expense``: what it will cost."""
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
        by_host(bench, plan, host),
        _costs(expense),
    )
    lines = plan_lines(plan, view)
    keep(bench, plan, 'plan', lines)
    out_lines(lines)


def _costs(expense: Expense | None) -> list[str]:
    if expense is None:
        return []
    from mlops_cli.cli.screens.expense import sentences

    return sentences(expense)


def expected_cost(bench: Workbench, plan: Plan, host: str, jobs: int, executor: str = '') -> Expense | None:
    """None where nobody says what anything costs."""
    if not bench.config.prices:
        return None
    from mlops_cli.run.expense import expense

    return expense(bench, plan, host, jobs or bench.config.jobs or os.cpu_count() or 1, executor)
