"""What a few values say about their mean: against published quantiles, and by how often it is right about samples."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from mlops_cli.checks import resampling
from mlops_cli.checks.resampling import Several, above, below, lower, mean, median, std, t_quantile, upper

# Fisher and Yates (1963), Statistical Tables, table III
QUANTILES = [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 4, 2.776), (0.95, 5, 2.015), (0.995, 10, 3.169), (0.975, 30, 2.042),
             (0.95, 120, 1.658), (0.5, 7, 0.0)]  # fmt: skip


@pytest.mark.parametrize(('share', 'freedom', 'expected'), QUANTILES)
def test_quantiles_of_students_t(share: float, freedom: int, expected: float) -> None:
    assert t_quantile(share, freedom) == pytest.approx(expected, abs=5e-4)
    assert t_quantile(1 - share, freedom) == pytest.approx(-expected, abs=5e-4)


def test_what_is_plain() -> None:
    assert (mean([1, 2, 6]), median([1, 2, 6])) == (3, 2)
    assert std([1, 2, 6]) == pytest.approx(7**0.5)
    assert lower([2, 2, 2]) == upper([2, 2, 2]) == 2


@pytest.mark.parametrize(('count', 'least'), [(3, 0.9), (5, 0.9), (12, 0.88)])
def test_an_interval_holds_the_mean_about_as_often_as_it_says(
    count: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, 'RESAMPLES', 400)
    monkeypatch.setattr(resampling, 'FEWEST', 400)
    chance = random.Random(count)
    held = 0
    for _ in range(150):
        values = [chance.gauss(5, 2) for _ in range(count)]
        held += lower(values) < 5 < upper(values)
    assert least <= held / 150 <= 0.995


def test_chance_alone_seldom_puts_one_above_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, 'RESAMPLES', 400)
    monkeypatch.setattr(resampling, 'FEWEST', 400)
    chance = random.Random(3)
    said = 0
    for _ in range(200):
        one, other = ([chance.gauss(0.9, 0.01) for _ in range(5)] for _ in range(2))
        said += above(one, other)
    assert said / 200 <= 0.09


def test_a_real_difference_is_seen() -> None:
    new, old = [0.93, 0.94, 0.92, 0.935, 0.93], [0.90, 0.91, 0.905, 0.90, 0.895]
    assert above(new, old) and below(old, new) and not above(old, new) and not below(new, old)
    assert above(new, 0.92) and not above(new, 0.93) and above(0.95, new) and below(0.9, new)
    assert above(new, old, 0.99)


def test_the_same_seeds_are_compared_in_pairs() -> None:
    """Seeds that differ much hide what each of them gained."""
    old = Several([0.5, 0.6, 0.7, 0.8, 0.9], 'abcde')
    new = Several([0.91, 0.81, 0.712, 0.611, 0.51], 'edcba')
    assert above(new, old)
    assert not above([*new], [*old])
    assert not above(Several([*new], 'vwxyz'), old)


def test_it_says_the_same_each_time() -> None:
    chance = random.Random(1)
    values = [chance.random() for _ in range(40)]
    assert lower(values) == lower(list(values)) and lower(values) < mean(values) < upper(values)
    assert lower(values, 0.99) < lower(values, 0.9)


def test_many_values_do_not_take_long() -> None:
    """A file of metrics may hold a list of hundreds of thousands."""
    chance = random.Random(1)
    values = [chance.random() for _ in range(300_000)]
    began = time.process_time()
    assert lower(values) < mean(values) < upper(values) and not above(values, values[::-1]) and above(values, [0.1, 0.2, 0.3])
    assert std(values) == pytest.approx(12**-0.5, rel=0.01)
    assert time.process_time() - began < 5
    drawn = lower(values[:2_000])
    assert lower(values[:2_001]) == pytest.approx(drawn, abs=2e-3)  # both ways say the same


@pytest.mark.parametrize('wrong', [
    lambda: mean(0.5), lambda: mean([]), lambda: std([1]), lambda: lower([1]), lambda: mean(['a']), lambda: mean([True, 1]),
    lambda: above(1, 2), lambda: above([1, 2], 'x'), lambda: above([1, 2], True), lambda: lower([1, 2], 1),
    lambda: above([1, 2], 0, 0), lambda: above([1, 2], 0, 1.5),
    lambda: upper([1, 2], 0.9999999999999999), lambda: above([1, 2], 0, True),
    lambda: lower([1, 2], 95), lambda: above([1, 2], [3]), lambda: upper([1, 2], '0.9'),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r'need|list|number|confidence|spread|said'):
        wrong()


def test_values_that_are_all_the_same_are_no_more_than_they_are() -> None:
    """Their sum is rounded: a 21st of 21 times some number is another number."""
    chance = random.Random(0)
    for _ in range(300):
        value, count = chance.random(), chance.randrange(2, 60)
        same = [value] * count
        assert mean(same) == value and std(same) == 0
        assert not above(same, value) and not below(same, value) and not above(same, [value] * 7)
    assert above([0.9] * 3, 0.8) and below([0.9] * 3, [0.95] * 2)


def test_a_high_confidence_reaches_as_far_as_it_says() -> None:
    """No one of 10,000 samples lies as far out as one in a million does; Student's t of 19 degrees says where that is."""
    chance = random.Random(2)
    values = [chance.gauss(0, 1) for _ in range(20)]
    error = std(values) / 20**0.5
    assert lower(values, 0.99998) <= mean(values) + t_quantile(0.00001, 19) * error + 1e-9
    assert upper(values, 0.99998) >= mean(values) - t_quantile(0.00001, 19) * error - 1e-9
    other = [chance.gauss(0, 1) - 4.4 * error for _ in range(20)]
    assert above(values, other) and not above(values, other, 0.999999)
