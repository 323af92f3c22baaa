"""What a plan will cost, in sentences and as plain data.  Values in, text out."""

from __future__ import annotations

from typing import Any

from mlops_cli.cli.console import one_line
from mlops_cli.cli.screens.costs import amounts_of
from mlops_cli.cli.words import some
from mlops_cli.core.units import plural, show_money
from mlops_cli.run.expense import Expense, Outlay, Range, Standing

NAMED = 4  # stages


def outlay_sentences(outlay: Outlay) -> list[str]:
    """What it costs, what is gone of each budget, and which of them run would refuse to go beyond."""
    budgets = [words(one, outlay.expense.currency) for one in outlay.standings if one.name != 'run']
    refused = [f'mlops run would refuse (--over-budget): {text}.' for text in outlay.exceeded]
    return [*sentences(outlay.expense), *budgets, *refused]


def sentences(expense: Expense) -> list[str]:
    """``Cost 0.31 to 0.32 EUR.``, and of which stages not all is known, and why."""
    parts = [_between(expense.low.get(name, 0.0), high, name) for name, high in sorted(expense.high.items())]
    known = ' and '.join(parts)
    found = [f'Cost {known}{", and what is not known" if expense.unknown else ""}.'] if known else []
    for why, stages in expense.unknown.items():
        if why == 'how long it took':  # what is said of the time says it
            found += [] if known else ['Cost unknown, as the time is.']
        else:
            names = ', '.join(some([one_line(name) for name in stages], NAMED))
            found.append(f'{"Nobody" if known else "Cost unknown: nobody"} says {one_line(why)} ({names}).')
    return found


def words(one: Standing, currency: str) -> str:
    """``Budget of the month 2026-11: 48.00 of 500.00 EUR are gone.``"""
    more = f', and what is not known of {plural(one.unknown, "stage")}' if one.unknown else ''
    return f'Budget of {one.of}: {one.spent:,.2f} of {show_money(one.limit, currency)} are gone{more}.'


def _between(low: float, high: float, currency: str) -> str:
    if high - low <= max(0.1 * low, 0.005):
        return f'about {amounts_of({currency: high})}'
    if low < 0.005:
        return f'up to about {show_money(high, currency)}'
    return f'{low:,.2f} to {show_money(high, currency)}'


def range_document(one: Range, currency: str) -> dict[str, Any]:
    """In the currency of the settings; null where that is not all, or not known."""
    low, typical, high = (
        round(cost.amounts.get(currency, 0.0), 6) if cost.known and not cost.amounts.keys() - {currency} else None
        for cost in (one.low, one.typical, one.high)
    )
    return {'cost': typical, 'cost_low': low, 'cost_high': high, 'currency': currency}


def expense_document(expense: Expense) -> dict[str, Any]:
    return {
        **{
            name: {currency: round(amount, 6) for currency, amount in sorted(amounts.items())}
            for name, amounts in (('low', expense.low), ('typical', expense.typical), ('high', expense.high))
        },
        'unknown': [{'why': why, 'stages': [*stages]} for why, stages in expense.unknown.items()],
    }


def budget_documents(outlay: Outlay) -> list[dict[str, Any]]:
    return [
        {'budget': one.name, 'of': one.of, 'limit': one.limit, 'spent': round(one.spent, 6), 'unknown': one.unknown,
         'currency': outlay.expense.currency}
        for one in outlay.standings
    ]  # fmt: skip
