"""What machines cost: the price book of a project, dated, so that an old run keeps the price of its day (docs/howto/costs.md).

Values in, values out; knows neither runs nor settings."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind
from mlops_cli.core.secrets import looks_secret
from mlops_cli.core.units import forgotten_unit, parse_size

HERE = 'here'  # the machine that a run was started on, where it has no entry of its own
# Item -> of what.  MONEY and OFFERED are money, two are watts, the last two of a kilowatt-hour.
ITEMS: Mapping[str, str] = {
    'hour': 'an hour', 'gpu_hour': 'a GPU hour', 'cpu_hour': 'a processor hour', 'gib_hour': 'a GiB hour',
    'spot_hour': 'a spot hour', 'committed_hour': 'a committed hour', 'gb_month': 'a GB for a month',
    'unit': 'a unit',
    'watts': 'W', 'gpu_watts': 'W a GPU', 'kwh': 'a kWh', 'co2': 'g of CO2 a kWh',
}  # fmt: skip
MONEY = ('hour', 'gpu_hour', 'cpu_hour', 'gib_hour')
OFFERED = ('spot_hour', 'committed_hour', 'gb_month', 'unit')  # what could be had: it is in no cost
SIZES = ('cpus', 'memory', 'gpus', 'gpu_memory')  # of what is offered; memory in bytes
TEXTS = ('from', 'checked', 'source', 'currency', 'gpu')
MOST = 1e9
PERIODS = 1000  # of one name
STALE_DAYS = 180  # after which somebody should look again
_DATE = pattern(r'[0-9]{4}-[0-9]{2}-[0-9]{2}')
_CURRENCY = pattern(r'[A-Z]{3}')
_LONGEST = 200


class Misplaced(ValueError):
    """What is wrong with a price, and ``inside``: what leads to it from where the prices of its name stand."""

    def __init__(self, problem: str, *inside: str | int) -> None:
        super().__init__(problem)
        self.inside = inside


@dataclass(frozen=True, slots=True)
class Price:
    """``begins``: the first day (UTC) on which it counts, '' for ever.  ``amounts``: item -> number, of ITEMS.  ``checked``:
    the day on which somebody last looked.  ``currency`` '': the setting says.  ``sizes``: of SIZES, what it has; ``gpu``: what
    its GPUs call themselves."""

    begins: str = ''
    amounts: Mapping[str, float] = field(default_factory=dict)
    source: str = ''
    checked: str = ''
    currency: str = ''
    sizes: Mapping[str, float] = field(default_factory=dict)
    gpu: str = ''

    @property
    def known(self) -> str:
        """The last day on which somebody knew that this is the price; '' if nobody says."""
        return max(self.begins, self.checked)

    def to_json(self) -> dict[str, Any]:
        sizes = {name: int(size) if float(size).is_integer() else size for name, size in self.sizes.items()}
        found = {'from': self.begins, **self.amounts, **sizes, 'gpu': self.gpu, 'source': self.source, 'checked': self.checked,
                 'currency': self.currency}
        return {name: value for name, value in found.items() if value != ''}

    def __str__(self) -> str:
        """``2.1 an hour, 300 W``."""
        return ', '.join(f'{amount:g} {ITEMS[item]}' for item, amount in self.amounts.items())


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one machine or kind of GPU, the earliest first."""

    periods: tuple[Price, ...]

    def on(self, day: str) -> Price | None:
        """What counted on a day; None before the first."""
        return next((one for one in reversed(self.periods) if one.begins <= day), None)

    def to_json(self) -> list[dict[str, Any]]:
        return [one.to_json() for one in self.periods]

    def __str__(self) -> str:
        last = self.periods[-1]
        since = f' from {last.begins}' if last.begins else ''
        earlier = f' ({len(self.periods) - 1} before)' if len(self.periods) > 1 else ''
        return f'{last}{since}{earlier}'


def check_name(name: str) -> str:
    """Raises ValueError for what no machine and no kind of GPU is called."""
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST:
        raise ValueError('is no name: a host, here, or what a GPU calls itself')
    return name


def read_prices(value: Any) -> Prices:
    """Of one name: a mapping, or a list of them with the day from which each counts.  Raises Misplaced."""
    if not isinstance(value, list):
        return Prices((_price(value, ()),))
    if not 0 < len(value) <= PERIODS:
        raise Misplaced(f'has {len(value)} prices' if value else 'has no price')
    found: dict[str, Price] = {}
    for position, item in enumerate(value):
        price = _price(item, (position,))
        if price.begins in found:
            said = f'from {price.begins}' if price.begins else 'without the day from which they count (from)'
            raise Misplaced(f'has two prices {said}', position)
        found[price.begins] = price
    return Prices(tuple(found[begins] for begins in sorted(found)))


def _price(value: Any, inside: tuple[int, ...]) -> Price:
    if not isinstance(value, dict):
        raise Misplaced(f'has a price that is {kind(value)}, not a mapping', *inside)
    amounts: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for name, inner in value.items():
        if name in ITEMS:
            amounts[name] = _amount(name, inner, inside)
        elif name in SIZES:
            sizes[name] = _size(name, inner, inside)
        elif name not in TEXTS:
            hint = did_you_mean(str(name), (*ITEMS, *SIZES, *TEXTS), what='there are')
            raise Misplaced(f'has no {str(name)[:40]!r} ({hint})', *inside)
        else:
            _check_text(name, inner, inside)
    if not amounts:
        raise Misplaced(f'has a price of nothing: name one of {", ".join(ITEMS)}', *inside)
    if ('kwh' in amounts or 'co2' in amounts) and not ('watts' in amounts or 'gpu_watts' in amounts):
        raise Misplaced('has a kwh or co2, and no watts or gpu_watts to count with', *inside)
    ordered = {item: amounts[item] for item in ITEMS if item in amounts}
    texts = [str(value.get(name, '')) for name in TEXTS]
    return Price(texts[0], ordered, texts[2], texts[1], texts[3], {one: sizes[one] for one in SIZES if one in sizes}, texts[4])


def _amount(name: str, value: Any, inside: tuple[int, ...]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST:
        raise Misplaced(f'has a {name} that is no number from 0 on', *inside, name)
    return float(value)


def _size(name: str, value: Any, inside: tuple[int, ...]) -> float:
    if name not in ('memory', 'gpu_memory') or isinstance(value, bool):
        return _amount(name, value, inside)
    try:
        found = float(parse_size(value))
    except (ValueError, TypeError, OverflowError):
        found = -1.0
    if not 0 < found < MOST**2:
        raise Misplaced(f'has a {name} that is no size such as 32GiB', *inside, name)
    if (wrong := forgotten_unit(name, value)) is not None:
        raise Misplaced(f'has a {wrong[0]} ({wrong[1]})', *inside, name)
    return found


def _check_text(name: str, value: Any, inside: tuple[int, ...]) -> None:
    if not isinstance(value, str) or not value.isprintable() or not value or len(value) > _LONGEST:
        raise Misplaced(f'has a {name} that is not one line of text', *inside, name)
    if kind_of := looks_secret(value):
        raise Misplaced(f'has a {name} that holds {kind_of}: keep it out of files', *inside, name)
    if name == 'currency' and not _CURRENCY.fullmatch(value):
        raise Misplaced('has a currency that is not three capital letters', *inside, name)
    if name in ('from', 'checked') and not is_day(value):
        raise Misplaced(f'has a {name} that is no day such as 2026-11-20', *inside, name)


def is_day(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:  # such as the 31st of February
        return False


def is_stale(price: Price, today: str) -> bool:
    """Whether nobody has said in a long time that this is the price, or never."""
    return not price.known or (date.fromisoformat(today) - date.fromisoformat(price.known)).days > STALE_DAYS


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stage ran.  ``host``: its name in the settings, or that of an executor; empty: ``machine``, which the run was
    started on.  ``model``: what its GPUs call themselves, empty if that is not known, or they are of several kinds.
    ``share``: how much of each of them it was promised."""

    machine: str
    host: str = ''
    gpus: int = 0
    model: str = ''
    share: float = 1.0

    @property
    def name(self) -> str:
        return self.host or self.machine


@dataclass(frozen=True, slots=True)
class Rate:
    """``currencies``: item -> that of its price.  ``names``: of the entries that say what counts.  ``as_of``: the day from
    which the last of them does.  ``lacking``: what of it nobody priced, '' for nothing."""

    amounts: Mapping[str, float]
    currencies: Mapping[str, str]
    names: tuple[str, ...]
    as_of: str
    lacking: str = ''


@dataclass(frozen=True)
class Book:
    """``prices``: name -> its prices.  ``currency``: of those that name none.  ``clusters``: hosts that are many machines, each
    stage on one of them."""

    prices: Mapping[str, Prices] = field(default_factory=dict)
    currency: str = 'USD'
    clusters: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.prices)

    def rate(self, place: Place, day: str) -> Rate | None:
        """What an hour there cost on a day; None: nobody has said.

        The machine's entry comes first; where it says neither what an hour nor what a GPU hour costs, that of the kind of GPU
        adds what it says, each in its own currency."""
        found = dict(self._entries(place, day))
        if not found:
            return None
        amounts: dict[str, float] = {}
        currencies: dict[str, str] = {}
        for one in found.values():
            amounts = {**one.amounts, **amounts}
            currencies = {**dict.fromkeys(one.amounts, one.currency or self.currency), **currencies}
        lacking = ''
        if not amounts.keys() & {*MONEY, 'kwh'}:  # watts alone say what it draws, not what it costs
            lacking = f'what {place.name or "the machine"} cost'
        elif place.gpus and not (amounts.keys() & {'hour', 'gpu_hour'} or {'gpu_watts', 'kwh'} <= amounts.keys()):
            lacking = f'what {place.model or "its GPUs"} cost'
        return Rate(amounts, currencies, tuple(found), max(one.begins for one in found.values()), lacking)

    def _entries(self, place: Place, day: str) -> Iterator[tuple[str, Price]]:
        names = [place.host] if place.host else [place.machine, HERE]
        name = next((one for one in names if one in self.prices), '')
        machine = self.prices[name].on(day) if name else None
        if machine is not None:
            yield name, machine
        if not place.gpus or (machine is not None and {'hour', 'gpu_hour'} & machine.amounts.keys()):
            return
        card = self.prices[place.model].on(day) if place.model in self.prices else None
        if card is not None:
            yield place.model, card
