"""Records of tracked data: exact bytes, strict reading, a place for each path."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'data.md'
REF = ObjectRef(digest_of(b'images'), 1234, 'tree')
FILE = '.mlops/data/data/images.json'
RECORD = data.Record('data/images', REF)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def add(root: Root, *paths: str, ref: ObjectRef = REF) -> list[str]:
    with Batch('none') as batch:
        return [data.add(root, path, ref, batch) for path in paths]


def test_the_page_shows_a_record_that_is_one() -> None:
    found = re.search(r'`(\.mlops/data/data[^`\n]+\.json)`\n+```json\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert found, 'no example on the page'
    assert data.decode(found[2].encode(), found[1]) == RECORD
    assert (data.encode('data/images', REF).decode(), found[1]) == (found[2], data.record_path('data/images'))


PATHS = [
    'a',
    'a.json',
    'a.json/b',
    'a.json/b.json',
    'a.json~',
    'a.json~/b',
    'a.json~~/b',
    'a/b',
    '.hidden',
    'dir/.hidden',
    '.dir/x',
    'a b',
    '🚀/é',
    "it's",
    '[x]',
    '-x',
    '#x',
    '*',
    'caf\udce9',
    'x' * 250,
    'Same',
    'same',
]


def test_every_path_has_a_record_of_its_own(root: Root) -> None:
    assert add(root, *PATHS) == [data.record_path(path) for path in PATHS]
    assert data.tracked(root) == dict.fromkeys(PATHS, REF)
    assert list(data.tracked(root)) == sorted(PATHS)
    changed = ObjectRef(digest_of(b'other'), 1, 'file')
    add(root, 'a', ref=changed)
    assert data.tracked(root)['a'] == changed


parts = st.sampled_from(['a', 'b.json', '.json', 'c.json~', 'd~', 'json'])


@settings(deadline=None)
@given(st.lists(st.lists(parts, min_size=1, max_size=3).map('/'.join), unique=True, max_size=8))
def test_no_record_stands_where_another_needs_a_folder(paths: list[str]) -> None:
    records = [data.record_path(path) for path in paths]
    assert len(set(records)) == len(paths)
    assert not any(one.startswith(f'{two}/') for one in records for two in records)


def test_what_cannot_be_recorded_is_refused(root: Root) -> None:
    with pytest.raises(UserError, match='too long'):
        add(root, 'data/' + 'x' * 251)
    with pytest.raises(UserError, match='project itself'):
        add(root, '.')


def test_what_is_no_record_is_passed_over(root: Root) -> None:
    add(root, 'a')
    for name in ('README.md', '.gitkeep', '.mlops-tmp-x.json'):
        Path(root.full(f'{layout.DATA}/{name}')).write_text('?')
    assert data.tracked(root) == {'a': REF}
    assert data.tracked(Root(root.full(layout.DATA))) == {}


def changed(**entries: Any) -> bytes:
    return document({**json.loads(data.encode('data/images', REF)), **entries})


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (b'', 1),
        (b'[]', 1),
        (b'{}', 1),
        (b'{"schema":"mlops/data/v1"}', 0),
        (data.encode('data/images', REF)[:60], 0),
        (b'{' * 100_000, 0),
        (changed(path='data/other'), 2),
        (changed(path=5), 2),
        (changed(path='../x'), 2),
        (changed(ref=['file', 'blake3:00', 1]), 3),
        (changed(ref=['pipe', str(REF.digest), 1]), 3),
        (changed(ref=['file', str(REF.digest), -1]), 3),
        (changed(ref=None), 3),
        (changed(ref=['file', str(REF.digest), True]), 3),
        (changed(ref=['file', str(REF.digest), 1.5]), 3),
        (changed().replace(b'1234', b'NaN'), 6),
        (changed().replace(b'"path"', b'"ref"'), 3),
        (b'\xff' + changed(), 1),
    ],
)
def test_damage_is_told_with_its_line(content: bytes, line: int) -> None:
    with pytest.raises(UserError, match='damaged data record') as raised:
        data.decode(content, FILE)
    assert (raised.value.exit_code, raised.value.hint) == (ExitCode.FAILED, f'put it back with: git checkout -- {FILE}')
    assert raised.value.where is not None and raised.value.where.file == FILE
    if line:
        assert raised.value.where.line == line


def test_a_later_version_asks_for_an_update_and_adds_what_it_likes() -> None:
    assert data.decode(changed(note='from the bucket'), FILE) == RECORD
    with pytest.raises(UserError, match='mlops/data/v2') as raised:
        data.decode(changed(schema='mlops/data/v2'), FILE)
    assert (raised.value.hint, raised.value.exit_code) == ('update mlops', 2)


@pytest.mark.parametrize(
    'path',
    ['.git/hooks/pre-commit', '.mlops/local/journal/x', 'a/.GIT/config', 'git~1/x', '/etc/passwd', 'a/./b', 'a//b', './a'],
)
def test_a_record_never_leads_to_where_data_may_not_be(path: str) -> None:
    with pytest.raises(UserError, match='damaged data record'):
        data.decode(data.encode(path, REF), data.record_path(path))


def test_links_are_not_followed(root: Root, tmp_path: Path) -> None:
    (tmp_path / 'x.json').write_bytes(data.encode('x', REF))
    os.makedirs(root.full(layout.DATA))
    os.symlink(tmp_path / 'x.json', root.full(f'{layout.DATA}/x.json'))
    with pytest.raises(UserError, match='symbolic link'):
        data.tracked(root)
