"""What stages cost: what they used, at the prices of the day and place, and what they say that they spent.

Values in, values out.  What nobody knows is None or told, never 0."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_cli.core.classes import dataclass, field

if TYPE_CHECKING:
    from mlops_cli.usage.prices import Book, Place, Rate
    from mlops_cli.usage.spending import Spent

HOUR = 3600.0
GIB = float(1 << 30)


@dataclass(frozen=True, slots=True)
class Work:
    """One stage of a run, all its attempts together.  ``seconds``, ``cpu_seconds``, ``memory_bytes``: None where unknown.
    ``gpu_joules``: what its GPUs drew, where that was measured and nobody else had them."""

    stage: str
    place: Place
    seconds: float | None
    cpu_seconds: float | None = None
    memory_bytes: float | None = None
    spent: tuple[Spent, ...] = ()
    gpu_joules: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """``amounts``: currency -> what is known.  ``unknown``: why it is not all, '' if it is.  ``prices``: names of the entries
    that counted; ``as_of``: since when.  ``hours``: of the machine, its share where others ran beside it; ``gpu_hours``: of
    GPUs, likewise.  ``kwh``, ``co2`` (grams): None where nobody says what the machine takes, or measured it."""

    amounts: Mapping[str, float] = field(default_factory=dict)
    unknown: str = ''
    prices: tuple[str, ...] = ()
    as_of: str = ''
    hours: float = 0.0
    gpu_hours: float = 0.0
    kwh: float | None = None
    co2: float | None = None

    @property
    def known(self) -> bool:
        return not self.unknown


def costs(works: Sequence[Work], run_seconds: float, day: str, book: Book) -> list[Cost]:
    """Of the stages of one run, in their order.  ``day``: on which it began, as 2026-11-20.

    An hour of a machine is paid once, however many stages share it: where those of the run took longer in sum than the run,
    each has its share of what it took.  The jobs of a cluster have machines of their own."""
    share = _shares([work for work in works if work.place.host not in book.clusters], run_seconds)
    return [_cost(work, 1.0 if work.place.host in book.clusters else share.get(work.place.name, 1.0), day, book)
            for work in works]


def _shares(works: Iterable[Work], run_seconds: float) -> dict[str, float]:
    total: dict[str, float] = {}
    longest: dict[str, float] = {}
    for work in works:
        seconds, name = work.seconds or 0.0, work.place.name
        total[name] = total.get(name, 0.0) + seconds
        longest[name] = max(longest.get(name, 0.0), seconds)
    # One that an earlier run began on a host may have taken longer than this run.
    return {name: min(1.0, max(run_seconds, longest[name]) / seconds) for name, seconds in total.items() if seconds}


def _cost(work: Work, share: float, day: str, book: Book) -> Cost:
    amounts: dict[str, float] = {}
    unknown = ''
    for one in work.spent:
        if one.amount is None:
            unknown = f'what {one.item} costs'
        else:
            amounts[one.currency] = amounts.get(one.currency, 0.0) + one.amount
    if work.seconds is None:
        return Cost(amounts, 'how long it took')
    hours, gpu_hours = work.seconds * share / HOUR, work.place.gpus * work.place.share * work.seconds / HOUR
    rate = book.rate(work.place, day)
    if rate is None:
        return Cost(amounts, f'what {work.place.name or "the machine"} cost', hours=hours, gpu_hours=gpu_hours,
                    kwh=_kwh(work, {}, hours, gpu_hours))
    used, lacking = _used(work, rate, hours, gpu_hours)
    kwh = used.get('kwh')
    for item, figure in used.items():
        if (currency := rate.currencies.get(item)) is not None:
            amounts[currency] = amounts.get(currency, 0.0) + figure * rate.amounts[item]
    grams = rate.amounts.get('co2')
    return Cost(amounts, rate.lacking or lacking or unknown, rate.names, rate.as_of, hours, gpu_hours, kwh,
                None if kwh is None or grams is None else kwh * grams)


def _used(work: Work, rate: Rate, hours: float, gpu_hours: float) -> tuple[dict[str, float], str]:
    """Item -> how much of it, with kilowatt-hours; and what of it is not known."""
    found, lacking = {}, ''
    memory = None if work.memory_bytes is None else work.memory_bytes / GIB * (work.seconds or 0.0) / HOUR
    known = {
        'hour': hours,
        'gpu_hour': gpu_hours,
        'cpu_hour': None if work.cpu_seconds is None else work.cpu_seconds / HOUR,
        'gib_hour': memory,
    }
    words = {'cpu_hour': 'its processor time', 'gib_hour': 'its memory'}
    for item, figure in known.items():
        if item in rate.amounts and figure is None:
            lacking = words[item]
        elif item in rate.amounts and figure is not None:
            found[item] = figure
    if (kwh := _kwh(work, rate.amounts, hours, gpu_hours)) is not None:
        found['kwh'] = kwh
    return found, lacking


def _kwh(work: Work, amounts: Mapping[str, float], hours: float, gpu_hours: float) -> float | None:
    """What was measured of GPUs counts in place of what somebody said that they take."""
    if work.gpu_joules is None:
        if not {'watts', 'gpu_watts'} & amounts.keys():
            return None
        gpus = amounts.get('gpu_watts', 0.0) * gpu_hours / 1000
    else:
        gpus = work.gpu_joules / 3.6e6
    return amounts.get('watts', 0.0) * hours / 1000 + gpus


def added(many: Iterable[Cost]) -> tuple[dict[str, float], int]:
    """Currency -> what is known of all of them; and of how many not all is."""
    amounts: dict[str, float] = {}
    unknown = 0
    for one in many:
        unknown += not one.known
        for currency, amount in one.amounts.items():
            amounts[currency] = amounts.get(currency, 0.0) + amount
    return amounts, unknown
