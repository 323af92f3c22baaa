"""``mlops check drift``: a table against a baseline, and a baseline from a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.checks import baseline as form
from mlops_cli.checks import drift, drifting, tables
from mlops_cli.checks.distribution import Table
from mlops_cli.checks.significance import CORRECTIONS
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, width
from mlops_cli.cli.data_checks import commit_lines, commits_of, opened, read_small, refuse_outputs, write_new, write_reports
from mlops_cli.cli.progress import Reading
from mlops_cli.cli.tables import Column, table
from mlops_cli.cli.words import some, value
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.units import plural

if TYPE_CHECKING:
    from mlops_cli.report.data_report import Picture

SCHEMA = 'mlops/check-drift/v1'
HEAD = ('column', 'verdict', 'PSI', 'KS', 'KS p', 'chi-square', 'chi-square p', 'corrected p', 'no value before', 'now')
SHOWN = 15  # columns on the screen, of those that have not drifted


@dataclass(frozen=True, slots=True)
class HeldTo:
    """``own``: limits of columns that have others.  ``only``, ``ignored``: columns that were named to be compared, or not;
    ``left_out``: those that the contract leaves out."""

    contract: str
    limits: drift.Limits
    own: Mapping[str, drift.Limits]
    only: Sequence[str]
    ignored: Sequence[str]
    left_out: frozenset[str]

    def of(self, table: Table, file: str) -> Table:
        """Of a baseline the columns that are to be compared.  Raises UserError for limits of a column that it does not have,
        and for those that say nothing about it."""
        for name, one in self.own.items():
            if name not in table.columns and name not in self.ignored and (not self.only or name in self.only):
                raise UserError(
                    f'{self.contract} has limits of drift for a column {name!r}, which {file} does not have',
                    hint=did_you_mean(name, table.columns, what='there are'),
                )
            kind = table.columns[name].kind if name in table.columns else 'number'
            if kind != 'number' and one.ks not in (None, self.limits.ks) and self._is_compared(name):
                raise UserError(
                    f'{self.contract} has max_ks for {name!r}, whose values in {file} are no numbers',
                    hint='the distance of distributions is one of numbers: max_psi is of all columns',
                )
        kept = {name: one for name, one in table.columns.items() if self._is_compared(name)}
        return replace(table, columns=kept)

    def _is_compared(self, name: str) -> bool:
        return name in self.only if self.only else name not in self.ignored and name not in self.left_out


def limits(psi: float | None, ks: float | None, alpha: float | None, correction: str) -> Mapping[str, Any]:
    """Those that were typed.  Raises UserError."""
    for option, one in (('--max-psi', psi), ('--max-ks', ks)):
        if one is not None and not 0 <= one < math.inf:
            raise UserError(f'{option} {one} is no limit', hint=f'such as {option} 0.1')
    if alpha is not None and not 0 < alpha <= 1:
        raise UserError(f'--alpha {alpha} is no probability', hint='such as --alpha 0.01')
    if correction and correction not in CORRECTIONS:
        raise UserError(f'--correction {correction} is none of {", ".join(CORRECTIONS)}', hint='such as --correction holm')
    found = {'max_psi': psi, 'max_ks': ks, 'alpha': alpha, 'correction': correction or None}
    return {name: one for name, one in found.items() if one is not None}


def held_to(file: str | None, typed: Mapping[str, Any], columns: tuple[Sequence[str], Sequence[str]]) -> HeldTo:
    """Limits of a contract, if one is named, and those that were typed in the place of its general ones.  Raises UserError."""
    usual = drift.Limits()
    if file is None:
        return HeldTo('', usual.under(typed), {}, *columns, frozenset())
    if not file:  # of a variable that is not set: what it would have held would pass
        raise UserError('--contract names no file', hint='name one, or leave the option out')
    from mlops_cli.checks import contract as contracts

    contract = contracts.read(read_small(file, 'a contract'), file)
    general = usual.under({**contract.drift, **typed})
    own = {name: general.under(one.drift) for name, one in contract.columns.items() if one.drift is not None}
    left_out = frozenset(name for name, one in contract.columns.items() if not one.compared)
    return HeldTo(file, general, own, *columns, left_out)


def check(path: str, file: str, target: str, to: HeldTo, outputs: Sequence[str], as_json: bool) -> int:
    """Raises UserError."""
    refuse_outputs(outputs)
    before = _before(file, to)
    if target and target not in before.columns:
        raise UserError(f'{file} has no column {target!r}', hint=did_you_mean(target, before.columns, what='there are'))
    with Reading(path) as screen:
        now, names = drifting.measured(path, before.columns, opened, screen.step)
    exact = {}
    if tables.is_table(file):
        there = {name: one for name, one in before.columns.items() if name in now.columns}
        numbers = [name for name, one in there.items() if one.kind == 'number' and not one.exact]
        exact = drifting.exact_distances(file, path, numbers, opened)
    found = drift.compare(before, now, to.limits, target, exact, to.own)
    known = {*before.columns, *to.only, *to.ignored, *to.left_out}
    found.new = [name for name in names if name not in known] if not to.only else []
    commits = commits_of(path, file, to.contract)
    document = {**_document(path, file, target, to, found), 'commits': commits}
    verdict = _verdict(path, file, target, found)
    if as_json:
        print_json(document)
    else:
        _tell(verdict, found, to)
        out_lines(Line(text) for text in commit_lines(commits))
    head = (*HEAD, 'limits') if to.own else HEAD
    rows = [[*_row(one), *([_limits(one)] if to.own else [])] for one in _sorted(found)]
    write_reports(outputs, document, f'Drift of {path} from {file}', verdict, (head, rows), lambda: _pictures(found))
    return ExitCode.DONE if found.passed else ExitCode.FAILED


def _before(file: str, to: HeldTo) -> Table:
    if tables.is_table(file):
        with Reading(file) as screen:
            return to.of(drifting.baseline(file, opened, screen.step, to.only, to.ignored), file)
    found = form.read(read_small(file, 'a baseline; --init writes one'), file)
    for name in to.only:
        if name not in found.columns:
            raise UserError(f'{file} has no column {name!r}', hint=did_you_mean(name, found.columns, what='there are'))
    return to.of(found, file)


def init(path: str, file: str, to: HeldTo, outputs: Sequence[str], as_json: bool) -> int:
    """Raises UserError."""
    if outputs:
        raise UserError('--output is of a check', hint='check first: without --init')
    if tables.is_table(file):
        raise UserError(f'--baseline {file} would be a table', hint='name a file for it, such as baseline.json')
    with Reading(path) as screen:
        found = to.of(drifting.baseline(path, opened, screen.step, to.only, to.ignored), path)
    write_new(file, form.document(found))
    texts = [name for name, one in found.columns.items() if one.kind == 'text']
    if as_json:
        nothing = drift.Drift(found.rows, found.rows)
        print_json({**_document(path, file, '', to, nothing), 'passed': True, 'commits': commits_of(path, to.contract)})
    else:
        out(f'Wrote {one_line(file)}: {plural(len(found.columns), "column")}, {plural(found.rows, "row")}.')
        if texts:
            out(f'  only whether there is a value: {_named(texts)}')
    return ExitCode.DONE


def _verdict(path: str, file: str, target: str, found: drift.Drift) -> str:
    """Names of files and columns come from data: :func:`out` and the reports make them harmless."""
    compared = f'{one_line(path)} and {one_line(file)}: {plural(found.rows, "row")}, {found.rows_before:,} before.'
    covariates = [one for one in found.columns if one.role == 'covariate']
    moved = [one for one in covariates if one.drifted]
    if not found.passed and not found.drifted:
        return f'FAILED    nothing could be compared. {compared}'
    if not found.drifted:
        return f'No drift in {plural(len(found.columns), "column")}. {compared}'
    said = f'{len(moved):,} of {plural(len(covariates), "column")} drifted'
    if target:
        label = any(one.drifted for one in found.columns if one.role == 'label')
        kinds = [kind for kind, there in (('covariate shift', moved), ('label shift', label)) if there]
        said = f'{" and ".join(kinds)}: {said}{f", and the target {one_line(target)}" if label else ""}'
    return f'FAILED    {said}. {compared}'


def _sorted(found: drift.Drift) -> list[drift.Compared]:
    return sorted(found.columns, key=lambda one: (not one.drifted, -(one.psi or 0.0)))


def _said(one: drift.Compared) -> str:
    if one.problem:
        return f'FAILED: {one.problem}' if one.drifted else one.problem
    return ('FAILED' if one.drifted else 'ok') + (' (target)' if one.role == 'label' else '')


def _row(one: drift.Compared) -> list[str]:
    ks = _shown(one.ks)
    return [
        one.name, _said(one), _shown(one.psi), ks if one.ks_exact is not False else f'≥ {ks}', _p(one.ks_p),
        _shown(one.chi_square), _p(one.chi_square_p), _p(one.corrected_p), _share(one.missing_before), _share(one.missing_now),
    ]  # fmt: skip


def _shown(value: float | None) -> str:
    return '–' if value is None else f'{value:.4f}' if abs(value) < 100 else f'{value:,.0f}'


def _p(value: float | None) -> str:
    return '–' if value is None else f'{value:.2g}'


def _share(value: float | None) -> str:
    return '–' if value is None else f'{value:.2%}'


def _named(names: Sequence[str]) -> str:
    return ', '.join(some([value(name, 40) for name in names], 12))


def _limits(one: drift.Compared) -> str:
    """What a column was held to, in the words of a contract."""
    ks = '' if one.limits.ks is None else f', ks {one.limits.ks:g}'
    return f'psi {one.limits.psi:g}{ks}, alpha {one.limits.alpha:g}'


def _tell(verdict: str, found: drift.Drift, to: HeldTo) -> None:
    out(Line(verdict, '' if found.passed else 'FAILED'))
    ordered = _sorted(found)
    shown = ordered[: len(found.drifted) + SHOWN]
    rows = [[one_line(cell) for cell in (*_row(one)[:4], *_row(one)[7:])] for one in shown]
    head = [Column(HEAD[0], least=8), Column(HEAD[1]), *(Column(name, right=True) for name in (*HEAD[2:4], *HEAD[7:]))]
    out_lines(table(head, rows, width()))
    for one in shown:
        if one.name in to.own:
            out(f'  {value(one.name)} is held to {_limits(one)}, as {one_line(to.contract)} says')
    if len(ordered) > len(shown):
        out(f'  and {plural(len(ordered) - len(shown), "more column")} without drift')
    if found.new:
        out(f'  not in the baseline: {_named(found.new)}')


def _document(path: str, file: str, target: str, to: HeldTo, found: drift.Drift) -> dict[str, Any]:
    moved = [one for one in found.drifted if one.role == 'covariate']
    limits = to.limits
    return {
        'schema': SCHEMA, 'passed': found.passed, 'path': path, 'baseline': file, 'rows': found.rows,
        'rows_before': found.rows_before, 'target': target or None, 'covariate_shift': bool(moved),
        'contract': to.contract or None, 'label_shift': any(one.role == 'label' for one in found.drifted) if target else None,
        'limits': {'psi': limits.psi, 'ks': limits.ks, 'alpha': limits.alpha, 'correction': limits.correction},
        'columns': drift.document(found), 'new_columns': found.new,
    }  # fmt: skip


def _pictures(found: drift.Drift) -> list[Picture]:
    from mlops_cli.report.data_report import Picture

    pictures = []
    for one in _sorted(found):
        before, now = sum(count for _, count, _ in one.bins), sum(count for *_, count in one.bins)
        if not before or not now:
            continue
        note = f'{_said(one)}, PSI {_shown(one.psi)}' + (f', KS {_shown(one.ks)}' if one.ks is not None else '')
        pictures.append(Picture(
            one.name, note, (), {name: count / now for name, _, count in one.bins},
            {name: count / before for name, count, _ in one.bins}, bad=one.drifted,
        ))  # fmt: skip
    return pictures
