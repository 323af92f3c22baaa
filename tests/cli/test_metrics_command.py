"""``mlops metrics`` and ``mlops plots`` as they are typed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app
from tests.cli.contract import SCHEMAS
from tests.cli.test_startup import NEVER, RUNNING, imported
from tests.support.project import GIT, Project

PIPELINE = """\
stages:
  train:
    matrix: {seed: [1, 2]}
    cmd: mkdir -p m p && cp in/${item.seed}.json m/${item.seed}.json && cp in/curve.csv p/${item.seed}.csv
    deps: ['in/${item.seed}.json', in/curve.csv]
    metrics: [{'m/${item.seed}.json': {primary: accuracy, goals: {accuracy: max, loss: min}, tolerance: {accuracy: 0.001}}}]
    plots: [{'p/${item.seed}.csv': {title: Loss}}]
"""
CURVE = 'step,loss\n1,0.5\n2,0.25\n'


class Said:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Valid by its schema."""
        found = json.loads(self.out)
        name, version = found['schema'].removeprefix('mlops/').split('/')
        jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / f'{name}.{version}.json').read_text())).validate(found)
        return found


Mlops = Callable[..., Said]


@pytest.fixture
def mlops(project: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    for name in [name for name in os.environ if name.startswith('MLOPS_')]:
        monkeypatch.delenv(name)
    surroundings: Mapping[str, str] = {**GIT, 'HOME': project.environ['HOME'], 'LC_ALL': 'C.UTF-8', 'COLUMNS': '100'}
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.path)

    def call(*arguments: str, code: int = 0) -> Said:
        found = app.run(arguments)
        said = Said(found, *capsys.readouterr())
        assert found == code, (said.out, said.err)
        return said

    return call


def numbers(project: Project, one: str, two: str = '{"accuracy": 0.5, "loss": 1}') -> None:
    project.write('in/1.json', one)
    project.write('in/2.json', two)


@pytest.fixture
def trained(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in/curve.csv', CURVE)
    numbers(project, '{"accuracy": 0.95, "loss": 0.5}')
    project.run()
    project.commit('first')
    return project


def test_exit_code_is_that_of_a_gate(mlops: Mlops, trained: Project) -> None:
    assert 'all the same' in mlops('metrics', 'diff', '--exit-code').out
    numbers(trained, '{"accuracy": 0.9495, "loss": 0.4}')
    trained.run()
    assert 'within tolerance' in mlops('metrics', 'diff', '--exit-code').out
    numbers(trained, '{"accuracy": 0.94, "loss": 0.4}')
    trained.run()
    assert mlops('metrics', 'diff', '--exit-code', code=1).out.endswith(
        f'FAILED: 1 metric is worse, compared with {label(mlops)}\n'
    )
    assert mlops('metrics', 'diff').code == 0
    assert mlops('metrics', 'diff', '--exit-code', '--only', 'train@2').code == 0
    assert mlops('metrics', 'diff', '--exit-code', '--only', 'm/1.json', '--json', code=1).json['rows'][0]['failing']
    numbers(trained, '{"accuracy": 0.95, "loss": 0.6}')
    trained.run()
    assert mlops('metrics', 'diff', '--exit-code', '--primary').code == 0
    assert mlops('metrics', 'diff', '--exit-code', code=1).code == 1


def label(mlops: Mlops) -> str:
    return str(mlops('metrics', 'diff', '--json').json['before'])


def test_only_what_changed_and_only_primary_ones(mlops: Mlops, trained: Project) -> None:
    numbers(trained, '{"accuracy": 0.9501, "loss": 0.4}')
    trained.run()

    def names(*options: str) -> list[str]:
        return [f'{row["stage"]} {row["name"]}' for row in mlops('metrics', 'diff', '--json', *options).json['rows']]

    assert names('--changed') == ['train@1 loss']
    assert names('--primary') == ['train@1 accuracy', 'train@2 accuracy']
    assert names('--changed', '--primary') == []
    assert 'No metric differs' in mlops('metrics', 'diff', '--changed', '--primary').out
    assert len(mlops('metrics', 'show', '--primary', '--json').json['rows']) == 2


@pytest.mark.parametrize('command', ['metrics', 'plots'])
def test_words_that_mean_nothing(mlops: Mlops, trained: Project, command: str) -> None:
    assert 'did you mean' in mlops(command, 'show', 'trian', code=2).err
    assert 'no run and no revision' in mlops(command, 'diff', 'mian', code=2).err
    assert 'no run and no revision' in mlops(command, 'show', '--at', 'HEAD~9', code=2).err
    assert mlops(command, 'show', 'trian', '--json', code=2).json['schema'] == 'mlops/error/v1'


@pytest.mark.parametrize('command', ['metrics', 'plots'])
def test_where_there_is_nothing(mlops: Mlops, project: Project, command: str) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true", outs: [x]}}\n')
    assert mlops(command, 'show').out.startswith(f'No {command}: no stage of pipeline.yaml lists a file under {command}')
    assert mlops(command, 'show', '--json').json['rows'] == []
    assert 'no commit yet' in mlops(command, 'diff', code=2).err
    assert mlops(command, 'diff', 'workspace', 'workspace').code == 0


@pytest.mark.parametrize('command', ['metrics', 'plots'])
def test_outside_git_and_before_any_run(mlops: Mlops, project: Project, command: str) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in/curve.csv', CURVE)
    numbers(project, '{}')
    os.rename(project.path / '.git', project.path / 'no-git')
    told = mlops(command, 'show').out
    assert ('train@1' in told or 'm/1.json' in told) and 'not in the workspace' in told
    assert 'not a git repository' in mlops(command, 'diff', code=2).err


def test_from_a_folder_below(mlops: Mlops, trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.write('notes/extra.csv', CURVE)
    monkeypatch.chdir(trained.path / 'm')
    assert [row['file'] for row in mlops('metrics', 'show', '2.json', '--json').json['rows']] == ['m/2.json'] * 2
    monkeypatch.chdir(trained.path / 'notes')
    assert [row['path'] for row in mlops('plots', 'show', 'extra.csv', '--json').json['rows']] == ['notes/extra.csv']
    mlops('plots', 'show', '--html', 'page.html')
    assert (trained.path / 'notes' / 'page.html').exists()


def test_a_damaged_record_is_told(mlops: Mlops, trained: Project) -> None:
    for path in (trained.path / '.mlops' / 'stages').iterdir():
        path.write_text('[\n')
    for command in ('metrics', 'plots'):
        said = mlops(command, 'show', code=1)
        assert 'damaged pin' in said.err and 'git checkout' in said.err and 'Traceback' not in said.err


@pytest.mark.parametrize('arguments', [('metrics', 'diff'), ('metrics', 'show'), ('plots', 'diff'), ('plots', 'show')])
def test_looking_needs_nothing_heavy(mlops: Mlops, trained: Project, arguments: tuple[str, str]) -> None:
    mlops(*arguments)
    found = imported(trained, arguments)
    assert not found & {*NEVER, *RUNNING, 'mlops_cli.report.svg', 'webbrowser'}


def test_what_is_out_of_date_is_noted(mlops: Mlops, trained: Project) -> None:
    numbers(trained, '{"accuracy": 0.1, "loss": 9}')
    for command in ('show', 'diff'):
        assert 'note: train@1 is out of date; these are the numbers of the files as they stand' in mlops('metrics', command).out
        assert mlops('metrics', command, '--json').json['stale'] == ['train@1']


# Plots


def test_plots_as_data(mlops: Mlops, trained: Project) -> None:
    trained.write('p/1.csv', 'step,loss\n1\n')
    rows = mlops('plots', 'show', '--json').json['rows']
    assert [(row['path'], row['kind'], row['series'], row['min'], row['last']) for row in rows] == [
        ('p/1.csv', 'broken', '', None, None),
        ('p/2.csv', 'line', 'loss', 0.25, 0.25),
    ]
    assert rows[0]['problem'] == 'line 2: a row has 1 cell, the first row has 2'
    rows = mlops('plots', 'diff', '--json').json['rows']
    assert [(row['point'].partition(' ')[0], row['kind']) for row in rows] == [
        ('HEAD', 'line'),
        ('workspace', 'broken'),
        ('HEAD', 'line'),
        ('workspace', 'line'),
    ]


def test_what_is_left_out_is_counted(mlops: Mlops, trained: Project) -> None:
    trained.write('p/2.csv', 'step;loss\n1;-1,7e308\n2;0,5\n3;nan\n4;1e308\n')
    row = mlops('plots', 'show', 'p/2.csv', '--json').json['rows'][0]
    assert (row['count'], row['left_out'], row['min'], row['max'], row['last']) == (1, 3, -1.7e308, 1e308, 1e308)
    assert row['notes'] == 'loss: 3 of 4 values are too large to be drawn and NaN'
    assert f'({row["notes"]})' in mlops('plots', 'diff').out
    mlops('plots', 'show', '--html', 'page.html')
    assert row['notes'] in (trained.path / 'page.html').read_text()
    assert [row['left_out'] for row in mlops('plots', 'diff', '--json').json['rows'] if row['path'] == 'p/2.csv'] == [0, 3]


def test_options_count_before_the_declaration(mlops: Mlops, trained: Project) -> None:
    row = mlops('plots', 'show', 'p/1.csv', '--kind', 'bar', '-x', 'loss', '-y', 'step', '--json').json['rows'][0]
    assert (row['kind'], row['series'], row['max']) == ('bar', 'step', 2)
    assert 'no such kind' in mlops('plots', 'show', '--kind', 'pie', code=2).err
    assert "no column 'los'" in mlops('plots', 'show', '-y', 'los').out


def test_plain_characters(mlops: Mlops, trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert '█' in mlops('plots', 'show').out
    assert mlops('plots', 'show', '--ascii').out.isascii()
    monkeypatch.setenv('LC_ALL', 'C')
    assert mlops('plots', 'show').out.isascii()


def test_a_page_and_files(mlops: Mlops, trained: Project) -> None:
    trained.write('p/1.csv', 'step,loss\n1\n')
    said = mlops('plots', 'show', '--html', 'out/page.html', '--svg', 'out/svg')
    assert said.out.splitlines()[0].startswith('  wrote     out/svg, 1 chart, ')
    assert said.out.splitlines()[1].startswith('  wrote     out/page.html, 2 plots, ')
    assert said.out.splitlines()[2:] == ['  broken    p/1.csv: line 2: a row has 1 cell, the first row has 2']
    assert os.listdir(trained.path / 'out' / 'svg') == ['train@2-p-2.csv.svg']
    page = trained.read('out/page.html')
    assert 'Loss' in page and 'accuracy' in page and 'a row has 1 cell' in page
    mlops('plots', 'diff', '--html', 'out/page.html')  # ours, so it may be replaced
    assert 'HEAD' in trained.read('out/page.html')


def test_files_of_others_are_not_replaced(mlops: Mlops, trained: Project, tmp_path: Path) -> None:
    before = trained.read('pipeline.yaml')
    assert 'mlops did not make it' in mlops('plots', 'show', '--html', 'pipeline.yaml', code=5).err
    assert trained.read('pipeline.yaml') == before
    trained.write('svg/train@1-p-1.csv.svg', '<svg>mine</svg>')
    assert 'mlops did not make it' in mlops('plots', 'show', '--svg', 'svg', code=5).err
    assert 'is a folder' in mlops('plots', 'show', '--html', 'svg', code=2).err
    (tmp_path / 'elsewhere.html').write_text('mine')
    (trained.path / 'link.html').symlink_to(tmp_path / 'elsewhere.html')
    assert mlops('plots', 'show', '--html', 'link.html', code=5).err
    assert (tmp_path / 'elsewhere.html').read_text() == 'mine'


def test_no_link_of_a_branch_leads_a_page_out(mlops: Mlops, trained: Project, tmp_path: Path) -> None:
    (tmp_path / 'elsewhere').mkdir()
    (trained.path / 'out').symlink_to(tmp_path / 'elsewhere')
    for option in (('--html', 'out/page.html'), ('--html', str(trained.path / 'out' / 'page.html')), ('--svg', 'out')):
        assert 'symbolic link' in mlops('plots', 'show', *option, code=5).err
    assert os.listdir(tmp_path / 'elsewhere') == []
    mlops('plots', 'show', '--html', str(tmp_path / 'elsewhere' / 'new' / 'page.html'))  # what the user says stands
    assert os.listdir(tmp_path / 'elsewhere' / 'new') == ['page.html']


def test_the_page_is_opened(mlops: Mlops, trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, 'open', lambda address: opened.append(address) or True)
    mlops('plots', 'show', '--open')
    assert opened == [(trained.path / '.mlops' / 'local' / 'plots.html').as_uri()]
    assert trained.git('status', '--porcelain') == ''
    monkeypatch.setattr(webbrowser, 'open', lambda _: False)
    assert 'no browser to be found here; open file://' in mlops('plots', 'show', '--open').err


def test_instances_of_either_state_are_counted_once(mlops: Mlops, trained: Project) -> None:
    trained.write('pipeline.yaml', PIPELINE.replace('[1, 2]', '[2, 3, 4]'))
    for name in '234':
        trained.write(f'in/{name}.json', '{"accuracy": 0.5, "loss": 1}')
    trained.run()
    assert '\n  train@*\n' in mlops('metrics', 'diff').out, 'four of four, not four of three'
