"""Price books: what is said in them, what is refused and where, and which price counts for whom and when."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.usage.prices import ITEMS, STALE_DAYS, Book, Misplaced, Place, Price, Prices, is_stale, read_prices


def test_a_price_alone_counts_for_ever() -> None:
    found = read_prices({'hour': 2, 'source': 'offer'})
    assert found.periods == (Price('', {'hour': 2.0}, 'offer'),)
    assert found.on('1970-01-01') == found.on('2999-12-31') == found.periods[0]


def test_each_day_has_the_price_of_its_period() -> None:
    found = read_prices([{'from': '2026-07-01', 'hour': 1.9}, {'from': '2026-01-01', 'hour': 2.1}])
    days = ('2025-12-31', '2026-01-01', '2026-06-30', '2026-07-01', '2030-01-01')
    assert [one.amounts['hour'] if (one := found.on(day)) else None for day in days] == [None, 2.1, 2.1, 1.9, 1.9]


@pytest.mark.parametrize(
    ('value', 'inside', 'said'),
    [
        (3, (), 'a number, not a mapping'),
        ([], (), 'no price'),
        ([{'hour': 1}, 7], (1,), 'a number'),
        ({}, (), 'price of nothing'),
        ({'source': 'x'}, (), 'price of nothing'),
        ({'hours': 1}, (), 'did you mean hour?'),
        ({'hour': -1}, ('hour',), 'no number from 0 on'),
        ({'hour': True}, ('hour',), 'no number from 0 on'),
        ({'hour': 1e9}, ('hour',), 'no number from 0 on'),
        ({'hour': 'two'}, ('hour',), 'no number from 0 on'),
        ([{'hour': 1, 'from': '2026-02-31'}], (0, 'from'), 'no day'),
        ({'hour': 1, 'checked': 'today'}, ('checked',), 'no day'),
        ({'hour': 1, 'source': 'a\nb'}, ('source',), 'one line'),
        ({'hour': 1, 'currency': 'euro'}, ('currency',), 'three capital letters'),
        ({'hour': 1, 'kwh': 0.3}, (), 'no watts'),
        ({'cpus': 8}, (), 'price of nothing'),
        ({'hour': 1, 'memory': 'much'}, ('memory',), 'no size'),
        ({'hour': 1, 'gpu_memory': '0B'}, ('gpu_memory',), 'no size'),
        ({'hour': 1, 'cpus': True}, ('cpus',), 'no number'),
        ([{'hour': 1}, {'hour': 2}], (1,), 'two prices'),
        ([{'hour': 1, 'from': '2026-01-01'}, {'hour': 2, 'from': '2026-01-01'}], (1,), 'two prices from 2026-01-01'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(value: Any, inside: tuple[Any, ...], said: str) -> None:
    with pytest.raises(Misplaced) as caught:
        read_prices(value)
    assert caught.value.inside == inside
    assert said in str(caught.value)


def test_what_is_read_is_what_was_said() -> None:
    sizes = {'cpus': 8, 'memory': 1 << 30, 'gpus': 1, 'gpu_memory': 2 << 30, 'gpu': 'NVIDIA L4'}
    texts = {'source': 's', 'checked': '2026-05-01', 'currency': 'EUR'}
    said = [{'from': '2026-01-01', **dict.fromkeys(ITEMS, 1.5), **sizes, **texts}]
    assert read_prices(said).to_json() == said


BOOK = Book(
    {
        'gpu1': read_prices({'hour': 2, 'from': '2026-01-01'}),
        'bare': read_prices({'cpu_hour': 0.01}),
        'here': read_prices({'hour': 0.1}),
        'laptop': read_prices({'hour': 0.2}),
        'NVIDIA L4': read_prices({'gpu_hour': 0.8, 'hour': 7, 'from': '2026-03-01'}),
        'Other': read_prices({'gpu_hour': 0.8, 'currency': 'EUR'}),
    },
)


@pytest.mark.parametrize(
    ('place', 'day', 'names'),
    [
        (Place('vm', 'gpu1'), '2026-05-01', ('gpu1',)),
        (Place('vm', 'gpu1'), '2025-05-01', None),  # before the first: nobody knows
        (Place('vm', 'gpu2'), '2026-05-01', None),  # another machine is never `here`
        (Place('vm'), '2026-05-01', ('here',)),
        (Place('laptop'), '2026-05-01', ('laptop',)),
        (Place('vm', 'gpu1', 1, 'NVIDIA L4'), '2026-05-01', ('gpu1',)),  # an hour of the machine has its GPUs in it
        (Place('vm', 'gpu2', 1, 'NVIDIA L4'), '2026-05-01', ('NVIDIA L4',)),
        (Place('vm', 'bare', 1, 'NVIDIA L4'), '2026-05-01', ('bare', 'NVIDIA L4')),
        (Place('vm', 'bare', 1, 'NVIDIA L4'), '2026-02-01', ('bare',)),
        (Place('vm', 'bare', 0, 'NVIDIA L4'), '2026-05-01', ('bare',)),
        (Place('vm', 'bare', 1, 'Other'), '2026-05-01', ('bare', 'Other')),  # of another currency: it counts in that
    ],
)
def test_which_entries_count(place: Place, day: str, names: tuple[str, ...] | None) -> None:
    rate = BOOK.rate(place, day)
    assert (rate.names if rate else None) == names


def test_what_the_machine_says_comes_before_what_its_gpu_says() -> None:
    rate = BOOK.rate(Place('vm', 'bare', 1, 'NVIDIA L4'), '2026-05-01')
    assert rate is not None
    assert dict(rate.amounts) == {'gpu_hour': 0.8, 'hour': 7.0, 'cpu_hour': 0.01}
    assert (set(rate.currencies.values()), rate.as_of, rate.lacking) == ({'USD'}, '2026-03-01', '')
    other = BOOK.rate(Place('vm', 'bare', 1, 'Other'), '2026-05-01')
    assert other is not None and dict(other.currencies) == {'cpu_hour': 'USD', 'gpu_hour': 'EUR'}


@pytest.mark.parametrize(
    ('price', 'gpus', 'said'),
    [
        ({'watts': 180, 'co2': 380}, 0, 'what vm cost'),  # what it draws is no money
        ({'watts': 180, 'kwh': 0.3}, 0, ''),
        ({'watts': 180, 'kwh': 0.3}, 1, 'what Unpriced cost'),
        ({'watts': 180, 'gpu_watts': 300, 'kwh': 0.3}, 1, ''),
        ({'cpu_hour': 0.01}, 2, 'what Unpriced cost'),
        ({'cpu_hour': 0.01, 'gpu_hour': 0}, 2, ''),
        ({'hour': 1}, 2, ''),  # of the whole machine
    ],
)
def test_what_nobody_priced_is_not_nothing(price: dict[str, float], gpus: int, said: str) -> None:
    rate = Book({'vm': read_prices(price)}).rate(Place('vm', '', gpus, 'Unpriced' if gpus else ''), '2026-05-01')
    assert rate is not None and rate.lacking == said


def test_a_price_that_nobody_looked_at_is_stale() -> None:
    assert is_stale(Price('', {'hour': 1.0}), '2026-11-22')
    assert not is_stale(Price('2026-11-01', {'hour': 1.0}), '2026-11-22')
    assert is_stale(Price('2026-01-01', {'hour': 1.0}), '2026-11-22')
    assert not is_stale(Price('2026-01-01', {'hour': 1.0}, checked='2026-11-01'), '2026-11-22')
    assert STALE_DAYS == 180  # as docs/howto/costs.md says


def test_an_empty_book_is_none() -> None:
    assert not Book() and Book({'here': Prices((Price('', {'hour': 1.0}),))})


def test_a_source_that_holds_a_secret_is_refused_and_not_said() -> None:
    secret = 'ghp_' + 'aB3dE5gH7jK9' * 3
    with pytest.raises(ValueError, match='GitHub token') as raised:
        read_prices({'hour': 1, 'source': f'offer {secret}'})
    assert secret not in str(raised.value)


def test_a_size_without_its_unit_is_refused() -> None:
    for size in (24, '24'):
        with pytest.raises(Misplaced, match=r'has a gpu_memory of 24 bytes, which .* \(did you mean 24GiB\?\)'):
            read_prices({'hour': 1.0, 'gpu_memory': size})


def test_watts_alone_are_no_price_of_a_gpu() -> None:
    entries = {'vm': {'cpu_hour': 0.01}, 'L4': {'gpu_watts': 300}}
    place = Place('here', 'vm', 1, 'L4')
    rates = [Book({name: read_prices(value) for name, value in {**entries, **more}.items()}).rate(place, '2026-11-20')
             for more in ({}, {'vm': {'cpu_hour': 0.01, 'kwh': 0.3, 'watts': 100}})]  # fmt: skip
    assert [rate.lacking for rate in rates if rate is not None] == ['what L4 cost', '']
