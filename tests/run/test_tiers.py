"""Whose results are believed where, and who may write which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.run.tiers import Tiers, tiers, user_tier

FORK = 'from a fork'


def github(tmp_path: Path, name: str, event: Any, **environ: str) -> Tiers:
    (tmp_path / 'event.json').write_text(json.dumps(event))
    every = {
        'GITHUB_ACTIONS': 'true', 'GITHUB_EVENT_NAME': name, 'GITHUB_EVENT_PATH': str(tmp_path / 'event.json'),
        'GITHUB_REPOSITORY': 'team/digits', 'GITHUB_REF': 'refs/heads/main', 'GITHUB_REF_NAME': 'main',
    }  # fmt: skip
    return tiers({**every, **environ}, '', 'runner')


def request_of(full_name: str | None) -> dict[str, Any]:
    return {'number': 7, 'pull_request': {'number': 7, 'head': {'repo': {'full_name': full_name} if full_name else None}}}


def test_a_person_writes_under_their_name_and_reads_what_is_trusted() -> None:
    assert tiers({}, '', 'ada') == Tiers(('trusted', 'user/ada'), 'user/ada')


@pytest.mark.parametrize('name', ['Ada Lovelace', 'ada lovelace', '../trusted', '', 'Ада', 'a' * 80, '-', 'ada/'])
def test_each_name_has_a_tier_of_its_own(name: str) -> None:
    found = user_tier(name)
    assert found.startswith('user/') and found.count('/') == 1 and '..' not in found
    assert len({found, user_tier('ada'), user_tier('Ada'), user_tier('ada-lovelace')}) == 4


@pytest.mark.parametrize('setting', ['trusted', 'user/robot', 'pr/3'])
def test_who_says_it_is_believed_for_the_bucket_decides(setting: str) -> None:
    assert tiers({'GITHUB_ACTIONS': 'true'}, setting, 'x').write == setting
    assert tiers({}, 'none', 'ada').write == ''


def test_the_default_branch_believes_itself_alone(tmp_path: Path) -> None:
    event = {'repository': {'default_branch': 'main'}}
    assert github(tmp_path, 'push', event) == Tiers(('trusted',), 'trusted')
    for environ in ({'GITHUB_REF': 'refs/heads/x', 'GITHUB_REF_NAME': 'x'}, {'GITHUB_REF': 'refs/tags/main'}):
        found = github(tmp_path, 'push', event, **environ)
        assert found.write.startswith('user/branch-') and found.read == ('trusted', found.write)
    assert github(tmp_path, 'workflow_run', event).write != 'trusted'  # which a fork may have set off
    assert github(tmp_path, 'push', {}).write != 'trusted'


def test_a_pull_request_has_its_own_and_one_from_a_fork_none(tmp_path: Path) -> None:
    assert github(tmp_path, 'pull_request', request_of('team/digits')) == Tiers(('trusted', 'pr/7'), 'pr/7')
    for name, event in (
        ('pull_request', request_of('mallory/digits')), ('pull_request_target', request_of('mallory/digits')),
        ('pull_request', request_of(None)), ('pull_request', {}), ('pull_request_review', request_of('mallory/digits')),
        ('pull_request', []), ('pull_request', {'number': '../trusted', 'pull_request': {'head': {}}}),
    ):  # fmt: skip
        found = github(tmp_path, name, event)
        assert (found.read, found.write) == (('trusted',), '') and FORK in found.why
    without = github(tmp_path, 'pull_request', {}, GITHUB_EVENT_PATH='/nowhere')
    assert without.write == ''


def test_gitlab() -> None:
    branch = {'GITLAB_CI': 'true', 'CI_COMMIT_BRANCH': 'main', 'CI_DEFAULT_BRANCH': 'main', 'CI_COMMIT_REF_NAME': 'main'}
    assert tiers({**branch, 'CI_COMMIT_REF_PROTECTED': 'true'}, '', 'x').write == 'trusted'
    assert tiers(branch, '', 'x').write.startswith('user/branch-')
    request = {
        'GITLAB_CI': 'true', 'CI_MERGE_REQUEST_IID': '5', 'CI_PROJECT_ID': '1', 'CI_MERGE_REQUEST_SOURCE_PROJECT_ID': '1',
    }  # fmt: skip
    assert tiers(request, '', 'x') == Tiers(('trusted', 'pr/5'), 'pr/5')
    assert FORK in tiers({**request, 'CI_MERGE_REQUEST_SOURCE_PROJECT_ID': '2'}, '', 'x').why
