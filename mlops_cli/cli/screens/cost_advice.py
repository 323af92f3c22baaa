"""What stages declare beside what they used.  Values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.cli.tables import Column, table
from mlops_cli.experiments.advice import Advice

NOTHING = 'Nothing to change'


def advice_lines(found: Sequence[Advice], columns: int, everything: bool) -> list[Line]:
    """``everything``: also that of which there is nothing to say, and why."""
    shown = [one for one in found if everything or one.wanted is not None]
    if not shown:
        reasons: dict[str, list[str]] = {}
        for one in found:
            reasons.setdefault(one.why, []).append(one.stage)
        told = '; '.join(f'{", ".join(dict.fromkeys(map(one_line, stages)))}: {why}' for why, stages in reasons.items())
        return [Line(line) for line in wrap(f'{NOTHING}{f" ({told})" if told else ""}.', columns)]
    head = (Column('STAGE', least=12), Column('WHAT'), Column('DECLARED', right=True), Column('USED', right=True),
            Column('RUNS', right=True), Column('BETTER', right=True), Column('WHY', least=20))  # fmt: skip
    rows = [(one_line(one.stage), one.what, amount(one.what, one.declared), amount(one.what, one.used), f'{one.runs:,}',
             amount(one.what, one.wanted), one.why) for one in shown]  # fmt: skip
    lines = [Line(text) for text in table(head, rows, columns)]
    if hidden := len(found) - len(shown):
        lines += [Line(''), Line(f'Nothing to change, or to say, of {hidden:,} more: mlops cost advise -v')]
    return lines


def amount(what: str, figure: float | None) -> str:
    """As it is declared: ``1.5``, ``768MiB``."""
    if figure is None:
        return ''
    if what == 'cpus':
        return f'{figure:.3g}'
    return f'{figure / (1 << 30):.3g}GiB' if figure >= 10 << 30 else f'{figure / (1 << 20):.0f}MiB'


def advice_rows(found: Sequence[Advice]) -> list[dict[str, Any]]:
    return [
        {'stage': one.stage, 'what': one.what, 'declared': one.declared, 'used': one.used, 'runs': one.runs,
         'wanted': one.wanted, 'why': one.why}
        for one in found
    ]  # fmt: skip
