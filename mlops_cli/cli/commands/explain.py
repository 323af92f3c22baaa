"""``mlops explain``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import out, out_lines, print_json, width
from mlops_cli.cli.documents import step_document
from mlops_cli.cli.explanation import Explanation, Row, explanation
from mlops_cli.cli.screens.explain import explain_lines
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.cli.words import reason
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.select import matching, select
from mlops_cli.run.outlook import look

EXITS = exits.line()


def command(
    stage: Annotated[str, options.Argument(metavar='STAGE', help='A stage, an instance, or the path of an output.')],
    assignments: options.Set = None,
    json: options.Json = False,
) -> int:
    """Every component of a stage's key, with the value before and after.

    Example:  mlops explain train@forest-1
    """
    with workbench(assignments or ()) as bench:
        names = matching(bench.pipeline, *output_words(bench, [stage]))
        plan = look(bench, select(bench.pipeline, bench.edges, bench.order, names), Wishes(trial=bool(bench.overlay))).plan
        found = [explanation(bench, plan.by_name[name]) for name in names]
        if json:
            print_json({'schema': 'mlops/explain/v1', 'stages': [_document(one) for one in found]})
            return 0
        for number, one in enumerate(found):
            if number:
                out()
            out_lines(explain_lines(one, bench.pipeline.groups, width(sys.stdout), everything=context.current.verbose))
    return 0


def _document(one: Explanation) -> dict[str, Any]:
    return {
        **step_document(one.step),
        'entries': [_row(row) for row in one.rows],
        'unknown_code': list(one.unknown),
        'undecided': list(one.undecided),
        'python': one.python,
        'compared_with': one.compared_with,
        'words': [reason(why) for why in one.step.reasons],
    }


def _row(row: Row) -> dict[str, Any]:
    return {'kind': row.kind, 'name': row.name, 'state': row.state, 'before': row.before, 'after': row.after}
