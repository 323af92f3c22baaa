"""``mlops runs show``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.pictures import Html, Svg, asked, write_charts, write_page
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError

if TYPE_CHECKING:
    from mlops_cli.experiments.told import StageTold, Told
    from mlops_cli.records.runs import Run
    from mlops_cli.run.workbench import Workbench

EXITS = exits.line()
RunId = Annotated[
    str,
    options.Argument(metavar='[RUN]', help="A run's id, or an unambiguous beginning of it; last~1: the one before the last."),
]


Usage = Annotated[
    bool,
    options.Option('--usage', help='What its stages consumed over their time: processors, memory, storage, GPUs.'),
]


def command(
    run: RunId = 'last', usage: Usage = False, html: Html = '', svg: Svg = '', json: options.Json = False
) -> int:
    """One run: what was asked, on which code, what its stages took and made, where that is now, and what next.

    Example:  mlops runs show 7k2m
    """
    from mlops_cli.cli.screens.runs_show import show_lines
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.experiments.run_names import find_run
    from mlops_cli.experiments.told import tell

    drawn = asked(html, svg, json=json)
    if drawn and not usage:
        raise UserError(f'--{"html" if html else "svg"} draws what --usage tells', hint='mlops runs show --usage --html FILE')
    with workbench(tolerant=True) as bench:
        found = find_run(bench, run)
        if drawn:
            return _draw_usage(bench, found, html, svg)
        if usage:
            return _show_usage(bench, found, json)
        told = tell(bench, found)
    if json:
        print_json(document(told))
    else:
        out_lines(show_lines(told, width(sys.stdout)))
    return 0


def _draw_usage(bench: Workbench, run: Run, html: str, svg: str) -> int:
    from mlops_cli.experiments.consumed import consumed
    from mlops_cli.report.usage_page import charts, usage_page

    stages = consumed(bench, run)
    if svg:
        found = ((f'{one.run.name}-{chart.name}', chart.text) for one in stages for chart in charts(one, titled=True))
        write_charts(bench.root, svg, found)
    if html:
        write_page(bench.root, html, usage_page(run.short, run.started, stages))
    return 0


def _show_usage(bench: Workbench, run: Run, json: bool) -> int:
    from mlops_cli.cli.screens.runs_usage import BARS, PLAIN_BARS, usage_lines
    from mlops_cli.experiments.consumed import consumed
    from mlops_cli.usage.series import side_by_side

    stages = consumed(bench, run)
    if json:
        columns, series = side_by_side([one.rows for one in stages])
        rows = [{'name': one.run.name, 'state': one.run.state, 'seconds': one.run.seconds, 'usage': dict(one.run.usage),
                 'series': figures} for one, figures in zip(stages, series, strict=True)]
        print_json({'schema': 'mlops/runs-usage/v1', 'run': run.short, 'id': run.id, 'columns': columns, 'stages': rows})
    else:
        try:
            BARS.encode(sys.stdout.encoding or 'ascii')
            signs = BARS
        except (UnicodeEncodeError, LookupError):
            signs = PLAIN_BARS
        out_lines(usage_lines(run, stages, width(sys.stdout), signs))
    return 0


def document(told: Told) -> dict[str, Any]:
    """``mlops/runs-show/v1``."""
    from mlops_cli.cli.screens.costs import cost_document, total_document

    run, costs = told.run, told.costs or (None,) * len(told.stages)
    states = [one.state for one in run.stages]
    return {
        'schema': 'mlops/runs-show/v1',
        'run': run.short,
        'id': run.id,
        'record': layout.run_record(run.id),
        'started': run.started,
        'ended': run.ended,
        'seconds': run.seconds,
        'who': run.who,
        'host': run.host,
        'branch': run.branch,
        'commit': run.commit,
        'edited': None if told.edited is None else list(told.edited),
        'trial': bool(run.overlay),
        'kept': [{'reason': one.reason, 'who': one.who, 'when': one.when} for one in told.kept],
        'fresh': run.fresh,
        **{state: states.count(state) for state in ('done', 'restored', 'failed', 'skipped', 'interrupted')},
        'saved_seconds': run.saved_seconds,
        'cpu_seconds': round(sum(one.usage.get('cpu_seconds', 0) for one in run.stages), 3),
        'cost': total_document(one for one in costs if one is not None),
        'command': list(run.command),
        'set': [list(item) for item in run.overlay],
        'environment': dict(run.environment),
        'stages': [_stage(one) | {'cost': cost_document(cost)} for one, cost in zip(told.stages, costs, strict=True)],
        'fresh_stages': [name for name, _, _ in run.fresh_stages],
        'metrics': {f'{one.run.name}:{file}:{name}': value for one in told.stages for file, name, value in one.point.metrics},
        'metrics_left_out': run.left_out,
    }


def _stage(one: StageTold) -> dict[str, Any]:
    from mlops_cli.cli.documents import blessing_document

    return {
        'name': one.run.name,
        'state': one.run.state,
        'seconds': one.run.seconds,
        'exit_code': one.run.exit_code,
        'key': str(one.run.key) if one.run.key else None,
        'stored': one.stored,
        'log': one.log,
        'bytes': sum(ref.size for ref in one.point.outputs.values()) if one.point.outputs else None,
        'outputs': [
            {'path': path, 'kind': ref.kind, 'digest': str(ref.digest), 'size': ref.size}
            for path, ref in sorted(one.point.outputs.items())
        ],
        'metrics': {f'{file}:{name}': value for file, name, value in one.point.metrics},
        'reasons': [
            {'kind': why.kind, 'subject': why.subject, 'before': why.before, 'after': why.after, 'detail': why.detail}
            for why in one.reasons
        ],
        'since': one.since,
        'accepted': blessing_document(one.accepted) if one.accepted else None,
        'suspect': one.suspect,
        'usage': dict(one.run.usage),
    }
