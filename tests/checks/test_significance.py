"""p values and indices, against another library."""

from __future__ import annotations

import math
import random

import pytest

from mlops_cli.checks import significance


@pytest.fixture(scope='module', autouse=True)
def _scipy() -> None:
    pytest.importorskip('scipy')


@pytest.mark.parametrize(('n', 'm'), [(1, 4), (5, 7), (30, 30), (100, 37), (999, 1000), (600, 400), (2000, 10), (10_000, 50)])
@pytest.mark.parametrize('shift', [0.0, 0.1, 0.5, 3.0])
def test_kolmogorov_and_smirnov(n: int, m: int, shift: float) -> None:
    from scipy.stats import ks_2samp

    chance = random.Random(n * m)
    wanted = ks_2samp([chance.gauss(0, 1) for _ in range(n)], [chance.gauss(shift, 1) for _ in range(m)])
    assert significance.ks_p(float(wanted.statistic), n, m) == pytest.approx(wanted.pvalue, abs=1e-9)


@pytest.mark.parametrize('n', [1, 2, 3, 10, 50, 140, 141, 200, 1000, 5000, 20_000, 20_001])
def test_more_rows_than_are_counted_exactly(n: int) -> None:
    """As of one sample: scipy's own words for two large ones."""
    from scipy.stats import kstwo

    for z in (0.3, 0.5, 0.7, 0.9, 1.2, 1.45, 1.5, 1.7, 2.0, 2.5, 3.0, 5.0):
        if (d := z / math.sqrt(n)) < 1:
            assert significance.one_sample(d, n) == pytest.approx(float(kstwo.sf(d, n)), abs=1e-9), z


def test_chi_square_and_its_tail() -> None:
    from scipy.stats import chi2, chi2_contingency

    chance = random.Random(5)
    for size in (2, 3, 12, 101):
        before, now = ([chance.randrange(1, 300) for _ in range(size)] for _ in range(2))
        wanted = chi2_contingency([before, now], correction=False)
        mine = significance.chi_square([*before, 0], [*now, 0])
        assert mine == pytest.approx((wanted.statistic, wanted.dof, wanted.pvalue), abs=1e-9)
    for freedom in (1, 2, 3, 50, 101):
        for statistic in (0.0, 1e-3, 1.0, 20.0, 300.0, 5000.0):
            assert significance.chi_square_above(statistic, freedom) == pytest.approx(chi2.sf(statistic, freedom), abs=1e-12)


def test_the_index_and_the_correction() -> None:
    by_hand = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.25 - 0.5) * math.log(0.25 / 0.5) + 0.0
    assert significance.psi([25, 50, 25, 0], [50, 25, 25, 0]) == pytest.approx(by_hand, abs=1e-12)
    assert significance.psi([10, 0], [5, 5]) == pytest.approx(
        (0.5 - 1) * math.log(0.5) + (0.5 - significance.FLOOR) * math.log(0.5 / significance.FLOOR), abs=1e-12
    )
    assert significance.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert significance.holm([]) == [] and significance.ks_p(0.0, 3, 3) == 1.0 == significance.ks_p(0.5, 0, 3)
