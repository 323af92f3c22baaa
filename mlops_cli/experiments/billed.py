"""What of a bill is explained by runs: by their names in its tags, or by where and when they ran."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.records.costs import costs_of, works
from mlops_cli.records.runs import Run
from mlops_cli.usage.bills import BillLine
from mlops_cli.usage.cost import HOUR
from mlops_cli.usage.prices import Book

Amounts = dict[str, float]
BY = ('host', 'run', 'branch', 'user', 'month')


@dataclass(frozen=True, slots=True)
class Busy:
    """A run on a machine.  ``share``: of its time, how much stages ran there.  ``priced``: what the price book says of that.
    ``longest``: in seconds, of all on that machine; said of the last one."""

    start: float
    end: float
    share: float
    run: Run
    priced: Mapping[str, float]
    longest: float = 0.0


@dataclass
class BillRow:
    """``billed``: what runs explain; ``idle``: of a machine of ours, what they do not.  ``priced``: what the price book says
    that these runs cost in the time of the bill."""

    name: str
    billed: Amounts = field(default_factory=dict)
    idle: Amounts = field(default_factory=dict)
    priced: Amounts = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    hours: float = 0.0
    busy: float = 0.0


@dataclass
class Billed:
    """``total`` is ``runs`` (explained), ``idle`` (machines of ours, nothing ran) and ``other`` together, by currency.
    ``unpriced``: sku -> lines without an amount that no price was found for."""

    rows: dict[str, BillRow] = field(default_factory=dict)
    total: Amounts = field(default_factory=dict)
    runs: Amounts = field(default_factory=dict)
    idle: Amounts = field(default_factory=dict)
    other: Amounts = field(default_factory=dict)
    lines: int = 0
    start: float = 0.0
    end: float = 0.0
    unpriced: dict[str, int] = field(default_factory=dict)


def billed(lines: Iterable[BillLine], runs: Iterable[Run], book: Book, by: str) -> Billed:
    """``by``: one of BY."""
    every = list(runs)
    by_name = {name: run for run in every for name in (run.id, run.short)}
    places = _places(every, book)
    found, units = Billed(), _Units(book)
    for line in lines:
        amount, currency = units.amount(line)
        if amount is None:
            found.unpriced[line.sku] = found.unpriced.get(line.sku, 0) + 1
            continue
        found.start = min(found.start, line.start) if found.lines else line.start
        found.end, found.lines = max(found.end, line.end), found.lines + 1
        _add(found.total, currency, amount)
        run = next((by_name[name] for name in line.names if name in by_name), None)
        place = next((name for name in line.names if name in places), '') if run is None else ''
        if run is not None:
            row = found.rows.setdefault(name := _named(by, run, run.host, line), BillRow(name))
            row.runs.add(run.id)
            _add(row.billed, currency, amount)
            _add(found.runs, currency, amount)
        elif place:
            _shared(found, by, line, place, places[place], amount, currency)
        else:
            _add(found.other, currency, amount)
    _price(found, by, places)
    return found


def _shared(
    found: Billed, by: str, line: BillLine, place: str, busy: Sequence[Busy], amount: float, currency: str
) -> None:
    """A line of a machine is shared by the runs that were on it, by how long; the rest is idle."""
    length = max(line.end - line.start, 1.0)
    line = replace(line, end=line.start + length)  # one of a moment, too
    parts = [(one, (min(one.end, line.end) - max(one.start, line.start)) * one.share) for one in _during(busy, line)]
    parts = [(one, seconds) for one, seconds in parts if seconds > 0]
    whole = sum(seconds for _, seconds in parts)
    scale = min(1.0, length / whole) if whole else 0.0  # several at once: what they share
    for one, seconds in parts:
        share = seconds * scale / length
        row = found.rows.setdefault(name := _named(by, one.run, place, line), BillRow(name))
        row.runs.add(one.run.id)
        row.busy += seconds * scale / HOUR
        _add(row.billed, currency, amount * share)
        _add(found.runs, currency, amount * share)
    rest = amount * (1 - whole * scale / length)
    if by == 'host':
        row = found.rows.setdefault(place, BillRow(place))
        row.hours += length / HOUR
        _add(row.idle, currency, rest)
    _add(found.idle, currency, rest)


def _during(busy: Sequence[Busy], line: BillLine) -> Iterable[Busy]:
    """``busy``: by their ends."""
    longest = busy[-1].longest
    for position in range(bisect_left(busy, line.start, key=lambda one: one.end), len(busy)):
        one = busy[position]
        if one.end - longest >= line.end:  # what ends later began later, too
            return
        if one.start < line.end:
            yield one


def _places(runs: Iterable[Run], book: Book) -> dict[str, list[Busy]]:
    found: dict[str, list[Busy]] = {}
    for run in runs:
        seconds: dict[str, float] = {}
        priced: dict[str, Amounts] = {}
        for work, cost in zip(works(run), costs_of(run, book), strict=True):
            if work is not None and cost is not None:
                seconds[work.place.name] = seconds.get(work.place.name, 0.0) + (work.seconds or 0.0)
                for currency, amount in cost.amounts.items():
                    _add(priced.setdefault(work.place.name, {}), currency, amount)
        start = from_iso(run.started)
        for place, took in seconds.items():
            length = max(run.seconds, 0.0) or took  # of a killed run nobody measured it
            if place and length > 0:
                share = min(1.0, took / length)
                found.setdefault(place, []).append(Busy(start, start + length, share, run, priced.get(place, {})))
    for busy in found.values():
        busy.sort(key=lambda one: one.end)
        busy[-1] = replace(busy[-1], longest=max(one.end - one.start for one in busy))
    return found


def _price(found: Billed, by: str, places: Mapping[str, Sequence[Busy]]) -> None:
    """Beside each row what the price book says of its runs, as far as they fall into the time of the bill."""
    for place, busy in places.items():
        for one in busy:
            inside = min(one.end, found.end) - max(one.start, found.start)
            name = _named(by, one.run, place, None)
            row = found.rows.get(name)
            if inside > 0 and row is not None and one.run.id in row.runs and (by != 'host' or name == place):
                for currency, amount in one.priced.items():
                    _add(row.priced, currency, amount * inside / (one.end - one.start))


def _named(by: str, run: Run, place: str, line: BillLine | None) -> str:
    if by == 'month':
        return iso(line.start)[:7] if line is not None else run.started[:7]
    return {'host': place, 'run': run.short, 'branch': run.branch, 'user': run.who}[by]


class _Units:
    """What a bill counts in units, at the price book's price of one (``unit``) on the day."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def amount(self, line: BillLine) -> tuple[float | None, str]:
        if line.amount is not None:
            return line.amount, line.currency
        prices = self._book.prices.get(line.sku)
        price = prices.on(iso(line.start)[:10]) if prices is not None else None
        if price is None or 'unit' not in price.amounts:
            return None, line.currency
        return line.quantity * price.amounts['unit'], price.currency or self._book.currency


def _add(to: Amounts, currency: str, amount: float) -> None:
    to[currency] = to.get(currency, 0.0) + amount
