"""What a run record says of its stages beyond their rows, so that it can be told what they cost (docs/formats/runs.md): where
they ran, what earlier attempts took, and what they said that they spent.  Most runs have nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import LATEST
from mlops_cli.usage.spending import ITEMS, Spent

RAN = ('done', 'failed', 'interrupted')
NAMES = ('places', 'gpu_shares', 'earlier', 'spent')
MOST_GPUS = 10_000
LEAST_SHARE = 0.0001
TEXT = 200  # characters of a name


@dataclass
class Tally:
    """Of one stage while its run goes on.  ``tries``, ``seconds``, ``cpu_seconds``: of attempts before the last one."""

    tries: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """Each by the position of the stage in the record.  ``places``: (host, number of GPUs, what they call themselves) of those
    that were not simply on the run's machine.  ``earlier``: (how many, seconds, processor seconds) of attempts before the last
    one.  ``spent``: of all of them.  ``shares``: how much of each of its GPUs one was promised, where it is not all."""

    places: Mapping[int, tuple[str, int, str]]
    earlier: Mapping[int, tuple[int, float, float]]
    spent: Mapping[int, tuple[Spent, ...]]
    shares: Mapping[int, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.places or self.earlier or self.spent or self.shares)

    def to_json(self) -> dict[str, Any]:
        """Only what there is; the stages of one place together."""
        alike: dict[tuple[str, int, str], list[int]] = {}
        for position, place in sorted(self.places.items()):
            alike.setdefault(place, []).append(position)
        shared: dict[float, list[int]] = {}
        for position, share in sorted(self.shares.items()):
            shared.setdefault(max(round(share, 4), LEAST_SHARE), []).append(position)
        found = {
            'places': [
                [host[:TEXT], min(gpus, MOST_GPUS), model[:TEXT], positions]
                for (host, gpus, model), positions in sorted(alike.items())
            ],
            'gpu_shares': [[share, positions] for share, positions in sorted(shared.items())],
            'earlier': [
                [position, min(tries, MOST_GPUS), round(seconds, 3), round(cpu, 3)]
                for position, (tries, seconds, cpu) in sorted(self.earlier.items())
            ],
            'spent': [[position, *one.to_json()] for position, many in sorted(self.spent.items()) for one in many],
        }
        return {name: rows for name, rows in found.items() if rows}


class Wrong(ValueError):
    """``key`` and ``position``: where in the record."""

    def __init__(self, problem: str, key: str, position: int | None = None) -> None:
        super().__init__(problem)
        self.key, self.position = key, position


def read(found: Mapping[str, Any], stages: int) -> Account:
    """``found``: a record; ``stages``: how many it has.  Raises Wrong."""
    rows: dict[str, list[Any]] = {}
    for name in NAMES:
        value = found.get(name, [])
        if not isinstance(value, list):
            raise Wrong(f'{name} is no list', name)
        rows[name] = value
    places: dict[int, tuple[str, int, str]] = {}
    for number, row in enumerate(rows['places']):
        match row:
            case [str(host), int(gpus), str(model), list(positions)] if (
                not isinstance(gpus, bool) and 0 <= gpus <= MOST_GPUS and len(host) <= TEXT and len(model) <= TEXT
            ):
                for position in positions:
                    places[_position(position, stages, places, 'places', number)] = host, gpus, model
            case _:
                raise Wrong(f'{str(row)[:80]} cannot stand under places', 'places', number)
    shares: dict[int, float] = {}
    for number, row in enumerate(rows['gpu_shares']):
        match row:
            case [float() | int() as share, list(positions)] if not isinstance(share, bool) and 0 < share <= 1:
                for position in positions:
                    shares[_position(position, stages, shares, 'gpu_shares', number)] = float(share)
            case _:
                raise Wrong(f'{str(row)[:80]} cannot stand under gpu_shares', 'gpu_shares', number)
    earlier: dict[int, tuple[int, float, float]] = {}
    for number, row in enumerate(rows['earlier']):
        match row:
            case [position, int(tries), float() | int() as seconds, float() | int() as cpu] if (
                0 < tries <= MOST_GPUS and 0 <= seconds <= LATEST and 0 <= cpu <= LATEST * MOST_GPUS
            ):
                earlier[_position(position, stages, earlier, 'earlier', number)] = tries, float(seconds), float(cpu)
            case _:
                raise Wrong(f'{str(row)[:80]} cannot stand under earlier', 'earlier', number)
    return Account(places, earlier, _spent(rows['spent'], stages), shares)


def _spent(rows: list[Any], stages: int) -> dict[int, tuple[Spent, ...]]:
    found: dict[int, tuple[Spent, ...]] = {}
    for number, row in enumerate(rows):
        try:
            position, one = row[0], Spent.from_json(row[1:])
        except (ValueError, TypeError, LookupError):
            raise Wrong(f'{str(row)[:80]} cannot stand under spent', 'spent', number) from None
        before = found.get(position, ()) if isinstance(position, int) else ()
        found[_position(position, stages, (), 'spent', number)] = (*before, one)
        if len(before) > 2 * ITEMS:
            raise Wrong('so many things that one stage spent were never written', 'spent', number)
    return found


def _position(value: Any, stages: int, seen: Any, key: str, number: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < stages or value in seen:
        raise Wrong(f'{str(value)[:40]} is no position of a stage, or twice', key, number)
    return value
