"""Numbers out of metrics files: which count, how they are called, and that no file does harm."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core import strictjson
from mlops_cli.core.canonical import canonical
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.records.metrics import DEPTH, LIMIT, MOST, load, recorded, scalars

SAME = {
    'm.json': b'{"accuracy": 0.95, "steps": 100, "test": {"f1": 0.5, "per_class": [0.1, {"x": 2}]}, "name": "best", "x": true}',
    'm.yaml': b'accuracy: 0.95\nsteps: 100\ntest:\n  f1: 0.5\n  per_class: [0.1, {x: 2}]\nname: best\nok: true\nnone: null\n',
    'm.toml': b'accuracy = 0.95\nsteps = 100\nname = "best"\nday = 2026-11-20\n[test]\nf1 = 0.5\nper_class = [0.1, {x = 2}]\n',
}


@pytest.mark.parametrize('file', SAME)
def test_every_format_gives_the_same_numbers(file: str) -> None:
    assert scalars(SAME[file], file) == (
        ('accuracy', 0.95),
        ('steps', 100),
        ('test.f1', 0.5),
        ('test.per_class.0', 0.1),
        ('test.per_class.1.x', 2),
    )


@pytest.mark.parametrize('file', ['m.json', 'm.yaml', 'm.yml', 'metrics/M.YAML'])
def test_a_number_alone_is_called_value(file: str) -> None:
    assert scalars(b'0.95\n', file) == (('value', 0.95),)
    assert scalars(b'-7', file) == (('value', -7),)
    assert scalars(b'[1, 2]', file) == (('0', 1), ('1', 2))


@pytest.mark.parametrize(
    ('data', 'file'),
    [
        (b'"text"', 'm.json'),
        (b'true', 'm.json'),
        (b'null', 'm.json'),
        (b'{}', 'm.json'),
        (b'[]', 'm.json'),
        (b'', 'm.yaml'),
        (b'# nothing\n', 'm.yaml'),
        (b'', 'm.toml'),
        (b'best', 'm.yaml'),
    ],
)
def test_no_number_is_no_mistake(data: bytes, file: str) -> None:
    assert scalars(data, file) == ()


@pytest.mark.parametrize(
    ('data', 'file'),
    [
        (b'{"loss": NaN, "a": 1, "up": Infinity, "down": -Infinity, "huge": 1e999}', 'm.json'),
        (b'loss: .nan\na: 1\nup: .inf\ndown: -.inf\nhuge: 1e999\nlist: [.NaN, 1.5e400, 2]\n', 'm.yaml'),
        (b'loss = nan\na = 1\nup = inf\ndown = -inf\nhuge = 1e999\n', 'm.toml'),
    ],
)
def test_what_is_not_finite_is_left_out_and_the_rest_stays(data: bytes, file: str) -> None:
    assert [pair for pair in scalars(data, file) if not pair[0].startswith('list')] == [('a', 1)]
    if file == 'm.yaml':
        assert ('list.2', 2) in scalars(data, file)


@pytest.mark.parametrize(
    ('data', 'file'),
    [
        (
            b'{"flops": 1%s, "most": 9223372036854775807, "least": -9223372036854775808, "over": 9223372036854775808, "": %s}',
            'm.json',
        ),
        (
            b'flops: 1%s\nmost: 9223372036854775807\nleast: -9223372036854775808\nover: 9223372036854775808\nendless: %s\n',
            'm.yaml',
        ),
        (
            b'flops = 1%s\nmost = 9223372036854775807\nleast = -9223372036854775808\nover = 9223372036854775808\n# %s\n',
            'm.toml',
        ),
    ],
)
def test_huge_whole_numbers_become_what_other_readers_take(data: bytes, file: str) -> None:
    found = dict(scalars(data % (b'0' * 21, b'9' * 5000), file))
    assert found == {'flops': 1e21, 'most': 2**63 - 1, 'least': -(2**63), 'over': 2.0**63}
    assert isinstance(found['over'], float)
    assert strictjson.read(canonical(found).encode(), 'pin') == found


def test_names_may_be_anything() -> None:
    names = ['a.b', 'class:cat', '🚀', '', ' ', 'x"y', '\ud800', '\u202e', 'line\nbreak', '[markup]']
    found = scalars(json.dumps({name: number for number, name in enumerate(names)}).encode(), 'm.json')
    assert dict(found) == {name or 'value': number for number, name in enumerate(names)}
    assert json.loads(canonical(list(found))) == [list(pair) for pair in found]


def test_of_two_values_with_one_dotted_name_the_first_counts() -> None:
    assert scalars(b'{"a.b": 1, "a": {"b": 2}}', 'm.json') == (('a.b', 1),)
    assert scalars(b'{"a": {"b": 2}, "a.b": 1}', 'm.json') == (('a.b', 2),)


BROKEN = {
    'm.json': [
        b'',
        b'{',
        b'{"a": }',
        b'{"a": 1,}',
        b'nan',
        b'{"a": 1, "a": 2}',
        b'\xff{}',
        b'\xef\xbb\xbf{}',
        b'{"a": 1} x',
        b"{'a': 1}",
        b'\x80\x04K\x01.',
        b'[' * 100_000,
        b'{"a":' * 100_000,
        '{"a": 1}'.encode('utf-16'),
    ],
    'm.yaml': [
        b'a: [',
        b'a: 1\na: 2',
        b'a: !!python/object:os.system x',
        b'\xff',
        b'a: 1\n---\nb: 2',
        b'1: 2',
        b'[' * 50_000,
        b'a: 0123',
        b'.nan: 1',
    ],
    'm.toml': [b'a', b'a = ', b'a = 1\na = 2', b'\xff', b'0.5', b'a = ' + b'[' * 5000, b'a = ' + b'9' * 5000],
}


@pytest.mark.parametrize(('file', 'data'), [(file, data) for file, found in BROKEN.items() for data in found])
def test_a_broken_file_is_told_with_its_place(file: str, data: bytes) -> None:
    with pytest.raises(UserError) as raised:
        scalars(data, file)
    errors = raised.value.errors if isinstance(raised.value, UserErrors) else (raised.value,)
    assert all(error.where is not None and error.where.file == file for error in errors)
    assert all(error.message for error in errors)


@pytest.mark.parametrize(
    ('data', 'file', 'line', 'column'),
    [
        (b'{\n "a": 1,\n "b": x\n}', 'm.json', 3, 7),
        (b'a: 1\nb: [\n', 'm.yaml', 3, 1),
        (b'a = 1\nb = x\n', 'm.toml', 2, 5),
    ],
)
def test_the_place_is_exact(data: bytes, file: str, line: int, column: int) -> None:
    with pytest.raises(UserError) as raised:
        scalars(data, file)
    where = raised.value.where
    assert where is not None and (where.line, where.column) == (line, column)


@pytest.mark.parametrize('file', ['m.csv', 'm', 'm.pkl', 'm.json5', 'json'])
def test_another_format_says_which_there_are(file: str) -> None:
    with pytest.raises(UserError, match=r'\.json, \.yaml and \.toml'):
        scalars(b'{}', file)


def test_too_large_too_deep_too_many() -> None:
    started = time.process_time()
    with pytest.raises(UserError, match='larger than 1 MiB') as raised:
        scalars(b'{"a": "' + b'x' * (10 << 20) + b'"}', 'm.json')
    assert raised.value.hint
    assert time.process_time() - started < 1
    for opening, closing in ((b'[', b']'), (b'{"a":', b'}')):
        with pytest.raises(UserError, match=f'more than {DEPTH}'):
            scalars(opening * (DEPTH + 1) + b'1' + closing * (DEPTH + 1), 'm.json')
        assert len(scalars(opening * DEPTH + b'1' + closing * DEPTH, 'm.json')) == 1
    assert len(scalars(json.dumps([1] * MOST).encode(), 'm.json')) == MOST
    with pytest.raises(UserError, match='more than 1,000 numbers'):
        scalars(json.dumps([1] * (MOST + 1)).encode(), 'm.json')
    with pytest.raises(UserError, match='more than 250 characters'):
        scalars(json.dumps({'x' * 251: 1}).encode(), 'm.json')
    with pytest.raises(UserError, match='twice'):
        scalars(b'{' + b','.join(b'"%d": 1' % number for number in range(60_000)) + b', "7": 2}', 'm.json')
    assert LIMIT == 1 << 20


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(values)
def test_any_value_gives_finite_numbers_sorted_each_name_once(value: object) -> None:
    found = scalars(json.dumps(value).encode(), 'm.json')
    assert list(found) == sorted(found)
    assert len({name for name, _ in found}) == len(found)
    assert all(type(number) in (int, float) and math.isfinite(number) for _, number in found)
    assert strictjson.read(canonical([list(pair) for pair in found]).encode(), 'pin') == [list(pair) for pair in found]


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(['m.json', 'm.yaml', 'm.toml']))
def test_no_bytes_do_anything_but_be_refused(data: bytes, file: str) -> None:
    try:
        scalars(data, file)
    except UserError:
        return
    load(data, file)


def test_metrics_of_a_result_go_back_into_a_pin_as_they_came() -> None:
    numbers = (('a.json', 'class:cat', 0.5), ('a.json:b', 'c', 1), ('b:c/m.json', 'x', 2.0), ('m.json', 'value', 3))
    labels = {f'{file}:{name}': value for file, name, value in numbers}
    assert recorded(labels, [file for file, _, _ in numbers]) == numbers
    assert recorded({'gone.json:a:b': 1}, []) == (('gone.json', 'a:b', 1),)
