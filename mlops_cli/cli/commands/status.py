"""``mlops status``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.beside import Beside
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.going_on import died_documents
from mlops_cli.cli.problems import tell_problems
from mlops_cli.cli.quick.learn import keep
from mlops_cli.cli.screens.status import status_lines, with_open_moment
from mlops_cli.cli.standing import Standing, data_states, in_git, last_run, unsaved_outputs, working
from mlops_cli.cli.unchanged import cosmetic, unknown_code
from mlops_cli.cli.uncommitted import Uncommitted, recorded, uncommitted
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.collector import without_collector
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.killed import killed
from mlops_cli.run.outlook import look
from mlops_cli.run.request import Request, chosen, wishes_of

if TYPE_CHECKING:
    from mlops_cli.plan.model import Plan
    from mlops_cli.run.unpulled import Unpulled
    from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.OUT_OF_DATE)


def command(
    stages: options.Stages = None,
    exit_code: options.ExitCodeFlag = False,
    strict: options.Strict = False,
    json: options.Json = False,
) -> int:
    """What is out of date and why.  Runs nothing, asks no network.

    Example:  mlops status --exit-code && echo all is fresh
    """
    with without_collector(), workbench(learns=True) as bench:
        request = Request(output_words(bench, stages or ()))
        if json:
            from mlops_cli.cli.documents import plan_document, uncommitted_document, unpulled_document, working_document

            with Beside(lambda: recorded(bench)) as asked:
                plan = planned(bench, request)
                missing = uncommitted(bench, asked.result())
            print_json(
                {
                    **plan_document(plan, 'status'),
                    'running': [working_document(one) for one in working(bench)],
                    'died': died_documents(killed(bench.root)),
                    'data': [one.document() for one in data_states(bench, time.time())],
                    'not_committed': uncommitted_document(missing),
                    'not_pulled': unpulled_document(bench, plan),
                    'not_pushed': _unsent_document(_unsent(bench)),
                }
            )
        elif context.current.quiet:
            plan = planned(bench, request)
        else:
            plan = _show(bench, request)
    return exits.of_plan(plan, exit_code, strict)


def _unsent(bench: Workbench) -> tuple[str, int, tuple[str, ...], tuple[str, ...]] | None:
    if not bench.config.remotes:
        return None
    from mlops_cli.cli.unsent import unsent_here

    return unsent_here(bench)


def may_be_pulled(bench: Workbench, plan: Plan) -> Unpulled | None:
    if not bench.config.remotes:
        return None
    from mlops_cli.run.unpulled import unpulled

    return unpulled(bench, plan)


def _no_git(bench: Workbench) -> str:
    from mlops_cli.records.repository import access

    return access(bench.root.path).sentence


def planned(bench: Workbench, request: Request) -> Plan:
    return look(bench, chosen(bench, request), wishes_of(bench, request)).plan


def _unsent_document(found: tuple[str, int, tuple[str, ...], tuple[str, ...]] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    remote, results, data, stays = found
    return {'remote': remote, 'results': results, 'data': [*data], 'left_out': [*stays]}


def _show(bench: Workbench, request: Request) -> Plan:
    with Beside(lambda: in_git(bench)) as asked:  # git is another process: it works while we do
        plan = planned(bench, request)
        (last, problems), running = last_run(bench), working(bench)
        now = time.time()
        states, edited = data_states(bench, now), cosmetic(bench, plan)
        head, changed = asked.result()
        missing = uncommitted(bench, changed) if head else Uncommitted()
    standing = Standing(
        now,
        head.branch if head else None,
        head.commit if head else '',
        last,
        running,
        missing,
        {one.record.path: one.text for one in states if one.text},
        {one.record.path: one.old for one in states if one.old},
        tuple(edited),
        unknown_code(bench),
        _no_git(bench) if head is None else '',
        killed(bench.root),
        unsaved=unsaved_outputs(bench, plan),
        unread=len(problems),
        unsent=_unsent(bench),
        unpulled=may_be_pulled(bench, plan),
        folder=context.elsewhere(bench.root.path),
    )
    tell_problems(problems)
    columns, everything = width(sys.stdout), context.current.verbose
    lines = status_lines(plan, standing, bench.pipeline.groups, columns, everything=everything)
    if not running and (opened := with_open_moment(lines, standing, columns)) is not None:
        keep(bench, plan, 'status', opened)
    out_lines(lines)
    return plan
