"""Costs from what is known; and nothing from what is not."""

from __future__ import annotations

import pytest

from mlops_cli.usage.cost import Cost, Work, added, costs
from mlops_cli.usage.prices import Book, Place, read_prices
from mlops_cli.usage.spending import Spent

HERE, GPU1 = Place('vm'), Place('vm', 'gpu1', 2, 'NVIDIA L4')
DAY = '2026-11-22'


def book(**prices: object) -> Book:
    return Book({name: read_prices(value) for name, value in prices.items()}, 'EUR')


def cost(work: Work, of: Book, run_seconds: float = 1e9) -> Cost:
    return costs([work], run_seconds, DAY, of)[0]


def test_each_item_counts_with_what_was_used() -> None:
    prices = book(gpu1={'hour': 1, 'gpu_hour': 10, 'cpu_hour': 100, 'gib_hour': 1000})
    found = cost(Work('train', GPU1, 1800.0, 7200.0, 3 * 2**30), prices)
    assert found.amounts == {'EUR': pytest.approx(0.5 + 2 * 0.5 * 10 + 2 * 100 + 3 * 0.5 * 1000)}
    assert (found.known, found.hours, found.gpu_hours, found.prices) == (True, 0.5, 1.0, ('gpu1',))


def test_energy_is_what_somebody_said_that_it_takes() -> None:
    found = cost(Work('train', GPU1, 3600.0), book(gpu1={'watts': 200, 'gpu_watts': 300, 'kwh': 0.5, 'co2': 400}))
    assert (found.kwh, found.co2, found.amounts) == (pytest.approx(0.8), pytest.approx(320), {'EUR': pytest.approx(0.4)})
    assert cost(Work('train', GPU1, 3600.0), book(gpu1={'hour': 1})).kwh is None


@pytest.mark.parametrize(
    ('work', 'why'),
    [
        (Work('a', Place('vm', 'gpu2'), 60.0), 'what gpu2 cost'),
        (Work('a', HERE, None), 'how long it took'),
        (Work('a', Place('vm', 'used'), 60.0, None, 1.0), 'its processor time'),
        (Work('a', Place('vm', 'used'), 60.0, 1.0, None), 'its memory'),
        (Work('a', HERE, 60.0, spent=(Spent('tokens', '', 4, None, ''),)), 'what tokens costs'),
    ],
)
def test_what_is_not_known_is_told_and_is_not_nothing(work: Work, why: str) -> None:
    found = cost(work, book(here={'hour': 1}, used={'cpu_hour': 1, 'gib_hour': 1}))
    assert (found.known, found.unknown) == (False, why)


def test_what_a_stage_spent_counts_in_its_currency_also_where_no_price_is_known() -> None:
    paid = (Spent('tokens', '', 4, 1.5, 'USD'), Spent('labels', '', None, 2.0, 'EUR'))
    assert cost(Work('a', HERE, 3600.0, spent=paid), book(here={'hour': 1})).amounts == {'USD': 1.5, 'EUR': 3.0}
    alone = cost(Work('a', HERE, 3600.0, spent=paid), Book())
    assert alone.amounts == {'USD': 1.5, 'EUR': 2.0} and not alone.known


def test_an_hour_of_a_machine_is_paid_once_by_all_that_share_it() -> None:
    four = [Work(f'train@{n}', HERE, 3600.0) for n in range(4)]
    prices = book(here={'hour': 1}, gpu1={'hour': 10})
    assert added(costs(four, 3600.0, DAY, prices)) == ({'EUR': pytest.approx(1.0)}, 0)  # all at once
    assert added(costs(four, 7200.0, DAY, prices)) == ({'EUR': pytest.approx(2.0)}, 0)  # two at once
    assert added(costs(four, 9 * 3600.0, DAY, prices)) == ({'EUR': pytest.approx(4.0)}, 0)  # and then it waited
    elsewhere = Work('big', Place('vm', 'gpu1'), 3600.0)
    assert added(costs([*four, elsewhere], 3600.0, DAY, prices)) == ({'EUR': pytest.approx(11.0)}, 0)


def test_a_gpu_of_another_currency_is_not_left_out() -> None:
    cards = {'gpu1': read_prices({'cpu_hour': 1}), 'NVIDIA L4': read_prices({'gpu_hour': 0.8, 'currency': 'USD'})}
    found = cost(Work('train', GPU1, 3600.0, 3600.0), Book(cards, 'EUR'))
    assert found.amounts == {'EUR': pytest.approx(1.0), 'USD': pytest.approx(1.6)} and found.known


def test_watts_alone_are_energy_and_no_money() -> None:
    found = cost(Work('train', HERE, 3600.0), book(here={'watts': 200, 'co2': 400}))
    assert (found.amounts, found.unknown, found.kwh, found.co2) == ({}, 'what vm cost', pytest.approx(0.2), pytest.approx(80))


def test_jobs_of_a_cluster_do_not_share_a_machine() -> None:
    four = [Work(f'train@{n}', Place('vm', 'slurm'), 3600.0) for n in range(4)]
    prices = {'slurm': read_prices({'hour': 1})}
    assert added(costs(four, 3600.0, DAY, Book(prices, 'EUR'))) == ({'EUR': pytest.approx(1.0)}, 0)  # one machine
    nodes = Book(prices, 'EUR', frozenset({'slurm'}))
    assert added(costs(four, 3600.0, DAY, nodes)) == ({'EUR': pytest.approx(4.0)}, 0)


def test_a_shared_gpu_counts_as_the_share_that_was_promised() -> None:
    quarter = Place('vm', 'gpu1', 2, 'NVIDIA L4', 0.25)
    found = cost(Work('train', quarter, 3600.0), book(gpu1={'gpu_hour': 2, 'gpu_watts': 400, 'kwh': 1}))
    assert (found.gpu_hours, found.kwh) == (0.5, pytest.approx(0.2)) and found.amounts == {'EUR': pytest.approx(1.2)}


def test_what_gpus_were_measured_to_draw_counts_before_what_somebody_said() -> None:
    prices = book(gpu1={'watts': 100, 'gpu_watts': 400, 'kwh': 1, 'co2': 100})
    found = cost(Work('train', GPU1, 3600.0, gpu_joules=1.8e6), prices)
    assert (found.kwh, found.co2) == (pytest.approx(0.6), pytest.approx(60)) and found.amounts == {'EUR': pytest.approx(0.6)}
    alone = cost(Work('train', GPU1, 3600.0, gpu_joules=1.8e6), Book())
    assert alone.kwh == pytest.approx(0.5) and not alone.known and not alone.amounts


def test_a_stage_that_an_earlier_run_began_is_paid_in_full() -> None:
    assert cost(Work('train', GPU1, 7200.0), book(gpu1={'hour': 1}), run_seconds=60.0).amounts == {'EUR': pytest.approx(2.0)}


def test_sums_say_of_how_many_not_all_is_known() -> None:
    assert added([Cost({'EUR': 1.0}), Cost({'EUR': 2.0, 'USD': 1.0}, 'x'), Cost({}, 'y')]) == ({'EUR': 3.0, 'USD': 1.0}, 2)
