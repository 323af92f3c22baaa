"""``isolate: sandbox``: what a stage cannot do there, and that it is refused where there can be no sandbox."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlops_cli.run.sandbox import program
from tests.support.project import Project
from tests.support.stages import lay, run

BWRAP, WHY = program(os.environ.get('PATH', os.defpath))
needs_bwrap = pytest.mark.skipif(not BWRAP, reason=WHY)


def stage(command: str, **more: object) -> dict[str, object]:
    return {'a': {'cmd': command, 'outs': ['o'], 'isolate': 'sandbox', 'deps': ['in.txt'], **more}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'p')
    made.write('in.txt', 'in\n')
    made.write('secret.txt', 'secret\n')
    return made


@needs_bwrap
def test_it_sees_and_writes_what_it_declares(project: Project) -> None:
    lay(project, stage('cat in.txt > o; ls >> o; echo scratch > left; echo 1 > /tmp/x; cat /tmp/x >> o'))
    assert run(project) == {'a': 'done'}
    assert project.read('o') == 'in\nin.txt\no\n1\n'
    assert not project.exists('left')
    assert run(project) == {'a': 'fresh'}


@needs_bwrap
@pytest.mark.parametrize(
    'command',
    [
        'cat {project}/secret.txt > o',
        'cat {project}/.mlops/cache/../../secret.txt > o',
        'cat {project}/.mlops/local/logs/*/*.log > o',
        'cat {project}/.mlops/cache/locks-v1 > o',
        'echo 1 > {project}/new; cat {project}/../new > o',
        'echo 1 > {home}/new; echo 1 > o',
        'echo 1 >> in.txt; echo 1 > o',
        'rm -f in.txt; echo 1 > o; test ! -e in.txt',
        'echo 1 > {outside}; echo 1 > o',
    ],
)
def test_what_it_cannot_do(project: Project, command: str) -> None:
    outside = project.path.parent / 'outside'
    outside.write_text('kept')
    words = command.format(project=project.path, home=project.environ['HOME'], outside='/etc/mlops-test')
    lay(project, stage(words))
    assert run(project) == {'a': 'failed'}
    assert project.read('in.txt') == 'in\n' and not project.exists('new') and not os.path.exists('/etc/mlops-test')


@needs_bwrap
def test_the_network_is_there_where_it_is_asked_for(project: Project) -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        words = f'python3 -c "import socket; socket.create_connection((\'127.0.0.1\', {port}), 5)" && echo 1 > o'
        lay(project, stage(words))
        assert run(project) == {'a': 'failed'}
        lay(project, stage(words, isolate='sandbox-with-network'))
        assert run(project) == {'a': 'done'}


@needs_bwrap
def test_it_is_asked_to_end_as_any_other(project: Project) -> None:
    lay(project, stage("trap 'echo bye > kept/log; exit 3' TERM; sleep 30 & wait", timeout=3, caches=['kept']))
    assert run(project) == {'a': 'failed'}
    assert project.read('kept/log') == 'bye\n'


@needs_bwrap
def test_the_key_is_the_same_and_costs_are_told(project: Project) -> None:
    lay(project, stage('cat in.txt > o; echo "{}" > "$MLOPS_COST"'))
    assert run(project) == {'a': 'done'}
    lay(project, stage('cat in.txt > o; echo "{}" > "$MLOPS_COST"', isolate='none'))
    assert run(project) == {'a': 'fresh'}


@pytest.mark.parametrize('how', ['missing', 'forbidden', 'host'])
def test_it_never_runs_without(project: Project, how: str, tmp_path: Path) -> None:
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('sh', 'cat', 'git', 'python3', 'env', 'true'):
        found = next(f'{part}/{name}' for part in os.environ['PATH'].split(':') if os.access(f'{part}/{name}', os.X_OK))
        (folder / name).symlink_to(found)
    if how != 'missing':
        (folder / 'bwrap').write_text('#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n')
        (folder / 'bwrap').chmod(0o755)
    lay(project, stage('cat in.txt > o', **({'host': 'far'} if how == 'host' else {})))
    if how == 'host':
        project.write('.mlops/config.yaml', 'hosts: {far: {url: "ssh://far.example/x"}}\n')
    for more, code in (([], 5), (['--keep-going'], 1)):
        said = project.mlops('run', *more, environ={'PATH': str(folder)}, code=None)
        assert said.code in ((4, 5) if how == 'host' else (code,)), said
        assert not project.exists('o')
        if how != 'host':
            assert 'sandbox' in said.out + said.err
    if how == 'missing':
        assert project.mlops('run', environ={'PATH': str(folder)}, code=5)
        assert project.mlops('run', '--isolate', 'folder', environ={'PATH': str(folder)})
