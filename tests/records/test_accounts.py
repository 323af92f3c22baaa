"""What run records say so that costs can be told: exact bytes, strict reading, and what follows for each stage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.records.accounts import NAMES, Account
from mlops_cli.records.costs import works
from mlops_cli.records.runs import Run, StageRun, decode, fitted
from mlops_cli.usage.prices import Place
from mlops_cli.usage.spending import Spent, together

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'runs.md'
PAID = Spent('tokens', '1k', 1500.0, 0.195, 'USD')
COUNTED = Spent('labels', '', 4, None, '')
ACCOUNT = Account(
    {1: ('gpu1', 2, 'NVIDIA L4'), 2: ('gpu1', 2, 'NVIDIA L4'), 3: ('', 1, '')},
    {1: (2, 20.5, 18.25)},
    {1: (PAID, COUNTED)},
    {2: 0.25, 3: 0.25},
)
RUN = Run(
    '20261120T101522Z-7k2m9q4c',
    '2026-11-20T10:15:22Z',
    60.0,
    'failed',
    (
        StageRun('prepare', 'restored', digest_of(b'key'), '0123abcd', 0.0),
        StageRun('train', 'done', digest_of(b'key'), '0123abcd', 30.0, 0, {'cpu_seconds': 25.0, 'memory_peak_bytes': 4096}),
        StageRun('check', 'failed', digest_of(b'key'), '', 5.0, 1),
        StageRun('more', 'interrupted', digest_of(b'key'), '', 1.0),
        StageRun('last', 'skipped', None, '', 0.0),
    ),
    host='vm',
    account=ACCOUNT,
)


def read(document: Mapping[str, Any]) -> Run:
    return decode(json.dumps(document).encode(), layout.run_record(RUN.id))


def test_the_bytes_are_these() -> None:
    text = RUN.encode().decode()
    assert '"earlier":[\n  [1,2,20.5,18.25]\n ]' in text
    assert '"places":[\n  ["",1,"",[3]],\n  ["gpu1",2,"NVIDIA L4",[1,2]]\n ]' in text
    assert '"gpu_shares":[\n  [0.25,[2,3]]\n ]' in text
    assert '"spent":[\n  [1,"tokens","1k",1500.0,0.195,"USD"],\n  [1,"labels","",4,null,""]\n ]' in text
    assert decode(RUN.encode(), layout.run_record(RUN.id)) == RUN
    assert decode(RUN.encode(), layout.run_record(RUN.id)).encode() == RUN.encode()


def test_a_run_with_nothing_to_say_has_none_of_it() -> None:
    plain = replace(RUN, account=None)
    assert not json.loads(plain.encode()).keys() & set(NAMES)
    assert decode(plain.encode(), layout.run_record(RUN.id)).account is None


def test_what_a_run_wrote_is_read_again_however_odd() -> None:
    many = together(Spent('x', '', None, 1.0, f'A{chr(65 + n // 26)}{chr(65 + n % 26)}') for n in range(300))
    places = {0: ('g' * 300, 20_000, 'L' * 300), 1: ('', 1, 'L4')}
    odd = Account(places, {0: (20_000, 1.0, 1.0)}, {0: many}, {1: 4e-5, 0: 0.99999})
    found = decode(replace(RUN, account=odd).encode(), layout.run_record(RUN.id)).account
    assert found is not None and found.shares == {1: 0.0001, 0: 1.0} and found.earlier[0][0] == 10_000
    assert found.places == {0: ('g' * 200, 10_000, 'L' * 200), 1: ('', 1, 'L4')} and len(found.spent[0]) == 40


def test_each_is_on_the_page() -> None:
    assert set(NAMES) <= set(re.findall(r'^\| `([a-z_]+)` \|', PAGE.read_text(), re.MULTILINE))


def test_what_was_spent_outlives_the_bound_on_a_records_size() -> None:
    long = replace(RUN, metrics=tuple(('train', 'm.json', f'n{number}', 0.5) for number in range(1000)))
    found = fitted(long)
    assert found.account == ACCOUNT and found.left_out > 0


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('places', 3),
        ('gpu_shares', [[0.0, [1]]]),
        ('gpu_shares', [[1.5, [1]]]),
        ('gpu_shares', [[True, [1]]]),
        ('gpu_shares', [[0.5, [1]], [0.25, [1]]]),
        ('gpu_shares', [[0.5, [9]]]),
        ('places', [3]),
        ('places', [['gpu1', 2, 'L4']]),
        ('places', [['gpu1', -1, 'L4', [0]]]),
        ('places', [['gpu1', True, 'L4', [0]]]),
        ('places', [['gpu1', 1, 'L4', [5]]]),
        ('places', [['gpu1', 1, 'L4', [-1]]]),
        ('places', [['gpu1', 1, 'L4', [True]]]),
        ('places', [['gpu1', 1, 'L4', [0, 0]]]),
        ('places', [['gpu1', 1, 'L4', [0]], ['gpu2', 1, 'L4', [0]]]),
        ('places', [['g' * 300, 1, 'L4', [0]]]),
        ('earlier', [[0, 1, 2.0]]),
        ('earlier', [[0, 0, 2.0, 1.0]]),
        ('earlier', [[0, 1, -2.0, 1.0]]),
        ('earlier', [[0, 1, 1e300, 1.0]]),
        ('earlier', [[0, 1, 1.0, 1.0], [0, 1, 1.0, 1.0]]),
        ('spent', [[]]),
        ('spent', [[0, 'a', '', None, 1.0, '']]),
        ('spent', [[0, 'a', '', None, None, 'USD']]),
        ('spent', [[0, 'a', '', None, -1.0, 'USD']]),
        ('spent', [[0, 'a\n', '', 1, None, '']]),
        ('spent', [['0', 'a', '', 1, None, '']]),
        ('spent', [[[0], 'a', '', 1, None, '']]),
        ('spent', [[9, 'a', '', 1, None, '']]),
        ('spent', [[0, f'a{number}', '', 1, None, ''] for number in range(500)]),
    ],
)
def test_what_was_never_written_is_refused_with_its_line(key: str, value: Any) -> None:
    data = replace(RUN, account=None).encode().decode()
    rows = ',\n'.join(f'  {json.dumps(row)}' for row in value) if isinstance(value, list) else ''
    text = f'[\n{rows}\n ]' if rows else json.dumps(value)
    data = data.replace('"ended"', f'"{key}":{text},\n "ended"')
    json.loads(data)
    with pytest.raises(UserError) as caught:
        decode(data.encode(), layout.run_record(RUN.id))
    assert caught.value.where is not None and caught.value.where.line > 1


def test_what_each_stage_used() -> None:
    prepare, train, check, more, last = works(RUN)
    assert prepare is None and last is None
    assert train is not None and check is not None and more is not None
    assert (train.place, train.seconds, train.cpu_seconds) == (Place('vm', 'gpu1', 2, 'NVIDIA L4'), 50.5, 43.25)
    assert (train.memory_bytes, train.spent) == (4096, (PAID, COUNTED))
    assert (check.place.name, check.cpu_seconds, more.place, more.seconds) == ('gpu1', None, Place('vm', '', 1, '', 0.25), 1.0)


def test_how_long_a_stage_ran_that_was_killed_nobody_knows() -> None:
    killed = works(replace(RUN, ended='killed'))
    assert killed[3] is not None and killed[3].seconds is None
    assert killed[1] is not None and killed[1].seconds == 50.5
