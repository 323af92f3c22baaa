"""The hosts of a project, as they were last seen.  Values in, lines out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.screens.cost_prices import words
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.units import ago, plural, show_size
from mlops_cli.records.sightings import Sighting
from mlops_cli.usage.gpu import Card
from mlops_cli.usage.prices import MONEY, Book, Place, Price, Rate


@dataclass(frozen=True, slots=True)
class Listed:
    """``file``: that names it.  ``confirmed``: it may be used from this clone.  ``seen``: None where it never was."""

    name: str
    url: str
    desc: str
    file: str
    confirmed: bool
    seen: Sighting | None = None


def list_lines(found: Sequence[Listed], book: Book, now: float) -> list[Line]:
    """Two of each where more is known of it than where it is written.  ``now``: seconds since 1970."""
    longest = max(len(one.name) for one in found)
    lines = []
    for one in found:
        more = '' if one.confirmed else f'; not confirmed yet: mlops config confirm hosts.{one.name}'
        lines.append(Line(f'  {one.name:<{longest}}  {one_line(one.url)}  ({one.file}{more})'))
        rate = rate_of(one, book, now)
        told = [*(has(one.seen) if one.seen is not None else ())]
        if rate is not None:
            told += [words(Price(amounts={item: amount}), rate.currencies[item]) for item, amount in rate.amounts.items()]
        if one.seen is not None:
            told.append(f'seen {_when(one.seen, now)}')
        if told:
            lines.append(Line(f'  {"":<{longest}}  {"; ".join(map(one_line, told))}'))
    return lines


def has(seen: Sighting) -> list[str]:
    """``2 × H200 (140 GiB, 130 GiB free), 16 CPUs, 132 GB of memory``."""
    from mlops_cli.run.choosing import in_gib

    kinds = Counter((card.name, card.memory_bytes) for card in seen.cards)
    parts = []
    for (name, size), count in kinds.items():
        free = [card.free_bytes for card in seen.cards if _kind(card) == (name, size) and card.free_bytes is not None]
        sizes = [in_gib(size)] if size else []
        sizes += [' and '.join(in_gib(one) for one in free) + ' free'] if free and count <= 8 else []
        parts.append(f'{count} × {name or "GPU"}' + (f' ({", ".join(sizes)})' if sizes else ''))
    if seen.engine and seen.gpus is not None:
        parts.append(plural(seen.gpus, 'GPU'))
    if seen.cpus is not None:
        parts.append(plural(seen.cpus, 'CPU'))
    if seen.memory_bytes:
        parts.append(f'{show_size(seen.memory_bytes)} of memory')
    return [', '.join(parts)] if parts else []


def _kind(card: Card) -> tuple[str, int | None]:
    return card.name, card.memory_bytes


def _when(seen: Sighting, now: float) -> str:
    try:
        return ago(max(0.0, now - from_iso(seen.seen)))
    except ValueError:
        return 'some day'


def rate_of(one: Listed, book: Book, now: float) -> Rate | None:
    gpus, model = (one.seen.gpus or 0, one.seen.model) if one.seen is not None else (0, '')
    return book.rate(Place('', one.name, gpus, model), iso(now)[:10])


def list_document(one: Listed, book: Book, now: float) -> dict[str, Any]:
    rate, seen = rate_of(one, book, now), one.seen
    items = [(item, rate.amounts[item], rate.currencies[item]) for item in MONEY if item in rate.amounts] if rate else []
    price = [{'item': item, 'amount': amount, 'currency': currency} for item, amount, currency in items]
    found: dict[str, Any] = {
        'name': one.name, 'url': one.url, 'desc': one.desc, 'file': one.file, 'confirmed': one.confirmed,
        'price': price, 'seen': seen.seen if seen is not None else None, 'facts': {},
    }  # fmt: skip
    if seen is not None:
        cards = [{'name': card.name, 'memory_bytes': card.memory_bytes, 'free_bytes': card.free_bytes} for card in seen.cards]
        found['facts'] = {
            'cpus': seen.cpus, 'memory_bytes': seen.memory_bytes, 'free_bytes': seen.free_bytes,
            'gpus': cards if not seen.engine else None, 'gpu_count': seen.gpus,
        }  # fmt: skip
    return found
