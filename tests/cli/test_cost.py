"""``mlops cost``: prices as they are written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from jsonschema import validate

from mlops_cli.cli.screens import run_lines
from mlops_cli.fsio.paths import Root
from mlops_cli.run.replay import Follower
from tests.cli.contract import SCHEMAS
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


# What runs cost

SAY = 'printf "{\\"item\\": \\"tokens\\", \\"amount\\": 0.25, \\"currency\\": \\"USD\\"}\\n" >> "$MLOPS_COST"'
PIPELINE = f"""\
stages:
  prepare: {{cmd: 'sleep 0.5; {SAY}; echo > table', outs: [table]}}
  train:
    matrix: {{seed: [1, 2]}}
    cmd: 'sleep 0.5; echo ${{item.seed}} > m${{item.seed}}'
    deps: [table]
    outs: ['m${{item.seed}}']
"""


@pytest.fixture
def paid(project: Project) -> Project:
    """A second here costs one euro."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('.mlops/config.yaml', 'currency: EUR\nprices: {here: {hour: 3600}}\n')
    return project


def test_a_run_says_what_it_cost(paid: Project) -> None:
    said = paid.mlops('run', '-j', '2').out
    found = re.search(r'Cost ([\d.]+) EUR, 0\.25 USD\.', said)
    assert found and float(found[1]) >= 1.0
    whole = paid.mlops('runs', 'show', '--json').json
    assert whole['cost']['unknown'] == 0 and whole['cost']['amounts']['USD'] == 0.25
    run = paid.mlops('runs', 'list', '--json').json['rows'][0]
    assert run['cost'] == whole['cost']['amounts']['EUR'] <= whole['seconds'] + 0.01  # two at once, and one machine
    assert float(found[1]) == pytest.approx(run['cost'], abs=0.01)
    assert (run['currency'], run['cost_known']) == ('EUR', False)  # some of it was paid in dollars
    parts = [one['cost']['amounts']['EUR'] for one in whole['stages']]
    assert sum(parts) == pytest.approx(run['cost'], abs=1e-5) and len(parts) == 3
    table = paid.mlops('runs', 'show').out
    assert '0.25 USD' in table and 'COST' in table


def test_the_document_of_a_run_says_it_too(paid: Project) -> None:
    found = paid.mlops('run', '--json').json
    costs = {one['name']: one['cost'] for one in found['stages']}
    assert costs['prepare']['known'] and costs['prepare']['prices'] == ['here'] and costs['prepare']['amounts']['USD'] == 0.25
    assert found['cost']['amounts']['EUR'] == pytest.approx(sum(one['amounts']['EUR'] for one in costs.values()), abs=1e-5)


def test_where_nobody_says_what_anything_costs_nothing_is_said(project: Project) -> None:
    assert 'Cost' not in project.mlops('run').out
    assert 'cost' not in project.mlops('runs', 'show').out.lower()
    found = project.mlops('runs', 'show', '--json').json
    assert found['cost'] == {} and found['stages'][0]['cost'] == {}
    assert 'cost' not in project.mlops('runs', 'list', '--json').json['rows'][0]


def test_what_has_no_price_is_unknown(paid: Project) -> None:
    paid.write('.mlops/config.yaml', 'prices: {elsewhere: {hour: 1}}\n')
    assert 'Cost 0.25 USD and what is not known of 3 stages.' in paid.mlops('run').out
    out = paid.mlops('cost').out
    assert re.search(r'note: nobody says what \S+ cost \(3 stages\): mlops cost prices tells', out) and '?' in out
    rows = {row['stage']: row for row in paid.mlops('cost', 'report', '--json').json['rows']}
    assert rows['train']['amount'] is None and rows['train']['unknown'] == 2
    paid.write('.mlops/config.yaml', 'prices: {here: {hour: 3600}}\n')  # and once somebody says it, it counts
    assert 'nobody says' not in paid.mlops('cost').out


def test_a_report_adds_up(paid: Project) -> None:
    paid.mlops('run')
    for path in ('table', 'm1'):
        (paid.path / path).unlink()
    paid.mlops('run')  # restores both
    found = paid.mlops('cost', 'report', '--json').json
    rows = {(row['stage'], row['currency']): row for row in found['rows']}
    assert set(rows) == {('prepare', 'EUR'), ('prepare', 'USD'), ('train', 'EUR')}
    assert (rows['train', 'EUR']['stages'], rows['train', 'EUR']['restored']) == (2, 1)
    assert rows['prepare', 'USD']['amount'] == rows['prepare', 'USD']['saved_amount'] == 0.25
    total = {row['currency']: row for row in found['total']}
    for name in ('amount', 'stages', 'seconds', 'saved_amount', 'saved_seconds', 'restored'):
        assert total['EUR'][name] == pytest.approx(sum(row[name] for key, row in rows.items() if key[1] == 'EUR'), abs=1e-5)
    text = paid.mlops('cost', 'report', '--csv').out
    assert [row['stage'] for row in csv.DictReader(text.splitlines())] == [row['stage'] for row in found['rows']]
    assert 'The cache spared 2 stages' in paid.mlops('cost').out
    paid.mlops('cost', 'report', '--html', 'seen/c.html', '--svg', 'seen')
    assert 'The cache spared 2 stages' in paid.read('seen/c.html') and '<td>train</td>' in paid.read('seen/c.html')
    assert {path.name for path in (paid.path / 'seen').iterdir()} == {
        'c.html', 'cost-eur-by-stage.svg', 'cost-usd-by-stage.svg',
    }  # fmt: skip
    paid.mlops('cost', 'report', '--html', 'x.html', '--csv', code=2)
    for by in ('run', 'branch', 'user', 'month', 'host'):
        assert paid.mlops('cost', 'report', '--by', by, '--json').json['rows'][0][by] is not None
    assert paid.mlops('cost', 'report', '--since', '2999-01-01').out == 'Nothing ran.\n'
    assert paid.mlops('cost', 'report', '--since', 'x', code=2)


def test_a_damaged_record_is_told_and_the_rest_counts(paid: Project) -> None:
    paid.mlops('run')
    paid.write('.mlops/runs/2026-01/20260101T000000Z-00000000.json', '{')
    said = paid.mlops('cost')
    assert 'is left out' in said.err and 'train' in said.out


def test_who_follows_a_run_is_told_what_it_cost(paid: Project) -> None:
    said = paid.mlops('run').out
    (file,) = (paid.path / '.mlops/runs').rglob('*.json')
    with Root(str(paid.path)) as root, Follower(root, file.stem) as follower:
        list(follower.poll())
    assert follower.report is not None
    cost = re.search('Cost .*', said)
    assert cost and run_lines.summary(follower.report).endswith(cost[0])


# What a run will cost


def test_a_plan_says_what_it_will_cost_as_a_range(paid: Project) -> None:
    first = paid.mlops('plan').out
    assert 'Cost unknown, as the time is.' in first
    none = paid.mlops('plan', '--json').json
    assert none['stages'][0]['estimate']['cost'] is None and none['cost']['high'] == {}
    for _ in range(3):
        paid.mlops('run', '--force', '-j', '1')
    found = paid.mlops('plan', '--force', '-j', '1', '--json').json
    cost = found['cost']
    assert cost['low']['EUR'] < cost['typical']['EUR'] < cost['high']['EUR'] and cost['unknown'] == []
    assert cost['low']['USD'] == cost['high']['USD'] == 0.25
    train = next(one['estimate'] for one in found['stages'] if one['name'] == 'train@1')
    assert train['cost'] == pytest.approx(train['seconds'], abs=1e-5) and train['currency'] == 'EUR'  # a euro a second
    assert train['cost_low'] < train['cost'] < train['cost_high']
    true = [row['cost'] for row in paid.mlops('runs', 'list', '--json').json['rows']]
    assert all(cost['low']['EUR'] <= one <= cost['high']['EUR'] for one in true)
    for words in (('plan', '--force'), ('run', '--force', '-n')):
        assert re.search(r'Cost [\d.]+ to [\d.]+ EUR and about 0\.25 USD\.', paid.mlops(*words).out)
    assert 'Cost' not in paid.mlops('plan').out  # nothing is to run


def test_a_plan_on_a_host_has_the_prices_of_the_host(paid: Project) -> None:
    paid.mlops('run')
    text = """\
hosts: {gpu1: {url: "ssh://ada@gpu1.example.org"}}
prices: {gpu1: {hour: 36000}, here: {hour: 3600}}
"""
    paid.write('.mlops/config.yaml', text)
    usual = paid.mlops('run', '--force', '-n', '--json').json['cost']['high']['USD']
    there = paid.mlops('run', '--force', '-n', '--json', '--host', 'gpu1').json['cost']['high']['USD']
    assert there == pytest.approx(10 * (usual - 0.25) + 0.25)
    paid.write('.mlops/config.yaml', 'hosts: {gpu1: {url: "ssh://ada@gpu1.example.org"}}\nprices: {here: {hour: 3600}}\n')
    out = paid.mlops('run', '--force', '-n', '--host', 'gpu1').out
    assert 'Cost about 0.25 USD, and what is not known.' in out and 'Nobody says what gpu1 cost (' in out


def test_without_prices_a_plan_says_nothing_of_costs(project: Project) -> None:
    project.mlops('run')
    assert 'Cost' not in project.mlops('plan', '--force').out
    found = project.mlops('plan', '--force', '--json').json
    assert 'cost' not in found and found['stages'][0]['estimate']['cost'] is None


# Budgets


def budget(project: Project, **limits: float) -> None:
    text = ', '.join(f'{name}: {limit}' for name, limit in limits.items())
    project.write('.mlops/config.yaml', f'currency: EUR\nprices: {{here: {{hour: 3600}}}}\nbudgets: {{{text}}}\n')


def test_a_run_that_would_cost_too_much_is_refused(paid: Project) -> None:
    paid.mlops('run', '-j', '1')
    budget(paid, run=1)
    said = paid.mlops('run', '--force', '-j', '1', code=5).err
    assert re.search(r'expected to cost 1\.\d\d EUR \([\d.]+ to [\d.]+\), and the budget of a run is 1\.00 EUR', said)
    assert '--over-budget' in said and not re.search('  done ', said)
    plan = paid.mlops('plan', '--force', '-j', '1', code=5)
    assert 'mlops run would refuse' in ' '.join(plan.out.split()) and 'train@' in plan.out
    found = paid.mlops('run', '--force', '-n', '--json', code=5).json
    assert len(found['over_budget']) == 1 and found['budgets'][0]['limit'] == 1
    assert paid.mlops('run', '--force', '-n', '--over-budget', '--json').json['over_budget'] == []
    paid.mlops('run', '--force', '-j', '1', '--over-budget')
    assert len([*(paid.path / '.mlops/runs').rglob('*.json')]) == 2
    paid.mlops('run')  # nothing to do costs nothing


def test_what_was_spent_in_the_month_counts(paid: Project) -> None:
    paid.mlops('run', '-j', '1')
    old = sorted((paid.path / '.mlops/runs').rglob('*.json'))[0]
    text = old.read_text().replace(old.stem, f'20200101T000000Z-{old.stem[-8:]}')
    text = re.sub(r'"started":"[^"]*"', '"started":"2020-01-01T00:00:00Z"', text)
    paid.write(f'.mlops/runs/2020-01/20200101T000000Z-{old.stem[-8:]}.json', text)  # of another month: it does not count
    budget(paid, month=100)
    spent = paid.mlops('plan', '--force', '--json').json['budgets'][0]['spent']
    true = paid.mlops('cost', 'report', '--by', 'month', '--json').json['rows']
    assert spent == pytest.approx(true[-1]['amount'] if true[-1]['currency'] == 'EUR' else true[-2]['amount'])
    assert re.search(r'Budget of the month [\d-]+: [12]\.\d\d of 100\.00 EUR are gone\.', paid.mlops('plan', '--force').out)
    budget(paid, month=spent + 0.5)
    assert 'are gone, and the budget of the month' in paid.mlops('run', '--force', '-j', '1', code=5).err


def test_a_branch_has_its_own_budget(paid: Project) -> None:
    paid.init_git()
    paid.mlops('run', '-j', '1')
    paid.commit('one')
    budget(paid, branch=2)
    assert 'the budget of the branch' in paid.mlops('run', '--force', '-j', '1', code=5).err
    paid.git('checkout', '-q', '-b', 'other')
    paid.mlops('run', '--force', '-j', '1')


def test_a_run_ends_before_the_next_stage_once_it_is_over(paid: Project) -> None:
    budget(paid, run=0.3)
    said = paid.mlops('run', '-j', '1', code=5)  # nobody knows what it will cost: there is no history
    assert 'stopped before the next stage: 0.5' in said.err and 'the budget of a run is 0.30 EUR' in said.err
    whole = paid.mlops('runs', 'show', '--json').json
    assert [one['state'] for one in whole['stages']] == ['done', 'skipped', 'skipped']
    assert paid.exists('table') and not paid.exists('m1')
    found = paid.mlops('run', '--force', '--json', '-j', '1', code=5).json
    assert found['message'].startswith('this run is expected to cost')  # by now there is a history
    paid.mlops('run', '--over-budget')
    assert paid.exists('m1') and len([*(paid.path / '.mlops/runs').rglob('*.json')]) == 2


def test_a_budget_without_prices_holds_what_stages_spend(paid: Project) -> None:
    paid.write('.mlops/config.yaml', 'budgets: {run: 0.2}\n')
    found = paid.mlops('run', '-j', '1', '--json', code=5).json
    assert '0.25 USD are gone' in found['refused'] and found['ended'] == 'failed'
    paid.write('.mlops/config.yaml', 'budgets: {run: 0.3}\n')
    paid.mlops('run')


@pytest.mark.parametrize('limits', ['{week: 3}', '{run: -1}', '{run: much}', '3'])
def test_a_budget_that_is_none_is_told(paid: Project, limits: str) -> None:
    paid.write('.mlops/config.yaml', f'budgets: {limits}\n')
    said = paid.mlops('run', code=2)
    assert '.mlops/config.yaml:1:' in said.err


# Prices out of a list

CATALOGUE = """\
instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot
big.8,east,40.5,96,1024.0,8,H100,80.0,False
big.8,east,12.5,96,1024.0,8,H100,80.0,True
big.8,west,44.0,96,1024.0,8,H100,80.0,False
"x{hour: 1}",east,1,4,16.0,0,,,False
"""


def test_prices_are_taken_out_of_a_list(project: Project) -> None:
    project.write('.mlops/config.yaml', '# ours\njobs: 2  # few\nprices:\n  gpu1: {from: 2020-01-01, hour: 9}  # an offer\n')
    project.write('aws.csv', CATALOGUE)
    words = ('cost', 'prices', '--import', 'aws.csv', '--type', 'big.8', '--location', 'east', '--as', 'gpu1')
    before = project.read('.mlops/config.yaml')
    assert 'would write' in project.mlops(*words, '-n').out and project.read('.mlops/config.yaml') == before
    said = project.mlops(*words).out
    assert 'changed  gpu1  40.5 USD an hour, 12.5 USD a spot hour' in said and 'wrote  .mlops/config.yaml, 1 price' in said
    text = project.read('.mlops/config.yaml')
    assert '# ours' in text and 'jobs: 2  # few' in text
    rows = project.mlops('cost', 'prices', '--json').json['rows']
    assert [(row['hour'], row['counts'], row['gpus'], row['gpu']) for row in rows] == [
        (9.0, False, None, None), (40.5, True, 8, 'H100'),
    ]  # fmt: skip
    project.environ['COLUMNS'] = '200'
    assert 'has 96 processors, 1.1 TB and 8 H100 with 86 GB' in ' '.join(project.mlops('cost', 'prices').out.split())
    again = project.mlops(*words, '--json').json
    validate(again, json.loads((SCHEMAS / 'cost-prices-import.v1.json').read_text()))
    assert [row['how'] for row in again['rows']] == ['checked']
    validate(project.mlops('cost', 'prices', '--json').json, json.loads((SCHEMAS / 'cost-prices.v1.json').read_text()))
    all_of_them = project.mlops('cost', 'prices', '--import', 'aws.csv', '--json').json
    assert [row['name'] for row in all_of_them['rows']] == ['big.8 east', 'big.8 west', 'x{hour: 1}']
    assert len(project.mlops('cost', 'prices', '--json').json['rows']) == 5


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--import', 'none.csv'), 'cannot be read'),
        (('--import', 'aws.csv', '--type', 'p*'), 'nothing in aws.csv fits'),
        (('--import', 'aws.csv', '--as', 'gpu1'), '--as names one, and 3 fit'),
        (('--import', 'aws.csv', '--type', 'x*', '--as', ' '), 'is no name'),
        (('--import', 'pipeline.yaml'), 'has neither the columns'),
        (('--import', 'bad.zip'), 'damaged archive'),
        (('--import', 'torn.zip'), 'damaged archive'),
        (('--import', '/dev/zero'), 'no regular file'),
        (('--type', 'x'), 'are of --import'),
    ],
)
def test_what_cannot_be_taken_changes_nothing(project: Project, words: tuple[str, ...], said: str) -> None:
    project.write('aws.csv', CATALOGUE)
    project.write('bad.zip', 'PK\x03\x04nonsense')
    project.write('torn.zip', _torn())
    assert said in project.mlops('cost', 'prices', *words, code=2).err
    assert not project.exists('.mlops/config.yaml')


def _torn() -> bytes:
    """An archive whose content is not what its own way of packing makes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('aws.csv', CATALOGUE)
    at = 30 + len('aws.csv')  # behind its header
    return made.getvalue()[:at] + b'\xff' * 20 + made.getvalue()[at + 20:]


# Bills

BILL_HEAD = (
    'line_item_unblended_cost,line_item_usage_start_date,line_item_usage_end_date,line_item_currency_code,'
    'resource_tags_user_mlops'
)


@pytest.fixture
def billed(project: Project) -> Project:
    """One run of an hour on gpu1, and a bill of two hours of it and of something else."""
    project.mlops('run', '-q')
    (file,) = (project.path / '.mlops/runs').rglob('*.json')
    document = json.loads(file.read_text())
    document |= {'id': f'20261001T000000Z-{file.stem[-8:]}', 'started': '2026-10-01T00:00:00Z', 'seconds': 5400.0}
    document['host'] = 'gpu1'
    document['stages'][0][4] = 5400.0
    file.unlink()
    project.write(f'.mlops/runs/2026-10/{document["id"]}.json', json.dumps(document))
    project.write('.mlops/config.yaml', 'prices: {gpu1: {hour: 2}}\n')
    rows = ['4,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,USD,gpu1', '4,2026-10-01T01:00:00Z,2026-10-01T02:00:00Z,USD,gpu1',
            '4,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,USD,', 'much,2026-10-01T00:00:00Z,,USD,']  # fmt: skip
    project.write('bill.csv', '\n'.join([BILL_HEAD, *rows]) + '\n')
    return project


def test_a_bill_whose_packing_is_damaged(billed: Project) -> None:
    packed = gzip.compress((billed.path / 'bill.csv').read_bytes() * 100, mtime=0)
    billed.write('bill.csv.gz', packed[:30] + b'\xff' * 40 + packed[70:])
    assert 'no CSV that can be read' in billed.mlops('cost', 'report', '--bill', 'bill.csv.gz', code=2).err
    assert 'no regular file' in billed.mlops('cost', 'report', '--bill', '/dev/zero', code=2).err


def test_a_bill_is_held_against_the_runs(billed: Project) -> None:
    said = billed.mlops('cost', 'report', '--bill', 'bill.csv')
    assert 'row 4 is left out' in said.err and re.search(r'runs +6\.00 USD +50%', said.out)
    assert re.search(r'gpu1 +1 +6\.00 +3\.00 +2\.00', said.out)
    found = billed.mlops('cost', 'report', '--bill', 'bill.csv', '--by', 'run', '--json').json
    validate(found, json.loads((SCHEMAS / 'cost-bill.v1.json').read_text()))
    assert found['currencies'] == [
        {'currency': 'USD', 'total': 12.0, 'runs': 6.0, 'idle': 2.0, 'other': 4.0, 'share': 0.5},
    ]  # fmt: skip
    assert (found['rows'][0]['billed'], found['rows'][0]['priced'], found['left_out']) == (6.0, 3.0, 1)
    none = billed.mlops('cost', 'report', '--bill', 'bill.csv', '--tag', 'team', '--json').json
    assert none['currencies'][0]['other'] == 12.0
    later = billed.mlops('cost', 'report', '--bill', 'bill.csv', '--since', '2026-10-01T01:00Z', '--json').json
    assert later['currencies'][0]['total'] == 4.0


def test_bills_that_are_packed_or_parquet_are_the_same(billed: Project) -> None:
    import gzip

    import duckdb

    plain = billed.mlops('cost', 'report', '--bill', 'bill.csv', '--json').json
    (billed.path / 'bill.csv.gz').write_bytes(gzip.compress(billed.read('bill.csv').encode()))
    billed.write('good.csv', '\n'.join(billed.read('bill.csv').splitlines()[:-1]) + '\n')
    source, target = billed.path / 'good.csv', billed.path / 'bill.parquet'
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (FORMAT parquet)")
    for name in ('bill.csv.gz', 'bill.parquet'):
        found = billed.mlops('cost', 'report', '--bill', name, '--json').json
        assert found['currencies'] == plain['currencies'] and found['rows'] == plain['rows']


@pytest.mark.parametrize(
    ('words', 'code'),
    [(('--bill', 'none.csv'), 2), (('--bill', 'pipeline.yaml'), 2), (('--tag', 'x'), 2),
     (('--bill', 'bill.csv', '--by', 'model'), 2),
     (('--bill', 'bill.csv', '--csv'), 2), (('--bill', 'bad.gz'), 2), (('--bill', 'bad.parquet'), 2)],
)  # fmt: skip
def test_what_is_no_bill(project: Project, words: tuple[str, ...], code: int) -> None:
    project.write('bill.csv', BILL_HEAD + '\n')
    (project.path / 'bad.gz').write_bytes(b'\x1f\x8bnonsense')
    (project.path / 'bad.parquet').write_bytes(b'PAR1nonsense')
    assert project.mlops('cost', 'report', *words, code=code).err.startswith('error:')
