"""Losses from DVC's list of issues (the numbers in the names), when what is not needed is removed from the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = 'stages:\n  s: {cmd: "cat data/1 > out.txt", deps: [data], outs: [out.txt]}\n'
NOW = ('--yes', 'gc', '--grace', '0')


@pytest.fixture
def made(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    state(project, 'main')
    return project


def state(project: Project, text: str) -> None:
    project.write('data/1', f'{text}\n')
    project.mlops('add', 'data')
    project.mlops('run')
    project.commit(text)


def comes_back(project: Project, text: str) -> None:
    shutil.rmtree(project.path / 'data')
    (project.path / 'out.txt').unlink(missing_ok=True)
    project.mlops('checkout')
    assert project.read('data/1') == project.read('out.txt') == f'{text}\n'


def test_dvc_377_2325_820_more_is_needed_than_the_current_branch(made: Project) -> None:
    """Only what the branch at hand names was kept, unless one knew which options to give: data of other branches, which were
    nowhere else, were gone.

    Here every branch, tag, stash, work tree and run needs what it names."""
    made.git('checkout', '-q', '-b', 'other')
    state(made, 'other')
    made.git('checkout', '-q', '-b', 'tagged')
    state(made, 'tagged')
    made.git('tag', 'v1')
    made.git('checkout', '-q', 'main')
    made.git('branch', '-D', '-q', 'tagged')
    made.mlops('checkout')
    made.write('data/1', 'stashed\n')
    made.mlops('add', 'data')
    made.git('stash')
    made.mlops('checkout')
    made.mlops(*NOW)
    assert made.mlops('verify').code == 0
    for name, text in (('main', 'main'), ('other', 'other'), ('v1', 'tagged')):
        made.git('checkout', '-q', name)
        comes_back(made, text)
    made.git('checkout', '-q', 'main')
    made.git('stash', 'pop')
    made.mlops('checkout', 'data', '--force')
    assert made.read('data/1') == 'stashed\n'


def test_dvc_377_what_was_removed_comes_back(made: Project) -> None:
    """What had been collected was gone for good at once."""
    made.write('data/1', 'of no commit\n')
    made.mlops('add', 'data')
    record = made.read('.mlops/data/data.json')
    made.git('checkout', '-q', '.mlops/data')
    made.mlops('checkout', '--force')
    made.mlops(*NOW)
    made.write('.mlops/data/data.json', record)
    made.mlops('checkout', 'data')
    assert made.read('data/1') == 'of no commit\n'


def test_dvc_8090_7610_other_projects_use_the_cache_too(tmp_path: Path) -> None:
    """Two projects shared a cache: a gc in one removed what the other needed.

    Here a cache knows its projects, and what any of them needs stays."""
    environ = {'MLOPS_CACHE_DIR': str(tmp_path / 'cache')}
    projects = [Project(tmp_path / name, environ) for name in ('one', 'two')]
    for project in projects:
        project.init_git()
        project.write('pipeline.yaml', PIPELINE)
        state(project, f'of {project.path.name}')
    projects[0].mlops(*NOW)
    comes_back(projects[1], 'of two')
    comes_back(projects[0], 'of one')


def test_dvc_5037_a_commit_that_cannot_be_read(made: Project) -> None:
    """One commit with a broken file ended every gc, and only by leaving all others out could it be passed by.

    Here it ends before anything is moved, names the commit, and takes its name with --skip-rev."""
    record = made.read('.mlops/data/data.json')
    made.write('.mlops/data/data.json', '{half')
    broken = made.commit('broken')
    made.write('.mlops/data/data.json', record)
    made.commit('mended')
    said = made.mlops(*NOW, code=None)
    assert said.code != 0 and f'--skip-rev {broken[:7]}' in said.err and 'data.json' in said.err
    comes_back(made, 'main')
    made.mlops(*NOW, '--skip-rev', broken)
    comes_back(made, 'main')
