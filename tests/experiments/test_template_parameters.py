"""Parameters that reach a stage through ${...} alone: named by what compares, lists and traces, and in no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  train:
    matrix: {k: "${train.k}"}
    cmd: mkdir -p out && echo ${train.epochs} ${item.k} and some more words > out/${item.k}.txt
    outs: ["out/${item.k}.txt"]
  last:
    cmd: cat out/*.txt > all.txt
    deps: [{stage: train}]
    outs: [all.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'project')
    made.write('pipeline.yaml', PIPELINE)
    made.write('params.yaml', 'train: {k: [3, 9], epochs: 20}\nother: 1\n')
    made.git('init', '-q')
    assert made.mlops('run').code == 0
    return made


def test_runs_list_knows_them(project: Project) -> None:
    found = project.mlops('runs', 'list', '--json').json
    assert 'train.k' in str(found)
    table = project.mlops('runs', 'list', '-c', 'train.epochs', '--where', 'train.epochs == 20')
    assert '20' in table.out and table.code == 0


def test_runs_diff_names_them_first(project: Project) -> None:
    project.commit('one')
    project.write('params.yaml', 'train: {k: [5, 9], epochs: 20}\nother: 2\n')
    assert project.mlops('run').code == 0
    project.commit('two')
    for pair in (('HEAD~1', 'HEAD'), ('HEAD~1', 'workspace'), ('HEAD~1', 'last'), ('last~1', 'last')):
        found = project.mlops('runs', 'diff', *pair, '--json').json['params']
        assert [(one['name'], one['before'], one['after']) for one in found] == [('train.k', [3, 9], [5, 9])], pair
        assert 'train.k' in project.mlops('runs', 'diff', *pair).out


def test_a_changed_command_is_told_by_its_words(project: Project) -> None:
    project.write('params.yaml', 'train: {k: [3, 9], epochs: 30}\n')
    text = project.mlops('plan').out
    assert 'command 20 -> 30' in text and 'some more words' not in text
    assert 'some more words' in project.mlops('explain', 'train@3').out


def test_they_are_not_in_the_key(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('${train.epochs}', '20'))
    assert set(project.verdicts().values()) == {'fresh'}


def test_lineage_downstream_follows_templates(project: Project) -> None:
    found = project.mlops('lineage', 'downstream', 'params.yaml:train.k', '--json').json
    assert {one['stage'] for one in found['nodes']} == {'train@3', 'train@9', 'last'}
    assert 'of train uses it' in project.mlops('lineage', 'downstream', 'train.epochs').out
    project.write('params.yaml', 'train: {k: [3, 9], epochs: 21}\nother: 1\n')
    changed = project.mlops('lineage', 'downstream', 'train.epochs', code=None).out
    assert 'Nothing recorded' not in changed and 'No result of train@3, train@9 under this value' in changed
    assert 'no ${...} uses it' in project.mlops('lineage', 'downstream', 'params.yaml:other', code=None).out


def test_lineage_upstream_names_what_the_run_used(project: Project) -> None:
    assert 'train.epochs 20' in project.mlops('lineage', 'upstream', 'all.txt').out


def test_a_data_file_in_a_command_is_a_file(project: Project) -> None:
    project.write('in.txt', 'one')
    project.write('pipeline.yaml', 'stages: {copy: {cmd: cp in.txt out.txt, outs: [out.txt]}}')
    project.mlops('run')
    assert 'in.txt, 3 B, a file of the project' in project.mlops('lineage', 'upstream', 'out.txt').out
    project.write('in.txt', 'two')
    assert 'file in.txt changed' in project.mlops('plan').out
    assert project.mlops('plan', '--json').json['stages'][0]['reasons'][0]['kind'] == 'code'
