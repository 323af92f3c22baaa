"""Where numbers stand on an axis, and how they are written there."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.experiments.plots_read import BIGGEST
from mlops_cli.report.scale import extent, figure, scale, tick_labels

drawable = st.floats(-BIGGEST, BIGGEST)


@pytest.mark.parametrize(
    ('numbers', 'labels'),
    [
        ((0.0, 1.0), ('0.0', '0.2', '0.4', '0.6', '0.8', '1.0')),
        ((0.93, 0.9812), ('0.92', '0.94', '0.96', '0.98', '1.00')),
        ((0.0, 123_456.0), ('0', '25k', '50k', '75k', '100k', '125k')),
        ((0.0, 3e6), ('0', '1M', '2M', '3M')),
        ((-1.0, 1.0), ('-1.0', '-0.5', '0.0', '0.5', '1.0')),
        ((1e-12, 3e-12), ('1e-12', '1.5e-12', '2e-12', '2.5e-12', '3e-12')),
        ((2.0, 2.0000001), ('2.00000000', '2.00000002', '2.00000004', '2.00000006', '2.00000008', '2.00000010')),
    ],
)
def test_round_ticks_with_as_few_digits_as_tell_them_apart(numbers: tuple[float, float], labels: tuple[str, ...]) -> None:
    assert scale(numbers).labels == labels


@pytest.mark.parametrize('numbers', [(5.0, 5.0), (0.0,), (), (math.nan, math.inf * 0), (1e-310, 2e-310), (-1e300, 1e300)])
def test_strange_ranges_have_a_scale(numbers: tuple[float, ...]) -> None:
    found = scale(numbers)
    assert found.low < found.high and found.ticks and math.isfinite(found.high - found.low)


@given(st.lists(drawable, max_size=5), st.booleans(), st.booleans(), st.integers(2, 9))
def test_any_numbers_lie_inside(numbers: list[float], zero: bool, tight: bool, count: int) -> None:
    found = scale(numbers, count, zero=zero, tight=tight)
    assert found.low < found.high and 0 < len(found.ticks) <= 3 * count + 3
    room = 1e-9
    assert all(-room <= found.place(number) <= 1 + room for number in [*numbers, *found.ticks])
    assert all(one < two for one, two in pairwise(found.ticks))
    assert not zero or found.low <= 0.0 <= found.high
    assert len(found.labels) == len(found.ticks) and all(found.labels)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6))
def test_extent_passes_over_what_is_no_number(numbers: list[float]) -> None:
    known = [number for number in numbers if not math.isnan(number)]
    assert extent(numbers) == ((min(known), max(known)) if known else None)


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (0.0, '0'),
        (12.0, '12'),
        (1234567.0, '1,234,567'),
        (0.98333, '0.9833'),
        (1e-5, '1e-5'),
        (3e21, '3e21'),
        (math.nan, 'NaN'),
    ],
)
def test_numbers_beside_a_chart(number: float, text: str) -> None:
    assert figure(number) == text


def test_no_ticks_no_labels() -> None:
    assert tick_labels(()) == ()
