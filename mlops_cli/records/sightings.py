"""What each host said of itself when this clone last saw it, so that a plan needs no network (docs/formats/host.md).

Lost, it is only asked again.  What a host says is not believed beyond its type: it may be anybody's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import prepare_local, read_small
from mlops_cli.usage.gpu import LONGEST, Card

SCHEMA = 'mlops/host-seen/v1'
LIMIT = 1 << 20  # bytes
MOST_CARDS = 1024
ENGINES = ('slurm', 'ray', 'kubernetes')  # of facts: what a cluster says of itself


@dataclass(frozen=True, slots=True)
class Sighting:
    """``seen``: when, as iso has it.  ``cpus``, ``memory_bytes``, ``free_bytes`` (room in its folder): None where it did not
    say.  ``engine``: of a cluster, which one; ``gpus``: how many, of which a cluster tells no more than that,
    or None: nothing.  ``containers``: whether it has what runs images; None where it did not say."""

    seen: str
    cpus: int | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    cards: tuple[Card, ...] = ()
    engine: str = ''
    gpus: int | None = 0
    containers: bool | None = None

    @property
    def model(self) -> str:
        """What its GPUs call themselves; '' where there are none, or several kinds."""
        names = {card.name for card in self.cards}
        return names.pop() if len(names) == 1 else ''


def keep(root: Root, name: str, url: str, facts: Mapping[str, Any], now: float) -> None:
    """``now``: seconds since 1970.  Where it cannot be written, nothing is known later, which does no harm."""
    cards = facts.get('gpus')
    found = {
        'schema': SCHEMA,
        'url': url,
        'seen': iso(now),
        **{key: _count(facts.get(key)) for key in ('cpus', 'memory_bytes', 'free_bytes')},
        'gpus': [_plain(card) for card in _cards(cards)],
        'containers': bool(facts['containers']) if isinstance(facts.get('containers'), list) else None,
        **{name: {'gpus': _count(facts[name].get('gpus'))} for name in ENGINES if isinstance(facts.get(name), dict)},
    }
    with suppress(OSError, UserError):
        prepare_local(root)
        root.makedirs(layout.HOSTS, mode=0o700)
        write_file(root, _path(name), document(found), 0o600, durable=False)


def forget(root: Root, name: str) -> None:
    with suppress(OSError, UserError):
        root.unlink(_path(name))


def last(root: Root, name: str, url: str) -> Sighting | None:
    """None where it was never seen at this url."""
    try:
        found = json.loads(read_small(root, _path(name), LIMIT))
    except (OSError, UserError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get('schema') != SCHEMA or found.get('url') != url:
        return None
    engine = next((one for one in ENGINES if isinstance(found.get(one), dict)), '')
    cards = _cards(found.get('gpus'))
    return Sighting(
        str(found.get('seen'))[:30],
        _count(found.get('cpus')),
        _count(found.get('memory_bytes')),
        _count(found.get('free_bytes')),
        cards,
        engine,
        _count(found[engine].get('gpus')) if engine else len(cards),
        found.get('containers') if isinstance(found.get('containers'), bool) else None,
    )


def _path(name: str) -> str:
    """``name``: of the settings, so it is no path."""
    return os.path.join(layout.HOSTS, f'{name}.json')


def _cards(value: Any) -> tuple[Card, ...]:
    found = [one for one in value[:MOST_CARDS] if isinstance(one, dict)] if isinstance(value, list) else []
    return tuple(
        Card(
            _line(one.get('uuid')),
            _line(one.get('name')),
            _count(one.get('memory_bytes')) or None,
            _count(one.get('free_bytes')),
        )
        for one in found
    )


def _plain(card: Card) -> dict[str, Any]:
    return {'uuid': card.uuid, 'name': card.name, 'memory_bytes': card.memory_bytes, 'free_bytes': card.free_bytes}


def _line(value: Any) -> str:
    return ''.join(character for character in str(value)[:LONGEST] if character.isprintable()) if value else ''


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None
