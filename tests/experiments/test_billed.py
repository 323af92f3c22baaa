"""Bills beside runs: nothing is explained twice, and the parts are the whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.clock import from_iso, iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.experiments.billed import BY, billed
from mlops_cli.records.accounts import Account
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.usage.bills import BillLine, format_of, moment
from mlops_cli.usage.prices import Book, read_prices

BOOK = Book({'gpu1': read_prices({'hour': 2}), 'JOBS': read_prices({'unit': 0.5})}, 'USD')
T0 = from_iso('2026-10-01T00:00:00Z')
HOUR = 3600.0
AWS = {'lineItem/UnblendedCost': '2.5', 'lineItem/UsageStartDate': '2026-10-01T00:00:00Z', 'lineItem/CurrencyCode': 'USD',
       'lineItem/UsageEndDate': '2026-10-01T01:00:00Z', 'lineItem/ResourceId': 'arn:aws:ec2:x:1:instance/i-1',
       'resourceTags/user:Team': 'a', 'resourceTags/user:mlops': 'gpu1', 'lineItem/ProductCode': 'AmazonEC2'}  # fmt: skip


def run(hour: float, hours: float, host: str = 'gpu1', number: int = 0, **more: object) -> Run:
    at = T0 + hour * HOUR
    stage = StageRun('a', 'done', digest_of(b'key'), '0123abcd', hours * HOUR, 0)
    found = Run(run_id(at, bytes([number] * 8)), iso(at), hours * HOUR, 'done', (stage,), who='ada', host=host, branch='main')
    return replace(found, **more)  # type: ignore[arg-type]


def line(hour: float, amount: float, *names: str, hours: float = 1.0, currency: str = 'USD') -> BillLine:
    return BillLine(T0 + hour * HOUR, T0 + (hour + hours) * HOUR, names, amount, currency)


def read(row: dict[str, object], *keys: str) -> BillLine | None:
    known = format_of(list(row))
    assert known is not None
    return known.line({name: value for name, value in row.items() if name in known.columns}, keys)


def test_lines_of_aws_in_each_of_its_forms() -> None:
    one = read(AWS, 'mlops', 'team')  # type: ignore[arg-type]
    assert one == BillLine(T0, T0 + HOUR, ('gpu1', 'a', 'i-1'), 2.5, 'USD')
    two = {'line_item_unblended_cost': 2.5, 'line_item_usage_start_date': '2026-10-01 00:00:00.000 UTC', 'resource_tags':
           json.dumps({'user_mlops': 'gpu1', 'user_team': 'a'}), 'line_item_usage_end_date': '2026-10-01 01:00:00',
           'line_item_resource_id': 'i-1', 'line_item_currency_code': 'USD'}  # fmt: skip
    assert read(two, 'mlops', 'team') == one  # type: ignore[arg-type]
    assert read({**AWS, 'lineItem/UnblendedCost': ''}) is None  # type: ignore[dict-item]
    for wrong in ({'lineItem/UnblendedCost': 'nan'}, {'lineItem/CurrencyCode': 'euro'}, {'lineItem/UsageStartDate': 'then'}):
        with pytest.raises(ValueError):
            read({**AWS, **wrong})  # type: ignore[dict-item]


def test_lines_of_databricks() -> None:
    row = {'usage_start_time': '2026-10-01T00:00:00Z', 'usage_end_time': '2026-10-01T02:00:00Z', 'sku_name': 'JOBS',
           'usage_quantity': '4', 'custom_tags': '{"mlops": "gpu1"}', 'usage_metadata': '{"cluster_id": "c-1"}'}  # fmt: skip
    assert read(row, 'mlops') == BillLine(T0, T0 + 2 * HOUR, ('gpu1', 'c-1'), None, 'USD', 4.0, 'JOBS')  # type: ignore[arg-type]
    older = {'timestamp': '2026-10-01T00:00:00.000Z', 'sku': 'JOBS', 'dbus': '4', 'clusterName': 'gpu1',
             'clusterCustomTags': '{"mlops":"x"}'}  # fmt: skip
    assert read(older, 'mlops') == BillLine(T0, T0 + HOUR, ('x', 'gpu1'), None, 'USD', 4.0, 'JOBS')  # type: ignore[arg-type]
    found = billed([read(row, 'mlops')], [run(0, 1)], BOOK, 'host')  # type: ignore[arg-type, list-item]
    assert found.total == {'USD': 2.0} and found.runs == {'USD': 1.0} and not found.unpriced
    assert billed([read({**row, 'sku_name': 'SQL'}, 'mlops')], [], BOOK, 'host').unpriced == {'SQL': 1}  # type: ignore[arg-type, list-item, dict-item]


def test_no_other_table_is_a_bill() -> None:
    assert format_of(['a', 'b']) is None and format_of([]) is None and format_of(['sku', 'dbus']) is None


def test_a_machine_is_explained_as_long_as_runs_were_on_it() -> None:
    found = billed([line(0, 4.0, 'gpu1'), line(1, 4.0, 'gpu1'), line(2, 4.0, 'gpu1')], [run(0, 1.5)], BOOK, 'host')
    assert (found.runs, found.idle, found.other) == ({'USD': 6.0}, {'USD': 6.0}, {})
    row = found.rows['gpu1']
    assert (row.billed, row.idle, row.hours, row.busy, row.priced) == ({'USD': 6.0}, {'USD': 6.0}, 3.0, 1.5, {'USD': 3.0})


def test_runs_at_once_share_and_none_is_explained_twice() -> None:
    two = [run(0, 1), run(0, 1, number=1, branch='other')]
    found = billed([line(0, 4.0, 'gpu1')], two, BOOK, 'branch')
    assert {name: row.billed for name, row in found.rows.items()} == {'main': {'USD': 2.0}, 'other': {'USD': 2.0}}
    assert found.runs == found.total and found.idle == {'USD': 0.0}


def test_a_tag_with_a_run_is_that_runs_whole() -> None:
    one = run(5, 1, host='elsewhere')
    found = billed([line(0, 3.0, one.short), line(0, 2.0, one.id, 'gpu1'), line(0, 1.0, 'unknown')], [one], BOOK, 'run')
    assert found.rows[one.short].billed == {'USD': 5.0} and found.other == {'USD': 1.0}


def test_stages_that_were_on_a_host_part_of_the_time() -> None:
    stages = tuple(StageRun(name, 'done', digest_of(name.encode()), '0123abcd', HOUR, 0) for name in 'ab')
    one = run(0, 2, 'vm', stages=stages, account=Account({1: ('gpu1', 0, '')}, {}, {}))
    found = billed([line(0, 4.0, 'gpu1', hours=2), line(0, 8.0, 'vm', hours=2)], [one], BOOK, 'host')
    assert found.rows['gpu1'].billed == {'USD': 2.0} and found.rows['vm'].billed == {'USD': 4.0}
    assert found.rows['gpu1'].priced == {'USD': 2.0}


def test_credits_and_currencies_stay_apart() -> None:
    found = billed([line(0, 4.0, 'gpu1'), line(0, -1.0), line(0, 7.0, 'gpu1', currency='EUR')], [run(0, 1)], BOOK, 'host')
    assert found.total == {'USD': 3.0, 'EUR': 7.0} and found.other == {'USD': -1.0} and found.runs == {'USD': 4.0, 'EUR': 7.0}


@pytest.mark.parametrize('text', ['2026-10-01T00:00:00Z', '2026-10-01 00:00:00 UTC', '2026-10-01', '2026-10-01T02:00:00+02:00'])
def test_moments(text: str) -> None:
    assert moment(text) == T0


spans = st.tuples(st.integers(0, 47), st.floats(0.01, 30), st.sampled_from(['gpu1', 'vm', '']))


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=8), st.sampled_from(BY))
def test_the_parts_are_the_whole(ran: list[tuple[int, float, str]], lines: list[tuple[int, float, str]], by: str) -> None:
    runs = [run(hour, hours, host, number) for number, (hour, hours, host) in enumerate(ran)]
    found = billed([line(hour, amount, name) for hour, amount, name in lines], runs, BOOK, by)
    parts = [one.get('USD', 0.0) for one in (found.runs, found.idle, found.other)]
    assert sum(parts) == pytest.approx(found.total.get('USD', 0.0)) and min(parts) >= -1e-9
    assert sum(row.billed.get('USD', 0.0) for row in found.rows.values()) == pytest.approx(parts[0])
    # As slow as one can: hour by hour, what of it any run was on that machine.
    slow = 0.0
    for hour, amount, name in lines:
        on = [(one, from_iso(one.started)) for one in runs if name and one.host == name]
        each = [max(0.0, min(start + one.seconds, T0 + (hour + 1) * HOUR) - max(start, T0 + hour * HOUR)) for one, start in on]
        slow += amount * min(1.0, sum(each) / HOUR)
    assert parts[0] == pytest.approx(slow, abs=1e-3)


def test_columns_of_databricks_in_capitals() -> None:
    row = {'USAGE_START_TIME': '2026-10-01T00:00:00Z', 'SKU_NAME': 'JOBS', 'USAGE_QUANTITY': '4', 'LIST_COST': '3',
           'CUSTOM_TAGS': '{"mlops": "gpu1"}'}  # fmt: skip
    found = read(row, 'mlops')  # type: ignore[arg-type]
    assert found == BillLine(T0, T0 + HOUR, ('gpu1',), 3.0, 'USD', 4.0, 'JOBS')


@pytest.mark.parametrize('by', ['user', 'host', 'month', 'branch'])
def test_only_runs_that_the_bill_explains_are_priced(by: str) -> None:
    ran = [run(0, 1), run(0, 1, number=1)]
    found = billed([line(0, 2.2, ran[0].id)], ran, BOOK, by)
    alone = billed([line(0, 2.2, ran[0].id)], ran[:1], BOOK, by)
    assert [row.priced for row in found.rows.values()] == [row.priced for row in alone.rows.values()]
    assert all(len(row.runs) == 1 for row in found.rows.values())


def test_an_amount_of_a_moment_is_of_who_was_there() -> None:
    found = billed([line(0.5, 4.0, 'gpu1', hours=0)], [run(0, 1)], BOOK, 'host')
    assert found.runs == {'USD': 4.0} and found.idle == {'USD': 0.0}


@pytest.mark.parametrize('when', ['9999-12-31T23:30:00', '0001-01-01T00:00:00+12:00', '1969-12-31', -1.0, 1e12, float('nan')])
def test_a_time_that_is_none_is_told(when: object) -> None:
    with pytest.raises(ValueError, match='a time that is none'):
        moment(when)
