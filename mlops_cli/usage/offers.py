"""What could be had: the entries of a price book that say what they have, and which of them suits a need at the least price.

Values in, values out; knows neither runs nor settings."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mlops_cli.core.classes import dataclass, field
from mlops_cli.usage.prices import Book, Price

TARGET = 0.8  # of the processors of a machine, how much should be in use at most
MARGIN = 1.2  # more memory than was ever held


@dataclass(frozen=True, slots=True)
class Offer:
    """``hour``: of the whole, or of one GPU where that is what is offered (``of_gpu``).  ``sizes``: of prices.SIZES."""

    name: str
    currency: str
    hour: float
    of_gpu: bool = False
    spot: float | None = None
    committed: float | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Need:
    """What a stage used at most; None where nobody measured it.  ``gpu_memory``: of each of its GPUs."""

    cpus: float
    memory: float | None
    gpus: int = 0
    gpu_memory: float | None = None


def offers(book: Book, day: str, seen: Mapping[str, Mapping[str, float]] | None = None) -> list[Offer]:
    """Of each name with a price for its hour or for that of one GPU.  ``seen``: name -> sizes that are known from elsewhere and
    count where the book says none."""
    found = []
    for name, prices in sorted(book.prices.items()):
        price = prices.on(day)
        if price is not None and (one := _offer(name, price, book.currency, (seen or {}).get(name, {}))) is not None:
            found.append(one)
    return found


def _offer(name: str, price: Price, currency: str, seen: Mapping[str, float]) -> Offer | None:
    amounts = price.amounts
    of_gpu = 'hour' not in amounts
    hour = amounts.get('gpu_hour') if of_gpu else amounts['hour'] + amounts.get('gpu_hour', 0.0) * price.sizes.get('gpus', 0)
    if hour is None or {'cpu_hour', 'gib_hour'} & amounts.keys():  # which depends on how much is used
        return None
    sizes = {**seen, **price.sizes}
    return Offer(name, price.currency or currency, hour, of_gpu, amounts.get('spot_hour'), amounts.get('committed_hour'), sizes)


def lacking(offer: Offer, need: Need) -> str:
    """Why it does not suit; '' where it does.  What is not known of either is a reason."""
    wanted: list[tuple[str, float | None]] = []
    if not offer.of_gpu:
        cpus = max(1, math.ceil(round(need.cpus / TARGET, 3)))
        wanted += [('cpus', cpus), ('memory', _more(need.memory)), ('gpus', need.gpus)]
    if need.gpus:
        wanted.append(('gpu_memory', _more(need.gpu_memory)))
    for name, least in wanted:
        if least is None:
            return f'nobody measured its {name}'
        if least and name not in offer.sizes:
            return f'nobody says how many {name} it has' if name in ('cpus', 'gpus') else f'nobody says what {name} it has'
        if least and offer.sizes[name] < least:
            return f'too small ({name})'
    return ''


def _more(size: float | None) -> float | None:
    return None if size is None else size * MARGIN


def cheapest(found: Iterable[Offer], need: Need, currency: str, *, of_gpu: bool) -> Offer | None:
    """Of those in one currency, machines or kinds of GPU."""
    fit = [one for one in found if one.currency == currency and one.of_gpu == of_gpu and not lacking(one, need)]
    return min(fit, key=lambda one: (one.hour, one.name), default=None)


def projected(offer: Offer, need: Need) -> dict[str, float]:
    """How much of each size would be in use, at most: 0.5 is half."""
    used = {'cpus': need.cpus, 'memory': need.memory, 'gpu_memory': need.gpu_memory if need.gpus else None}
    return {
        name: figure / offer.sizes[name]
        for name, figure in used.items()
        if figure is not None and offer.sizes.get(name) and not (offer.of_gpu and name != 'gpu_memory')
    }


@dataclass(frozen=True, slots=True)
class Commitment:
    """``hours``: that were used on demand in ``window`` hours; ``pays_from``: of the window, the share from which a commitment
    to one is cheaper; ``paid``, ``instead``: on demand, and with one committed."""

    offer: Offer
    hours: float
    window: float
    pays_from: float
    paid: float
    instead: float

    @property
    def pays(self) -> bool:
        return self.instead < self.paid


def commitment(offer: Offer, hours: float, window: float) -> Commitment | None:
    """None for what nobody offers to commit to."""
    if offer.committed is None or not offer.hour or window <= 0:
        return None
    beyond = max(0.0, hours - window)  # several at once: what one alone does not do
    instead = offer.committed * window + beyond * offer.hour
    return Commitment(offer, hours, window, offer.committed / offer.hour, hours * offer.hour, instead)
