"""``mlops plan``."""

from __future__ import annotations

from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import print_json
from mlops_cli.cli.documents import plan_document, unpulled_document
from mlops_cli.cli.showing import choices, expected_cost, refused, show_plan
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.collector import without_collector
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.outlook import look
from mlops_cli.run.request import Request, Routes, by_host, chosen, wishes_of

EXITS = exits.line(ExitCode.OUT_OF_DATE, ExitCode.REFUSED)


def command(
    stages: options.Stages = None,
    assignments: options.Set = None,
    force: Annotated[bool, options.Option('--force', '-f', help='As run --force would.')] = False,
    downstream: Annotated[bool, options.Option('--downstream', help='Also what depends on the named stages.')] = False,
    only: Annotated[bool, options.Option('--only', help='Just the named stages.')] = False,
    jobs: options.Jobs = 0,
    exit_code: options.ExitCodeFlag = False,
    strict: options.Strict = False,
    json: options.Json = False,
) -> int:
    """What run would do, in order, why, where, and how long it would take.  Runs nothing.

    Example:  mlops plan --set train.depth=12
    """
    with without_collector(), workbench(assignments or (), learns=True) as bench:
        request = Request(output_words(bench, stages or ()), force=force, downstream=downstream, only=only)
        plan = look(bench, chosen(bench, request), wishes_of(bench, request)).plan
        routes = Routes(bench)
        cost = expected_cost(bench, plan, routes, jobs)
        if json:
            found = plan_document(plan, 'plan', by_host(bench, plan, routes), cost, choices(bench, plan, routes))
            print_json({**found, 'not_pulled': unpulled_document(bench, plan)})
        else:
            show_plan(plan, bench, routes, jobs, cost)
    return ExitCode.REFUSED if refused(cost) else exits.of_plan(plan, exit_code, strict)
