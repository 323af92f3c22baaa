"""Register, promote, tag and get, killed before each call that changes the disk: whole or not at all; the next one goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.tracing import lacks, trace
from tests.registry import conftest
from tests.support.project import Project

traced = pytest.mark.skipif(bool(lacks()), reason=lacks() or 'programs can be traced')
COMMANDS = {
    'register': ('register', '-m', 'again'),
    'promote': ('promote', 'digits@v1', 'prod'),
    'tag': ('tag', 'digits', 'use-case=ocr', 'old'),
    'get': ('get', 'digits@v1', 'there'),
}


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """v1 is registered, and another model is there to be registered."""
    project = Project(tmp_path_factory.mktemp('killed') / 'project')
    project.init_git()
    project.write('pipeline.yaml', conftest.PIPELINE)
    project.write('train.sh', conftest.TRAIN)
    project.write('in.csv', 'a,1\n')
    for score in (90, 91):
        project.write('params.yaml', f'score: {score}\n')
        project.mlops('run', '-q')
        if score == 90:
            project.mlops('models', 'register')
    project.commit('start')
    return project


def copied(template: Project, folder: Path) -> Project:
    shutil.copytree(template.path, folder, symlinks=True)
    return Project(folder)


def argv(name: str) -> list[str]:
    return [sys.executable, '-m', 'mlops_cli', 'models', *COMMANDS[name]]


def calls_of(template: Project, name: str, folder: Path) -> int:
    project = copied(template, folder)
    with trace(argv(name), project.path, project.environ) as found:
        assert found.code == 0, found.err
    return found.calls


def judge(template: Project, name: str, call: int, folder: Path) -> None:
    project = copied(template, folder)
    with trace(argv(name), project.path, project.environ, call) as found:
        pass
    assert 'Traceback' not in found.err
    note = f'{name}, call {call}, before {found.killed}'
    assert project.mlops('models', 'verify').out.endswith('sound.\n'), note
    seen = project.git('status', '--porcelain', '--untracked-files=all').splitlines()
    assert all(line.split()[1].startswith(('.mlops/models/digits/', 'there')) for line in seen), (note, seen)
    if name == 'get':
        there = project.path / 'there/best.bin'
        if there.exists():
            assert there.read_bytes() == b'a,1\nmodel 90\n', note
            shutil.rmtree(there.parent)
    again = subprocess.run(argv(name), cwd=project.path, env=project.environ, capture_output=True, timeout=60, check=False)
    assert again.returncode == 0, (note, again.stderr)
    assert project.mlops('models', 'verify').out.endswith('sound.\n'), note
    count = {'register': ('versions', 2), 'promote': ('aliases/prod', 1), 'tag': ('tags', 2)}.get(name)
    if count is not None:
        found_files = [*(project.path / '.mlops/models/digits' / count[0]).iterdir()]
        assert len(found_files) == count[1], (note, found_files)
    left = [path.name for path in (project.path / '.mlops/local').iterdir() if path.name.startswith('.mlops-tmp')]
    assert not left, (note, left)
    shutil.rmtree(project.path)


@traced
@pytest.mark.parametrize('name', ['register'])
def test_killed_near_the_end(template: Project, tmp_path: Path, name: str) -> None:
    calls = calls_of(template, name, tmp_path / 'counted')
    judge(template, name, calls * 9 // 10, tmp_path / 'killed')


@traced
@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize('name', COMMANDS)
def test_killed_before_every_call(template: Project, tmp_path: Path, name: str) -> None:
    calls = calls_of(template, name, tmp_path / 'counted')
    assert calls > 5
    for call in range(1, calls + 1):
        judge(template, name, call, tmp_path / f'at-{call}')
