"""What suits a need at the least price, and when a commitment pays."""

from __future__ import annotations

import pytest

from mlops_cli.usage.offers import Need, Offer, cheapest, commitment, lacking, offers, projected
from mlops_cli.usage.prices import Book, read_prices

GIB = 1 << 30
BOOK = Book(
    {
        'big': read_prices({'hour': 4, 'cpus': 32, 'memory': '128GiB', 'spot_hour': 1.5}),
        'small': read_prices([{'hour': 9}, {'from': '2026-01-01', 'hour': 0.5, 'cpus': 4, 'memory': '16GiB'}]),
        'tiny': read_prices({'hour': 0.1, 'cpus': 1, 'memory': '2GiB'}),
        'dollars': read_prices({'hour': 0.01, 'cpus': 64, 'memory': '1TiB', 'currency': 'EUR'}),
        'bare': read_prices({'hour': 0.2}),
        'used': read_prices({'cpu_hour': 0.01, 'cpus': 64}),
        'H100': read_prices({'gpu_hour': 4, 'gpu_memory': '80GiB'}),
        'L4': read_prices({'gpu_hour': 0.8, 'gpu_memory': '24GiB'}),
        'later': read_prices({'from': '2999-01-01', 'hour': 0.01, 'cpus': 64}),
    },
)  # fmt: skip
FOUND = {one.name: one for one in offers(BOOK, '2026-11-22')}


def test_only_what_has_one_price_for_an_hour_today_is_offered() -> None:
    assert set(FOUND) == {'big', 'small', 'tiny', 'dollars', 'bare', 'H100', 'L4'}
    assert (FOUND['small'].hour, FOUND['big'].spot, FOUND['L4'].of_gpu, FOUND['big'].of_gpu) == (0.5, 1.5, True, False)
    assert offers(BOOK, '2026-11-22', {'bare': {'cpus': 2.0}})[0].name == 'H100'
    seen = {one.name: one.sizes for one in offers(BOOK, '2026-11-22', {'bare': {'cpus': 2.0}, 'tiny': {'cpus': 99.0}})}
    assert seen['bare'] == {'cpus': 2.0} and seen['tiny']['cpus'] == 1  # what the book says comes first


@pytest.mark.parametrize(
    ('cpus', 'memory', 'name'),
    [
        (0.8, 1.0, 'tiny'),
        (0.81, 1.0, 'small'),  # to 80 % at most
        (0.5, 1.9, 'small'),  # a fifth is to stay free
        (3.2, 13.0, 'small'),
        (3.3, 13.0, 'big'),
        (30.0, 13.0, None),
    ],
)
def test_the_cheapest_that_fits(cpus: float, memory: float, name: str | None) -> None:
    best = cheapest(FOUND.values(), Need(cpus, memory * GIB), 'USD', of_gpu=False)
    assert (best.name if best else None) == name


def test_what_nobody_measured_fits_nowhere() -> None:
    assert lacking(FOUND['big'], Need(1.0, None)) == 'nobody measured its memory'
    assert lacking(FOUND['bare'], Need(1.0, 1.0)) == 'nobody says how many cpus it has'
    assert lacking(FOUND['big'], Need(1.0, 1.0, 1, 1.0)) == 'nobody says how many gpus it has'
    assert lacking(FOUND['L4'], Need(99.0, None, 1, 24.0 * GIB)) == 'too small (gpu_memory)'
    assert not lacking(FOUND['L4'], Need(99.0, None, 1, 19.0 * GIB))  # of a GPU only its memory counts


def test_kinds_of_gpu_are_compared_with_each_other() -> None:
    best = cheapest(FOUND.values(), Need(8.0, None, 2, 10.0 * GIB), 'USD', of_gpu=True)
    assert best is FOUND['L4'] and projected(best, Need(8.0, 1.0, 2, 12.0 * GIB)) == {'gpu_memory': 0.5}
    assert projected(FOUND['small'], Need(2.0, 4.0 * GIB)) == {'cpus': 0.5, 'memory': 0.25}


@pytest.mark.parametrize(('hours', 'pays'), [(100.0, False), (599.0, False), (601.0, True), (1000.0, True), (3000.0, True)])
def test_a_commitment_pays_from_its_share_of_the_time_on(hours: float, pays: bool) -> None:
    found = commitment(Offer('x', 'USD', 1.0, committed=0.6), hours, 1000.0)
    assert found is not None and found.pays is pays and found.pays_from == 0.6
    assert found.instead == pytest.approx(600.0 + max(0.0, hours - 1000.0)) and found.paid == hours
    assert commitment(Offer('x', 'USD', 1.0), hours, 1000.0) is None
