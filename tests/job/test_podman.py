"""What podman is told, above all on clusters; podman itself is tried in tests/cli/test_host_containers.py."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from mlops_cli.core.job import Process
from mlops_cli.fsio.paths import Root
from mlops_cli.job.containers import ready
from mlops_cli.job.environments import NotMade
from mlops_cli.job.podman import Podman

INSIDE = '0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n'
OUTSIDE = '0::/user.slice/user-1000.slice/session-3.scope\n'


def program(folder: Path, name: str, info: str = 'crun v2 true') -> str:
    made = folder / name
    made.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\ntest "$1" = info && echo "{info}"\nexit 0\n')
    made.chmod(0o755)
    return str(made)


def options(folder: Path, info: str, group: str, engine: bool) -> list[str]:
    made = Podman(program(folder, 'podman', info), 'busy:1', 'j1', dict(os.environ), (), engine)
    made.own_group = str(folder / 'group')
    (folder / 'group').write_text(group)
    return made.options(())


@pytest.mark.parametrize(('info', 'group', 'said'), [
    ('crun v2 true', INSIDE, ['--cgroups=disabled']),
    ('/usr/bin/crun v1 false', INSIDE, ['--cgroups=disabled']),
    ('crun v2 false', OUTSIDE, ['--cgroups=disabled']),
    ('runc v2 true', OUTSIDE, []),  # a cluster that holds nothing with groups
    ('runc v1 true', INSIDE, []),  # who is not root has none
])  # fmt: skip
def test_on_a_cluster_a_container_stays_where_the_job_is(tmp_path: Path, info: str, group: str, said: list[str]) -> None:
    assert options(tmp_path, info, group, engine=True) == said


@pytest.mark.parametrize('info', ['runc v2 true', 'runc v2 false', 'runc v1 false', ''])
def test_what_would_leave_it_is_not_begun(tmp_path: Path, info: str) -> None:
    with pytest.raises(NotMade, match='outside of what Slurm gave the job') as caught:
        options(tmp_path, info, INSIDE, engine=True)
    assert 'runtime = "crun"' in str(caught.value.hint)


def test_a_host_behind_ssh_is_not_asked(tmp_path: Path) -> None:
    assert options(tmp_path, 'runc v2 true', INSIDE, engine=False) == []
    assert not (tmp_path / 'asked').exists()


def test_its_words(tmp_path: Path) -> None:
    made = Podman(program(tmp_path, 'podman'), 'busy:1', 'j1', dict(os.environ), ('/a b', '/c'))
    (process,) = made.processes([Process(('/bin/sh', '-c', 'x'))], '/a b/p', ['B', 'A', 'PATH'], ['GPU-1', 'GPU-2'])
    assert process.argv[-3:] == ('busy:1', '-c', 'x') and '--entrypoint=["/bin/sh"]' in process.argv
    assert '--volume=/a b:/a b' in process.argv and '--workdir=/a b/p' in process.argv
    assert [word for word in process.argv if word.startswith('--env')] == ['--env=A', '--env=B']
    assert [word for word in process.argv if word.startswith('--device')] == [
        '--device=nvidia.com/gpu=GPU-1', '--device=nvidia.com/gpu=GPU-2'
    ]  # fmt: skip


def begun(folder: Path, engine: bool) -> None:
    with Root(str(folder)) as root, ready(root, 'busy:1', 'j1', (), lambda: None, '', 1.0, engine) as made:
        assert isinstance(made, Podman)


def test_docker_is_no_choice_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its daemon runs is outside of what the cluster gave the job."""
    monkeypatch.setenv('PATH', f'{tmp_path}')
    program(tmp_path, 'docker')
    said = f'no apptainer or podman on {platform.node()}, .* \\(docker is there, which is not used on clusters\\)'
    with pytest.raises(NotMade, match=said):
        begun(tmp_path, engine=True)
    program(tmp_path, 'podman')
    monkeypatch.setenv('PATH', f'{tmp_path}')
    begun(tmp_path, engine=True)


def test_each_node_has_a_lock_of_its_own_while_it_pulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', f'{tmp_path}')
    program(tmp_path, 'podman')
    for node in ('n1', 'n2'):
        monkeypatch.setattr(platform, 'node', lambda node=node: node)
        begun(tmp_path, engine=True)
    assert len([*(tmp_path / 'environments-v1').iterdir()]) == 2
