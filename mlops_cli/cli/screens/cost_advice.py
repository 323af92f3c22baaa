"""What stages declare beside what they used.  Values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.units import show_money
from mlops_cli.experiments.advice import Advice, in_words
from mlops_cli.experiments.machine_advice import Hint

NOTHING = 'Nothing to change'


def advice_lines(found: Sequence[Advice], columns: int, everything: bool) -> list[Line]:
    """``everything``: also that of which there is nothing to say, and why."""
    shown = [one for one in found if everything or one.wanted is not None or one.vanished]
    if not shown:
        reasons: dict[str, list[str]] = {}
        for one in found:
            reasons.setdefault(one.why, []).append(one.stage)
        told = '; '.join(f'{", ".join(dict.fromkeys(map(one_line, stages)))}: {why}' for why, stages in reasons.items())
        return [Line(line) for line in wrap(f'{NOTHING}{f" ({told})" if told else ""}.', columns)]
    head = (Column('STAGE', least=12), Column('WHAT'), Column('DECLARED', right=True), Column('USED', right=True),
            Column('RUNS', right=True), Column('BETTER', right=True), Column('WHY', least=20))  # fmt: skip
    rows = [(one_line(one.stage), one.what, amount(one.what, one.declared), amount(one.what, one.used), f'{one.runs:,}',
             amount(one.what, one.wanted), one_line(_told(one.why, one.vanished))) for one in shown]  # fmt: skip
    lines = [Line(text) for text in table(head, rows, columns)]
    if hidden := len(found) - len(shown):
        lines += [Line(''), Line(f'Nothing to change, or to say, of {hidden:,} more: mlops cost advise -v')]
    return lines


def amount(what: str, figure: float | None) -> str:
    return '' if figure is None else in_words(what, figure)


def hint_lines(found: Sequence[Hint], columns: int, everything: bool) -> list[Line]:
    """Machines, spot, GPUs and commitments.  ``everything``: also that of which there is nothing to say, and why."""
    shown = [one for one in found if everything or one.wanted or one.vanished]
    if not shown:
        return []
    head = (Column('OF', least=12), Column('WHAT'), Column('NOW', least=8), Column('BETTER', least=8),
            Column('RUNS', right=True), Column('COST', right=True), Column('INSTEAD', right=True))  # fmt: skip
    rows = [(one_line(one.of), one.what, one_line(one.now), one_line(one.wanted), f'{one.runs:,}',
             _money(one.cost, one.currency), _money(one.instead, one.currency)) for one in shown]  # fmt: skip
    first, *texts = table(head, rows, columns)
    lines = [Line(''), Line(first)]
    for text, one in zip(texts, shown, strict=True):
        lines += [Line(text), *(Line(f'    {part}') for part in wrap(one_line(_told(one.why, one.vanished)), columns - 4))]
    return lines


def _told(why: str, vanished: str) -> str:
    return f'{why}; {vanished}' if vanished else why


def _money(amount: float | None, currency: str) -> str:
    return '' if amount is None else show_money(amount, currency) if amount >= 0.01 or not amount else f'<0.01 {currency}'


def hint_rows(found: Sequence[Hint]) -> list[dict[str, Any]]:
    """``saving``: of a run in the middle, or of the time that a commitment is judged by."""
    return [
        {'what': one.what, 'of': one.of, 'now': one.now, 'wanted': one.wanted or None, 'runs': one.runs,
         'cost': _rounded(one.cost), 'instead': _rounded(one.instead), 'currency': one.currency or None,
         'saving': _saving(one),
         'used': {name: round(figure, 3) for name, figure in one.used.items()},
         'share': {name: round(figure, 4) for name, figure in one.share.items()},
         'why': one.why, 'vanished': one.vanished or None}
        for one in found
    ]  # fmt: skip


def _saving(one: Hint) -> float | None:
    return round(one.cost - one.instead, 6) if one.wanted and one.cost is not None and one.instead is not None else None


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)


def advice_rows(found: Sequence[Advice]) -> list[dict[str, Any]]:
    return [
        {'stage': one.stage, 'what': one.what, 'declared': one.declared, 'used': one.used, 'runs': one.runs,
         'wanted': one.wanted, 'why': one.why, 'vanished': one.vanished or None}
        for one in found
    ]  # fmt: skip
