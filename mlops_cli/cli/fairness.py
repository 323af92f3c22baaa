"""``mlops check fairness``: the rates of groups, and the limits on how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.checks import fairness, reading
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, width
from mlops_cli.cli.data_checks import commits_of, opened, refuse_outputs, write_reports
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural

SCHEMA = 'mlops/check-fairness/v1'


def check(
    path: str,
    columns: tuple[str, str, tuple[str, ...]],
    positive: str,
    score: float | None,
    limits: Mapping[str, float | None],
    outputs: Sequence[str],
    as_json: bool,
) -> int:
    """Raises UserError."""
    refuse_outputs(outputs)
    reading.refuse_no_table(path)
    if not columns[2]:
        raise UserError('no column of groups', hint='name it: --group COLUMN')
    if any(one is not None and not math.isfinite(one) for one in (score, *limits.values())):
        raise UserError('a limit is not a number', hint='such as --max-odds 0.1')
    done = 0

    def step(rows: int) -> None:
        nonlocal done
        done = rows
        progress.step()

    with Progress(lambda: f'  reading {one_line(path)}: {plural(done, "row")}') as progress:
        found = fairness.of_table(path, columns, positive, score, opened, step)
    figures = [_figure(name, value, limits.get(name)) for name, value in found.figures.items()]
    passed = all(one['passed'] for one in figures)
    groups = [{'group': one.name, 'rows': one.rows, **one.rates} for one in found.groups]
    document: dict[str, Any] = {
        'schema': SCHEMA, 'passed': passed, 'path': path, 'left_out': found.left_out, 'groups': groups, 'figures': figures,
        'commits': commits_of(path),
    }  # fmt: skip
    head = ('group', 'rows', *(name.replace('_', ' ') for name in fairness.RATES))
    rows = [[one.name, f'{one.rows:,}', *(_shown(one.rates[name]) for name in fairness.RATES)] for one in found.groups]
    left = f' {plural(found.left_out, "row")} left out.' if found.left_out else ''
    said = f'{plural(len(groups), "group")}, {plural(sum(one.rows for one in found.groups), "row")} of {one_line(path)}.{left}'
    verdict = said if passed else f'FAILED    {said}'
    if as_json:
        print_json(document)
    else:
        out(Line(verdict, '' if passed else 'FAILED'))
        shown = [[one_line(cell) for cell in row] for row in rows]
        out_lines(table([Column(head[0], least=8), *(Column(name, right=True) for name in head[1:])], shown, width()))
        for one in figures:
            limit = (
                ''
                if one['limit'] is None
                else f', {"at least" if one["name"].endswith("ratio") else "at most"} {one["limit"]:g}'
            )
            text = f'  {one["name"].replace("_", " ")}: {_shown(one["value"])}{limit}'
            out(Line(text if one['passed'] else f'{text}   FAILED', '' if one['passed'] else 'FAILED'))
    told = [['', '', *('' for _ in fairness.RATES)], *([one['name'], _shown(one['value']), *([''] * 4)] for one in figures)]
    write_reports(outputs, document, f'Fairness of {path}', verdict, (head, [*rows, *told]), lambda: _pictures(found))
    return ExitCode.DONE if passed else ExitCode.FAILED


def _figure(name: str, value: float | None, limit: float | None) -> dict[str, Any]:
    """What cannot be worked out holds to no limit."""
    if limit is None:
        passed = True
    else:
        passed = value is not None and (value >= limit if name.endswith('ratio') else value <= limit)
    return {'name': name, 'value': value, 'limit': limit, 'passed': passed}


def _shown(value: float | None) -> str:
    return '–' if value is None else f'{value:.4f}'


def _pictures(found: fairness.Fairness) -> list[Any]:
    from mlops_cli.report.data_report import Picture

    return [
        Picture(
            name.replace('_', ' '), 'of each group', (), {one.name: rate for one in found.groups if (rate := one.rates[name])}
        )
        for name in fairness.RATES
    ]
