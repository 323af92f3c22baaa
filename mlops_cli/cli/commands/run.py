"""``mlops run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import out, out_lines, print_json, width
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.outlook import look
from mlops_cli.run.request import ANY, Request, Routes, by_host, chosen, wishes_of

if TYPE_CHECKING:
    from mlops_cli.cli.live.detaching import Begun

EXITS = exits.line(
    ExitCode.UNREACHABLE,
    ExitCode.REFUSED,
    ExitCode.LOCK_TIMEOUT,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    failed='a stage failed',
)


Pull = Annotated[
    bool, options.Option('--pull', help='First bring from the remote what the present state needs and is not here.')
]


Detached = Annotated[
    bool, options.Option('--detach', help='Begin it, then let it go on without this terminal (mlops runs attach shows it).')
]


OverBudget = Annotated[bool, options.Option('--over-budget', help='Run also beyond the budgets of the settings.')]


Host = Annotated[
    str,
    options.Option(
        '--host', metavar='HOST', envvar='MLOPS_HOST', help='Where all stages run; local: here; any: the cheapest that fits.'
    ),
]


class Isolate(StrEnum):
    NONE = 'none'
    FOLDER = 'folder'
    SANDBOX = 'sandbox'
    SANDBOX_WITH_NETWORK = 'sandbox-with-network'


def command(
    stages: options.Stages = None,
    jobs: options.Jobs = 0,
    assignments: options.Set = None,
    force: Annotated[
        bool, options.Option('--force', '-f', help='Run the named stages (all if none) whatever is known.')
    ] = False,
    no_cache: Annotated[bool, options.Option('--no-cache', help='Look no result up; results are still stored.')] = False,
    keep_going: Annotated[
        bool, options.Option('--keep-going', '-k', help='After a failure, go on with what does not need it.')
    ] = False,
    downstream: Annotated[bool, options.Option('--downstream', help='Also what depends on the named stages.')] = False,
    only: Annotated[bool, options.Option('--only', help='Just the named stages, not what they need.')] = False,
    isolate: Annotated[
        Isolate | None, options.Option(help='Run stages in the workspace, each in a folder of its own, or in a sandbox.')
    ] = None,
    executor: Annotated[
        str,
        options.Option(
            '--executor', metavar='EXECUTOR', envvar='MLOPS_EXECUTOR', help='What starts the stages; default: local.'
        ),
    ] = '',
    host: Host = '',
    pull: Pull = False,
    over_budget: OverBudget = False,
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='Show the plan, run nothing.')] = False,
    detached: Detached = False,
    events: Annotated[
        str, options.Option('--events', metavar='FILE', help='Write what happens to FILE, a JSON document a line.')
    ] = '',
    json: options.Json = False,
) -> int:
    """Bring stages up to date, in parallel, each from cache where possible.

    Example:  mlops run train -j 4        only what train needs, four at once
    """
    request = Request(
        tuple(stages or ()),
        jobs,
        force,
        not no_cache,
        keep_going,
        only,
        downstream,
        str(isolate or ''),
        context.current.lock_timeout,
        ('mlops', *sys.argv[1:]),
        executor,
        host,
        over_budget,
    )
    if pull:
        request = _pulled(request)
    if dry_run:
        return _dry_run(request, assignments or (), json=json)
    if detached:
        return _detach(request, assignments or (), events, json=json)
    from mlops_cli.cli.performing import perform_request

    return perform_request(request, assignments or (), events, json=json)


def _pulled(request: Request) -> Request:
    from mlops_cli.cli.pulling import pull_first

    pull_first()
    return replace(request, pulled=True)


def _dry_run(request: Request, assignments: Sequence[str], *, json: bool) -> int:
    from mlops_cli.cli.documents import plan_document, unpulled_document
    from mlops_cli.cli.showing import choices, expected_cost, refused, show_plan

    if request.executor:
        from mlops_cli.executors.all import find

        find(request.executor)  # an unknown one is told as the run tells it
    with workbench(assignments) as bench:
        request = replace(request, stages=output_words(bench, request.stages))
        plan = look(bench, chosen(bench, request), wishes_of(bench, request)).plan
        routes = Routes(bench, request.host)
        hosts = by_host(bench, plan, routes)
        if hosts:
            from mlops_cli.run.hosts import known

            for name in hosts.keys() - {ANY}:  # an unknown one, too
                known(bench, name)
        cost = expected_cost(bench, plan, routes, request.jobs, request.executor, allowed=request.over_budget)
        if json:
            found = plan_document(plan, 'run-plan', hosts, cost, choices(bench, plan, routes))
            print_json({**found, 'not_pulled': unpulled_document(bench, plan)})
        else:
            show_plan(plan, bench, routes, request.jobs, cost)
    return ExitCode.REFUSED if refused(cost) else ExitCode.DONE


def _detach(request: Request, assignments: Sequence[str], events: str, *, json: bool) -> int:
    from mlops_cli.cli.live.detaching import detach
    from mlops_cli.cli.screens.runs_live import detached_lines

    result = detach(request, assignments, events)
    if isinstance(result, int):
        return result
    if json:
        print_json(detached_document(result))
    elif context.current.quiet:
        out(result.started.run.partition('-')[2])
    else:
        out_lines(detached_lines(result.started, result.pid, width()))
    return ExitCode.DONE


def detached_document(one: Begun) -> dict[str, Any]:
    """As ``run --json``, of a run that goes on."""
    return {
        'schema': 'mlops/run/v1',
        'run': one.started.run,
        'ended': 'detached',
        'stages': [],
        'seconds': 0.0,
        'saved_seconds': 0.0,
        'cost': {},
        'refused': None,
        'record': '',
        'pid': one.pid,
    }
