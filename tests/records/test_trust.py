"""What came with a branch is used only after somebody here has said so; nothing that a branch brings can say it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records import trust
from mlops_cli.records.config import Setting, load_settings
from tests.support.project import Project

REMOTE = 'remotes: {origin: {url: "s3://bucket/x", desc: ours}}\n'


@pytest.fixture
def root(project: Project) -> Iterator[Root]:
    project.write(layout.CONFIG, REMOTE)
    with Root(project.path) as opened:
        yield opened


def setting(root: Root, name: str = 'remotes.origin') -> Setting:
    return load_settings(root, {})[name]


def waits(root: Root, name: str = 'remotes.origin') -> bool:
    return trust.needs_confirmation(root, setting(root, name))


def test_confirmed_until_it_changes(root: Root, project: Project) -> None:
    assert waits(root)
    trust.confirm(root, trust.subject_of(setting(root)), 0.0)
    assert not waits(root)
    project.write(layout.CONFIG, REMOTE.replace('ours', 'the same place'))
    assert not waits(root)
    project.write(layout.CONFIG, REMOTE.replace('bucket/x', 'bucket/y'))
    assert waits(root)
    trust.confirm(root, trust.subject_of(setting(root)), 0.0)
    project.write(layout.CONFIG, REMOTE)  # back again: the other place was confirmed since
    assert waits(root)


def test_a_name_and_a_kind_are_part_of_it(root: Root, project: Project) -> None:
    trust.confirm(root, trust.subject_of(setting(root)), 0.0)
    project.write(layout.CONFIG, REMOTE.replace('origin', 'other') + 'hosts: {origin: {url: "ssh://gpu1"}}\n')
    assert waits(root, 'remotes.other') and waits(root, 'hosts.origin')
    trust.confirm(root, trust.subject_of(setting(root, 'hosts.origin')), 0.0)
    assert waits(root, 'remotes.other') and not waits(root, 'hosts.origin')


def test_what_is_a_persons_own_needs_none(root: Root, project: Project) -> None:
    project.write(layout.CONFIG_LOCAL, REMOTE)
    assert not waits(root)


def test_own_entries_that_git_tracks_are_nobodys_own(root: Root, project: Project) -> None:
    project.write(layout.CONFIG_LOCAL, REMOTE)
    project.git('add', '-f', layout.CONFIG_LOCAL)
    with pytest.raises(UserError, match='tracked by git') as raised:
        setting(root)
    assert raised.value.exit_code == ExitCode.REFUSED


def test_a_record_that_came_with_a_branch_confirms_nothing(root: Root, project: Project) -> None:
    trust.confirm(root, trust.subject_of(setting(root)), 0.0)
    project.git('add', '-f', layout.TRUST)
    with pytest.raises(UserError, match='has confirmed things in your place') as raised:
        waits(root)
    assert raised.value.exit_code == ExitCode.REFUSED and 'git rm --cached' in raised.value.hint


@pytest.mark.parametrize('text', ['', '{', '[]', '{"schema": "mlops/trust/v9"}', '\xff'])
def test_a_damaged_record_is_told_and_confirms_nothing(root: Root, project: Project, text: str) -> None:
    project.write(layout.TRUST, text.encode('latin-1'))
    with pytest.raises(UserError) as raised:
        waits(root)
    assert f'delete {layout.TRUST}' in raised.value.hint


@pytest.mark.parametrize(
    'entries', [None, [], {'remote.origin': 'yes'}, {'remote.origin': {}}, {'remote.origin': {'digest': 1}}]
)
def test_entries_of_another_shape_confirm_nothing(root: Root, project: Project, entries: object) -> None:
    project.write(layout.TRUST, json.dumps({'schema': trust.SCHEMA, 'entries': entries}))
    assert waits(root)


def test_a_link_in_its_place_is_refused(root: Root, project: Project) -> None:
    (project.path / layout.LOCAL).mkdir(parents=True, exist_ok=True)
    (project.path / layout.TRUST).symlink_to('../../x')
    with pytest.raises(UserError, match='symbolic link'):
        waits(root)


def test_the_record_is_for_its_owner(root: Root, project: Project) -> None:
    trust.confirm(root, trust.subject_of(setting(root)), 1_800_000_000.0)
    path = project.path / layout.TRUST
    assert path.stat().st_mode & 0o077 == 0
    found = json.loads(path.read_text())
    assert found['entries']['remote.origin']['leads_to'] == 's3://bucket/x'
    assert found['entries']['remote.origin']['confirmed'] == '2027-01-15T08:00:00Z'


def test_the_example_on_the_page_is_one(root: Root, project: Project) -> None:
    page = (Path(__file__).parents[2] / 'docs' / 'formats' / 'trust.md').read_text()
    project.write(layout.TRUST, page.partition('```json\n')[2].partition('```')[0])
    project.write(layout.CONFIG, 'remotes: {origin: {url: s3://team/digits, desc: any}}\n')
    assert not waits(root)
