"""What an attempt consumed over time: never more rows than there may be, never less of what only grows, read back strictly."""
from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.usage.series import (
    COLUMNS,
    HEAD,
    MOST,
    NETWORK_COLUMNS,
    Series,
    cards,
    decode,
    network_at,
    side_by_side,
    with_gpus,
)

count = st.integers(0, 1 << 50)
figures = st.tuples(st.floats(0, 10), st.floats(-1, 10), st.integers(0, 1 << 40), st.none() | count, st.none() | count,
                    st.none() | st.tuples(count, count))


@given(st.lists(figures, max_size=40))
def test_there_and_back(looks: list[tuple[float, float, int, int | None, int | None, tuple[int, int] | None]]) -> None:
    series, now = Series(), 0.0
    for pause, cpu, *rest in looks:
        now += pause
        series.add(now, max(0.0, cpu), *rest)
    found = decode(series.encode())
    told = any(any(look[-1] or ()) for look in looks)
    assert found == [list(row if told else row[: len(COLUMNS)]) for row in series.rows] and len(found) == len(looks)
    assert network_at(found) == (len(COLUMNS) if told else None)
    for column in (0, 1, 3, 4, *((5, 6) if told else ())):
        values = [row[column] for row in found if row[column] is not None]
        assert values == sorted(values), column


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


def test_gpus_and_the_network_are_told_apart() -> None:
    """Of three stages: two with the network, one of them and the third with GPUs; each keeps what it tells."""
    quiet, moving = HEAD + b'[1,2,3,4,5]\n[2,2,3,4,5]\n', HEAD + b'[1,2,3,4,5,0,0]\n[2,2,3,4,5,700,70]\n'
    looks = [(1.0, [0.5, 10, 90.0, 0.0] * 2), (2.0, [0.5, 10, 90.0, 90.0] * 2)]
    both, gpus, network = decode(with_gpus(moving, looks)), decode(with_gpus(quiet, looks)), decode(moving)
    assert [cards(rows) for rows in (both, gpus, network)] == [2, 2, 0]
    assert [network_at(rows) for rows in (both, gpus, network)] == [13, None, 5]
    assert both[1][13:] == network[1][5:] == [700, 70] and both[1][:13] == gpus[1]
    names, (one, two, three) = side_by_side([both, gpus, network])
    assert names[-2:] == list(NETWORK_COLUMNS) and len(names) == 15 and names[5] == 'gpu_0_busy'
    assert one == [list(row) for row in both] and two == [list(row) for row in gpus]
    assert [row[5:] for row in three] == [[*[None] * 8, 0, 0], [*[None] * 8, 700, 70]]
    assert side_by_side([gpus[:1]])[0][-1] == 'gpu_1_joules' and side_by_side([]) == (list(COLUMNS), [])
