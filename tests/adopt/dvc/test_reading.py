"""What DVC looks at as soon as it reads a dvc.yaml, without DVC: refused, or taken over whole."""

from __future__ import annotations

import pytest

from tests.support.project import Project

STAGE = 'stages:\n  a: {cmd: "", deps: [in], outs: [x]}\n'
LOCK = """\
schema: '2.0'
stages:
  a:
    cmd: ''
    deps:
    - {path: in, hash: md5, md5: 60b725f10c9c85c70d97880dfe8191b3, size: 2}
    outs:
    - {path: x, hash: md5, md5: 3b5d5c3712955042212316173ccf37be, size: 2}
"""


@pytest.fixture
def taken(project: Project) -> Project:
    project.init_git()
    project.write('.dvc/config', '')
    project.write('in', 'a\n')
    project.write('x', 'b\n')
    project.write('dvc.yaml', STAGE)
    project.write('dvc.lock', LOCK)
    return project


@pytest.mark.parametrize(('top', 'said'), [
    ('plots: ["${nope}"]', 'dvc.yaml:3:1: ${nope}: there is no nope'),
    ('metrics: ["${nope}.json"]', 'dvc.yaml:3:1: ${nope}: there is no nope'),
    ('plots: [{q: {y: a, header: true}}]', "dvc.yaml:3:20: DVC knows no key 'header' here"),
    ('plots: [{q: {x: {b.csv: [a]}}}]', 'dvc.yaml:3:14: x: the column of b.csv is a list, not a text'),
    ('artifacts: {m: {path: x, labels: [1]}}', 'dvc.yaml:3:35: labels cannot be a number'),
])  # fmt: skip
def test_a_mistake_at_the_top_is_refused_with_its_place(taken: Project, top: str, said: str) -> None:
    taken.write('dvc.yaml', f'{STAGE}{top}\n')
    refused = taken.mlops('adopt', 'dvc', code=2)
    assert said in refused.err
    assert not (taken.path / 'pipeline.yaml').exists()


@pytest.mark.parametrize('more', [
    'meta: {a: .inf, b: [-.inf, {c: .nan}]}', 'plots: [{p.csv: {title: "${none}"}}]', 'outs: [{x: {meta: [1], labels: []}}]',
])  # fmt: skip
def test_what_no_pipeline_holds_stops_nothing(taken: Project, more: str) -> None:
    taken.write('params.yaml', 'none: null\n')
    taken.write('dvc.yaml', f'stages:\n  a:\n    cmd: echo\n    {more}\n')
    taken.mlops('adopt', 'dvc')
    assert [one['name'] for one in taken.mlops('status', '--json').json['stages']] == ['a']


def test_a_stage_whose_command_is_empty_is_one(taken: Project) -> None:
    done = taken.mlops('adopt', 'dvc', '--json').json['stages']
    assert [(one['name'], one['adopted'], one['check']) for one in done] == [
        ('a', True, ['its command is empty, and a stage has one: ":" does as little'])]
    assert [one['verdict'] for one in taken.mlops('status', '--json').json['stages']] == ['fresh']
