"""Costs of many runs: nothing twice, nothing lost, and what is not known is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.clock import from_iso, iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.experiments.ledger import BY, ledger
from mlops_cli.records.accounts import Account
from mlops_cli.records.costs import spent_by
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.usage.prices import Book, read_prices
from mlops_cli.usage.spending import Spent

BOOK = Book({'vm': read_prices([{'from': '2026-01-01', 'hour': 3.6}, {'from': '2026-06-01', 'hour': 7.2}]),
             'gpu1': read_prices({'gpu_hour': 36})}, 'EUR')  # fmt: skip
KEY = digest_of(b'key')


def run(day: str, *stages: StageRun, number: int = 0, **more: object) -> Run:
    at = from_iso(f'{day}T10:00:00Z') + number
    seconds = sum(one.seconds for one in stages)
    found = Run(run_id(at, bytes([number] * 8)), iso(at), seconds, 'done', stages, who='ada', host='vm', branch='main')
    return replace(found, **more)  # type: ignore[arg-type]


def done(name: str, seconds: float, outs8: str = '0123abcd') -> StageRun:
    return StageRun(name, 'done', KEY, outs8, seconds, 0)


def test_an_old_run_keeps_the_price_of_its_day() -> None:
    found = ledger([run(day, done('a', 1000.0)) for day in ('2025-12-31', '2026-01-01', '2026-07-01')], BOOK, 'month')
    assert {name: row.amounts for name, row in found.rows.items()} == {
        '2025-12': {}, '2026-01': {'EUR': pytest.approx(1.0)}, '2026-07': {'EUR': pytest.approx(2.0)},
    }  # fmt: skip
    assert (found.total.stages, found.total.unknown, found.why) == (3, 1, {'what vm cost': 1})
    assert [row.name for row in found.sorted('month', 'EUR')] == ['2025-12', '2026-01', '2026-07']


def test_what_is_added_up_is_what_was_asked() -> None:
    account = Account({1: ('gpu1', 2, 'L4')}, {}, {0: (Spent('tokens', '', None, 0.5, 'USD'),)})
    one = run('2026-02-01', done('train@1', 1000.0), done('train@2', 500.0), account=account)
    two = run('2026-02-02', done('test', 10.0), who='ben', branch='other', number=1)
    names = {by: set(ledger([one, two], BOOK, by).rows) for by in BY}
    assert names == {
        'stage': {'train', 'test'}, 'run': {one.short, two.short}, 'branch': {'main', 'other'}, 'user': {'ada', 'ben'},
        'month': {'2026-02'}, 'host': {'vm', 'gpu1'},
    }  # fmt: skip
    train = ledger([one, two], BOOK, 'stage').rows['train']
    assert train.amounts == {'EUR': pytest.approx(1.0 + 2 * 500 / 3600 * 36), 'USD': 0.5}
    assert (train.stages, len(train.runs), train.gpu_hours) == (2, 1, pytest.approx(1000 / 3600))


def test_the_cache_spared_what_its_result_once_took() -> None:
    first = run('2026-02-01', done('a', 1000.0))
    again = run('2026-02-03', StageRun('a', 'restored', KEY, '0123abcd', 0.0), number=1)
    other = run('2026-02-04', StageRun('a', 'restored', KEY, 'ffffffff', 0.0), number=2)  # of a clone that is not ours
    found = ledger([other, again, first], BOOK, 'stage', since=from_iso('2026-02-02T00:00:00Z'))
    assert (found.total.stages, found.total.restored, found.total.lost) == (0, 2, 1)
    assert (found.total.saved_seconds, found.total.saved) == (1000.0, {'EUR': pytest.approx(1.0)})


def test_since_and_until_choose_runs() -> None:
    runs = [run(f'2026-02-0{day}', done('a', 100.0), number=day) for day in range(1, 6)]
    found = ledger(runs, BOOK, 'stage', from_iso('2026-02-02T00:00:00Z'), from_iso('2026-02-04T00:00:00Z'))
    assert found.total.stages == 2


def test_a_killed_run_costs_what_is_known_of_it() -> None:
    killed = run('2026-02-01', done('a', 1000.0), done('b', 1000.0), StageRun('c', 'interrupted', None, '', 0.0))
    killed = replace(killed, ended='killed', seconds=0.0)
    found = ledger([killed], BOOK, 'stage')
    assert found.total.amounts == {'EUR': pytest.approx(2.0)} and found.why == {'how long it took': 1}


stage_runs = st.tuples(st.integers(1, 28), st.sampled_from('abc'), st.floats(0, 1e5), st.sampled_from(['vm', 'x']))


@given(st.lists(stage_runs, max_size=8), st.sampled_from(sorted(BY)))
def test_rows_add_up_to_the_total(rows: list[tuple[int, str, float, str]], by: str) -> None:
    runs = [run(f'2026-02-{day:02}', done(name, seconds), number=number, host=host)
            for number, (day, name, seconds, host) in enumerate(rows)]  # fmt: skip
    found = ledger(runs, BOOK, by)
    assert sum(row.stages for row in found.rows.values()) == found.total.stages == len(rows)
    assert sum(row.unknown for row in found.rows.values()) == found.total.unknown == sum(found.why.values())
    assert sum(row.amounts.get('EUR', 0.0) for row in found.rows.values()) == pytest.approx(found.total.amounts.get('EUR', 0.0))
    amounts, unknown = spent_by(runs, BOOK, lambda _: True)
    assert unknown == found.total.unknown and amounts == pytest.approx(found.total.amounts)
