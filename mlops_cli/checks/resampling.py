"""What a few values say about their mean, and whether one mean is above another: by the bootstrap, always with the same draws.

Intervals are percentile intervals made wider for few values, as in Hesterberg (2015), What Teachers Should Know About the
Bootstrap, The American Statistician 69(4), section 4.4: plain ones are too narrow by sqrt((n - 1) / n) and know no t quantiles.
Of fewer than ten values no drawing reaches far enough, nor of any at a confidence that fewer than one of the samples lies
beyond; the end by Student's t, or Welch's for two samples, counts where it is further out.  Of more than 2,000 the mean is as
good as normal, and drawing would take minutes."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

RESAMPLES = 10_000
FEWEST = 2_000  # of so many values that 10,000 would take long
_WORK = 5_000_000  # values that are drawn at most
_MANY = 2_000
_SEED = 20150101
_FEW = 10
_SUREST = 0.999999  # confidence


class Several(list[float]):
    """Values of several files.  ``names``: what tells those apart, such as their seeds; two of the same names are compared in
    pairs."""

    def __init__(self, values: Sequence[float], names: Sequence[str]) -> None:
        super().__init__(values)
        self.names = tuple(names)


def mean(values: Sequence[float]) -> float:
    """Raises ValueError of what is no list of numbers, as all of these."""
    return _middle(_numbers(values, 1))


def median(values: Sequence[float]) -> float:
    return float(statistics.median(_numbers(values, 1)))


def std(values: Sequence[float]) -> float:
    """The standard deviation of a sample (n - 1)."""
    return math.sqrt(_variance(_numbers(values, 2)))


def lower(values: Sequence[float], confidence: float = 0.95) -> float:
    """The lower end of the two-sided interval of the mean."""
    return _end(_numbers(values, 2), (1 - _level(confidence)) / 2)


def upper(values: Sequence[float], confidence: float = 0.95) -> float:
    return _end(_numbers(values, 2), (1 + _level(confidence)) / 2)


def above(one: Sequence[float] | float, other: Sequence[float] | float, confidence: float = 0.95) -> bool:
    """Whether the mean of one is above that of the other, which may be a single number, with this confidence: whether the lower
    end of the one-sided interval of their difference is more than 0."""
    return difference(one, other, 1 - _level(confidence)) > 0


def below(one: Sequence[float] | float, other: Sequence[float] | float, confidence: float = 0.95) -> bool:
    return difference(one, other, _level(confidence)) < 0


def difference(one: Sequence[float] | float, other: Sequence[float] | float, share: float) -> float:
    """The quantile ``share`` of what the difference of their means may be.  Raises ValueError where neither has a spread."""
    if not isinstance(one, list) and not isinstance(other, list):
        raise ValueError('two single values have no spread that tells what chance does: compare them, or several of each')
    if not isinstance(one, list) or not isinstance(other, list):
        if isinstance(one, list):
            return _end(_numbers(one, 2), share) - _number(other)
        assert isinstance(other, list)
        return _number(one) - _end(_numbers(other, 2), 1 - share)
    first, second = _numbers(one, 2), _numbers(other, 2)
    if isinstance(one, Several) and isinstance(other, Several) and sorted(one.names) == sorted(other.names):
        there = dict(zip(other.names, second, strict=True))
        return _end([value - there[name] for name, value in zip(one.names, first, strict=True)], share)
    parts = [_variance(values) / len(values) for values in (first, second)]
    middle, error = _middle(first) - _middle(second), math.sqrt(sum(parts))
    if not error:
        return middle
    if max(len(first), len(second)) > _MANY:
        return middle + statistics.NormalDist().inv_cdf(share) * error
    draw = random.Random(_SEED)
    count = _count(len(first) + len(second))
    means = sorted(_drawn(draw, first) - _drawn(draw, second) for _ in range(count))
    found, enough = _drawn_end(means, share, min(len(first), len(second)))
    if enough:
        return found
    freedoms = (part * part / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    freedom = max(1, math.floor(sum(parts) ** 2 / total)) if (total := sum(freedoms)) else 1
    return _further(found, middle, error, freedom, share)


def _end(values: Sequence[float], share: float) -> float:
    error = math.sqrt(_variance(values) / len(values))
    if not error:
        return _middle(values)
    if len(values) > _MANY:
        return _middle(values) + statistics.NormalDist().inv_cdf(share) * error
    draw = random.Random(_SEED)
    means = sorted(_drawn(draw, values) for _ in range(_count(len(values))))
    found, enough = _drawn_end(means, share, len(values))
    return found if enough else _further(found, _middle(values), error, len(values) - 1, share)


def _drawn_end(means: Sequence[float], share: float, count: int) -> tuple[float, bool]:
    """(the quantile of means of ``count`` values that were drawn, whether it can be believed)."""
    wider = _wider(share, count)
    return _quantile(means, wider), count >= _FEW and min(wider, 1 - wider) * len(means) >= 1


def _middle(values: Sequence[float]) -> float:
    """The mean, and of values that are all the same that value: their sum is rounded."""
    return min(max(statistics.fmean(values), min(values)), max(values))


def _variance(values: Sequence[float]) -> float:
    """Of a sample: a tenth of the time of the library's, whose sums are exact fractions."""
    middle = _middle(values)
    return math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)


def _further(found: float, middle: float, error: float, freedom: int, share: float) -> float:
    other = middle + t_quantile(share, freedom) * error
    return min(found, other) if share < 0.5 else max(found, other)


def _drawn(draw: random.Random, values: Sequence[float]) -> float:
    return statistics.fmean(draw.choices(values, k=len(values)))


def _count(values: int) -> int:
    return max(FEWEST, min(RESAMPLES, _WORK // values))


def _wider(share: float, count: int) -> float:
    """The share at which to look in the means that were drawn, in place of the one that is meant."""
    return statistics.NormalDist().cdf(math.sqrt(count / (count - 1)) * t_quantile(share, count - 1))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    first = math.floor(place)
    rest = place - first
    return ordered[first] if not rest else ordered[first] * (1 - rest) + ordered[first + 1] * rest


def t_quantile(share: float, freedom: int) -> float:
    """Of Student's t distribution."""
    if share < 0.5:
        return -t_quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while t_below(high, freedom) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def t_below(value: float, freedom: int) -> float:
    """P(T <= value): finite sums, as in Abramowitz and Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(value / math.sqrt(freedom))
    cosine = math.cos(angle) ** 2
    if freedom % 2:
        term, total = math.cos(angle), 0.0
        for step in range(1, (freedom - 1) // 2 + 1):
            total += term
            term *= cosine * 2 * step / (2 * step + 1)
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        term, total = 1.0, 0.0
        for step in range(1, freedom // 2 + 1):
            total += term
            term *= cosine * (2 * step - 1) / (2 * step)
        inside = math.sin(angle) * total
    return 0.5 + inside / 2


def _numbers(values: Sequence[float], least: int) -> list[float]:
    if not isinstance(values, list) or not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values):
        raise ValueError('values are a list of numbers, such as out/*/metrics.json:accuracy')
    if len(values) < least:
        raise ValueError(f'of {len(values)} value{"s" * (len(values) != 1)} nothing can be said, {least} are needed')
    return [float(one) for one in values]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError('it is no number')
    return float(value)


def _level(confidence: object) -> float:
    found = _number(confidence)
    if not 0.5 <= found <= _SUREST:
        raise ValueError(f'a confidence is at least 0.5 and at most {_SUREST}, such as 0.95')
    return found
