"""The price book.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import show_size
from mlops_cli.usage.prices import ITEMS, MONEY, OFFERED, SIZES, Price

NOTHING = 'No prices: say what a machine costs in .mlops/config.yaml, such as prices: {here: {from: 2026-01-01, hour: 0.12}}'


@dataclass(frozen=True, slots=True)
class Entry:
    """One price.  ``counts``: today.  ``origin``: where it is written, for people; ``file`` and ``line`` the same, in parts."""

    name: str
    price: Price
    currency: str
    counts: bool
    stale: bool
    origin: str
    file: str
    line: int


def words(price: Price, currency: str) -> str:
    """``2.1 EUR an hour, 300 W``."""
    said = [f'{amount:g} {f"{currency} " if item in (*MONEY, *OFFERED, "kwh") else ""}{ITEMS[item]}'
            for item, amount in price.amounts.items()]  # fmt: skip
    if has := sizes(price):
        said.append(f'has {has}')
    return ', '.join(said)


def sizes(price: Price) -> str:
    """``8 processors, 32 GB, 1 NVIDIA L4 with 24 GB``; '' where nobody says."""
    found = price.sizes
    said = [f'{found["cpus"]:g} processors'] if 'cpus' in found else []
    said += [show_size(found['memory'])] if 'memory' in found else []
    if 'gpus' in found or 'gpu_memory' in found or price.gpu:
        each = f' with {show_size(found["gpu_memory"])}' if 'gpu_memory' in found else ''
        said.append(f'{found.get("gpus", 1):g} {one_line(price.gpu) or "GPU"}{each}')
    return ' and '.join([', '.join(said[:-1]), said[-1]]) if len(said) > 1 else ''.join(said)


def price_lines(entries: Sequence[Entry], unpriced: Sequence[str], today: str, columns: int, everything: bool) -> list[Line]:
    """``unpriced``: hosts of which nobody says what they cost.  ``everything``: also what counts no more, or not yet."""
    if not entries:
        return [Line(NOTHING)]
    head = (Column('OF', least=8), Column('PRICE', least=20), Column('SINCE'), Column('SOURCE', least=10, optional=True),
            Column('WRITTEN IN', least=21, optional=True))  # fmt: skip
    shown = [entry for entry in entries if entry.counts or everything]
    rows = [
        (one_line(entry.name) if entry.counts else f'  {one_line(entry.name)}', words(entry.price, entry.currency),
         entry.price.begins or 'ever', one_line(entry.price.source), one_line(entry.origin))
        for entry in shown
    ]  # fmt: skip
    lines = [Line(text) for text in table(head, rows, columns)] if rows else []
    if hidden := len(entries) - len(shown):
        lines += [Line(f'  and {hidden} that count no more, or not yet: mlops cost prices -v')]
    for entry in shown:
        if entry.stale and entry.counts:
            since = f'since {entry.price.known} nobody has said' if entry.price.known else 'nobody has said when it was seen'
            text = f'{one_line(entry.name)}: {since} that this is the price; look, then write checked: {today}'
            lines.append(Line(f'note: {text}', 'note:'))
    if unpriced:
        lines.append(Line(f'note: nobody says what {one_line(", ".join(unpriced))} costs', 'note:'))
    return lines


def price_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {
            'name': entry.name,
            'from': entry.price.begins or None,
            'counts': entry.counts,
            'currency': entry.currency,
            **{item: entry.price.amounts.get(item) for item in ITEMS},
            **{name: entry.price.sizes.get(name) for name in SIZES},
            'gpu': entry.price.gpu or None,
            'source': entry.price.source or None,
            'checked': entry.price.checked or None,
            'stale': entry.stale,
            'file': entry.file,
            'line': entry.line,
        }
        for entry in entries
    ]
