from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import is_finite, kind, plain_scalar, scalar_text


@pytest.mark.parametrize(('text', 'value'), [
    ('1', 1), ('-1', -1), ('+1', 1), ('007', 7), ('0o17', 15), ('0xfF', 255), ('1e-4', 1e-4), ('1.', 1.0), ('.5', 0.5),
    ('-1.5E+3', -1500.0),
    ('true', True), ('TRUE', True), ('False', False), ('null', None), ('~', None), ('', None), ('no', 'no'), ('yes', 'yes'),
    ('1:30', '1:30'),
    ('2026-11-20', '2026-11-20'), ('1_000', '1_000'), ('0b1', '0b1'), ('.', '.'), ('e5', 'e5'), ('1e', '1e'), ('nan', 'nan'),
    ('-', '-'), ('tRUE', 'tRUE'), ('9223372036854775807', 2**63 - 1), ('-9223372036854775808', -2**63),
])
def test_unquoted_text_as_yaml_reads_it(text: str, value: Any) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


@pytest.mark.parametrize('text', ['.nan', '.NaN', '.inf', '-.INF', '1e999', '9223372036854775808', '9' * 10_000,
                                  '0x' + 'f' * 17])
def test_what_no_parameter_may_be(text: str) -> None:
    with pytest.raises(ValueError, match=r'.'):
        plain_scalar(text)


@given(st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_scalar_reads_back_the_same(value: Any) -> None:
    assert repr(plain_scalar(scalar_text(value))) == repr(value)


@pytest.mark.parametrize(('value', 'name'), [(None, 'null'), ([1], 'a list'), ({}, 'a mapping'), (float('nan'),
                                                                                                  'not a finite number')])
def test_what_has_no_text(value: Any, name: str) -> None:
    assert kind(value) == name
    with pytest.raises(ValueError, match=f'is {name}'):
        scalar_text(value)


def test_the_near_name() -> None:
    assert did_you_mean('learning_rat', ['learning_rate', 'epochs']) == 'did you mean learning_rate?'
    assert did_you_mean('LR', ['lr', 'epochs']) == 'did you mean lr?'
    assert did_you_mean('zzz', ['b', 'a']) == 'names here: a, b'
    assert did_you_mean('zzz', [f'name{n}' for n in range(10)], what='keys').endswith('name7 and 2 more')
    assert did_you_mean('zzz', []) == ''


@pytest.mark.parametrize('value', [0, -1, 1.5, 2**63, 10**300, -(10**300)])
def test_numbers_that_are_finite(value: Any) -> None:
    assert is_finite(value)


@pytest.mark.parametrize('value', [float('inf'), float('nan'), 10**400, -(10**400), True, False, '1', None, [1]])
def test_what_is_no_finite_number(value: Any) -> None:
    assert not is_finite(value)
