"""``metrics`` and ``plots`` at the top of a pipeline file."""
from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.errors import UserErrors
from mlops_cli.pipeline import kept
from mlops_cli.pipeline.load import load
from mlops_cli.pipeline.spec import Metric, Pipeline
from tests.support.project import Project

STAGES = 'stages:\n  train: {cmd: sh train.sh, deps: [train.sh], outs: [logs, n.json], metrics: [m.json]}\n'


def made(folder: Path, top: str) -> Pipeline:
    (folder / 'pipeline.yaml').write_text(top + STAGES)
    return load(folder, environ={})


def test_they_belong_to_the_stage_that_makes_them(tmp_path: Path) -> None:
    top = ('metrics: [logs/m.json, {n.json: {primary: n, goals: {n: min}}}]\n'
           'plots: [logs, {logs/l.tsv: {x: step, y: [a, b]}}, {logs/l.tsv: {y: c}}]\n')
    stage = made(tmp_path, top).stages['train']
    assert [one.path for one in stage.read_as('metric')] == ['m.json', 'logs/m.json', 'n.json']
    assert [(one.path, dict(one.plot)) for one in stage.read_as('plot')] == [
        ('logs', {}), ('logs/l.tsv', {'x': 'step', 'y': ['a', 'b']}), ('logs/l.tsv', {'y': 'c'})]
    assert stage.reads[1].metric == Metric('n', {'n': 'min'}, {})
    assert [one.path for one in stage.outputs] == ['logs', 'n.json', 'm.json']
    kept.load(tmp_path, environ={})
    assert kept.load(tmp_path, environ={}).stages['train'] == stage


def test_those_of_an_included_file_are_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/pipeline.yaml').write_text('metrics: [o/m.json]\nstages: {a: {cmd: "true", outs: [o]}}\n')
    assert [one.path for one in made(tmp_path, 'include: [sub/pipeline.yaml]\n').stages['a'].reads] == ['sub/o/m.json']


@pytest.mark.parametrize(('top', 'said'), [
    ('metrics: [log/m.json]', 'pipeline.yaml:1:11: metrics: no stage makes log/m.json'),
    ('metrics: [m.json]', 'm.json is listed already, at pipeline.yaml:3:'),
    ('metrics: [logs/a.json, logs/a.json]', 'logs/a.json is listed already, at pipeline.yaml:1:11'),
    ('plots: [logs, logs/]', 'logs is listed already'),
    ('metrics: [logs/a.csv]', 'no file of numbers'),
    ('plots: [{logs/a.csv: {cache: false}}]', 'unknown key "cache"'),
    ('plots: [../a.csv]', 'plots: "../a.csv"'),
])  # fmt: skip
def test_mistakes(tmp_path: Path, top: str, said: str) -> None:
    with pytest.raises(UserErrors) as caught:
        made(tmp_path, f'{top}\n')
    assert said in str(caught.value)


def test_numbers_in_a_folder_count_as_others(project: Project) -> None:
    project.write('train.sh', 'mkdir logs; echo "{\\"loss\\": 0.5}" > logs/m.json; echo 1 > n.json; echo "{}" > m.json\n'
                              'printf "step,loss\\n1,3\\n2,1\\n" > logs/l.csv\n')  # fmt: skip
    project.write('pipeline.yaml', STAGES)
    project.run()
    project.write('pipeline.yaml', f'metrics: [logs/m.json]\nplots: [{{logs/l.csv: {{x: step}}}}]\n{STAGES}')
    assert project.verdicts() == {'train': 'fresh'}
    project.write('train.sh', project.read('train.sh').replace('0.5', '0.25'))
    project.run()
    rows = project.mlops('metrics', 'show', '--json').json
    assert '0.25' in str(rows) and 'logs/m.json' in str(rows)
    drawn = project.mlops('plots', 'show', 'logs/l.csv').out
    assert drawn.count('logs/l.csv') == 1 and 'min 1  max 3' in drawn
    assert 'logs/l.csv' in project.mlops('plots', 'show').out
    run = project.mlops('runs', 'list', '--json').json['rows'][0]
    assert run['metric.loss'] == 0.25
