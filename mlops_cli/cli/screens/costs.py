"""Costs in a few words, and as plain data.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlops_cli.core.units import plural, show_money
from mlops_cli.usage.cost import Cost, added

UNKNOWN = 'unknown'


def amounts_of(amounts: Mapping[str, float]) -> str:
    """``0.31 EUR, 0.04 USD``; '' where there is none."""
    return ', '.join(_money(amount, currency) for currency, amount in sorted(amounts.items()))


def _money(amount: float, currency: str) -> str:
    return f'<0.01 {currency}' if 0 < amount < 0.005 else show_money(amount, currency)


def sum_of(costs: Iterable[Cost]) -> str:
    """``0.31 EUR``, ``0.31 EUR and what is not known of 2 stages``, ``unknown``."""
    known = [*costs]
    amounts, unknown = added(known)
    if unknown and not amounts:
        return UNKNOWN
    more = f' and what is not known of {plural(unknown, "stage")}' if unknown else ''
    return f'{amounts_of(amounts) or "nothing"}{more}'


def cost_of(cost: Cost) -> str:
    """``0.31 EUR``; with ``?`` where not all is known."""
    text = amounts_of(cost.amounts)
    return (text if cost.known else f'{text} + ?' if text else '?') or '0'


def cost_document(cost: Cost | None) -> dict[str, Any]:
    """Empty where nobody says what anything costs, or nothing ran."""
    if cost is None:
        return {}
    return {
        'amounts': {currency: round(amount, 6) for currency, amount in sorted(cost.amounts.items())},
        'known': cost.known,
        'unknown': cost.unknown or None,
        'prices': list(cost.prices),
        'as_of': cost.as_of or None,
        'hours': round(cost.hours, 6),
        'gpu_hours': round(cost.gpu_hours, 6),
        'kwh': None if cost.kwh is None else round(cost.kwh, 6),
        'co2': None if cost.co2 is None else round(cost.co2, 3),
    }


def total_document(costs: Iterable[Cost]) -> dict[str, Any]:
    """Of several; empty where there are none."""
    known = [*costs]
    if not known:
        return {}
    amounts, unknown = added(known)
    return {'amounts': {name: round(amount, 6) for name, amount in sorted(amounts.items())}, 'unknown': unknown}
