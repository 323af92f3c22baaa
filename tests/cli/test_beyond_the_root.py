"""Commands that are named to somebody who stands in a subfolder, or used -C, work there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = 'stages:\n  a:\n    cmd: cp in a\n    deps: [in]\n    outs: [a]\n    model: {name: m, path: a}\n'
KEEP = re.compile(r'^(?:Keep it: |  )(?P<command>git .* add .*)$', re.M)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'the team')
    made.init_git()
    made.write('one/pipeline.yaml', PIPELINE)
    made.write('one/in', '1')
    made.write('one/sub/x', '')
    return made


def typed(project: Project, said: str, cwd: str) -> str:
    """Types the command that was named, where the user stands."""
    found = KEEP.search(said)
    assert found is not None, said
    (command, *_) = found['command'].split(' && ')
    git, option, folder = shlex.split(command)[:3]
    assert (git, option, (project.path / cwd / folder).resolve()) == ('git', '-C', (project.path / 'one').resolve()), said
    subprocess.run(['sh', '-c', command], cwd=project.path / cwd, env=project.environ, check=True)
    return project.git('diff', '--cached', '--name-only')


@pytest.mark.parametrize(('cwd', 'words'), [('one/sub', ()), ('.', ('-C', 'one'))])
def test_what_keeps_results(project: Project, cwd: str, words: tuple[str, ...]) -> None:
    assert 'one/pipeline.yaml' in typed(project, project.mlops(*words, 'run', cwd=cwd).out, cwd)
    project.commit('ran')
    project.write('one/d.csv', 'a\n')
    name = '../d.csv' if cwd == 'one/sub' else 'd.csv'
    assert 'one/.mlops/data/d.csv.json' in typed(project, project.mlops(*words, 'add', name, cwd=cwd).out, cwd)
    project.commit('data')
    for asked in (('models', 'register'), ('models', 'promote', 'm@v1', 'prod'), ('runs', 'keep', 'last')):
        assert 'one/.mlops/' in typed(project, project.mlops(*words, *asked, cwd=cwd).out, cwd)
        project.commit('kept')
    said = project.mlops(*words, 'remote', 'add', 'r', str(project.path / 'r'), cwd=cwd).out
    assert 'config.yaml' in typed(project, said, cwd)


@pytest.mark.parametrize(('cwd', 'words'), [('one/sub', ()), ('.', ('-C', 'one'))])
def test_what_status_and_mlops_alone_name(project: Project, cwd: str, words: tuple[str, ...]) -> None:
    project.mlops('add', 'in', cwd='one')
    project.mlops('run', '-q', cwd='one')
    folder = '..' if cwd == 'one/sub' else 'one'
    for _ in range(3):  # a kept answer says the same
        status = project.mlops(*words, 'status', cwd=cwd).out
        assert f'(git -C {folder} add ' in ' '.join(status.split())
    assert '(git add ' in project.mlops('status', cwd='one').out
    assert 'one/pipeline.yaml' in typed(project, project.mlops(*words, cwd=cwd).out, cwd)
    project.write('one/in', '2')
    status = project.mlops(*words, 'status', cwd=cwd).out
    assert f'(go back: mlops -C {folder} checkout in)' in ' '.join(status.split())
