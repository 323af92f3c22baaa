"""What of a bill runs explain.  Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.clock import iso
from mlops_cli.core.units import plural
from mlops_cli.experiments.billed import Billed, BillRow

NOBODY = '(none)'  # such as the branch of a run on no branch


def billed_lines(found: Billed, by: str, kind: str, currency: str, columns: int) -> list[Line]:
    if not found.lines:
        return [Line(f'No line of this {kind} says what something costs.'), *_unpriced(found, columns)]
    lines = [Line(f'{kind}: {plural(found.lines, "line")}, {_day(found.start)} to {_day(found.end)}'), Line('')]
    head = (Column('WHAT', least=12), Column('AMOUNT', right=True), Column('SHARE', right=True))
    rows = []
    for name in _currencies(found, currency):
        for what, amounts in (('runs', found.runs), ('idle: machines of runs, while none ran', found.idle),
                              ('neither: nothing names a run or machine', found.other), ('total', found.total)):  # fmt: skip
            amount, whole = amounts.get(name, 0.0), found.total.get(name, 0.0)
            rows.append((what, f'{amount:,.2f} {name}', f'{amount / whole:.0%}' if whole else ''))
    lines += map(Line, table(head, rows, columns))
    if found.rows:
        lines += [Line(''), *map(Line, _table(found, by, currency, columns))]
    return lines + _unpriced(found, columns)


def _table(found: Billed, by: str, currency: str, columns: int) -> list[str]:
    currencies = _currencies(found, currency)
    head = [Column(by.upper(), least=12), Column('RUNS', right=True)]
    for name in currencies:
        head += [Column(f'BILLED {name}', right=True), Column('BY PRICES', right=True)]
        head += [Column('IDLE', right=True)] if by == 'host' else []
    rows = []
    for row in _sorted(found, by, currency):
        cells = [one_line(row.name) or NOBODY, f'{len(row.runs):,}']
        for name in currencies:
            cells += [_money(row.billed, name), _money(row.priced, name)] + ([_money(row.idle, name)] if by == 'host' else [])
        rows.append(cells)
    return table(head, rows, columns)


def _sorted(found: Billed, by: str, currency: str) -> list[BillRow]:
    if by == 'month':
        return sorted(found.rows.values(), key=lambda row: row.name)
    return sorted(found.rows.values(), key=lambda row: (-row.billed.get(currency, 0.0), row.name))


def _currencies(found: Billed, currency: str) -> list[str]:
    return sorted(found.total, key=lambda name: (name != currency, name))


def _money(amounts: Mapping[str, float], currency: str) -> str:
    return f'{amounts[currency]:,.2f}' if currency in amounts else ''


def _day(moment: float) -> str:
    return iso(moment)[:10]


def _unpriced(found: Billed, columns: int) -> list[Line]:
    if not found.unpriced:
        return []
    told = ', '.join(f'{one_line(sku) or "?"} ({plural(count, "line")})' for sku, count in sorted(found.unpriced.items())[:4])
    more = f', and {len(found.unpriced) - 4:,} more' if len(found.unpriced) > 4 else ''
    text = f'note: nobody says what a unit costs of {told}{more}: prices: {{SKU: {{unit: ...}}}}'
    return [Line(part, 'note:' if part.startswith('note:') else '') for part in wrap(text, columns)]


def billed_document(found: Billed, by: str, file: str, kind: str, left_out: int, currency: str) -> dict[str, Any]:
    """``mlops/cost-bill/v1``."""
    return {
        'schema': 'mlops/cost-bill/v1', 'file': file, 'format': kind, 'by': by, 'lines': found.lines, 'left_out': left_out,
        'from': iso(found.start) if found.lines else None, 'until': iso(found.end) if found.lines else None,
        'currencies': [
            {'currency': name, 'total': _rounded(found.total, name), 'runs': _rounded(found.runs, name),
             'idle': _rounded(found.idle, name), 'other': _rounded(found.other, name),
             'share': round(found.runs.get(name, 0.0) / found.total[name], 6) if found.total[name] else None}
            for name in _currencies(found, currency)
        ],
        'rows': [
            {by: row.name, 'currency': name, 'billed': _rounded(row.billed, name), 'idle': _rounded(row.idle, name),
             'priced': _rounded(row.priced, name) if name in row.priced else None, 'runs': len(row.runs)}
            for row in _sorted(found, by, currency)
            for name in sorted(row.billed.keys() | row.idle.keys()) or [currency]
        ],
        'unpriced': [{'sku': sku, 'lines': count} for sku, count in sorted(found.unpriced.items())],
    }  # fmt: skip


def _rounded(amounts: Mapping[str, float], name: str) -> float:
    return round(amounts.get(name, 0.0), 6)
