"""How far two samples lie apart, and how likely chance alone is to bring that about.

Kolmogorov and Smirnov's p value, Pearson's chi-square, the population stability index, and Holm's correction.
p values are exact for samples of up to :data:`EXACT` each; beyond, that of one sample of n·m / (n + m) values, as computed in
Simard and L'Ecuyer (2011), Computing the two-sided Kolmogorov-Smirnov distribution, Journal of Statistical Software 39(11)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

CORRECTIONS = ('holm', 'none')  # of the p values of many columns
EXACT = 10_000
SUMMED = 20_000  # values up to which one-sided probabilities are summed, which takes as many terms
STEPPED = 2000  # values up to which a matrix is multiplied as many times
FLOOR = 1e-4  # share that stands for none in the index, whose logarithm knows no zero
_NONE = 1e-13  # a probability that is as good as zero


def psi(before: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index of counts in the same bins.

    0.1 and 0.25 are the usual limits of a small and of a large change: Lewis (1994), An Introduction to Credit Scoring; Siddiqi
    (2006), Credit Risk Scorecards."""
    total, most = sum(before), sum(now)
    if not total or not most:
        return 0.0
    shares = ((max(a / total, FLOOR), max(b / most, FLOOR)) for a, b in zip(before, now, strict=True) if a or b)
    return math.fsum((b - a) * math.log(b / a) for a, b in shares)


def chi_square(before: Sequence[int], now: Sequence[int]) -> tuple[float, int, float]:
    """(statistic, degrees of freedom, p value) of two rows of counts, without a correction for continuity."""
    pairs = [(a, b) for a, b in zip(before, now, strict=True) if a or b]
    total, most = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if not total or not most or len(pairs) < 2:
        return 0.0, 0, 1.0
    parts = []
    for a, b in pairs:
        wanted, other = (a + b) * total / (total + most), (a + b) * most / (total + most)
        parts += [(a - wanted) ** 2 / wanted, (b - other) ** 2 / other]
    statistic = math.fsum(parts)
    return statistic, len(pairs) - 1, chi_square_above(statistic, len(pairs) - 1)


def chi_square_above(statistic: float, freedom: int) -> float:
    """P(X ≥ statistic): a finite sum, as half of the degrees is whole or a half."""
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = freedom % 2
    terms = (exponent for exponent in (i - odd / 2 for i in range(odd, freedom // 2 + odd)))
    total = math.fsum(math.exp(e * math.log(half) - half - math.lgamma(e + 1)) for e in terms)
    return min(1.0, total + (math.erfc(math.sqrt(half)) if odd else 0.0))


def holm(values: Sequence[float]) -> list[float]:
    """p values as they stand among many: Holm (1979), A simple sequentially rejective multiple test procedure."""
    found, highest = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[at]))
        found[at] = highest
    return found


# Kolmogorov and Smirnov


def ks_p(d: float, first: int, second: int) -> float:
    """The p value of a largest distance ``d`` between the distributions of two samples, two-sided."""
    if not first or not second or d <= 0:
        return 1.0
    n = first * second / (first + second)
    if max(first, second) <= EXACT and 2 * math.exp(-2 * n * d * d) > _NONE:
        return _exact(d, first, second)
    return one_sample(d, round(n))


def _exact(d: float, first: int, second: int) -> float:
    """Of all orders of the values, the share in which the distributions come as far apart: lattice paths that leave a band."""
    n, m = sorted((first, second))
    orders = math.lgamma(n + m + 1) - math.lgamma(n + 1) - math.lgamma(m + 1)
    if n == m:
        return _exact_of_two_as_large(round(d * n), n, orders)
    common = math.gcd(n, m)
    a, b = n // common, m // common
    reach = round(d * a * b * common) - 1  # so far from the diagonal, in steps of 1 / least common multiple, still lies within
    if reach < 0:
        return 1.0
    low, scale = 0, 0.0
    ways = [1.0] * (min(m, reach // a) + 1)  # to (0, j) for each j from low
    for i in range(1, n + 1):
        lowest = max(0, -((reach - i * b) // a))
        highest = min(m, (reach + i * b) // a)
        if lowest > highest:
            return 1.0
        kept = ways[lowest - low :]
        kept += [0.0] * (highest - lowest + 1 - len(kept))
        ways, low = list(accumulate(kept)), lowest
        if ways[-1] > 1e250:
            scale += math.log(ways[-1])
            most = ways[-1]
            ways = [one / most for one in ways]
    inside = math.log(ways[-1]) + scale if ways[-1] > 0 else -math.inf
    return min(1.0, max(0.0, -math.expm1(inside - orders)))


def _exact_of_two_as_large(reach: int, n: int, orders: float) -> float:
    """Gnedenko and Korolyuk's alternating sum."""
    every = math.lgamma(2 * n + 1) - orders
    terms = (
        (-1) ** (k - 1) * math.exp(every - math.lgamma(n - k * reach + 1) - math.lgamma(n + k * reach + 1))
        for k in range(1, n // reach + 1)
    )
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def one_sample(d: float, n: int) -> float:
    """P(D ≥ d) of ``n`` values and the distribution that they are drawn from."""
    t = n * d
    if n < 1 or t <= 0.5:
        return 1.0
    if d >= 1:
        return 0.0
    if d >= 0.5 or t * d >= (4 if n <= 140 else 2.2):
        return min(1.0, 2 * _one_sided(d, n) if n <= SUMMED else _both_sides(d, n))
    by_matrix = n <= 140 or (n <= STEPPED and n * d**1.5 <= 1.4)
    return min(1.0, max(0.0, 1 - (_by_matrix(d, n) if by_matrix else _by_expansion(d, n))))


def _both_sides(d: float, n: int) -> float:
    """Twice the one-sided probability of many values.  It counts what lies too far on both sides twice."""
    z2 = n * d * d
    if z2 >= 9:  # 1 - P would have few digits
        return 2 * math.exp(-2 * z2 - 2 * d / 3)
    return 1 - _by_expansion(d, n) + 2 * math.exp(-8 * z2)


def _one_sided(d: float, n: int) -> float:
    """Birnbaum and Tingey's sum."""
    total = [n * math.log1p(-d)]
    for j in range(1, n + 1):
        rest = 1 - d - j / n
        if rest <= 0:
            break
        ways = math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)
        total.append(ways + (j - 1) * math.log(d + j / n) + (n - j) * math.log(rest) + math.log(d))
    return math.fsum(map(math.exp, total))


def _by_matrix(d: float, n: int) -> float:
    """P(D < d), by Marsaglia, Tsang and Wang (2003): a row of the nth power of Durbin's matrix."""
    k = int(n * d) + 1
    m, h = 2 * k - 1, k - n * d
    faculty = [math.factorial(i) for i in range(m + 1)]
    rows = [[1 / faculty[i - j + 1] if i - j + 1 >= 0 else 0.0 for j in range(m)] for i in range(m)]
    for i in range(m):
        rows[i][0] -= h ** (i + 1) / faculty[i + 1]
        rows[m - 1][i] -= h ** (m - i) / faculty[m - i]
    rows[m - 1][0] += max(0.0, 2 * h - 1) ** m / faculty[m]
    columns = list(zip(*rows, strict=True))
    row = [float(i == k - 1) for i in range(m)]
    for step in range(1, n + 1):
        value = step / n
        row = [value * sum(map(mul, row, column)) for column in columns]
    return row[k - 1]


def _by_expansion(d: float, n: int) -> float:
    """P(D < d), by Pelz and Good (1976): four terms of the expansion in 1/√n."""
    z = d * math.sqrt(n)
    p2, z2 = math.pi**2, z * z
    sums = [0.0] * 4
    for i in range(1, 2 * math.ceil(16 * z / math.pi) + 2, 2):  # odd: (k + 1/2)² = i² / 4
        weight, u = math.exp(-p2 * i * i / (8 * z2)), p2 * i * i / 4
        sums[0] += weight
        sums[1] += weight * (u - z2)
        sums[2] += weight * (6 * z2**3 + 2 * z2**2 + (2 * z2**2 - 5 * z2) * u + (1 - 2 * z2) * u * u)
        sums[3] += weight * (-30 * z2**3 - 90 * z2**4 + (135 * z2**2 - 96 * z2**3) * u + (212 * z2**2 - 60 * z2) * u * u
                             + (5 - 30 * z2) * u**3)  # fmt: skip
    second, third = 0.0, 0.0
    for i in range(1, math.ceil(16 * z / math.pi) + 1):
        weight, u = math.exp(-p2 * i * i / (2 * z2)), p2 * i * i
        second += weight * u
        third += weight * u * (3 * z2 - u)
    root = math.sqrt(2 * math.pi)
    terms = (
        root / z * sums[0],
        root / (6 * z**4) * sums[1],
        root / (72 * z**7) * sums[2] - root / (36 * z**3) * second,
        root / (6480 * z**10) * sums[3] + root / (216 * z**6) * third,
    )
    return math.fsum(term / n ** (power / 2) for power, term in enumerate(terms))
