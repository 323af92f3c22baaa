"""What an attempt consumed over time: never more rows than there may be, never less of what only grows, read back strictly."""
from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.usage.series import COLUMNS, HEAD, MOST, Series, decode

figures = st.tuples(st.floats(0, 10), st.floats(-1, 10), st.integers(0, 1 << 40), st.none() | st.integers(0, 1 << 50),
                    st.none() | st.integers(0, 1 << 50))


@given(st.lists(figures, max_size=40))
def test_there_and_back(looks: list[tuple[float, float, int, int | None, int | None]]) -> None:
    series, now = Series(), 0.0
    for pause, cpu, *rest in looks:
        now += pause
        series.add(now, max(0.0, cpu), *rest)
    found = decode(series.encode())
    assert found == [list(row) for row in series.rows] and len(found) == len(looks)
    for column in (0, 1, 3, 4):
        values = [row[column] for row in found if row[column] is not None]
        assert values == sorted(values), COLUMNS[column]


@pytest.mark.parametrize('looks', [1, MOST, MOST + 1, 10 * MOST, 100_000])
def test_a_long_attempt_is_spread_evenly(looks: int) -> None:
    series = Series()
    for second in range(looks):
        series.add(second, 2.0 * second, second, None, None)
    series.add(looks - 0.5, 2.0 * looks, None, None, None, last=True)
    times = [row[0] for row in series.rows]
    assert len(times) <= MOST + 1 and times[0] == 0 and times[-1] == looks - 0.5
    pauses = {after - before for before, after in pairwise(times[:-1])}
    assert len(pauses) <= 1 and len(times) > min(looks, MOST // 2 - 2)
    assert series.rows[-1][2] >= series.rows[-2][2], 'nobody looked at its memory at the end'
    assert len(series.encode()) < 100_000


@pytest.mark.parametrize('data', [
    b'', b'mlops usage-v2\n', HEAD + b'[1,2,3]\n', HEAD + b'[1,2,null,4,5]\n', HEAD + b'{}\n', HEAD + b'[1,2,3,4,"5"]\n',
    HEAD + b'[1,2,3,4,-5]\n', HEAD + b'[2,2,3,4,5]\n[1,2,3,4,5]\n', HEAD + b'[1,2,3,4,1e999]\n',
    HEAD + b'[1,2,3,4,1%b]\n' % (b'0' * 400), HEAD + b'[1,2,1e308,4,5]\n', HEAD + b'[1,true,3,4,5]\n',
    HEAD + b'[1,2,3,4,5',
])  # fmt: skip
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert decode(HEAD + b'[1,2,3,4,5,6]\n') == [[1, 2, 3, 4, 5]]
