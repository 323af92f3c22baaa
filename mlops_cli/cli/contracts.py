"""``mlops check data``: a table against its contract, and a contract from a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.checks import checking, holding, reading
from mlops_cli.checks import contract as form
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json
from mlops_cli.cli.data_checks import (
    commit_lines,
    commits_of,
    examples,
    opened,
    read_small,
    refuse_outputs,
    write_new,
    write_reports,
)
from mlops_cli.cli.progress import Reading
from mlops_cli.cli.words import value
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural

if TYPE_CHECKING:
    from mlops_cli.report.data_report import Picture

SCHEMA = 'mlops/check-data/v1'


def check(path: str, file: str, outputs: Sequence[str], as_json: bool) -> int:
    """Raises UserError."""
    refuse_outputs(outputs)
    reading.refuse_no_table(path)
    contract = form.read(read_small(file, 'a contract; --init writes one'), file)
    with Reading(path) as screen:
        found = checking.check(contract, path, opened, time.time(), screen.step)
    document = _document(path, file, found)
    verdict = _verdict(path, file, found)
    rows = [[one.column, one.rule, _wanted(one), f'{one.broken:,}', examples(one.examples, one.broken)] for one in found.broken]
    head = ('column', 'rule', 'wanted', 'broken by', 'first examples')
    if as_json:
        print_json(document)
    else:
        out(Line(verdict, 'FAILED' if found.broken else ''))
        for one in found.broken:
            told = one_line(examples(one.examples, one.broken))
            counted = f' {plural(one.broken, "row")},' if one.examples and one.examples[0][0] is not None else ''
            out(f'  {value(one.column) or "table"}: {one.rule} {one_line(_wanted(one))}:{counted} {told}')
        out_lines(Line(text) for text in commit_lines(document['commits']))
    write_reports(outputs, document, f'{path} against {file}', verdict, (head, rows), lambda: _pictures(path, found))
    return ExitCode.FAILED if found.broken else ExitCode.DONE


def _verdict(path: str, file: str, found: holding.Held) -> str:
    rules, rows = plural(len(found.rules), 'rule'), plural(found.rows, 'row')
    if found.broken:
        return f'FAILED    {one_line(path)} breaks {len(found.broken):,} of {rules} of {one_line(file)}: {rows}.'
    return f'{one_line(path)} holds to {one_line(file)}: {rules}, {rows}.'


def _wanted(rule: holding.Rule) -> str:
    wanted = rule.wanted
    if isinstance(wanted, bool):
        return 'true' if wanted else 'false'
    if isinstance(wanted, list):
        shown = ', '.join(map(form.text_of, wanted[:8]))
        return f'[{shown}, …]' if len(wanted) > 8 else f'[{shown}]'
    return str(wanted)


def _document(path: str, file: str, found: holding.Held) -> dict[str, Any]:
    rules = [
        {
            'column': one.column, 'rule': one.rule, 'wanted': one.wanted, 'passed': not one.broken, 'broken': one.broken,
            'examples': [{'row': row, 'value': value} for row, value in one.examples],
        }
        for one in found.rules
    ]  # fmt: skip
    columns = [{'name': name, 'nulls': nulls} for name, nulls in found.nulls.items()]
    return {
        'schema': SCHEMA, 'passed': not found.broken, 'path': path, 'contract': file, 'rows': found.rows, 'columns': columns,
        'rules': rules, 'commits': commits_of(path, file),
    }  # fmt: skip


def _pictures(path: str, found: holding.Held) -> list[Picture]:
    from mlops_cli.checks import profile
    from mlops_cli.report.data_report import Picture

    with Reading(path) as screen:
        rows, profiles = profile.of(path, opened, screen.step)
    bad = {one.column for one in found.broken}
    pictures = []
    for name, one in profiles.items():
        note = f'{one.type}, {one.nulls:,} of {rows:,} rows without a value'
        few = one.counts if one.counts and (not one.sample or len(one.counts) <= 2) else None
        numbers = () if few else one.sample
        if len(one.sample) < one.numbers and numbers:
            note += f'; drawn from {len(one.sample):,} rows'
        pictures.append(Picture(name, note, numbers, few, bad=name in bad))
    return pictures


def init(path: str, file: str, outputs: Sequence[str], as_json: bool) -> int:
    """Raises UserError."""
    from mlops_cli.checks import profile

    if outputs:
        raise UserError('--output is of a check', hint='check first: without --init')
    reading.refuse_no_table(path)
    if not reading.is_typed(path):
        reading.refuse_twins(path, reading.columns(path, opened))
    with Reading(path) as screen:
        rows, profiles = profile.of(path, opened, screen.step)
    text = profile.as_contract(profiles, rows)
    form.read(text.encode(), file)
    write_new(file, text)
    if as_json:
        columns = [{'name': name, 'nulls': one.nulls} for name, one in profiles.items()]
        written = {'schema': SCHEMA, 'passed': True, 'path': path, 'contract': file, 'rows': rows, 'columns': columns}
        print_json({**written, 'rules': [], 'commits': commits_of(path)})
    else:
        out(
            f'Wrote {one_line(file)}: {plural(len(profiles), "column")}, {plural(rows, "row")}. '
            'Go through it: it says what is, not what must be.'
        )
    return ExitCode.DONE
