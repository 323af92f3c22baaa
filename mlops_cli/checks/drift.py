"""Whether the columns of a table are distributed as in a baseline: statistics of each, and what is made of them.

The target of a model is one question (label shift), its features are another (covariate shift)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.checks import significance
from mlops_cli.checks.distribution import Column, Table
from mlops_cli.core.classes import dataclass, field, replace

PSI_BINS = 10  # of numbers
IN_A_BIN = 10  # rows of the smaller table that a bin of numbers needs
EXPECTED = 5  # rows of each table that a bin of the chi-square test needs: Cochran (1954), Biometrics 10(4)


@dataclass(frozen=True, slots=True)
class Limits:
    """A column has drifted where it moved more than ``psi`` (or ``ks``), and chance alone moves it so with a probability
    below ``alpha``."""

    psi: float = 0.2
    alpha: float = 0.05
    ks: float | None = None
    correction: str = 'holm'

    def under(self, named: Mapping[str, Any]) -> Limits:
        """With those that a contract names in their place."""
        ours = {'max_psi': 'psi', 'max_ks': 'ks', 'alpha': 'alpha', 'correction': 'correction'}
        return replace(self, **{ours[name]: value for name, value in named.items()})


@dataclass
class Compared:
    """``bins``: (name, count before, count now).  ``ks_exact``: else the distance at the edges of the baseline's bins, which is
    no more than the whole one.  ``p_value``: of both tests.  ``problem``: why it could not be compared.  ``limits``: what it
    was held to."""

    name: str
    role: str
    kind: str
    limits: Limits = Limits()
    bins: list[tuple[str, int, int]] = field(default_factory=list)
    psi: float | None = None
    ks: float | None = None
    ks_p: float | None = None
    ks_exact: bool | None = None
    chi_square: float | None = None
    freedom: int | None = None
    chi_square_p: float | None = None
    p_value: float | None = None
    corrected_p: float | None = None
    missing_before: float | None = None
    missing_now: float | None = None
    drifted: bool = False
    problem: str = ''


@dataclass
class Drift:
    rows_before: int
    rows: int
    columns: list[Compared] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    @property
    def drifted(self) -> list[Compared]:
        return [one for one in self.columns if one.drifted]

    @property
    def passed(self) -> bool:
        """What compared nothing holds nothing: a table without rows must pass no gate."""
        return not self.drifted and any(one.p_value is not None for one in self.columns)


def compare(
    before: Table,
    now: Table,
    limits: Limits,
    target: str = '',
    exact: Mapping[str, tuple[int, int, int]] | None = None,
    own: Mapping[str, Limits] | None = None,
) -> Drift:
    """``now``: counted at the cuts of the baseline.  ``exact``: of columns of numbers, (values before, values now, largest
    distance times both).  ``own``: limits of columns that have others."""
    found = Drift(before.rows, now.rows)
    for name, column in before.columns.items():
        one = Compared(name, 'label' if name == target else 'covariate', column.kind, (own or {}).get(name, limits))
        found.columns.append(one)
        if name not in now.columns:
            one.drifted, one.problem = True, 'the column is not there'
            continue
        _compare(one, column, now.columns[name], (before.rows, now.rows), (exact or {}).get(name))
    for role in ('label', 'covariate'):
        asked = [one for one in found.columns if one.role == role and one.p_value is not None]
        given = [one.p_value or 0.0 for one in asked]
        for one, p in zip(asked, significance.holm(given) if limits.correction == 'holm' else given, strict=True):
            one.corrected_p = p
            far = (one.psi or 0.0) > one.limits.psi or (one.limits.ks is not None and (one.ks or 0.0) > one.limits.ks)
            one.drifted = far and (p < one.limits.alpha or one.limits.alpha >= 1)
    return found


def _compare(
    one: Compared, before: Column, now: Column, rows: tuple[int, int], exact: tuple[int, int, int] | None
) -> None:
    one.missing_before, one.missing_now = (column.nulls / many if many else None
                                           for column, many in zip((before, now), rows, strict=True))  # fmt: skip
    if not all(rows):
        one.problem = 'one of the tables has no rows'
        return
    one.bins = _of_numbers(before, now, rows) if before.kind == 'number' else _of_texts(before, now)
    first, second = [count for _, count, _ in one.bins], [count for *_, count in one.bins]
    one.psi = significance.psi(first, second)
    one.chi_square, one.freedom, one.chi_square_p = significance.chi_square(first, second)
    one.p_value = one.chi_square_p
    if before.kind != 'number':
        return
    n, m, apart = exact or distance(before.at_cuts(), now.counts)
    if n and m:
        one.ks, one.ks_exact = apart / (n * m), exact is not None or before.exact
        one.ks_p = significance.ks_p(one.ks, n, m)
        one.p_value = min(1.0, 2 * min(one.ks_p, one.chi_square_p))


def distance(before: Sequence[int], now: Sequence[int]) -> tuple[int, int, int]:
    """(values before, values now, the largest distance of their distributions at the edges, times both)."""
    n, m = sum(before), sum(now)
    a = b = most = 0
    for first, second in zip(before, now, strict=True):
        a, b = a + first, b + second
        most = max(most, abs(a * m - b * n))
    return n, m, most


def _of_numbers(before: Column, now: Column, rows: tuple[int, int]) -> list[tuple[str, int, int]]:
    """Bins that hold about as many rows of the baseline each, as many as the smaller table can fill."""
    counts = before.at_cuts()
    total, wanted = sum(counts), max(2, min(PSI_BINS, min(rows) // IN_A_BIN))
    bins: list[tuple[str, int, int]] = []
    seen = first = second = 0
    part, low = 1, ''
    for cut, a, b in zip(before.cuts, counts, now.counts, strict=False):
        first, second, seen = first + a, second + b, seen + a
        if a and seen < total and seen * wanted >= total * part:
            bins.append((f'{low} to {cut:.6g}' if low else f'to {cut:.6g}', first, second))
            low, first, second = f'{cut:.6g}', 0, 0
            part = seen * wanted // total + 1
    first, second = first + counts[-1], second + now.counts[-1]
    if first or second:
        bins.append((f'above {low}' if low else 'all', first, second))
    return [*bins, *_without(('no value', before.nulls, now.nulls), ('no number', before.odd, now.odd))]


def _of_texts(before: Column, now: Column) -> list[tuple[str, int, int]]:
    """Categories that are too rare for the test are put together."""
    pairs = [(name, count, now.categories[name]) for name, count in before.categories.items()]
    total, most = (sum(column.categories.values()) + column.other + column.nulls for column in (before, now))
    least = EXPECTED * (total + most) / max(1, min(total, most))
    often = [pair for pair in pairs if pair[1] + pair[2] >= least]
    rare = [pair for pair in pairs if pair[1] + pair[2] < least]
    rest = ('any value' if before.kind == 'text' else 'other', before.other, now.other)
    rest = (rest[0], rest[1] + sum(a for _, a, _ in rare), rest[2] + sum(b for *_, b in rare))
    return [*often, *_without(rest, ('no value', before.nulls, now.nulls))]


def _without(*pairs: tuple[str, int, int]) -> list[tuple[str, int, int]]:
    return [pair for pair in pairs if pair[1] or pair[2]]


def document(found: Drift) -> list[dict[str, Any]]:
    names = (
        'name', 'role', 'kind', 'drifted', 'problem', 'psi', 'ks', 'ks_p', 'ks_exact', 'chi_square', 'freedom', 'chi_square_p',
        'p_value', 'corrected_p', 'missing_before', 'missing_now',
    )  # fmt: skip
    return [
        {**{name: getattr(one, name) for name in names},
         'limits': {'psi': one.limits.psi, 'ks': one.limits.ks, 'alpha': one.limits.alpha},
         'bins': [{'name': name, 'before': before, 'now': now} for name, before, now in one.bins]}
        for one in found.columns
    ]  # fmt: skip
