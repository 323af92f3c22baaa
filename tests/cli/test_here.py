"""``mlops`` with no arguments: what to do next where one stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.adopt.surroundings import Surroundings
from mlops_cli.cli import app
from mlops_cli.cli.screens.here import Here, here_lines, outside_lines
from mlops_cli.cli.standing import Working
from mlops_cli.plan.model import Plan, Step, Verdict
from tests.support.project import GIT, Project
from tests.support.stages import lay


@pytest.fixture(autouse=True)
def there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    monkeypatch.setenv('HOME', project.environ['HOME'])
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)


def said(capsys: Any, *arguments: str, code: int = 0) -> list[str]:
    found = app.run(arguments)
    shown = capsys.readouterr()
    assert found == code, shown
    assert max(map(len, shown.out.splitlines()), default=0) <= 200
    return str(shown.out).splitlines()


def commands(lines: list[str]) -> list[str]:
    return [line.strip().partition('  ')[0] for line in lines if line.startswith('  ') and not line.startswith('   ')]


def test_in_an_empty_folder(capsys: Any, project: Project) -> None:
    lines = said(capsys)
    assert lines[0] == f'No project here: no pipeline.yaml in {project.path} or above it.'
    assert commands(lines) == ['mlops init', 'mlops init --list'] and lines[-1] == 'mlops -h lists all commands.'


def test_beside_a_script(capsys: Any, project: Project) -> None:
    project.write('train model.py', '')
    assert commands(said(capsys)) == ["mlops init --script 'train model.py'", 'mlops init --list']
    project.write('dvc.yaml', '')
    assert commands(said(capsys))[0] == 'mlops adopt dvc'


def test_the_life_of_a_project(capsys: Any, project: Project) -> None:
    lay(project, {'a': {'cmd': 'cat in > out', 'deps': ['in'], 'outs': ['out']}, 'b': {'cmd': 'exit 3', 'deps': ['out']}})
    lines = said(capsys)
    assert lines[0] == 'project: 2 stages, none has run yet; branch main.'
    assert commands(lines) == ['mlops status', 'mlops run'] or commands(lines) == ['mlops status']
    assert any('cannot run: something is missing' in line for line in lines)
    project.write('in', '1')
    assert commands(said(capsys)) == ['mlops run']
    project.mlops('run', code=1)
    lines = said(capsys)
    assert lines[0].startswith('project: 2 stages; branch main; last run ') and lines[0].endswith(' just now, failed.')
    assert commands(lines)[:3] == ['mlops logs b', 'mlops plan', 'mlops run'] and 'git add' in commands(lines)[3]
    lay(project, {'a': {'cmd': 'cat in > out', 'deps': ['in'], 'outs': ['out']}})
    project.mlops('run')
    project.commit('all')
    lines = said(capsys)
    assert ', all up to date; branch main;' in lines[0]
    assert commands(lines) == ['mlops run --set KEY=VALUE', 'mlops metrics show', 'mlops runs list']
    (project.path / 'out').unlink()
    assert commands(said(capsys)) == ['mlops checkout']
    project.git('checkout', '-q', '--detach')
    assert 'on no branch' in said(capsys)[0]


def test_every_command_that_it_names_exists(capsys: Any, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    for line in said(capsys) + [line.text for line in outside_lines('/x', Surroundings(), False, 80)]:
        for word in line.split('mlops ')[1:]:
            name = word.split()[0]
            assert name.startswith('-') or name in app.COMMANDS


def test_outside_git(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / 'bare')
    lay(project, {'a': {'cmd': 'true'}})
    monkeypatch.chdir(project.path)
    lines = said(capsys)
    assert 'not in a git repository' in lines[0] and commands(lines) == ['mlops run', 'git init']


def test_a_broken_pipeline_is_told_as_everywhere(capsys: Any, project: Project) -> None:
    project.write('pipeline.yaml', 'stages: [\n')
    assert said(capsys, code=2) == []


def test_narrow_terminals_have_a_line_of_their_own_for_each(project: Project) -> None:
    lines = outside_lines('/x', Surroundings(scripts=('a' * 60 + '.py',)), False, 60)
    assert any(line.text.startswith('      a first stage') for line in lines)


def test_it_is_quick(capsys: Any, project: Project) -> None:
    lay(project, {f's{number}': {'cmd': f'echo {number}'} for number in range(300)})
    said(capsys)
    begun = time.process_time()
    said(capsys)
    assert time.process_time() - begun < 3


def test_in_a_bare_repository_and_where_the_pipeline_is_no_file(capsys: Any, project: Project) -> None:
    project.git('clone', '-q', '--bare', '.', 'bare.git')
    assert commands(said(capsys, '-C', 'bare.git'))[0] == 'git worktree add ../work'
    (project.path / 'pipeline.yaml').mkdir()
    assert said(capsys, '-C', str(project.path), code=2) == []


def test_while_a_run_goes_on(capsys: Any, project: Project) -> None:
    """What is out of date is just being made, and what is not committed is about to change."""
    lines = here_lines(running_here(), 100)
    shown = '\n'.join(line.text for line in lines)
    assert 'mlops logs a --follow' in shown and 'mlops runs attach 7k2m9q4c' in shown and 'mlops runs cancel 7k2m9q4c' in shown
    assert 'mlops run ' not in shown and 'git add' not in shown and 'mlops plan' not in shown


def running_here() -> Here:
    plan = Plan('p', (Step('a', Verdict.RUN),))
    return Here(0.0, plan, 'main', running=(Working('a', 0.0, 'vm', 7, '', '7k2m9q4c'),))


def test_tracked_data_that_is_nowhere(capsys: Any, project: Project, tmp_path: Path) -> None:
    lay(project, {'a': {'cmd': 'wc -c houses.csv > out', 'deps': ['houses.csv'], 'outs': ['out']}})
    project.write('houses.csv', 'x' * 4000)
    project.mlops('add', 'houses.csv')
    kept = project.path / 'houses.csv'
    kept.unlink()
    assert any('mlops checkout houses.csv' in line for line in said(capsys))
    (project.path / '.mlops/cache').rename(tmp_path / 'elsewhere')
    for arguments in ((), ('status',)):
        shown = ' '.join(' '.join(said(capsys, *arguments)).split())
        assert 'not here and not in this cache: mlops pull, or copy it here (4.0 kB, ' in shown
        assert '(mlops checkout' not in shown and 'mlops add' not in shown and 'tracked data changed' not in shown
    kept.write_text('other')
    shown = '\n'.join(said(capsys, 'status'))
    assert '(keep: mlops add houses.csv)' in shown and 'go back' not in shown
