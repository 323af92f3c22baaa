"""Canonical JSON, units, ids: pure functions on values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.canonical import canonical, canonical_bytes, document
from mlops_cli.core.clock import from_iso, iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import parse_duration, parse_size, plural, show_seconds, show_size

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_canonical_json_reads_back_as_what_it_was(value: object) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_canonical_json_keeps_undecodable_names() -> None:
    name = b'\xff.txt'.decode('utf-8', 'surrogateescape')
    assert canonical_bytes([name]) == b'["\\udcff.txt"]'
    assert json.loads(canonical_bytes([name])) == [name]


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match='not JSON compliant'):
        canonical(value)


def test_a_document_has_an_entry_a_line() -> None:
    text = document({'b': [1, {'y': 2, 'x': 1}], 'a': {}, 'c': []})
    assert text == b'{\n "a":{},\n "b":[\n  1,\n  {"x":1,"y":2}\n ],\n "c":[]\n}\n'
    assert json.loads(text) == {'a': {}, 'b': [1, {'x': 1, 'y': 2}], 'c': []}


@pytest.mark.parametrize(
    ('text', 'size'),
    [
        ('0', 0),
        ('12', 12),
        ('2GiB', 2 << 30),
        ('2G', 2 << 30),
        ('2GB', 2_000_000_000),
        ('1.5 KiB', 1536),
        ('1kB', 1000),
        (7, 7),
        (1e308, int(1e308)),
        ('3 B', 3),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ('text', 'seconds'), [('90', 90), ('90s', 90), ('1h30m', 5400), ('2d', 172800), (1.5, 1.5), ('5min', 300), ('0.5s', 0.5)]
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize('text', ['', 'x', '-1', '1 parsec', '2GiBs'])
def test_what_is_no_size_or_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='not a size'):
        parse_size(text)
    with pytest.raises(ValueError, match='not a duration'):
        parse_duration(text)


def test_how_sizes_and_times_are_shown() -> None:
    assert [show_size(n) for n in (0, 999, 1000, 310_000, 2_100_000_000, 999_999)] == [
        '0 B',
        '999 B',
        '1.0 kB',
        '310 kB',
        '2.1 GB',
        '1.0 MB',
    ]
    assert [show_seconds(s) for s in (0.004, 0.42, 11.31, 125, 3 * 3600 + 720, 2 * 86400 + 4 * 3600)] == [
        '0.00s',
        '0.4s',
        '11.3s',
        '2m05s',
        '3h12m',
        '2d04h',
    ]
    assert (plural(1, 'stage'), plural(2000, 'stage')) == ('1 stage', '2,000 stages')


def test_run_ids_sort_by_time_and_times_read_back() -> None:
    now = from_iso('2026-11-20T10:15:22Z')
    assert run_id(now, bytes(range(8))) == '20261120T101522Z-00012345'
    assert run_id(now, b'zzzzzz') < run_id(now + 0.002, b'zzzzzz') < run_id(now + 0.999, b'aaaaaa') < run_id(now + 1, b'aaaaaa')
    assert iso(now) == '2026-11-20T10:15:22Z'
    with pytest.raises(ValueError, match='random bytes'):
        run_id(now, b'12345')


def test_the_executable_bit_is_part_of_a_files_identity_and_only_of_a_files() -> None:
    digest = digest_of(b'x')
    assert ObjectRef(digest, 1, 'file').identity == digest == ObjectRef(digest, 1, 'tree').identity
    assert ObjectRef(digest, 1, 'exec').identity != digest
    assert ObjectRef.from_json(ObjectRef(digest, 1, 'exec').to_json()) == ObjectRef(digest, 1, 'exec')


@pytest.mark.parametrize(
    'value',
    [
        None,
        [],
        ['file', 'x', 1],
        ['link', str(digest_of(b'')), 0],
        ['file', str(digest_of(b'')), -1],
        ['file', str(digest_of(b'')), True],
    ],
)
def test_what_is_no_reference_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match='not a'):
        ObjectRef.from_json(value)
