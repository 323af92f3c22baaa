"""``mlops runs diff``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.core.errors import ExitCode

if TYPE_CHECKING:
    from mlops_cli.experiments.compare import Difference, ValueChange
    from mlops_cli.experiments.trees import PathChange

EXITS = exits.line(failed='with --exit-code, something differs')


def command(
    before: options.RunA = '',
    after: options.RunB = '',
    code: Annotated[
        bool | None,
        options.Option('--code/--no-code', help='Every line of code that differs, or only which files. Default: some lines.'),
    ] = None,
    exit_code: Annotated[bool, options.Option('--exit-code', help='Exit 1 if anything differs.')] = False,
    json: options.Json = False,
) -> int:
    """Two states compared: parameters, code, data, environment, outputs, metrics, and what they took.

    Example:  mlops runs diff last~1 last
    """
    from mlops_cli.cli.comparing import two_points
    from mlops_cli.cli.screens.runs_diff import diff_lines
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.experiments.compare import compare

    with workbench() as bench:
        one, two = two_points(bench, before, after) if before else two_points(bench, 'last~1', 'last')
        found = compare(bench, one, two, code=code is not False or json)
    if json:
        print_json(document(found, code=code is not False))
    else:
        whole = bool(code) or context.current.verbose
        out_lines(diff_lines(found, width(sys.stdout), code=code is not False, whole=whole))
    return ExitCode.FAILED if exit_code and not found.empty else ExitCode.DONE


def document(found: Difference, *, code: bool) -> dict[str, Any]:
    """``mlops/runs-diff/v1``."""
    return {
        'schema': 'mlops/runs-diff/v1',
        'before': _point(found.before),
        'after': _point(found.after),
        'same': found.empty,
        'stages': [
            {
                'stage': one.stage,
                'status': one.status,
                'note': one.note,
                'before': _key(one.before),
                'after': _key(one.after),
            }
            for one in found.stages
        ],
        'params': [_value(change) for change in found.params],
        'commands': [_value(change) for change in found.commands],
        'code': [
            {
                'path': change.path,
                'status': change.status,
                'added': change.added,
                'removed': change.removed,
                'note': change.note,
                'diff': '\n'.join(change.lines) if code else None,
            }
            for change in found.code
        ],
        'data': [_path(change) for change in found.data],
        'environment': [_value(change) for change in found.environment],
        'outputs': [_path(change) for change in found.outputs],
        'metrics': [
            {
                'stage': row.stage,
                'file': row.file,
                'name': row.name,
                'before': row.before,
                'after': row.after,
                'change': row.change,
                'verdict': row.verdict,
                'goal': row.goal,
                'tolerance': row.tolerance,
                'primary': row.primary,
            }
            for row in found.metrics.rows
        ],
        'usage': [
            {'stage': change.stage, 'name': change.name, 'before': change.before, 'after': change.after}
            for change in found.usage
        ],
    }


def _point(point: Any) -> dict[str, Any]:
    return {
        'label': point.label,
        'kind': point.kind,
        'run': point.run.short if point.run else None,
        'commit': point.commit,
        'stages_not_recorded': point.absent,
    }


def _key(stage: Any) -> str | None:
    return str(stage.key) if stage is not None and stage.key is not None else None


def _value(change: ValueChange) -> dict[str, Any]:
    return {'name': change.name, 'before': change.before, 'after': change.after, 'stages': list(change.stages)}


def _path(change: PathChange) -> dict[str, Any]:
    inside = change.inside
    return {
        'path': change.path,
        'before': str(change.before) if change.before else None,
        'after': str(change.after) if change.after else None,
        'bytes_before': change.size_before,
        'bytes_after': change.size_after,
        'stages': list(change.stages),
        'files': None
        if inside is None
        else {
            'added': inside.added,
            'changed': inside.changed,
            'removed': inside.removed,
            'more': inside.more,
            'first': [
                {'path': path, 'status': status, 'bytes_before': one, 'bytes_after': two}
                for status, path, one, two in inside.files
            ],
        },
    }
