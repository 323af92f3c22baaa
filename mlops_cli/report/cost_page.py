"""What runs cost, as charts and as one page.  Values in, SVG and HTML out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import plural, show_money, show_seconds
from mlops_cli.experiments.ledger import Ledger, Row
from mlops_cli.report import svg
from mlops_cli.report.page import escape, page
from mlops_cli.report.svg import Axes, Group

MOST = 24  # bars of one chart; the rest of the rows is one more
ROWS = 1000  # of the table
NOBODY = '(none)'  # such as the branch of a run on no branch
STYLE = (
    svg.STYLE
    + """
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:1rem;align-items:start}
.charts svg.chart{width:100%}
"""
)


@dataclass(frozen=True, slots=True)
class View:
    """The rows of a ledger in their order, by what people asked for."""

    by: str
    ledger: Ledger
    rows: Sequence[Row]


def charts(view: View, *, titled: bool = False) -> Iterator[tuple[str, str, str]]:
    """(name for a file, title, SVG): the money of each currency, what the cache spared, GPU hours, energy; each where there is
    some.  What is not known has no bar."""
    shown = _shown(view)
    categories = [name for name, _ in shown]
    for currency in sorted(view.ledger.total.amounts.keys() | view.ledger.total.saved.keys()):
        paid = [_sum(rows, currency) for _, rows in shown]
        groups = [Group('paid', paid, 0)]
        if any(spared := [sum(row.saved.get(currency, 0.0) for row in rows) for _, rows in shown]):
            groups.append(Group('spared by the cache', spared, 2, True))
        yield f'cost-{currency.lower()}', *_bars(view, categories, groups, f'Cost in {currency}', currency, titled)
    hours = [sum(row.gpu_hours for row in rows) for _, rows in shown]
    if any(hours):
        yield 'gpu-hours', *_bars(view, categories, [Group('GPU hours', hours, 3)], 'GPU hours', 'hours', titled)
    energy = [sum(row.kwh for row in rows) for _, rows in shown]
    if any(energy):
        yield 'energy', *_bars(view, categories, [Group('kWh', energy, 4)], 'Energy', 'kWh', titled)


def _shown(view: View) -> list[tuple[str, list[Row]]]:
    """Of months the last ones, of all else those that cost most; the others together."""
    rows = list(view.rows)
    if len(rows) <= MOST:
        return [(row.name or NOBODY, [row]) for row in rows]
    if view.by == 'month':
        return [(row.name, [row]) for row in rows[-MOST:]]
    return [*((row.name or NOBODY, [row]) for row in rows[:MOST]), (f'{len(rows) - MOST:,} others', rows[MOST:])]


def _sum(rows: Sequence[Row], currency: str) -> float:
    known = [row.amounts[currency] for row in rows if currency in row.amounts]
    return sum(known) if known else math.nan


def _bars(
    view: View, categories: Sequence[str], groups: Sequence[Group], title: str, unit: str, titled: bool
) -> tuple[str, str]:
    title = f'{title}, by {view.by}'
    return title, svg.bars(categories, groups, Axes('', unit, title if titled else ''))


def cost_page(title: str, period: str, views: Sequence[View]) -> str:
    """``views``: the first is told in a table, too.  ``period``: in words."""
    first = views[0]
    body = [f'<header><h1>{escape(title)}</h1><p class="soft">{escape(period)}</p></header>', _sentences(first.ledger)]
    figures = [
        f'<figure><figcaption>{escape(name)}</figcaption>{text}</figure>' for view in views for _, name, text in charts(view)
    ]
    body += [f'<div class="charts">{"".join(figures)}</div>'] if figures else []
    body.append(_table(first) if first.rows else '<p class="note">Nothing ran.</p>')
    body.append('<footer>Made by mlops. This page is one file: it needs no network and runs no script.</footer>')
    return page(title, '\n'.join(part for part in body if part), style=STYLE)


def _sentences(ledger: Ledger) -> str:
    total, found = ledger.total, []
    if total.restored:
        saved = ', '.join(show_money(amount, currency) for currency, amount in sorted(total.saved.items()) if amount)
        money = f' and {saved}' if saved else ''
        count = plural(total.restored, 'stage')
        found.append(f'<p>The cache spared {count}: {show_seconds(total.saved_seconds)}{escape(money)}.</p>')
    if ledger.why:
        told = ''.join(
            f'<li>{escape(why)} ({plural(count, "stage")})</li>'
            for why, count in sorted(ledger.why.items(), key=lambda item: (-item[1], item[0]))[:20]
        )
        found.append(f'<div class="note">Not counted, as nobody says:<ul>{told}</ul></div>')
    return ''.join(found)


def _table(view: View) -> str:
    currencies = sorted({name for row in view.rows for name in row.amounts})
    head = [view.by, 'runs', 'stages', 'time', *currencies, 'unknown', 'GPU hours', 'kWh', 'kg CO2']
    cells = ''.join(f'<th{" class=number" if place else ""}>{escape(name)}</th>' for place, name in enumerate(head))
    rows = [_row(row, row.name or NOBODY, currencies) for row in view.rows[:ROWS]]
    if len(view.rows) > ROWS:
        rows.append(f'<tr><td class="soft" colspan="{len(head)}">and {len(view.rows) - ROWS:,} more</td></tr>')
    if len(view.rows) > 1:
        rows.append(_row(view.ledger.total, 'total', currencies, strong=True))
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(row: Row, name: str, currencies: Sequence[str], *, strong: bool = False) -> str:
    cells = [
        f'{len(row.runs):,}', f'{row.stages:,}', show_seconds(row.seconds) if row.stages else '',
        *(f'{row.amounts[each]:,.2f}' if each in row.amounts else '?' if row.unknown else '' for each in currencies),
        f'{row.unknown:,}' if row.unknown else '', f'{row.gpu_hours:,.1f}' if row.gpu_hours else '',
        f'{row.kwh:,.1f}' if row.metered else '', f'{row.co2 / 1000:,.1f}' if row.co2 else '',
    ]  # fmt: skip
    told = f'<strong>{escape(name)}</strong>' if strong else escape(name)
    return f'<tr><td>{told}</td>{"".join(f"<td class=number>{cell}</td>" for cell in cells)}</tr>'
