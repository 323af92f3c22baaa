"""Price lists of others: which rows become entries, and what becomes of those that were there."""

from __future__ import annotations

import pytest

from mlops_cli.usage.catalogue import NoCatalogue, chosen, filled, merged, names, read_catalogue
from mlops_cli.usage.prices import read_prices

HEAD = (
    'instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,'
    'provider_data\n'
)
GPUHUNT = HEAD + """\
big.8,east,40.5,96,1024.0,8,H100,80.0,False,,nvidia,,x86,{}
big.8,east,12.5,96,1024.0,8,H100,80.0,True,,nvidia,,x86,{}
big.8,east,12.0,96,1024.0,8,H100,80.0,True,,nvidia,,x86,"{""zone"": ""b""}"
big.8,west,44.0,96,1024.0,8,H100,80.0,False,,nvidia,,x86,{}
small,east,0.5,4,16.0,0,,,False,100.0,,,x86,{}
broken,east,much,4,16.0,0,,,False,,,,x86,{}
negative,east,-1,4,16.0,0,,,False,,,,x86,{}
"""  # fmt: skip
TODAY = '2026-11-22'


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_a_catalogue_of_gpuhunt() -> None:
    found = read_catalogue(lines(GPUHUNT), 'aws.csv', TODAY)
    assert [(one.type, one.location) for one in found.listed] == [('big.8', 'east'), ('big.8', 'west'), ('small', 'east')]
    assert found.listed[0].price == {
        'from': TODAY, 'hour': 40.5, 'spot_hour': 12.0, 'cpus': 96.0, 'memory': '1024GiB', 'gpus': 8, 'gpu': 'H100',
        'gpu_memory': '80GiB', 'source': 'aws.csv, east', 'checked': TODAY, 'currency': 'USD',
    }  # fmt: skip
    assert [line for line, _ in found.wrong] == [7, 8]
    for one in found.listed:
        read_prices(dict(one.price))


def test_our_own_columns_with_storage() -> None:
    text = 'name,hour,gb_month,cpus,currency,from\nvm,0.5,,4,EUR,2026-01-01\nbucket,,0.023,,,\n,1,,,,\nbad,1,,,euro,\n'
    found = read_catalogue(lines(text), 'prices.csv', TODAY)
    assert [one.type for one in found.listed] == ['vm', 'bucket'] and [line for line, _ in found.wrong] == [4, 5]
    assert found.listed[0].price == {
        'from': '2026-01-01', 'source': 'prices.csv', 'checked': TODAY, 'hour': 0.5, 'cpus': 4.0, 'currency': 'EUR',
    }  # fmt: skip
    assert found.listed[1].price['gb_month'] == 0.023


@pytest.mark.parametrize('text', ['', 'a,b\n1,2\n', 'name,colour\nx,red\n', '{"json": 1}', '\0\0\n'])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(NoCatalogue):
        read_catalogue(lines(text), 'x.csv', TODAY)


def test_what_is_taken_and_what_it_is_called() -> None:
    found = read_catalogue(lines(GPUHUNT), 'aws.csv', TODAY).listed
    assert set(names(found)) == {'big.8 east', 'big.8 west', 'small'}
    assert set(names(chosen(found, ['big*'], ['west', 'north']))) == {'big.8'}
    assert not chosen(found, ['Big*'], [])


def test_earlier_prices_stay() -> None:
    before = read_prices([{'hour': 3}, {'from': '2026-06-01', 'hour': 2}]).periods
    rows, how = merged(before, {'from': TODAY, 'hour': 1.0})
    assert how == 'changed' and rows == [{'hour': 3.0}, {'from': '2026-06-01', 'hour': 2.0}, {'from': TODAY, 'hour': 1.0}]
    rows, how = merged(before, {'from': TODAY, 'hour': 2.0, 'checked': TODAY})
    assert how == 'checked' and rows == [{'hour': 3.0}, {'from': '2026-06-01', 'hour': 2.0, 'checked': TODAY}]
    rows, how = merged(before, {'from': '2026-01-01', 'hour': 2.5})  # of a day in between
    assert [row.get('from', '') for row in rows] == ['', '2026-01-01', '2026-06-01']
    assert merged((), {'from': TODAY, 'hour': 1.0}) == ([{'from': TODAY, 'hour': 1.0}], 'new')
    assert merged(before, {'from': '2026-06-01', 'hour': 9.0})[0][-1] == {'from': '2026-06-01', 'hour': 9.0}
    assert merged(before, {'from': TODAY, 'hour': 2.0, 'currency': 'EUR'})[1] == 'changed'


@pytest.mark.parametrize('count', ['9' * 400, '1e400', '-1', 'nan', ''])
def test_a_row_with_a_number_that_is_none_is_left_out(count: str) -> None:
    head = 'instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot\n'
    found = read_catalogue([head, f'a,b,1,1,1,{count},g,1,true\n'], 'aws.csv', TODAY)
    assert not found.listed and [line for line, _ in found.wrong] == [2]


def test_gpus_that_can_be_added_are_offers_of_their_own() -> None:
    text = HEAD + (
        'n1,east,0.38,8,30,0,,,False,,,,x86,{}\nn1,east,0.73,8,30,1,T4,16,False,,,,x86,{}\n'
        'n1,east,5.38,8,30,4,V100,16,False,,,,x86,{}\nn1,east,1.2,8,30,4,V100,16,True,,,,x86,{}\n'
        'a2,east,3,8,30,1,A100,40,False,,,,x86,{}\na2,east,4,8,30,1,A100,80,False,,,,x86,{}\n'
    )
    found = read_catalogue(lines(text), 'gcp.csv', TODAY).listed
    assert {one.type: (one.price['hour'], one.price.get('gpu')) for one in found} == {
        'n1': (0.38, None), 'n1 1xT4': (0.73, 'T4'), 'n1 4xV100': (5.38, 'V100'),
        'a2 1xA100 40GiB': (3.0, 'A100'), 'a2 1xA100 80GiB': (4.0, 'A100'),
    }  # fmt: skip
    assert next(one for one in found if one.type == 'n1 4xV100').price['spot_hour'] == 1.2


def test_several_prices_of_one_name_are_all_taken() -> None:
    text = 'name,hour,from\nvm,1.9,2026-01-01\nvm,2.1,2026-07-01\nvm,3,2026-07-01\n'
    found = read_catalogue(lines(text), 'own.csv', TODAY)
    assert [line for line, _ in found.wrong] == [4] and 'second price' in found.wrong[0][1]
    ((name, many),) = names(found.listed).items()
    assert name == 'vm' and [one.price['hour'] for one in many] == [1.9, 2.1]


def test_what_a_list_does_not_say_is_kept() -> None:
    before = read_prices({'hour': 40.5, 'watts': 700, 'kwh': 0.3, 'co2': 0.4, 'committed_hour': 30, 'currency': 'USD'}).periods
    price, left = filled(before, {'from': TODAY, 'hour': 40.5, 'currency': 'USD', 'checked': TODAY}, 'USD')
    assert not left and merged(before, price)[1] == 'checked'
    assert {price[name] for name in ('watts', 'kwh', 'co2', 'committed_hour')} == {700.0, 0.3, 0.4, 30.0}
    price, left = filled(before, {'from': TODAY, 'hour': 38.0, 'currency': 'EUR'}, 'USD')
    assert set(left) == {'kwh', 'committed_hour'} and price['watts'] == 700.0 and price['co2'] == 0.4 and 'kwh' not in price
    plain = read_prices({'hour': 1, 'kwh': 1, 'watts': 1}).periods
    assert filled(plain, {'hour': 1.0, 'currency': 'USD'}, 'EUR')[1] == ('kwh',)
    apart = read_prices({'cpu_hour': 0.1, 'gpu_hour': 1, 'watts': 5}).periods
    assert filled(apart, {'hour': 3.0}, 'USD')[0] == {'hour': 3.0, 'watts': 5.0}  # else it would be counted twice
    assert filled((), {'hour': 3.0}, 'USD') == ({'hour': 3.0}, ())


@pytest.mark.parametrize('location', ['ea\nst', 'ea\x1b[31mst'])
def test_a_location_that_is_no_line_is_left_out(location: str) -> None:
    found = read_catalogue(lines(HEAD + f'a,"{location}",1,1,1,0,,,False,,,,x86,{{}}\n'), 'x.csv', TODAY)
    assert not found.listed and 'a location that is no line' in found.wrong[0][1]
