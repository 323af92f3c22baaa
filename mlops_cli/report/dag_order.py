"""The order of names in layers: as few crossings as sweeps up and down find.  Values in, values out."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise

SWEEPS = 24
PATIENCE = 6  # sweeps without anything better
COSTLY = 4000  # edges between two layers from which crossings are not counted one by one


def ordered(layers: Sequence[Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The layers, each in its best order.  ``after``: name -> names in the next layer."""
    before: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for name, others in after.items():
        for other in others:
            before[other].append(name)
    now = _started(layers, after)
    best, fewest, idle = now, crossings(now, after), 0
    for sweep in range(SWEEPS):
        if fewest == 0 or idle >= PATIENCE:
            break
        now = _swept(now, before if sweep % 2 == 0 else after, down=sweep % 2 == 0)
        count = crossings(now, after)
        if count < fewest:
            best, fewest, idle = now, count, 0
        else:
            idle += 1
    return best


def _started(layers: Sequence[Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """As a walk in depth finds them: what belongs together stands together."""
    place = {name: number for number, layer in enumerate(layers) for name in layer}
    found: list[list[str]] = [[] for _ in layers]
    seen: set[str] = set()
    for start in (name for layer in layers for name in layer):
        stack = [start]
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                found[place[name]].append(name)
                stack += reversed(after.get(name, ()))
    return found


def _swept(layers: Sequence[Sequence[str]], near: Mapping[str, Sequence[str]], *, down: bool) -> list[list[str]]:
    """Each layer sorted by the middle of its neighbours in the layer before it (``down``), or behind it."""
    found = [list(layer) for layer in layers]
    numbers = range(1, len(found)) if down else range(len(found) - 2, -1, -1)
    for number in numbers:
        places = {name: at for at, name in enumerate(found[number - 1 if down else number + 1])}
        middles = {}
        for at, name in enumerate(found[number]):
            known = [places[other] for other in near.get(name, ()) if other in places]
            middles[name] = sum(known) / len(known) if known else at * len(places) / max(len(found[number]), 1)
        found[number].sort(key=middles.__getitem__)
    return found


def crossings(layers: Sequence[Sequence[str]], after: Mapping[str, Sequence[str]]) -> int:
    """How many pairs of edges cross, between all layers."""
    return sum(_between(one, two, after) for one, two in pairwise(layers))


def _between(one: Sequence[str], two: Sequence[str], after: Mapping[str, Sequence[str]]) -> int:
    places = {name: at for at, name in enumerate(two)}
    ends = [place for name in one for place in sorted(places[other] for other in after.get(name, ()) if other in places)]
    if len(ends) > COSTLY:
        ends = ends[:: len(ends) // COSTLY + 1]
    seen: list[int] = []
    count = 0
    for end in ends:
        count += len(seen) - _up_to(seen, end)
        insort(seen, end)
    return count


def _up_to(seen: list[int], end: int) -> int:
    return bisect_left(seen, end + 1)
