"""How high each name of a layer stands: as near to the middle of its neighbours as its order and its height allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SWEEPS = 12
STRAIGHT = 6.0  # how much more it counts that a long edge goes straight


def rows(
    layers: Sequence[Sequence[str]],
    after: Mapping[str, Sequence[str]],
    heights: Mapping[str, float],
    gap: float,
    solid: frozenset[str],
) -> dict[str, float]:
    """Name -> the height of its middle.  ``solid``: names that are drawn; the others are bends of long edges."""
    before: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for name, others in after.items():
        for other in others:
            before[other].append(name)
    middle: dict[str, float] = {}
    for layer in layers:
        wished = [0.0] * len(layer)
        middle |= zip(layer, _apart(layer, wished, [1.0] * len(layer), heights, gap), strict=True)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = before if down else after
        for layer in layers if down else reversed(layers):
            both = sweep >= SWEEPS - 2
            wished, weights = [], []
            for name in layer:
                others = (
                    [*before[name], *after.get(name, ())]
                    if both
                    else near.get(name, ()) or (*before[name], *after.get(name, ()))
                )
                shares = [STRAIGHT if name not in solid and other not in solid else 1.0 for other in others]
                total = sum(shares)
                wished.append(
                    sum(middle[o] * s for o, s in zip(others, shares, strict=True)) / total if total else middle[name]
                )
                weights.append(STRAIGHT if name not in solid else 1.0 + total)
            middle |= zip(layer, _apart(layer, wished, weights, heights, gap), strict=True)
    return middle


def _apart(
    layer: Sequence[str], wished: Sequence[float], weights: Sequence[float], heights: Mapping[str, float], gap: float
) -> list[float]:
    """The heights closest to what is wished that keep the order and the distances: a regression by pooling neighbours."""
    offsets, at = [], 0.0
    for number, name in enumerate(layer):
        if number:
            at += (heights[layer[number - 1]] + heights[name]) / 2 + gap
        offsets.append(at)
    pools: list[tuple[float, float, int]] = []  # sum of wishes by weight, weight, how many
    for wish, weight, offset in zip(wished, weights, offsets, strict=True):
        pools.append(((wish - offset) * weight, weight, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            one, two = pools.pop(), pools.pop()
            pools.append((one[0] + two[0], one[1] + two[1], one[2] + two[2]))
    levels = [total / weight for total, weight, count in pools for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]
