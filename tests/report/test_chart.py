"""Charts of characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.experiments.plots_read import BIGGEST
from mlops_cli.report.chart import BLOCKS, MARKS, bar, bins, buckets, chart, counted, sparkline

NAN = math.nan
numbers = st.one_of(st.floats(-BIGGEST, BIGGEST), st.just(NAN))


def test_a_rising_line_rises() -> None:
    line = list(map(float, range(8)))
    assert sparkline(buckets(line, line, 8, 0.0, 7.0), 0.0, 7.0) == BLOCKS
    assert sparkline(line, 0.0, 7.0, ascii_only=True) == '_.-~=+*#'
    assert sparkline([2.0, NAN, 2.0], 2.0, 2.0) == '▅ ▅'


def test_few_points_are_joined_but_not_over_a_gap() -> None:
    assert buckets([0.0, 9.0], [0.0, 9.0], 10, 0.0, 9.0) == pytest.approx(list(range(10)))
    found = buckets([0.0, 4.0, 9.0], [0.0, NAN, 9.0], 10, 0.0, 9.0)
    assert (found[0], found[-1]) == (0.0, 9.0) and all(math.isnan(one) for one in found[1:-1])


def test_many_points_are_their_mean() -> None:
    assert buckets([0.0, 0.0, 1.0], [1.0, 3.0, 5.0], 2, 0.0, 1.0) == [2.0, 5.0]
    huge = buckets([0.0, 0.0], [1e300, 1e300], 1, 0.0, 1.0)
    assert huge == [1e300]


def test_a_line_with_both_axes() -> None:
    x = list(map(float, range(30)))
    assert chart([(x, x)], 30, 5, ascii_only=True) == [
        '   |                       ooo',
        '20 +                 oooooo',
        '   |         oooooooo',
        '   |   oooooo',
        ' 0 +ooo',
        '   +--------------------------',
        '    0                       29',
    ]


def test_several_lines_have_marks_of_their_own() -> None:
    x = list(map(float, range(30)))
    text = '\n'.join(chart([(x, x), (x, x[::-1])], 40, 8))
    assert MARKS[0] in text and MARKS[1] in text
    assert '⠤' not in text and any('\u2800' < c < '\u2900' for c in '\n'.join(chart([(x, x)], 40, 8)))


def test_ends_that_do_not_fit_beside_each_other() -> None:
    assert chart([([-2.3493594814235237e-220], [2.3493594814235237e-220])], 20, 3)[-1].strip().startswith('-2.3')


@given(
    st.lists(st.lists(st.tuples(numbers, numbers), max_size=12), max_size=3),
    st.integers(20, 90),
    st.integers(3, 15),
    st.booleans(),
    st.booleans(),
)
def test_any_points_fit_into_the_frame(
    points: list[list[tuple[float, float]]], columns: int, rows: int, joined: bool, plain: bool
) -> None:
    series = [([x for x, _ in one], [y for _, y in one]) for one in points]
    found = chart(series, columns, rows, joined=joined, ascii_only=plain)
    assert len(found) == rows + 2
    assert max(map(len, found)) <= max(columns, 32)
    assert not plain or '\n'.join(found).isascii()


def test_bars_have_eighths() -> None:
    assert [bar(share, 2) for share in (0.0, 0.01, 0.5, 0.8, 1.0, 7.0)] == ['', '▏', '█', '█▋', '██', '██']
    assert [bar(share, 4, ascii_only=True) for share in (0.0, 0.01, 0.5, 1.0)] == ['', '#', '##', '####']


def test_bins_of_whole_numbers_have_one_each() -> None:
    assert bins([1.0, 2.0, 2.0, 4.0]) == (0.5, 4.5, 4)
    assert counted([1.0, 2.0, 2.0, 4.0], 0.5, 4.5, 4) == [1, 2, 0, 1]
    assert bins([3.0, 3.0]) == (2.5, 3.5, 1) and bins([]) == (-0.5, 0.5, 1)


@given(st.lists(st.floats(-BIGGEST, BIGGEST), max_size=50))
def test_no_number_falls_beside_the_bins(some: list[float]) -> None:
    low, high, count = bins(some)
    assert sum(counted(some, low, high, count)) == len(some)
