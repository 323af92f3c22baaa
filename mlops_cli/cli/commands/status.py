"""``mlops status``."""

from __future__ import annotations

from mlops_cli.cli import options
from mlops_cli.cli.console import print_json
from mlops_cli.cli.documents import plan_document
from mlops_cli.cli.plan_screen import show_status
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode
from mlops_cli.plan.model import Plan
from mlops_cli.run.invoke import Request, chosen, wishes_of
from mlops_cli.run.outlook import look


def command(
    stages: options.Stages = None,
    exit_code: options.ExitCodeFlag = False,
    strict: options.Strict = False,
    json: options.Json = False,
) -> int:
    """What is out of date and why.  Runs nothing, asks no network.

    Example:  mlops status --exit-code && echo all is fresh
    """
    with workbench() as bench:
        request = Request(tuple(stages or ()))
        plan = look(bench, chosen(bench, request), wishes_of(bench, request)).plan
        print_json(plan_document(plan, 'status')) if json else show_status(plan, bench)
    return verdict_code(plan, exit_code, strict)


def verdict_code(plan: Plan, asked: bool, strict: bool) -> int:
    stale = plan.out_of_date or (strict and any(step.verdict == 'restore' for step in plan.steps))
    return ExitCode.OUT_OF_DATE if asked and stale else ExitCode.DONE
