"""Price lists of others: which rows become entries, and what becomes of those that were there."""

from __future__ import annotations

import pytest

from mlops_cli.usage.catalogue import NoCatalogue, chosen, merged, names, read_catalogue
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
