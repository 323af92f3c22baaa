"""People are named as their commits name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_cli.run.person import who
from tests.support.project import Project

PIPELINE = 'stages:\n  a: {cmd: echo 1 > a.txt, outs: [a.txt]}\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'p')
    made.write('pipeline.yaml', PIPELINE)
    made.init_git()
    return made


def test_a_run_and_an_acceptance_carry_the_name_that_git_knows(project: Project) -> None:
    project.git('config', 'user.name', 'Ada  Lovelace')
    project.mlops('run')
    (record,) = (project.path / '.mlops/runs').rglob('*.json')
    assert json.loads(record.read_text())['who'] == 'Ada Lovelace'
    project.write('a.txt', '2\n')
    project.mlops('accept', 'a', '--reason', 'by hand')
    (accepted,) = (project.path / '.mlops/accepted').glob('*.json')
    assert json.loads(accepted.read_text())['who'] == 'Ada Lovelace'


@pytest.mark.parametrize('name', ['', ' ', '\x1b[31m', 'x' * 500])
def test_names_that_are_none(project: Project, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LOGNAME', 'ada')
    for variable in ('GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM'):
        monkeypatch.setenv(variable, '/dev/null')
    project.git('config', 'user.name', name)
    who.cache_clear()
    assert who(str(project.path)) == {'': 'ada', ' ': 'ada', '\x1b[31m': '[31m'}.get(name, 'x' * 100)


def test_outside_git_it_is_the_login_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LOGNAME', 'ada')
    for variable in ('GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM'):
        monkeypatch.setenv(variable, '/dev/null')
    assert who(str(tmp_path)) == 'ada'
