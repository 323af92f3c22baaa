"""``mlops runs list|show|diff|keep`` on a small project, in this process: what is printed, and the exit code."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import app
from tests.cli.test_commands import Said
from tests.support.clocks import processor_seconds
from tests.support.project import Project
from tests.support.records import PIPELINE as MANY
from tests.support.records import fill

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: mkdir -p data && cat in.txt > data/a
    deps: [in.txt]
    outs: [data]
  train:
    cmd: cat data/a > model.bin && echo "{\\"accuracy\\":0.9${rate}}" > m.json
    deps: [data]
    params: [rate, mode]
    outs: [model.bin]
    metrics: [{m.json: {primary: accuracy, goals: {accuracy: max}, tolerance: {accuracy: 0.001}}}]
"""
Mlops = Callable[..., Said]


@pytest.fixture
def mlops(project: Project, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """One command line in this process; the exit code is checked unless ``code`` is None."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 1\nmode: fast\n')
    project.write('in.txt', 'one\n')
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int | None = 0, cwd: str | Path = '.') -> Said:
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(arguments)
        found = capfd.readouterr()
        said = Said(ended, found.out, found.err)
        assert code is None or said.code == code, said
        return said

    return call


@pytest.fixture
def three(mlops: Mlops, project: Project) -> list[str]:
    """A run, a trial and a run that failed, oldest first."""
    mlops('run', '-q')
    project.commit('one')
    mlops('run', '-q', '--set', 'rate=3')
    project.write('pipeline.yaml', PIPELINE.replace('cat data/a > model', 'exit 3; cat data/a > model'))
    mlops('run', '-q', code=1)
    return [row['run'] for row in reversed(mlops('runs', 'list', '--json').json['rows'])]


def test_list(mlops: Mlops, three: list[str]) -> None:
    first, trial, failed = three
    head, *lines = mlops('runs', 'list').lines
    assert [line.split()[0] for line in lines] == [failed, trial, first]
    assert 'rate' in head and 'mode' not in head and 'accuracy' in head
    rows = mlops('runs', 'list', '--json').json['rows']
    assert [(row['ended'], row['trial'], row['kept']) for row in rows] == [
        ('failed', False, False),
        ('done', True, False),
        ('done', False, False),
    ]
    assert rows[1]['metric.accuracy'] == 0.93 and rows[1]['param.rate'] == 3 and rows[1]['param.mode'] == 'fast'
    assert rows[2]['metric.accuracy'] == 0.91 and 'metric.accuracy' not in rows[0]


def test_list_what_fits(mlops: Mlops, three: list[str]) -> None:
    first, trial, failed = three

    def shorts(*arguments: str) -> list[str]:
        return [row['run'] for row in mlops('runs', 'list', '--json', *arguments).json['rows']]

    assert shorts('--state', 'failed') == [failed] == shorts('--state', 'skipped,failed')
    assert shorts('--trials') == [trial] and shorts('--no-trials') == [failed, first]
    assert shorts('--where', 'accuracy >= 0.92') == [trial] == shorts('-w', 'rate = 3', '-w', 'mode = fast')
    assert shorts('--sort', 'accuracy') == [trial, first, failed]
    assert shorts('--sort', 'accuracy', '-r') == [first, trial, failed]
    assert shorts('--sort', '-rate', '-n', '1') == [trial]
    assert shorts('--since', '1h', '--until', '0s') == [failed, trial, first] and shorts('--until', '1h') == []
    assert shorts('--branch', 'ma*', '--who', 'nobody-of-that-name') == []
    assert shorts('--stage', 'prepare') == [first] and shorts('--stage', 'tr*') == [failed, trial, first]
    found = mlops('runs', 'list', '--columns', 'rate,accuracy,kept,when', '--json').json['rows'][1]
    assert found == {'run': trial, 'param.rate': 3, 'metric.accuracy': 0.93, 'kept': False}


def test_list_tells_when_there_is_more_and_when_there_is_nothing(mlops: Mlops, three: list[str]) -> None:
    said = mlops('runs', 'list', '-n', '1')
    assert '2 more runs: mlops runs list -n 0 shows all' in said.err
    assert 'None of 3 runs fits' in mlops('runs', 'list', '--who', 'nobody').out
    shutil.rmtree('.mlops/runs')
    assert mlops('runs', 'list').out == 'No runs yet: mlops run\n'
    assert mlops('runs', 'list', '--json').json['rows'] == []


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (('--state', 'faild'), 'did you mean failed?'),
        (('--since', 'soon'), 'such as 2026-11-20'),
        (('--where', 'accuracy'), 'NAME OPERATOR VALUE'),
        (('--where', 'acuracy > 1'), 'did you mean accuracy?'),
        (('--sort', 'rat'), 'did you mean rate?'),
        (('--columns', 'hoost'), 'did you mean host?'),
        (('-n', '-1'), '-1'),
        (('--where', 'accuracy > 0.1 or accuracy < 3'), 'there is no or'),
        (('--where', 'accuracy > "0.4"'), "accuracy is a number, and '0.4' is none"),
        (('--where', 'accuracy >= nan'), "accuracy is a number, and 'nan' is none"),
        (('--since', ''), '--since is empty'),
        (('--columns', ''), '--columns names nothing'),
        (('--sort', '-'), '--sort names nothing'),
        (('--who', ''), '--who names nothing'),
        (('--state', ','), '--state names nothing'),
    ],
)
def test_list_is_asked_wrongly(mlops: Mlops, three: list[str], arguments: tuple[str, ...], said: str) -> None:
    assert said in mlops('runs', 'list', *arguments, code=2).err


def test_list_works_without_a_pipeline_that_can_be_read(mlops: Mlops, three: list[str], project: Project) -> None:
    project.write('pipeline.yaml', 'stages: [')
    said = mlops('runs', 'list')
    assert three[0] in said.out and 'the pipeline cannot be read' in said.err
    assert 'accuracy 0.91' in mlops('runs', 'show', three[0]).out
    assert 'kept' in mlops('runs', 'keep', three[0]).out


def test_list_tells_of_damaged_records(mlops: Mlops, three: list[str], project: Project) -> None:
    record = next((project.path / '.mlops/runs').rglob(f'*{three[1]}.json'))
    record.write_text('{')
    said = mlops('runs', 'list')
    assert f'{record.relative_to(project.path)} is left out' in said.err and three[1] not in said.out and three[0] in said.out


def test_list_outside_git_and_on_a_detached_head(mlops: Mlops, three: list[str], project: Project) -> None:
    project.git('checkout', '-q', '--detach')
    assert three[0] in mlops('runs', 'list').out
    shutil.rmtree(project.path / '.git')
    assert three[0] in mlops('runs', 'list').out
    assert 'no branch' not in mlops('runs', 'show', three[0]).out
    assert 'is not a git repository' in mlops('runs', 'diff', 'HEAD', code=2).err
    assert 'same' in mlops('runs', 'diff', three[0], three[0]).out


def test_show(mlops: Mlops, three: list[str], project: Project) -> None:
    first, trial, failed = three
    said = mlops('runs', 'show', first).out
    assert 'accuracy 0.91' in said and 'model.bin (4 B)' in said and f'mlops runs diff {first}' in said
    said = mlops('runs', 'show', trial).out
    assert 'trial with rate=3' in said and f'mlops runs apply {trial}' in said and ', as committed' in said
    assert 'train: since run ' + first in said and 'param rate 1 -> 3' in said
    said = mlops('runs', 'show', failed).out
    assert 'exit 3' in said and f'mlops logs train --run {failed}' in said
    document = mlops('runs', 'show', trial, '--json').json
    assert document['set'] == [['params.yaml', 'rate', 3]] and document['edited'] == []
    stage = next(one for one in document['stages'] if one['name'] == 'train')
    assert stage['stored'] is True and stage['log'] == 'here' and stage['metrics'] == {'m.json:accuracy': 0.93}
    assert 'no run' in mlops('runs', 'show', 'zzzz', code=2).err


def test_show_what_was_edited_and_what_is_gone(mlops: Mlops, three: list[str], project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 7\nmode: slow\n')
    mlops('run', '-q')
    run = mlops('runs', 'list', '--json', '-n', '1').json['rows'][0]['run']
    assert 'with changes in params.yaml' in mlops('runs', 'show', run).out
    shutil.rmtree(project.path / '.mlops' / 'cache')
    said = mlops('runs', 'show', run).out
    assert 'this cache does not have all that train made' in said and 'mlops runs keep' not in said


def test_a_stage_without_outputs_is_not_gone(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  good:\n    cmd: "true"\n')
    mlops('run', '-q')
    said = mlops('runs', 'show').out
    assert 'this cache does not have' not in said and 'mlops runs keep' in said
    assert mlops('runs', 'show', '--json').json['stages'][0]['stored'] is True


def test_diff(mlops: Mlops, three: list[str], project: Project) -> None:
    first, trial, _ = three
    lines = mlops('runs', 'diff', first, trial).lines
    assert lines[0] == f'run {first} -> run {trial}'
    assert any(re.match(r'  rate  1 +-> +3 +train', line) for line in lines)
    assert any('accuracy' in line and 'better' in line for line in lines)
    assert 'Nothing differs' in mlops('runs', 'diff', first, first).out
    assert mlops('runs', 'diff', first, trial, '--exit-code', code=1) and mlops('runs', 'diff', first, first, '--exit-code')
    code = mlops('runs', 'diff', 'HEAD').lines
    assert '  ~ pipeline.yaml  +1 -1' in code and any(line.startswith('      +') and 'exit 3' in line for line in code)
    assert any('@@' in line for line in code) and '@@' not in mlops('runs', 'diff', 'HEAD', '--no-code').out
    document = mlops('runs', 'diff', 'HEAD', '--json').json
    assert document['code'][0]['path'] == 'pipeline.yaml' and '+' in document['code'][0]['diff']
    assert mlops('runs', 'diff', 'HEAD', '--json', '--no-code').json['code'][0]['diff'] is None
    assert 'no run and no revision' in mlops('runs', 'diff', 'zzzz', code=2).err


def test_keep(mlops: Mlops, three: list[str], project: Project) -> None:
    first, trial, _failed = three
    said = mlops('runs', 'keep', first, trial, '-m', 'the [best] 🎉').out
    assert said.count('  kept ') == 2 and '"the [best] 🎉"' in said and 'git add .mlops' in said
    assert [row['run'] for row in mlops('runs', 'list', '--kept', '--json').json['rows']] == [trial, first]
    assert 'kept       "the [best] 🎉"' in mlops('runs', 'show', first).out
    before = sorted(os.listdir('.mlops/kept'))
    again = mlops('runs', 'keep', first).out
    assert 'unchanged' in again and 'Keep it' not in again and sorted(os.listdir('.mlops/kept')) == before
    assert mlops('runs', 'keep', first, '-m', 'another', '--json').json['rows'][0]['reason'] == 'another'
    assert len(os.listdir('.mlops/kept')) == 2
    project.commit('kept')
    assert 'released' in mlops('runs', 'keep', '--undo', first, trial).out
    assert 'was not kept' in mlops('runs', 'keep', '--undo', first).out
    assert os.listdir('.mlops/kept') == []


def test_keep_refuses_what_is_gone_and_then_keeps_none(mlops: Mlops, three: list[str], project: Project) -> None:
    first, trial, failed = three
    assert 'fail' in mlops('runs', 'show', failed).out
    shutil.rmtree(project.path / '.mlops' / 'cache' / 'objects-v1')
    said = mlops('runs', 'keep', first, code=1).err
    assert f'run {first} cannot be kept: this cache does not have all that' in said and 'hint:' in said
    assert not project.exists('.mlops/kept')
    assert 'mlops runs apply' in mlops('runs', 'keep', trial, code=1).err


def test_a_run_without_results_cannot_be_kept(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: exit 1\n')
    mlops('run', '-q', code=1)
    run = mlops('runs', 'list', '--json').json['rows'][0]['run']
    assert 'led to no result' in mlops('runs', 'keep', run, code=1).err


@pytest.mark.parametrize('columns', ['80', '200'])
def test_it_fits(mlops: Mlops, three: list[str], project: Project, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', columns)
    project.write('in.txt', 'two\n')
    for arguments in (('list',), ('show', three[1]), ('diff', three[0], three[1]), ('diff', 'HEAD')):
        for line in mlops('runs', *arguments).lines:
            assert len(line) <= int(columns), (arguments, line)


def test_what_is_on_a_read_only_disk_is_still_told(mlops: Mlops, three: list[str], project: Project) -> None:
    """As far as the tables go: they live in memory then."""
    for name in os.listdir(project.path / '.mlops/local'):
        if name.startswith('history'):
            (project.path / '.mlops/local' / name).unlink()
    (project.path / '.mlops/local/history-v1.sqlite').mkdir()
    assert three[0] in mlops('runs', 'list').out


LINKS = ['local/history-v1.sqlite', 'local/revisions-v1.sqlite', 'local/history-v1.sqlite-wal', 'kept']


@pytest.mark.parametrize('name', LINKS)
def test_nothing_is_written_through_a_link_that_a_branch_brings(
    mlops: Mlops, three: list[str], project: Project, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    target = outside if name == 'kept' else outside / 'file'
    if target != outside:
        target.write_bytes(b'')
    link = project.path / '.mlops' / name
    for suffix in ('', '-wal', '-shm'):
        Path(f'{link}{suffix}').unlink(missing_ok=True)
    link.symlink_to(target)
    said = [mlops('runs', *words, code=None) for words in (('list',), ('diff', 'HEAD'), ('show', three[0]), ('keep', three[0]))]
    assert any(one.code == 5 and 'symbolic link' in one.err for one in said)
    assert not any('Traceback' in one.err for one in said)
    assert [path for path in outside.rglob('*') if path != target] == []
    assert target == outside or target.read_bytes() == b''


def test_looking_executes_nothing_of_a_branch(mlops: Mlops, three: list[str], project: Project, tmp_path: Path) -> None:
    evil = f'touch {tmp_path}/ran'
    project.write('pipeline.yaml', PIPELINE.replace('cat in.txt > data/a', evil).replace('cat data/a', f'{evil}; cat data/a'))
    project.write('.gitattributes', '* filter=x diff=x\n')
    project.commit('evil')
    for setting in ('core.fsmonitor', 'core.pager', 'diff.external', 'filter.x.smudge', 'filter.x.clean', 'filter.x.process'):
        project.git('config', setting, evil)
    for words in (('list',), ('show', three[0]), ('diff', 'HEAD~1', 'HEAD'), ('diff', three[0]), ('keep', three[0])):
        mlops('runs', *words)
    assert not (tmp_path / 'ran').exists()


def test_ten_thousand_runs_cost_little_beyond_the_start(project: Project) -> None:
    """The bound is generous: it takes some 50 ms of a processor of 2026."""
    project.write('pipeline.yaml', MANY)
    project.write('params.yaml', 'rate: 0.1\ndepth: 3\n')
    empty = Project(project.path.parent / 'empty')
    empty.write('pipeline.yaml', MANY)
    empty.write('params.yaml', 'rate: 0.1\ndepth: 3\n')
    fill(project.path, 10_000, pins=2000)
    project.write('.mlops/.gitignore', '/local/\n')  # as any command that writes leaves it: tables are kept
    asked = ('runs', 'list', '--sort', 'accuracy', '--where', 'depth > 5', '--json')
    assert len(project.mlops(*asked).json['rows']) == 20
    took = []
    for one in (empty, project):
        best = 1e9
        for _ in range(3):
            start = processor_seconds()
            one.mlops(*(asked if one is project else ('runs', 'list', '--json')))
            best = min(best, processor_seconds() - start)
        took.append(best)
    assert took[1] - took[0] < 0.5, took


def test_what_was_filtered_and_sorted_by_is_shown(mlops: Mlops, three: list[str]) -> None:
    """One run, or equal values: nothing differs, and yet it is what was asked about."""
    asked = ('runs', 'list', '--where', 'accuracy > 0.92 and mode = fast', '--sort', 'seconds', '--stage', 'train')
    head, row = mlops(*asked).lines
    assert row.split()[0] == three[1]
    assert all(name in head.split() for name in ('accuracy', 'mode', 'TIME', 'STAGES')), head
    assert mlops('runs', 'list', '--state', 'stopped', '--sort', 'stopped').out == (
        'None of 3 runs fits: leave a filter out, or mlops runs list shows the newest\n'
    )
    assert '--state' in mlops('runs', 'list', '--state', 'halted', code=2).err


def test_runs_by_how_many_came_after_them(mlops: Mlops, three: list[str]) -> None:
    first, trial, failed = three
    assert mlops('runs', 'show', '--json').json['run'] == failed == mlops('runs', 'show', 'latest', '--json').json['run']
    assert mlops('runs', 'show', 'last~2', '--json').json['run'] == first
    error = mlops('runs', 'show', 'last~3', code=2).err
    assert 'there are 3 runs only' in error and 'mlops runs list' in error
    assert mlops('runs', 'diff').lines[0] == f'run {trial} -> run {failed}'
    assert mlops('metrics', 'diff', 'last~2', 'last~1').lines[0] == f'Metrics, run {first} -> run {trial}'
    assert mlops('metrics', 'show', '--at', 'last~1').lines[0] == f'Metrics of run {trial}'


def test_a_trial_alone_is_what_comes_after_the_workspace(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    mlops('run', '-q', '--set', 'rate=3')
    heading = f'workspace -> run {mlops("runs", "show", "--json").json["run"]} (trial)'
    said = mlops('runs', 'diff', 'last')
    assert said.lines[0] == heading and re.search(r'rate +1 +-> +3\b', said.out)
    said = mlops('metrics', 'diff', 'last')
    assert said.lines[0] == f'Metrics, {heading}' and '+0.02  better' in said.out
    assert ' -> workspace' in mlops('runs', 'diff', 'last', 'workspace').lines[0], 'as it was typed'
    assert ' -> workspace' in mlops('runs', 'diff', 'last~1').lines[0], 'no trial'


def test_without_a_commit_runs_are_compared(mlops: Mlops, project: Project) -> None:
    assert 'no revision' in mlops('metrics', 'diff', code=2).err
    mlops('run', '-q')
    said = mlops('metrics', 'diff')
    assert 'the last run is' in said.err and '1 the same.' in said.out
    project.write('params.yaml', 'rate: 2\nmode: fast\n')
    mlops('run', '-q')
    said = mlops('metrics', 'diff')
    assert 'the run before the last one is' in said.err and '+0.01  better' in said.out
    project.commit('one')
    assert mlops('metrics', 'diff').err == ''


def test_a_revision_in_place_of_a_run(mlops: Mlops, project: Project) -> None:
    project.init_git()
    first = project.commit('code')
    mlops('run', '-q')
    short = mlops('runs', 'list', '--json').json['rows'][0]['run']
    said = mlops('runs', 'show', 'HEAD', code=2).err
    assert f"'HEAD' is commit {first[:7]}, no run" in said and f'on it began {short}: name one of those' in said
    project.commit('results')
    assert f'it brought the record of {short}:' in mlops('runs', 'show', 'HEAD', code=2).err
    assert f'on it began {short}:' in mlops('runs', 'apply', first[:9], code=2).err
    last = project.commit('nothing')
    said = mlops('runs', 'show', last[:12], code=2).err
    assert f"'{last[:12]}' is no run but a commit" in said and 'no run belongs to it' in said
    assert "no run 'nosuch'" in mlops('runs', 'show', 'nosuch', code=2).err


def test_a_run_in_place_of_a_revision(mlops: Mlops, project: Project) -> None:
    project.init_git()
    project.commit('code')
    mlops('run', '-q')
    said = mlops('checkout', '--at', 'last', code=2).err
    assert 'is run ' in said and 'its record is in no commit yet' in said
    commit = project.commit('results')
    hint = f'mlops checkout --at {commit[:12]} takes the commit'
    assert hint in mlops('checkout', '--at', 'last', code=2).err
    assert mlops('checkout', '--at', commit[:12]).out
    mlops('run', '-q', '--set', 'rate=3')
    assert 'it was a trial: mlops runs apply ' in mlops('checkout', '--at', 'last', code=2).err
    assert "git knows no revision 'nosuch'" in mlops('checkout', '--at', 'nosuch', code=2).err
