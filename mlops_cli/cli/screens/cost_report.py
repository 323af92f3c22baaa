"""What runs cost, as a table, as CSV and as plain data.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.screens.costs import amounts_of
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.units import plural, show_seconds
from mlops_cli.experiments.ledger import Ledger, Row

if TYPE_CHECKING:
    from mlops_cli.experiments.model_costs import ModelCost

NOBODY = '(none)'  # such as the branch of a run on no branch
REASONS = 4
NOTHING = 'Nothing ran'


def report_lines(ledger: Ledger, rows: Sequence[Row], by: str, currency: str, columns: int) -> Iterator[Line]:
    if not rows:
        yield Line(f'{NOTHING}.')
        return
    currencies = sorted({name for row in rows for name in row.amounts} or {currency})
    head = [
        Column(by.upper(), least=12), Column('RUNS', right=True, optional=True), Column('STAGES', right=True),
        Column('TIME', right=True), *(Column(name, right=True) for name in currencies),
        Column('UNKNOWN', right=True, optional=True), Column('SAVED', right=True, optional=True),
        Column('GPU HOURS', right=True, optional=True), Column('KWH', right=True, optional=True),
        Column('KG CO2', right=True, optional=True),
    ]  # fmt: skip
    cells = [_cells(row, currencies, row.name or NOBODY) for row in rows]
    if len(rows) > 1:
        cells.append(_cells(ledger.total, currencies, 'total'))
    yield from map(Line, table(head, cells, columns))
    if below := list(_below(ledger)):
        yield from (Line(''), *below)


def _cells(row: Row, currencies: Sequence[str], name: str) -> list[str]:
    return [
        one_line(name), f'{len(row.runs):,}', f'{row.stages:,}', show_seconds(row.seconds) if row.stages else '',
        *(f'{row.amounts[each]:,.2f}' if each in row.amounts else '?' if row.unknown else '' for each in currencies),
        f'{row.unknown:,}' if row.unknown else '', amounts_of(row.saved) if any(row.saved.values()) else '',
        f'{row.gpu_hours:,.1f}' if row.gpu_hours else '', f'{row.kwh:,.1f}' if row.metered else '',
        f'{row.co2 / 1000:,.1f}' if row.co2 else '',
    ]  # fmt: skip


def _below(ledger: Ledger) -> Iterator[Line]:
    total = ledger.total
    if total.restored:
        saved = amounts_of(total.saved)
        money = f' and {saved}' if saved else ''
        lost = f', and what is not known of {total.lost:,} of them' if total.lost else ''
        count = plural(total.restored, 'stage')
        yield Line(f'The cache spared {count}: {show_seconds(total.saved_seconds)}{money}{lost}.')
    if ledger.why:
        reasons = sorted(ledger.why.items(), key=lambda item: (-item[1], item[0]))
        told = [f'{one_line(why)} ({plural(count, "stage")})' for why, count in reasons[:REASONS]]
        more = f', and {len(reasons) - REASONS} more' if len(reasons) > REASONS else ''
        yield Line(f'note: nobody says {", ".join(told)}{more}: mlops cost prices tells what is known', 'note:')


def report_rows(rows: Iterable[Row], by: str, currency: str) -> Iterator[dict[str, Any]]:
    """Flat, one for each currency: what is counted in time and stages stands in the first of a name, so that sums are right."""
    for row in rows:
        names = sorted(row.amounts.keys() | row.saved.keys(), key=lambda name: (name != currency, name)) or [currency]
        for number, name in enumerate(names):
            first = number == 0
            yield {
                by: row.name,
                'currency': name,
                'amount': _rounded(row.amounts, name) if name in row.amounts else None if row.unknown else 0.0,
                'runs': len(row.runs) if first else 0,
                'stages': row.stages if first else 0,
                'unknown': row.unknown if first else 0,
                'seconds': round(row.seconds, 3) if first else 0.0,
                'gpu_hours': round(row.gpu_hours, 6) if first else 0.0,
                'kwh': (round(row.kwh, 6) if row.metered else None) if first else None,
                'co2': (round(row.co2, 3) if row.weighed else None) if first else None,
                'restored': row.restored if first else 0,
                'saved_seconds': round(row.saved_seconds, 3) if first else 0.0,
                'saved_amount': _rounded(row.saved, name),
                'saved_unknown': row.lost if first else 0,
            }


def model_lines(models: Sequence[ModelCost]) -> Iterator[Line]:
    """What led to the last result of each."""
    if models:
        yield Line('')
    for one in models:
        row = one.last
        said = [amounts_of(row.amounts)] if row.amounts else []
        said += [f'{row.gpu_hours:,.1f} GPU hours'] if row.gpu_hours else []
        said += [f'{row.kwh:,.2f} kWh'] if row.metered else []
        unknown = f', and what is not known of {plural(row.unknown, "stage")}' if row.unknown else ''
        which = f'the last of {one.results:,} results' if one.results > 1 else 'its only result'
        known = ', '.join(said) or ('nothing known' if row.unknown else 'nothing')
        yield Line(f'{one_line(one.model)}, {which} (run {one.run}): {known}{unknown}.')


def last_documents(models: Iterable[ModelCost]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            'model': one.model, 'run': one.run, 'started': one.started, 'results': one.results,
            'amounts': {currency: round(amount, 6) for currency, amount in sorted(one.last.amounts.items())},
            'stages': one.last.stages, 'unknown': one.last.unknown, 'seconds': round(one.last.seconds, 3),
            'gpu_hours': round(one.last.gpu_hours, 6), 'kwh': round(one.last.kwh, 6) if one.last.metered else None,
            'co2': round(one.last.co2, 3) if one.last.weighed else None,
        }
        for one in models
    ]  # fmt: skip


def _rounded(amounts: Mapping[str, float], name: str) -> float:
    return round(amounts.get(name, 0.0), 6)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    import csv
    import io

    if not rows:
        return ''
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
