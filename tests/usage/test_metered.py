"""What cards did is added up as physics says, whatever they leave out; and put beside what processes consumed."""
from __future__ import annotations

import itertools

import pytest

from mlops_cli.usage import gpu
from mlops_cli.usage.gpu import Look
from mlops_cli.usage.metered import Meter, Tally
from mlops_cli.usage.series import COLUMNS, MOST, SIZE_LIMIT, Series, cards, decode, with_gpus


def tally(*looks: tuple[float, Look], **how: bool) -> Tally:
    """Of one card."""
    found = Tally(['GPU-0'])
    for at, look in looks:
        found.add(at, [look], **how)
    return found


def test_by_its_counter() -> None:
    found = tally((0, Look(0.0, 5, 100.0, 1000.0)), (1, Look(1.0, 9, 300.0, 1200.0)), (3, Look(0.5, 7, 100.0, 1500.0)))
    assert found.figures() == {'gpus': 1, 'gpu_seconds': 2.0, 'gpu_memory_peak_bytes': 9, 'gpu_energy_joules': 500.0}
    assert found.rows == [(0, (0.0, 5, 100.0, 0.0)), (1, (1.0, 9, 300.0, 200.0)), (3, (0.5, 7, 100.0, 500.0))]


def test_by_its_power_where_it_has_no_counter() -> None:
    found = Tally(['GPU-0'])
    for at, watts in ((0.0, 100.0), (0.2, 100.0), (0.4, 200.0), (1.0, 200.0)):
        found.add(at, [Look(None, None, watts, None)], power_alone=0 < at < 1)
    assert found.lacks_counter
    assert found.figures() == pytest.approx({'gpus': 1, 'gpu_energy_joules': 170.0, 'gpu_energy_estimated_joules': 170.0})
    assert [at for at, _ in found.rows] == [0.0, 1.0]


def test_a_card_that_is_lost_for_a_while_and_one_whose_driver_began_anew() -> None:
    whole, nothing = Look(1.0, 5, 100.0, 1000.0), Look()
    found = tally((0, whole), (1, nothing), (2, nothing), (3, Look(1.0, 5, 100.0, 1300.0)))
    assert found.figures() == {'gpus': 1, 'gpu_seconds': 3.0, 'gpu_memory_peak_bytes': 5, 'gpu_energy_joules': 300.0}
    assert found.rows[1] == (1, (None, None, None, 0.0))
    found = tally((0, whole), (1, Look(1.0, 5, 100.0, 3.0)), (2, Look(1.0, 5, 100.0, 103.0)))
    assert found.figures()['gpu_energy_joules'] == 200.0 and found.figures()['gpu_energy_estimated_joules'] == 100.0


def test_what_nobody_told_is_not_there() -> None:
    assert tally((0, Look()), (1, Look())).figures() == {} == tally((0, Look(watts=3.0))).figures()
    assert tally((1, Look(busy=0.5))).figures() == {'gpus': 1, 'gpu_seconds': 0.5}


def test_of_several_cards_the_sum() -> None:
    found = Tally(['GPU-0', 'GPU-1'])
    for at in (0.0, 1.0):
        found.add(at, [Look(0.5, 5, 100.0, 100.0 * at), Look(1.0, 7, 50.0, None)])
    assert found.figures() == {'gpus': 2, 'gpu_seconds': 1.5, 'gpu_memory_peak_bytes': 12, 'gpu_energy_joules': 150.0,
                               'gpu_energy_estimated_joules': 50.0}


def test_a_long_attempt_has_no_more_rows_than_any() -> None:
    found = Tally(['GPU-0'])
    for at in range(10_000):
        found.add(float(at), [Look(1.0, 1, 1.0, float(at))])
    found.add(10_000.0, [Look(1.0, 1, 1.0, 10_000.0)], last=True)
    times = [at for at, _ in found.rows]
    assert MOST / 2 < len(times) <= MOST and (times[0], times[-1]) == (0.0, 10_000.0)
    assert len({after - before for before, after in itertools.pairwise(times[:-1])}) == 1
    assert found.joules == 10_000.0


def series(*times: float) -> bytes:
    made = Series()
    for at in times:
        made.add(at, at, 1, 0, 0)
    return made.encode()


def test_beside_what_processes_consumed() -> None:
    looks = [(at, (at / 10, int(at), 100.0, 100.0 * at, None, None, None, None)) for at in (0.0, 1.0, 2.0, 3.0)]
    rows = decode(with_gpus(series(0.5, 1.6, 4.0), looks))
    assert [row[:5] for row in rows] == [[0.5, 0.5, 1, 0, 0], [1.6, 1.6, 1, 0, 0], [4.0, 4.0, 1, 0, 0]]
    assert [row[5:9] for row in rows] == [[0.0, 0, 100.0, 50.0], [0.2, 2, 100.0, 160.0], [0.3, 3, 100.0, 300.0]]
    assert all(row[9:] == [None] * 4 for row in rows) and cards(rows) == 2
    assert with_gpus(series(0.5), []) == series(0.5) and with_gpus(with_gpus(series(0.5), looks), looks) == with_gpus(
        series(0.5), looks)
    assert decode(with_gpus(series(0.5, 1.5), looks[:1]))[1][5:9] == [0.0, 0, 100.0, 0.0]
    with pytest.raises(ValueError, match='not of the format'):
        with_gpus(b'x', looks)


def test_of_many_cards_as_much_as_may_be_read() -> None:
    looks = [(float(at), (0.57, 80 << 30, 412.25, 123456.7) * 16) for at in range(MOST)]
    made = with_gpus(series(*map(float, range(MOST))), looks)
    assert len(made) <= SIZE_LIMIT and cards(decode(made)) == 16 and decode(made)[-1][0] == MOST - 1


def test_rows_of_more_and_of_fewer_columns_than_are_known() -> None:
    head = series(0.5)
    assert decode(head + b'[1.5,1,1,0,0,0.5]\n')[1] == [1.5, 1, 1, 0, 0]
    mixed = decode(series() + b'[0.5,1,1,0,0,0.5,1,1,1,7]\n[1.5,1,1,0,0,0.5,1,1,2]\n')
    assert [len(row) for row in mixed] == [len(COLUMNS) + 4] * 2 and cards([]) == 0


def test_without_a_driver_there_is_nothing_to_wait_for() -> None:
    def absent() -> gpu.Nvml:
        raise gpu.Absent('not here')

    meter = Meter(absent)
    meter.begin('a', ['GPU-0'])
    found = meter.end('a')
    assert found is not None and found.figures() == {} and meter.end('a') is None
    meter.close()
