"""A stage that will run whatever the stages before it make is said to run, not perhaps to run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_cli.plan.model import Step
from tests.support.project import Project

PIPELINE = """\
stages:
  split:
    cmd: sort in.txt > split.txt
    deps: [in.txt]
    outs: [split.txt]
  train:
    cmd: cat split.txt split.txt > model.txt
    deps: [split.txt]
    outs: [model.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / 'p')
    project.init_git()
    project.write('in.txt', 'b\na\n')
    project.write('pipeline.yaml', PIPELINE)
    return project


def cloned(project: Project) -> Project:
    """As a colleague has it: pins, but neither outputs nor a cache."""
    project.run()
    project.commit('all')
    project.git('clone', '-q', '.', str(project.path.parent / 'clone'))
    return Project(project.path.parent / 'clone')


def steps(project: Project) -> dict[str, Step]:
    return project.plan().by_name


def test_of_a_new_pipeline_all_will_run(project: Project) -> None:
    found = steps(project)
    assert [str(step.verdict) for step in found.values()] == ['run', 'run']
    assert found['train'].reasons[0].kind == 'never-run' and found['train'].waits_for == ('split',)


def test_in_a_clone_without_a_cache_all_will_run(project: Project) -> None:
    clone = cloned(project)
    found = steps(clone)
    assert {name: (str(step.verdict), [(r.subject, r.detail) for r in step.reasons]) for name, step in found.items()} == {
        'split': ('run', [('split.txt', 'neither here nor in this cache')]),
        'train': ('run', [('model.txt', 'neither here nor in this cache')]),
    }
    shown = clone.mlops('plan').out
    assert 'maybe' not in shown and '2 run.' in shown
    assert [str(one.state) for one in clone.run().settled.values()] == ['done', 'done']
    assert clone.verdicts() == {'split': 'fresh', 'train': 'fresh'}


def test_where_the_outputs_are_here_those_of_the_stages_before_decide(project: Project) -> None:
    project.run()
    project.write('in.txt', 'a\nb\n')
    assert project.verdicts() == {'split': 'run', 'train': 'maybe'}
    assert [str(one.state) for one in project.run().settled.values()] == ['done', 'fresh']


def test_where_the_cache_has_them_too(project: Project) -> None:
    clone = cloned(project)
    shutil.copytree(project.path / '.mlops/cache', clone.path / '.mlops/cache')
    clone.write('in.txt', 'a\nb\n')
    assert clone.verdicts() == {'split': 'run', 'train': 'maybe'}
    assert [str(one.state) for one in clone.run().settled.values()] == ['done', 'restored']


def test_also_under_another_name_or_of_a_trial(project: Project) -> None:
    """What a renamed stage made counts by its key; so does what was only tried."""
    project.run()
    project.write('pipeline.yaml', PIPELINE.replace('train:', 'fit:'))
    project.write('in.txt', 'a\nb\n')
    (project.path / 'model.txt').unlink()
    assert project.verdicts() == {'split': 'run', 'fit': 'maybe'}
    shutil.rmtree(project.path / '.mlops/stages')
    assert project.verdicts() == {'split': 'run', 'fit': 'maybe'}


def test_what_is_forced_will_run(project: Project) -> None:
    project.run()
    project.write('in.txt', 'a\nb\n')
    found = project.plan(('train',), force=True).by_name
    assert str(found['train'].verdict) == 'run' and found['train'].reasons[0].kind == 'forced'
