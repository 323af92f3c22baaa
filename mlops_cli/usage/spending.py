"""What a stage says that it spent, in the file that MLOPS_COST names: format cost-v1 (docs/formats/costs.md).

Bytes in, values out."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.job import COST
from mlops_cli.core.patterns import pattern

SIZE_LIMIT = 1 << 20  # bytes that we read
LINES = 20_000
ITEMS = 20  # of one stage that are kept apart
LENGTH = 60  # characters of an item or unit
MOST = 1e12
REST = 'other'
_CURRENCY = pattern(r'[A-Z]{3}')


@dataclass(frozen=True, slots=True)
class Spent:
    """``quantity``: in ``unit``, None if nobody said.  ``amount``: in ``currency``; None: nobody said, so it is not known."""

    item: str
    unit: str
    quantity: float | None
    amount: float | None
    currency: str

    def to_json(self) -> list[Any]:
        return [self.item, self.unit, self.quantity, self.amount, self.currency]

    @classmethod
    def from_json(cls, value: Any) -> Spent:
        """Raises ValueError for what :meth:`to_json` cannot have made."""
        match value:
            case [str(item), str(unit), quantity, amount, str(currency)] if (
                _is_text(item) and (not unit or _is_text(unit)) and (quantity is None or _is_number(quantity))
                and (amount is None) != bool(currency) and (amount is None or _is_number(amount))
                and (not currency or _CURRENCY.fullmatch(currency))
            ):  # fmt: skip
                return cls(item, unit, quantity, amount, currency)
        raise ValueError(f'not what somebody spent: {str(value)[:80]}')


def read(data: bytes, redact: Callable[[str], str] = str) -> tuple[tuple[Spent, ...], tuple[str, ...]]:
    """What the lines say, alike ones together; and what is wrong with others, in a few sentences.  ``redact``: takes secrets
    out of words."""
    notes: list[str] = []
    if len(data) > SIZE_LIMIT:
        notes.append(f'{COST}: only the first {SIZE_LIMIT >> 20} MiB of what it spent count')
        data = data[:SIZE_LIMIT].rpartition(b'\n')[0]
    lines = data.split(b'\n')
    if len(lines) > LINES + 1:
        notes.append(f'{COST}: only the first {LINES:,} lines of what it spent count')
    found: list[Spent] = []
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines[:LINES], 1):
        if line.strip():
            try:
                found.append(_spent(line, redact))
            except (ValueError, RecursionError) as error:
                wrong.append((number, str(error)))
    if wrong:
        more = f', and {len(wrong) - 1:,} more do not' if len(wrong) > 1 else ''
        notes.append(f'{COST}: line {wrong[0][0]} does not count: {wrong[0][1]}{more}')
    return together(found), tuple(notes)


def _spent(line: bytes, redact: Callable[[str], str]) -> Spent:
    try:
        value = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError('no JSON') from None
    if not isinstance(value, dict):
        raise ValueError('no JSON object')
    item, unit, currency = (value.get(name, '') for name in ('item', 'unit', 'currency'))
    quantity, amount = value.get('quantity'), value.get('amount')
    if not isinstance(item, str) or not _is_text(item):
        raise ValueError(f'item is no line of at most {LENGTH} characters')
    if not isinstance(unit, str) or (unit and not _is_text(unit)):
        raise ValueError(f'unit is no line of at most {LENGTH} characters')
    for name, figure in (('quantity', quantity), ('amount', amount)):
        if figure is not None and not _is_number(figure):
            raise ValueError(f'{name} is no number from 0 on')
    if amount is None and quantity is None:
        raise ValueError('neither quantity nor amount')
    if amount is not None and not (isinstance(currency, str) and _CURRENCY.fullmatch(currency)):
        raise ValueError('currency is not three capital letters')
    safe = [redact(text)[:LENGTH] for text in (item, unit)]
    return Spent(safe[0], safe[1], quantity, amount, currency if amount is not None else '')


def _is_text(text: str) -> bool:
    return 0 < len(text) <= LENGTH and text.isprintable() and bool(text.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST


def together(many: Iterable[Spent]) -> tuple[Spent, ...]:
    """Those of one item, unit and currency as one; of more than so many items, the smaller ones as one that says how much money
    it was."""
    found: dict[tuple[str, str, str], Spent] = {}
    for one in many:
        key = one.item, one.unit, one.currency
        before = found.get(key)
        found[key] = one if before is None else _sum(before, one)
    rows = sorted(found.values(), key=lambda one: (-(one.amount or 0.0), one.item, one.unit, one.currency))
    if len(rows) <= ITEMS:
        return tuple(rows)
    rest: dict[str, Spent] = {}
    for one in rows[ITEMS:]:
        alone = Spent(REST, '', None if one.amount is not None else 1, one.amount, one.currency)
        rest[one.currency] = _sum(rest[one.currency], alone) if one.currency in rest else alone
    return (*rows[:ITEMS], *[*rest.values()][:ITEMS])  # of currencies, too, nobody spends so many


def _sum(one: Spent, two: Spent) -> Spent:
    return Spent(one.item, one.unit, _plus(one.quantity, two.quantity), _plus(one.amount, two.amount), one.currency)


def _plus(one: float | None, two: float | None) -> float | None:
    """What is known of both; rounded, so that ten times 0.1 is 1."""
    return one if two is None else two if one is None else min(MOST, round(one + two, 12))
