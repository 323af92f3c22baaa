"""Commands that only read leave a project that never ran as they found it: git has nothing new to take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  prepare: {cmd: sort a.txt > b.txt, deps: [a.txt], outs: [b.txt]}
  train: {cmd: 'echo "{}" > m.json', deps: [b.txt], metrics: [m.json]}
"""
# What is typed -> how it may end: some have nothing to show yet.
READING: dict[str, tuple[int, ...]] = {
    '': (0,),
    'status': (0,),
    'status --json': (0,),
    'plan': (0,),
    'explain train': (0,),
    'graph': (0,),
    'doctor': (0, 1),
    'runs list': (0,),
    'runs show latest': (2,),
    'metrics show': (0,),
    'metrics diff': (0,),
    'metrics diff HEAD workspace': (0,),
    'plots show': (0,),
    'plots diff': (0,),
    'lineage upstream b.txt': (0, 2),
    'lineage downstream a.txt': (0,),
    'lineage diff b.txt b.txt': (0, 2),
    'logs train': (2,),
    'config list': (0,),
    'verify': (0,),
    'gate m.json:acc>0': (1, 2),
    'run --dry-run': (0,),
}


def seen(folder: Path) -> list[str]:
    found = [os.path.relpath(os.path.join(place, name), folder) for place, down, files in os.walk(folder)
             for name in down + files]
    return sorted(name for name in found if not name.startswith('.git/'))


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp('never') / 'ran')
    made.write('pipeline.yaml', PIPELINE)
    made.write('a.txt', '1\n')
    made.init_git()
    made.commit('begin')
    return made


@pytest.mark.parametrize('typed', READING)
def test_reading_leaves_no_trace(project: Project, typed: str) -> None:
    before = seen(project.path)
    done = project.mlops(*typed.split(), code=None)
    assert done.code in READING[typed], done.err
    assert seen(project.path) == before
    assert project.git('status', '--porcelain', '--ignored') == ''


def test_a_cache_elsewhere_is_not_made_by_reading(project: Project, tmp_path: Path) -> None:
    project.mlops('status', environ={'MLOPS_CACHE_DIR': str(tmp_path / 'cache')})
    assert not (tmp_path / 'cache').exists()


def test_the_first_run_makes_all_and_what_reads_after_it_keeps_its_index(tmp_path: Path) -> None:
    made = Project(tmp_path / 'p')
    made.write('pipeline.yaml', PIPELINE)
    made.write('a.txt', '1\n')
    made.init_git()
    made.mlops('run')
    made.mlops('doctor')
    assert made.exists('.mlops/local/index-v1.sqlite')
    assert oct((made.path / '.mlops/cache').stat().st_mode & 0o777) == '0o700'
    assert made.git('check-ignore', '.mlops/local', '.mlops/cache').split() == ['.mlops/local', '.mlops/cache']
    made.mlops('verify')


def test_data_goes_to_mlops_and_what_git_has_of_it_is_given_up_in_one_line(tmp_path: Path) -> None:
    made = Project(tmp_path / 'p')
    made.write('pipeline.yaml', 'stages:\n  a: {cmd: sort houses.csv > b.txt, deps: [houses.csv], outs: [b.txt]}\n')
    made.write('houses.csv', '1\n')
    made.init_git()
    said = made.mlops('run').out
    assert 'Data that nobody keeps yet: mlops add houses.csv' in said
    assert 'houses.csv' not in said.partition('Keep it: ')[2].partition('\n')[0]
    made.commit('all of it')
    added = made.mlops('add', 'houses.csv').out
    assert 'Keep it: git rm --cached houses.csv && git add .mlops/data/houses.csv.json ' in added
