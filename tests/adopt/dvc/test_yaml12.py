"""YAML as DVC's own reader understands it."""

from __future__ import annotations

import datetime
import math

import pytest

from mlops_cli.adopt.dvc.yaml12 import plain, read
from mlops_cli.core.errors import UserError


@pytest.mark.parametrize(('text', 'value'), [
    ('yes', 'yes'), ('no', 'no'), ('on', 'on'), ('y', 'y'), ('true', True), ('False', False), ('TRUE', True),
    ('tRUE', 'tRUE'), ('-7', -7),
    ('1e-4', 1e-4), ('1.e3', 1000.0), ('.5', 0.5), ('1_000', 1000), ('012', 12), ('0o12', 10), ('0x1F', 31), ('0b11', 3),
    ('1:30', '1:30'), ('~', None), ('', None), ('null', None), ('Null', None), ('nULL', 'nULL'), ('-.inf', -math.inf),
    ('1.2.3', '1.2.3'),
    ('2020-01-01', datetime.date(2020, 1, 1)), ('2020-1-1', '2020-1-1'), ('=', '='), ('-', '-'), ('.', '.'), ('1e5', 100000.0),
    ('2001-12-14t21:59:43.10-05:00', datetime.datetime(2001, 12, 15, 2, 59, 43, 100000)),
])  # fmt: skip
def test_a_plain_scalar_is_what_it_is_to_dvc(text: str, value: object) -> None:
    found = plain(text)
    assert found == value and type(found) is type(value)


def test_merge_keys_and_aliases_mean_what_they_mean() -> None:
    found = read(b'a: &a {x: 1, y: 2}\nb: &b {x: 3}\nc: {<<: *a, y: 9}\nd: {<<: [*b, *a], z: 0}\n', 'f.yaml').value
    assert found['c'] == {'x': 1, 'y': 9}
    assert found['d'] == {'x': 3, 'y': 2, 'z': 0}


@pytest.mark.parametrize(('text', 'line', 'said'), [
    ('a: 1\na: 2\n', 2, 'is there already'),
    ('a: !!python/object:os.system x\n', 1, 'is not one that DVC takes'),
    ('a: *b\n', 1, 'there is no anchor'),
    ('a: &a [*a]\n', 1, 'inside what it names'),
    ('a: [1\nb: 2\n', 2, 'not YAML'),
    ('---\na: 1\n---\nb: 2\n', 3, 'a second document'),
    ('a: 2020-13-45\n', 1, 'month'),
    ('# old\n%YAML 1.1\n---\na: yes\n', 2, r'rules of YAML 1\.1'),
])  # fmt: skip
def test_mistakes_have_a_place(text: str, line: int, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(text.encode(), 'f.yaml')
    assert caught.value.where is not None and caught.value.where.line == line


@pytest.mark.parametrize('text', [
    'a: b\t\n', 'a: b\t# c\n', 'a:\tb\n', 'a: b\n \t\n', 'a: b\tc\n', 'a: "b"\t\n', 'a:\n- x #\t\n- y\t\n'
])  # fmt: skip
def test_a_tab_between_words_is_refused_as_by_dvc(text: str) -> None:
    with pytest.raises(UserError, match='a tab between words'):
        read(text.encode(), 'f.yaml')


@pytest.mark.parametrize('text', [
    'a: [x,\ty, "\t"]\n', 'a: b #\tc\n', 'a: "b\tc"\n', 'a: |\n  x\ty\n  \tz\n', 'a: "b\n\tc" # #\t\n'
])  # fmt: skip
def test_a_tab_where_dvc_takes_one(text: str) -> None:
    assert read(text.encode(), 'f.yaml').value


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ['a0: &a0 [1,1,1,1,1,1,1,1,1,1]'] + [f'a{n}: &a{n} [{",".join([f"*a{n - 1}"] * 10)}]' for n in range(1, 10)]
    with pytest.raises(UserError, match='aliases repeat'):
        read('\n'.join(lines).encode(), 'f.yaml')
    with pytest.raises(UserError, match='inside each other'):
        read(b'[' * 300, 'f.yaml')
