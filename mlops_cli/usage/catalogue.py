"""Price lists of others as entries of a price book: the catalogues of gpuhunt, and tables with our own columns.

Text in, values out.  What a list says is checked as if somebody had typed it."""
from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.usage.prices import ITEMS, SIZES, TEXTS, Price, check_name, read_prices

GPUHUNT = ('instance_name', 'location', 'price', 'cpu', 'memory', 'gpu_count', 'gpu_name', 'gpu_memory', 'spot')
OWN = (*ITEMS, *SIZES, *TEXTS)
NO_MONEY = ('watts', 'gpu_watts', 'co2')
APART = ('gpu_hour', 'cpu_hour', 'gib_hour')
BESIDE = (*NO_MONEY, *APART, 'kwh', 'committed_hour', 'unit')  # what lists do not say of what they name
LONGEST = 1 << 20  # characters of a cell


@dataclass(frozen=True, slots=True)
class Listed:
    """``type``, ``location``: as the list names them; ``price``: as an entry of a config file says it."""

    type: str
    location: str
    price: Mapping[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """``wrong``: (line, what is wrong with it) of rows that are left out."""

    listed: Sequence[Listed]
    wrong: Sequence[tuple[int, str]] = field(default_factory=tuple)


class NoCatalogue(ValueError):
    """A table whose columns are neither those of gpuhunt nor ours."""


def read_catalogue(lines: Iterable[str], source: str, today: str) -> Catalogue:
    """``source``: what entries say whence they are.  ``today``: from when they count, and were seen.  Raises NoCatalogue."""
    csv.field_size_limit(LONGEST)
    rows = csv.DictReader(lines)
    try:
        names = rows.fieldnames or ()
    except csv.Error as error:
        raise NoCatalogue(f'is no CSV: {error}') from None
    if set(GPUHUNT) <= set(names):
        return _gpuhunt(rows, source, today)
    if 'name' in names and set(names) & {*ITEMS}:
        return _own(rows, source, today)
    raise NoCatalogue('has neither the columns of a catalogue of gpuhunt (instance_name, location, price, spot, ...) nor ours '
                      '(name, hour, gpu_hour, ...)')  # fmt: skip


def _rows(rows: csv.DictReader[str], wrong: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            wrong.append((rows.line_num, f'is no row of a CSV: {error}'))
            return
        yield rows.line_num, {name: text.strip() for name, text in row.items() if name and isinstance(text, str)}


def _gpuhunt(rows: csv.DictReader[str], source: str, today: str) -> Catalogue:
    """An instance has a row for each location, on demand and as spot; of several (zones) the cheapest counts.  One to which
    GPUs can be added has rows for each kind and number of them: as many offers."""
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    kinds: dict[str, set[tuple[str, str]]] = {}
    wrong: list[tuple[int, str]] = []
    for line, row in _rows(rows, wrong):
        try:
            name, location = row['instance_name'], row['location']
            if not location.isprintable():
                raise ValueError('a location that is no line')
            price, gpus = float(row['price']), int(row['gpu_count'])
            spot = {'true': True, 'false': False}[row['spot'].lower()]
            item = 'spot_hour' if spot else 'hour'
            sizes: dict[str, Any] = {'cpus': float(row['cpu']), 'memory': f'{float(row["memory"]):g}GiB'}
            if gpus:
                sizes |= {'gpus': gpus, 'gpu': row['gpu_name']}
                sizes |= {'gpu_memory': f'{float(row["gpu_memory"]):g}GiB'} if row.get('gpu_memory') else {}
            _checked({item: price, **sizes}, name)
        except (KeyError, ValueError) as error:
            wrong.append((line, f'is no offer: {str(error)[:80]}'))
            continue
        kind = f'{gpus}x{row["gpu_name"]}' if gpus else '', str(sizes.get('gpu_memory', ''))
        kinds.setdefault(name, set()).add(kind)
        known = found.setdefault((name, location, *kind), {'from': today, **sizes})
        known[item] = min(price, known.get(item, price))
    listed = []
    for (name, location, gpu, memory), known in sorted(found.items()):
        several = len({one for one in kinds[name] if one[0] == gpu}) > 1
        type_ = ' '.join([name, *([gpu] if gpu and len(kinds[name]) > 1 else []), *([memory] if several and memory else [])])
        about = {'source': f'{source}, {location}'[:200], 'checked': today, 'currency': 'USD'}
        listed.append(Listed(type_, location, {**known, **about}))
    return Catalogue(listed, wrong)


def _own(rows: csv.DictReader[str], source: str, today: str) -> Catalogue:
    listed: list[Listed] = []
    days: set[tuple[str, str]] = set()
    wrong: list[tuple[int, str]] = []
    for line, row in _rows(rows, wrong):
        try:
            price: dict[str, Any] = {name: row[name] for name in OWN if row.get(name)}
            price |= {name: float(price[name]) for name in (*ITEMS, 'cpus', 'gpus') if name in price}
            price = {'from': today, 'source': source, 'checked': today} | price
            _checked(price, row['name'])
            if (row['name'], price['from']) in days:
                raise ValueError(f'is a second price from {price["from"]} on')
        except (KeyError, ValueError) as error:
            wrong.append((line, str(error)[:80]))
            continue
        days.add((row['name'], price['from']))
        listed.append(Listed(row['name'], '', price))
    return Catalogue(listed, wrong)


def _checked(price: Mapping[str, Any], name: str) -> None:
    """Raises ValueError (of which Misplaced is one)."""
    check_name(name)
    read_prices(dict(price))


def chosen(found: Iterable[Listed], types: Sequence[str], locations: Sequence[str]) -> list[Listed]:
    """Those that one of the globs of each kind fits; no globs fit all."""
    def fits(text: str, globs: Sequence[str]) -> bool:
        return not globs or any(fnmatchcase(text, one) for one in globs)

    return [one for one in found if fits(one.type, types) and fits(one.location, locations)]


def names(found: Sequence[Listed]) -> dict[str, list[Listed]]:
    """What each is to be called: its type, with the location where there are several.  Of one there may be several prices, of
    different days."""
    places: dict[str, set[str]] = {}
    for one in found:
        places.setdefault(one.type, set()).add(one.location)
    named: dict[str, list[Listed]] = {}
    for one in found:
        name = one.type if len(places[one.type]) == 1 else f'{one.type} {one.location}'.strip()
        named.setdefault(name, []).append(one)
    return named


def filled(before: Sequence[Price], new: Mapping[str, Any], currency: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A price with what such a list does not say and the one that counts on its day does; and which amounts of that are left
    out, as they are in another currency.  ``currency``: of those that name none."""
    price = read_prices(dict(new)).periods[0]
    counts = _counting(before, price)
    if counts is None:
        return dict(new), ()
    lacking = {name: amount for name, amount in counts.amounts.items() if name in BESIDE and name not in price.amounts}
    if 'hour' in price.amounts and 'hour' not in counts.amounts:  # which stands for what was counted apart before
        lacking = {name: amount for name, amount in lacking.items() if name not in APART}
    same = (price.currency or currency) == (counts.currency or currency)
    left = tuple(name for name in lacking if not same and name not in NO_MONEY)
    own = {name: value for name, value in counts.to_json().items() if name in (*SIZES, 'gpu')}
    return {**own, **new, **{name: amount for name, amount in lacking.items() if name not in left}}, left


def _counting(before: Sequence[Price], price: Price) -> Price | None:
    return next((one for one in reversed(before) if one.begins <= price.begins), None)


def merged(before: Sequence[Price], new: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The prices of a name with one more, earlier ones kept; and whether it is ``new``, ``changed`` or ``checked`` (the same as
    before, seen again).  ``before``: the earliest first."""
    price = read_prices(dict(new)).periods[0]
    counts = _counting(before, price)
    if counts is not None and _said(counts) == _said(price):
        return [{**one.to_json(), **({'checked': price.checked} if one is counts else {})} for one in before], 'checked'
    kept = [one.to_json() for one in before if one.begins != price.begins]
    rows = sorted([*kept, dict(new)], key=lambda one: str(one.get('from', '')))
    return rows, 'changed' if before else 'new'


def _said(price: Price) -> tuple[object, ...]:
    return dict(price.amounts), dict(price.sizes), price.gpu, price.currency
