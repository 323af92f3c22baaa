"""Damage that a copy heals which lies outside the project, or in the trash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_cli.store import trash
from tests.run.test_mending import flip, holding, verified
from tests.support.project import Project

CONTENT = b'tracked too\n'


@pytest.fixture
def made(project: Project) -> Project:
    """Of which the only copy is the damaged one in the cache."""
    project.init_git()
    project.write('pipeline.yaml', 'stages: {a: {cmd: cat data/z > out, deps: [data], outs: [out]}}\n')
    project.write('data/x', 'x\n')
    project.write('data/z', CONTENT)
    project.mlops('add', 'data')
    project.commit('all')
    return project


def lose(project: Project) -> Path:
    path = holding(project, CONTENT)[1]
    flip(path)
    shutil.rmtree(project.path / 'data')
    return path


def test_the_trash(made: Project) -> None:
    path = holding(made, CONTENT)[1]
    cache = made.path / '.mlops/cache'
    aside = cache / 'trash' / trash.new_stamp(1_700_000_000) / path.relative_to(cache)
    aside.parent.mkdir(parents=True)
    shutil.copy(path, aside)
    lose(made)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == 'the trash of mlops gc'
    made.mlops('checkout', 'data')
    assert made.read('data/z') == CONTENT.decode()


def test_a_trash_that_is_damaged_too(made: Project) -> None:
    path = holding(made, CONTENT)[1]
    cache = made.path / '.mlops/cache'
    aside = cache / 'trash' / trash.new_stamp(1_700_000_000) / path.relative_to(cache)
    aside.parent.mkdir(parents=True)
    shutil.copy(path, aside)
    flip(aside)
    lose(made)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] is None and row['data'] == ['data']


def test_the_workspace_of_another_worktree(made: Project) -> None:
    other = Project(made.path.parent / 'other')
    other.path.rmdir()
    made.git('worktree', 'add', '-q', str(other.path), '-b', 'other')
    shutil.copytree(made.path / 'data', other.path / 'data')
    lose(made)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == f'{other.path}/data/z'


def test_the_workspace_of_another_project_that_uses_the_cache(made: Project) -> None:
    other = Project(made.path.parent / 'second')
    other.write('pipeline.yaml', 'stages: {}\n')
    other.write('.mlops/config.local.yaml', f'cache: {{dir: {made.path}/.mlops/cache}}\n')
    other.write('copy', CONTENT)
    other.mlops('add', 'copy')
    lose(made)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == f'{other.path}/copy'


def test_another_project_that_is_gone_or_broken_is_passed_over(made: Project) -> None:
    other = Project(made.path.parent / 'second')
    other.write('pipeline.yaml', 'stages: {}\n')
    other.write('.mlops/config.local.yaml', f'cache: {{dir: {made.path}/.mlops/cache}}\n')
    other.write('copy', CONTENT)
    other.mlops('add', 'copy')
    other.write('pipeline.yaml', 'stages: [\n')
    lose(made)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] is None and row['data'] == ['data']
