from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.manifest import ABSENT, VALUE_LIMIT, Entry, Manifest, absent_entry, value_entry

PAGE = Path(__file__).parents[2] / 'docs/formats/key.md'


def vectors() -> list[str]:
    return re.findall(r'\| `(blake3:[0-9a-f]{64})` \|', PAGE.read_text())


def test_keys_are_those_of_the_format_page() -> None:
    command = value_entry('command', 'cmd', {'cmd': 'true', 'shell': '/bin/sh -e'})
    more = [
        value_entry('param', 'params.yaml:lr', 0.1),
        Entry('data', 'a.txt', digest_of(b'a\n')),
        value_entry('output', 'b', {'persist': False}),
    ]
    made = [Manifest.of([]), Manifest.of([command]), Manifest.of([*more, command])]
    assert [str(one.digest) for one in made] == vectors()


def test_order_does_not_count_and_names_are_unique() -> None:
    one, two = value_entry('param', 'a', 1), value_entry('param', 'b', 2)
    assert Manifest.of([one, two]).digest == Manifest.of([two, one]).digest
    with pytest.raises(ValueError, match='two entries'):
        Manifest.of([one, value_entry('param', 'a', 3)])


@pytest.mark.parametrize(('one', 'two'), [(1, 1.0), (1, '1'), (1, True), (0, False), (None, 'null'), ([], {}), (0.0, -0.0)])
def test_values_of_other_types_differ(one: object, two: object) -> None:
    assert value_entry('param', 'x', one).digest != value_entry('param', 'x', two).digest


def test_absent_is_neither_null_nor_empty() -> None:
    values = {value_entry('param', 'x', value).digest for value in (None, '', {}, [], False)}
    assert absent_entry('param', 'x').digest == ABSENT
    assert ABSENT not in values


def test_mappings_are_sorted_and_long_values_leave_only_their_digest() -> None:
    assert value_entry('param', 'x', {'b': 1, 'a': 2}) == value_entry('param', 'x', {'a': 2, 'b': 1})
    assert value_entry('param', 'x', 'y' * VALUE_LIMIT).value is None


def test_changes_come_in_the_order_people_read_them() -> None:
    old = Manifest.of([value_entry('data', 'd', 1), value_entry('code', 'c', 1), value_entry('param', 'gone', 1)])
    new = Manifest.of([value_entry('data', 'd', 2), value_entry('code', 'c', 2), value_entry('command', 'cmd', 1)])
    assert [(c.entry.kind, c.entry.name, c.before is None, c.after is None) for c in new.changes_since(old)] == [
        ('command', 'cmd', True, False),
        ('code', 'c', False, False),
        ('param', 'gone', False, True),
        ('data', 'd', False, False),
    ]
    assert new.changes_since(new) == ()


@pytest.mark.parametrize('text', ['', 'blake3:', 'md5:' + '0' * 64, 'blake3:' + 'A' * 64, 'blake3:' + '0' * 63, '0' * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='not a digest'):
        Digest.parse(text)
