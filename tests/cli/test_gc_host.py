"""What nobody uses any more goes from a host, behind a real sshd; what somebody uses stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.cli.test_host_environments import requirements, wheel
from tests.cli.test_hosts import started, wait_for
from tests.servers.sshd import Sshd
from tests.support.project import Project

PIPELINE = """\
stages:
  a: {cmd: 'cat big > a.txt; mkdir -p kept; echo x > kept/x', deps: [big], outs: [a.txt], caches: [kept], host: gpu1}
"""
OLD = time.time() - 20 * 86400


@pytest.fixture
def project(tmp_path: Path, sshd: Sshd) -> Project:
    found = Project(tmp_path / 'one')
    found.init_git()
    found.environ.update(sshd.environ)
    found.write('big', 'x' * 3_000_000)
    found.write('pipeline.yaml', PIPELINE)
    found.mlops('hosts', 'add', 'gpu1', sshd.url(tmp_path / 'far'))
    return found


def aged(folder: Path) -> None:
    """As if nobody had been there for twenty days."""
    for path in sorted(folder.rglob('*'), reverse=True):
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def kinds(found: dict[str, object]) -> dict[str, int]:
    counts: dict[str, int] = {}
    assert isinstance(found['items'], list)
    for item in found['items']:
        counts[item['kind']] = counts.get(item['kind'], 0) + 1
    return counts


def test_what_is_old_goes_and_what_is_young_stays(project: Project, tmp_path: Path) -> None:
    far = tmp_path / 'far'
    project.mlops('run')
    young = project.mlops('gc', '--host', 'gpu1', '--dry-run', '--json').json
    assert young['items'] == [] and young['kept'] == {'job': 1, 'cache': 1}
    assert 'all of it was used lately' in project.mlops('gc', '--host', 'gpu1').out
    aged(far)
    plan = project.mlops('gc', '--host', 'gpu1', '--dry-run', '--json').json
    assert not plan['removed'] and kinds(plan) == {'job': 1, 'cache': 1, 'contents': 3}
    assert 'Remove 5 things from gpu1' in project.mlops('gc', '--host', 'gpu1', code=5).err
    assert list((far / 'jobs-v1').iterdir())
    said = project.mlops('--yes', 'gc', '--host', 'gpu1').out
    assert 'removed' in said and 'contents' in said
    wait_for(lambda: not list((far / 'going-v1').iterdir()))
    assert not list((far / 'jobs-v1').iterdir()) and not (far / 'packs-v1').exists() and not (far / 'cache').exists()
    project.mlops('run', '--force')
    assert len(project.read('a.txt')) == 3_000_000


@pytest.mark.full
def test_what_runs_keeps_what_it_uses(project: Project, tmp_path: Path) -> None:
    far, go = tmp_path / 'far', tmp_path / 'go'
    wheel(tmp_path / 'wheels', '1.0')
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '1.0'))
    wait = f'while ! test -e {go}; do sleep 0.1; done; python -c "import farpackage"; cat kept/y > b.txt'
    more = 'needs: [a], outs: [b.txt], caches: [kept], host: gpu1, environment: {venv: requirements.txt}'
    project.write('pipeline.yaml', f"{PIPELINE}  b: {{cmd: 'echo y > kept/y; {wait}', {more}}}\n")
    process = started(project, 'run')
    wait_for(lambda: any((one / 'kept/y').exists() for one in far.glob('jobs-v1/*/project')), 60)
    found = project.mlops('--yes', 'gc', '--host', 'gpu1', '--grace', '0', '--json').json
    assert kinds(found) == {'job': 1} and found['kept'] == {'job': 1, 'environment': 1}
    assert found['running'] == 1 and found['others']
    assert 'while 1 job runs there' in project.mlops('gc', '--host', 'gpu1', '--grace', '0', '-n').out
    go.touch()
    assert process.wait(60) == 0 and project.read('b.txt') == 'y\n'
    found = project.mlops('--yes', 'gc', '--host', 'gpu1', '--grace', '0', '--json').json
    assert {'job', 'environment', 'cache', 'contents'} == {*kinds(found)}
    project.mlops('run', '--force')


def test_only_what_goes_together_is_asked_for(project: Project) -> None:
    assert 'goes with --dry-run and --grace only' in project.mlops('gc', '--host', 'gpu1', '--pins', code=2).err
    assert 'there is no host' in project.mlops('gc', '--host', 'nobody', code=2).err
    project.mlops('hosts', 'add', 'cluster', 'slurm:///nowhere/x')
    assert 'is a cluster' in project.mlops('gc', '--host', 'cluster', code=2).err


def test_the_document_is_what_its_schema_says(project: Project) -> None:
    from tests.cli import contract

    project.mlops('run')
    found = project.mlops('gc', '--host', 'gpu1', '--grace', '0', '--dry-run', '--json').json
    assert found['items']
    assert contract.problems(json.loads((contract.SCHEMAS / 'gc-host.v1.json').read_text()), found) == []
