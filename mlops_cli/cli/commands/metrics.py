"""``mlops metrics``: the numbers that stages wrote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.comparing import two_points
from mlops_cli.cli.console import Line, out, out_lines, print_json, width
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.screens.metrics import diff_lines, show_lines
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.cli.words import both_groups
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural
from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values, Wanted, compare, everything, values
from mlops_cli.experiments.points import find_point
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.select import matching

app = Folder('The numbers that stages wrote: show, diff.')

NOTHING = 'No metrics: no stage of pipeline.yaml lists a file under metrics'

Words = Annotated[
    list[str] | None,
    options.Argument(metavar='[STAGE|METRICS]...', help='Stages, instances, globs, or metrics files. Default: all.'),
]
Primary = Annotated[bool, options.Option('--primary', help='Only the primary metrics.')]


@app.command('show', epilog=exits.line())
def show(
    names: Words = None,
    at: options.At = 'workspace',
    primary: Primary = False,
    json: options.Json = False,
) -> int:
    """Every number in the metrics files, with what the pipeline declares about it.

    Example:  mlops metrics show --at main --json | jq '.rows[] | select(.primary)'
    """
    with workbench() as bench:
        point = find_point(bench, at)
        wanted = _wanted(output_words(bench, names or ()), [point.pipeline])
        found = values(bench, point, wanted)
    if primary:
        found = replace(found, rows=tuple(row for row in found.rows if row.primary))
    if json:
        print_json(_show_document(found, point.label))
    elif found.rows or found.missing:
        groups = point.pipeline.groups
        out_lines(show_lines(found, point.label, groups, width(sys.stdout), everything=context.current.verbose))
    else:
        out(NOTHING)
    return 0


@app.command('diff', epilog=exits.line(failed='with --exit-code, a metric is worse'))
def diff(
    before: options.A = '',
    after: options.B = '',
    stages: Annotated[
        list[str] | None,
        options.Option('--only', metavar='STAGE|METRICS', help='Only these stages or metrics files. May be repeated.'),
    ] = None,
    primary: Primary = False,
    changed: Annotated[bool, options.Option('--changed', help='Only what differs by more than its tolerance.')] = False,
    exit_code: Annotated[
        bool,
        options.Option(
            '--exit-code',
            help='Exit 1, as a gate would, if a metric with a goal is worse beyond its tolerance, or has lost its number.',
        ),
    ] = False,
    json: options.Json = False,
) -> int:
    """The numbers at two points, and whether they are better or worse by the goals that the pipeline declares.

    Example:  mlops metrics diff main --exit-code        the workspace against main
    """
    with workbench() as bench:
        one, two = two_points(bench, before, after)
        wanted = _wanted(output_words(bench, stages or ()), [one.pipeline, two.pipeline])
        found = compare(bench, one, two, wanted)
    declared = bool(found.rows or found.missing)
    shown = replace(found, rows=tuple(row for row in found.rows if _is_shown(row, primary=primary, changed=changed)))
    if json:
        print_json(_diff_document(shown, one.label, two.label))
    elif not declared:
        out(NOTHING)
    else:
        groups = both_groups(one.pipeline.groups, two.pipeline.groups)
        lines = diff_lines(
            shown,
            (one.label, two.label),
            groups,
            width(sys.stdout),
            everything=context.current.verbose,
            changed_only=changed,
        )
        out_lines(lines)
    failing = [row for row in found.failing if row.primary or not primary]
    if exit_code and failing and not json:
        out(Line(f'FAILED: {_failed(failing)} {one.label}', 'FAILED'))
    return ExitCode.FAILED if exit_code and failing else ExitCode.DONE


def _failed(failing: Sequence[Change]) -> str:
    """``2 metrics are worse, 1 metric with a goal has no number, compared with``."""
    lost = sum(row.lost for row in failing)
    worse = len(failing) - lost
    told = [f'{plural(worse, "metric")} {"is" if worse == 1 else "are"} worse'] if worse else []
    told += [f'{plural(lost, "metric")} with a goal {"has" if lost == 1 else "have"} no number'] if lost else []
    return ', '.join(told) + ', compared with'


def _is_shown(row: Change, *, primary: bool, changed: bool) -> bool:
    return (row.primary or not primary) and (row.verdict not in ('same', 'within') or not changed)


def _wanted(words: Sequence[str], pipelines: Sequence[Pipeline]) -> Wanted:
    """Which stages and files the words mean in any of the pipelines.  Raises UserError for one that means nothing."""
    if not words:
        return everything
    files = {one.path for pipeline in pipelines for stage in pipeline.stages.values() for one in stage.outputs}
    stages, paths = set[str](), set[str]()
    for word in words:
        path = word.removeprefix('./').rstrip('/')
        if path in files:
            paths.add(path)
            continue
        problem: UserError | None = None
        found = set[str]()
        for pipeline in pipelines:
            try:
                found.update(matching(pipeline, word))
            except UserError as error:
                problem = error
        if not found and problem is not None:
            raise problem
        stages |= found
    return lambda stage, file: stage in stages or file in paths


def _show_document(found: Values, label: str) -> dict[str, Any]:
    return {
        'schema': 'mlops/metrics-show/v1',
        'point': label,
        'rows': [_value_row(row) for row in found.rows],
        'missing': [_missing_row(one) for one in found.missing],
        'stale': list(found.stale),
    }


def _value_row(row: Value) -> dict[str, Any]:
    return {
        'stage': row.stage,
        'file': row.file,
        'name': row.name,
        'value': row.value,
        'primary': row.primary,
        'goal': row.goal,
        'tolerance': row.tolerance,
        'note': row.note,
    }


def _diff_document(found: Comparison, before: str, after: str) -> dict[str, Any]:
    return {
        'schema': 'mlops/metrics-diff/v1',
        'before': before,
        'after': after,
        'rows': [
            {
                'stage': row.stage,
                'file': row.file,
                'name': row.name,
                'before': row.before,
                'after': row.after,
                'change': row.change,
                'verdict': row.verdict,
                'failing': row.failing,
                'primary': row.primary,
                'goal': row.goal,
                'tolerance': row.tolerance,
                'before_note': row.before_note,
                'after_note': row.after_note,
            }
            for row in found.rows
        ],
        'missing': [_missing_row(one) for one in found.missing],
        'stale': list(found.stale),
    }


def _missing_row(one: Missing) -> dict[str, Any]:
    return {'stage': one.stage, 'file': one.file, 'point': one.point, 'reason': one.reason}
