"""``gc --remote``: marked today, deleted tomorrow, and nothing where anything is in doubt."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.cli.test_remotes import clone, made
from tests.support.project import Project

DAY = 86_400


def age(remote: Path, days: float, *names: str) -> None:
    """As if all of it, or these keys, had been written so long ago."""
    for path in remote.rglob('*'):
        if path.is_file() and (not names or path.name in names) and not (not names and path.parent.name == 'gc-v1'):
            os.utime(path, (time.time() - days * DAY,) * 2)


def test_what_no_commit_needs_is_marked_and_a_day_later_gone(tmp_path: Path) -> None:
    remote = tmp_path / 'remote'
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(remote))
    one.commit('first')
    one.write('params.yaml', 'seed: 2\n')
    one.write('raw/large.txt', 'y' * 3_000_000)
    one.mlops('add', 'raw')
    one.mlops('run')
    one.mlops('push')  # of a state that is never committed
    one.git('checkout', '-q', '.')
    one.git('clean', '-fdq', '.mlops')
    one.mlops('push')
    age(remote, 40)
    first = one.mlops('gc', '--remote', 'origin', '--dry-run', '--json').json
    assert first['objects'] == 3 and first['results'] == 2 and not first['marked'] and first['deleted'] is None
    refused = one.mlops('gc', '--remote', 'origin', code=5)
    assert 'Mark' in refused.err and 'mlops gc --remote origin --yes' in refused.err
    assert one.mlops('--yes', 'gc', '--remote', 'origin', '--json').json['marked']
    before = sorted(remote.rglob('*.pack'))
    assert one.mlops('--yes', 'gc', '--remote', 'origin', '--json').json['deleted'] is None  # too soon
    assert sorted(remote.rglob('*.pack')) == before
    age(remote, 1.1, 'mark.json')
    done = one.mlops('--yes', 'gc', '--remote', 'origin', '--json').json
    assert done['deleted']['objects'] == 3 and done['deleted']['results'] == 2
    assert 'sound' in one.mlops('verify', '--remote', 'origin').out
    assert not one.mlops('push', '--json').json['moved']
    two = clone(one, tmp_path / 'two')
    two.mlops('--yes', 'pull')
    assert two.mlops('status', '--exit-code', '--strict').code == 0


@pytest.mark.full
def test_what_another_clone_has_pushed_and_not_committed_stays(tmp_path: Path) -> None:
    remote = tmp_path / 'remote'
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(remote))
    one.mlops('push')
    one.commit('first')
    assert 'pushed without a commit' in one.mlops('gc', '--remote', 'origin', '--dry-run', code=5).err
    one.mlops('push')
    two = clone(one, tmp_path / 'two')
    two.mlops('--yes', 'pull')
    two.write('params.yaml', 'seed: 2\n')
    two.write('raw/large.txt', 'y' * 3_000_000)
    two.mlops('add', 'raw')
    two.mlops('run')
    two.mlops('push')
    age(remote, 40)
    assert one.mlops('gc', '--remote', 'origin', '--dry-run', '--json').json['objects'] == 0
    age(remote, 100, *(path.name for path in (remote / 'gc-v1').iterdir()))
    found = one.mlops('gc', '--remote', 'origin', '--dry-run', '--json').json
    assert found['objects'] > 0 and found['clones_not_seen'] == 2


def test_a_branch_that_was_not_fetched_stops_it(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.commit('first')
    one.git('init', '-q', '--bare', str(tmp_path / 'bare'))
    one.git('remote', 'add', 'upstream', str(tmp_path / 'bare'))
    one.git('push', '-q', 'upstream', 'HEAD:main')
    one.mlops('push')
    one.mlops('gc', '--remote', 'origin', '--dry-run')
    Project(tmp_path).git('clone', '-q', '-b', 'main', str(tmp_path / 'bare'), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    two.write('more.txt', 'more')
    two.commit('second')
    two.git('push', '-q', 'origin', 'HEAD:refs/heads/other')
    refused = one.mlops('gc', '--remote', 'origin', '--dry-run', code=5)
    assert 'does not know refs/heads/other of upstream' in refused.err and 'git fetch' in refused.err
    one.git('remote', 'set-url', 'upstream', str(tmp_path / 'nowhere'))
    assert 'upstream cannot be asked' in one.mlops('gc', '--remote', 'origin', '--dry-run', code=4).err
