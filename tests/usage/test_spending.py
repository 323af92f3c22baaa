"""What stages say that they spent: added up, and never believed beyond what it can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.usage.spending import ITEMS, LINES, SIZE_LIMIT, Spent, read


def lines(*documents: Any) -> bytes:
    return b''.join(json.dumps(one).encode() + b'\n' for one in documents)


def test_alike_lines_are_added_up() -> None:
    paid = {'item': 'tokens', 'unit': '1k', 'quantity': 2, 'amount': 0.1, 'currency': 'USD'}
    found, notes = read(lines(*[paid] * 10, {**paid, 'currency': 'EUR'}, {'item': 'tokens', 'unit': '1k', 'quantity': 3}))
    assert not notes
    assert found == (
        Spent('tokens', '1k', 20, 1.0, 'USD'),  # and not 0.9999999999999999
        Spent('tokens', '1k', 2, 0.1, 'EUR'),
        Spent('tokens', '1k', 3, None, ''),  # of which nobody knows what it cost
    )


@pytest.mark.parametrize(
    ('line', 'said'),
    [
        (b'nonsense', 'no JSON'),
        (b'\xff', 'no JSON'),
        (b'[' * 100_000, ''),
        (b'[1]', 'no JSON object'),
        (b'{"item": "a"}', 'neither quantity nor amount'),
        (b'{"item": "", "quantity": 1}', 'item'),
        (b'{"quantity": 1}', 'item'),
        (b'{"item": "a\\u001b[31m", "quantity": 1}', 'item'),
        (b'{"item": "\\ud800", "quantity": 1}', 'item'),
        (b'{"item": "' + b'a' * 61 + b'", "quantity": 1}', 'item'),
        (b'{"item": "a", "unit": 3, "quantity": 1}', 'unit'),
        (b'{"item": "a", "quantity": -1}', 'quantity'),
        (b'{"item": "a", "quantity": true}', 'quantity'),
        (b'{"item": "a", "amount": NaN, "currency": "USD"}', 'amount'),
        (b'{"item": "a", "amount": 1e999, "currency": "USD"}', 'amount'),
        (b'{"item": "a", "amount": 1' + b'0' * 400 + b', "currency": "USD"}', 'amount'),
        (b'{"item": "a", "amount": 1' + b'0' * 5000 + b', "currency": "USD"}', ''),
        (b'{"item": "a", "amount": 1}', 'currency'),
        (b'{"item": "a", "amount": 1, "currency": "usd"}', 'currency'),
    ],
)
def test_a_line_that_says_nothing_is_told_and_the_others_count(line: bytes, said: str) -> None:
    found, notes = read(b'{"item": "a", "quantity": 1}\n' + line + b'\n{"item": "a", "quantity": 2}')
    assert found == (Spent('a', '', 3, None, ''),)
    assert len(notes) == 1 and 'line 2 does not count' in notes[0] and said in notes[0]
    assert notes[0].isprintable()


def test_many_wrong_lines_are_one_note() -> None:
    assert read(b'x\n' * 50)[1] == ('MLOPS_COST: line 1 does not count: no JSON, and 49 more do not',)


def test_no_more_is_read_than_so_much() -> None:
    line = b'{"item": "a", "quantity": 1}\n'
    found, notes = read(line * (LINES + 5))
    assert found[0].quantity == LINES and 'lines' in notes[0]
    long = b'{"item": "a", "quantity": 1, "more": "' + b'x' * 1000 + b'"}\n'
    found, notes = read((long * 2000)[: SIZE_LIMIT + 1])
    assert found[0].quantity == SIZE_LIMIT // len(long) and 'MiB' in notes[0]


def test_many_items_keep_their_sum() -> None:
    found, _ = read(lines(*[{'item': f'i{n}', 'amount': 1 + n, 'currency': 'USD'} for n in range(100)]))
    assert len(found) == ITEMS + 1
    assert sum(one.amount or 0 for one in found) == sum(range(1, 101))
    assert found[-1].item == 'other'


def test_secrets_leave_the_words() -> None:
    line = lines({'item': 'key hunter2', 'unit': 'hunter2', 'quantity': 1})
    found, _ = read(line, lambda text: text.replace('hunter2', '***'))
    assert found == (Spent('key ***', '***', 1, None, ''),)


names = st.sampled_from(['item', 'unit', 'quantity', 'amount', 'currency', 'x'])
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner),
)


@given(st.binary(max_size=300) | st.lists(values).map(lambda rows: lines(*rows)))
def test_whatever_is_written_is_read_or_told(data: bytes) -> None:
    found, notes = read(data)
    assert [Spent.from_json(json.loads(json.dumps(one.to_json()))) for one in found] == list(found)
    assert all(map(str.isprintable, notes))
