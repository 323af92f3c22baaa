"""``mlops cost``: prices as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

PRICES = """\
currency: EUR
hosts: {gpu1: {url: "ssh://ada@gpu1.example.org"}, gpu2: {url: "ssh://ada@gpu2.example.org"}}
prices:
  gpu1:
    - {from: 2020-01-01, hour: 2.10, source: "offer 4711"}
    - {from: 2021-01-01, hour: 1.90, checked: 2022-01-01}
    - {from: 2999-01-01, hour: 1.00}
  NVIDIA L4: {gpu_hour: 0.80, currency: USD}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'p')
    found.write('pipeline.yaml', 'stages: {a: {cmd: "echo > out", outs: [out]}}\n')
    return found


def test_without_prices_it_says_how_to_have_some(project: Project) -> None:
    assert project.mlops('cost', 'prices').out.startswith('No prices: ')
    assert project.mlops('cost', 'prices', '--json').json == {
        'schema': 'mlops/cost-prices/v1', 'currency': 'USD', 'rows': [], 'unpriced': [],
    }  # fmt: skip


def test_what_counts_today_and_what_nobody_looked_at(project: Project) -> None:
    project.write('.mlops/config.yaml', PRICES)
    out = project.mlops('cost', 'prices').out
    assert '1.9 EUR an hour' in out and '0.8 USD a GPU hour' in out and '2.1 EUR' not in out
    assert 'gpu1: since 2022-01-01 nobody has said that this is the price' in out
    assert 'and 2 that count no more, or not yet' in out and 'nobody says what gpu2 costs' in out
    whole = project.mlops('cost', 'prices', '-v').out
    assert '2.1 EUR an hour' in whole and 'offer 4711' in whole and '2999-01-01' in whole
    found = project.mlops('cost', 'prices', '--json').json
    assert [(row['name'], row['from'], row['counts'], row['stale']) for row in found['rows']] == [
        ('NVIDIA L4', None, True, True),
        ('gpu1', '2020-01-01', False, True),
        ('gpu1', '2021-01-01', True, True),
        ('gpu1', '2999-01-01', False, False),
    ]
    assert found['unpriced'] == ['gpu2'] and found['rows'][0]['line'] == 8


def test_a_wrong_price_is_told_by_every_command_with_its_place(project: Project) -> None:
    project.write('.mlops/config.yaml', 'prices:\n  gpu1: [{from: 2026-01-01, hours: 2}]\n')
    for words in (('cost', 'prices'), ('run',), ('config', 'list')):
        said = project.mlops(*words, code=2)
        assert '.mlops/config.yaml:2:10' in said.out + said.err and 'did you mean hour?' in said.out + said.err


def test_settings_show_and_change_prices(project: Project) -> None:
    project.mlops('config', 'set', '--project', 'prices.gpu1.example.org', '{hour: 2, from: 2026-01-01}')
    assert project.mlops('config', 'get', 'prices.gpu1.example.org').out == '2 an hour from 2026-01-01\n'
    found = project.mlops('config', 'get', 'prices.gpu1.example.org', '--json').json
    assert found['value'] == [{'from': '2026-01-01', 'hour': 2.0}]
    project.mlops('config', 'set', '--project', 'prices.gpu1.example.org', '--unset')
    assert 'prices' not in project.mlops('config', 'list').out


def test_prices_make_nothing_out_of_date(project: Project) -> None:
    project.mlops('run')
    project.write('.mlops/config.yaml', PRICES)
    assert project.mlops('status', '--exit-code').code == 0
