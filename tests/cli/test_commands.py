"""Every command on a small project of shell commands, in this process: what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import app
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: mkdir -p data && cat in.txt > data/a && echo 2 > data/b && echo prepared
    deps: [in.txt]
    outs: [data]
  train:
    matrix: {n: [1, 2, 3]}
    cmd: echo epoch ${item.n} && echo "{\\"accuracy\\":0.9${item.n}${extra}}" > m${item.n}.json && cat data/a > t${item.n}.bin
    deps: [data]
    params: [extra]
    outs: ["t${item.n}.bin"]
    metrics: [{"m${item.n}.json": {primary: accuracy, goals: {accuracy: max}}}]
  check:
    cmd: test -s t1.bin && echo all is well
    deps: [t1.bin]
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Mlops = Callable[..., Said]


@pytest.fixture
def mlops(project: Project, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """One command line in this process; the exit code is checked unless ``code`` is None."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'extra: 0\n')
    project.write('in.txt', 'one\n')
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int | None = 0, cwd: str = '.') -> Said:
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(arguments)
        found = capfd.readouterr()
        said = Said(ended, found.out, found.err)
        assert code is None or said.code == code, said
        return said

    return call


def test_the_first_run_and_the_next(mlops: Mlops, project: Project) -> None:
    first = mlops('run', '-j', '1')
    assert first.lines[0].startswith('project: 5 stages to run, nothing in cache yet. 1 job, this machine (')
    assert '  done      prepare' in first.out and 'data, 2 files, 6 B' in first.out
    assert 'accuracy 0.91  t1.bin, 4 B' in first.out
    assert 'all is well' in first.out
    assert first.lines[-1] == 'Keep it: git add .gitattributes .gitignore .mlops in.txt params.yaml pipeline.yaml && git commit'
    short = first.lines[-2].rpartition('Run ')[2].rstrip('.')
    again = mlops('run')
    assert again.out.startswith('Nothing to do: 5 stages are up to date (checked in') and f'run {short}).' in again.out
    assert mlops('run', '--quiet').out == ''
    project.commit('all')
    project.write('in.txt', 'two\n')
    second = mlops('run', '-q')
    assert (second.out, second.err) == ('', '')


def test_metrics_are_compared_with_what_was_here(mlops: Mlops, project: Project) -> None:
    mlops('run')
    project.write('params.yaml', 'extra: 5\n')
    second = mlops('run', 'train@1')
    assert 'accuracy 0.915 (was 0.91)' in second.out
    project.write('params.yaml', 'extra: 0\n')
    back = mlops('run')
    assert '  restored  train@1   ' in back.out and 'accuracy 0.91 (was 0.915)' in back.out


def test_a_trial_is_compared_with_the_workspace_and_applied(mlops: Mlops, project: Project) -> None:
    mlops('run')
    trial = mlops('run', '--set', 'extra=7')
    assert 'Trial apart from the workspace, ' in trial.out and 'accuracy 0.917 (was 0.91)' in trial.out
    assert trial.lines[-1].startswith('The workspace is as it was. To take this over: mlops runs apply ')
    short = trial.lines[-1].rpartition(' ')[2]
    assert '  trial with extra=7' in mlops('runs', 'show', short).lines
    head, newest, _ = mlops('runs', 'list').lines
    assert 'SET' not in head and newest[head.index('extra') :].split()[0] == '7', 'a column of its own says so'
    applied = mlops('runs', 'apply', short)
    assert '  wrote     params.yaml' in applied.lines and project.read('params.yaml') == 'extra: 7\n'
    assert mlops('status', '--exit-code').code == 0
    no_trial = mlops('runs', 'list', '--json').json['rows'][-1]['run']
    assert 'was no trial' in mlops('runs', 'apply', no_trial, code=2).err


def test_a_failure_is_shown_with_all_that_helps(mlops: Mlops, project: Project) -> None:
    mlops('run')
    project.write('pipeline.yaml', PIPELINE.replace('test -s t1.bin && echo all is well', 'echo looking; cat t1.bin; exit 3'))
    failed = mlops('run', code=1)
    text = failed.out
    assert '  FAILED    check' in text and 'exit 3' in text
    assert 'check failed: echo looking; cat t1.bin; exit 3' in text
    assert '  | looking\n  | one\n' in text
    assert '  ran because  command ' in text
    assert '  where        pipeline.yaml:15:5' in text
    assert '  whole log    mlops logs check' in text
    assert failed.lines[-1] == 'Fix, then: mlops run'
    assert mlops('logs', 'check').out == 'looking\none\n'
    assert mlops('logs', 'check', '--lines', '1').out == 'one\n'
    assert mlops('run', '--json', code=1).json['stages'][-1]['exit_code'] == 3


def test_logs_of_several_and_of_earlier_runs(mlops: Mlops, project: Project) -> None:
    run = mlops('run', '--json').json['run']
    both = mlops('logs', 'train')
    assert both.out.count('==> train@') == 3 and 'epoch 2\n' in both.out
    project.write('pipeline.yaml', PIPELINE.replace('echo epoch', 'printf "\\033[31mred\\033[0m\\r100%%\\n"; echo'))
    mlops('run')
    assert mlops('logs', 'train@2').out == '100%\n2\n'
    assert mlops('logs', 'train@2', '--raw').out == '\x1b[31mred\x1b[0m\r100%\n2\n'
    assert mlops('logs', 'train@2', '--run', run.partition('-')[2]).out == 'epoch 2\n'
    assert mlops('logs', 'train@2', '--json').json['rows'][0]['lines'] == ['100%', '2']
    assert 'no run' in mlops('logs', 'train@2', '--run', 'zzzz', code=2).err
    found = mlops('logs', 'train@9', code=2)
    assert 'no stage, instance or output' in found.err


def test_logs_come_from_the_store_where_the_file_is_gone(mlops: Mlops, project: Project) -> None:
    import shutil

    mlops('run')
    shutil.rmtree(project.path / '.mlops/local/logs')
    assert mlops('logs', 'prepare').out == 'prepared\n'
    project.write('pipeline.yaml', PIPELINE + '  new:\n    cmd: echo new\n')
    assert 'no log of new' in mlops('logs', 'new', code=2).err


def test_status_and_plan_and_their_codes(mlops: Mlops, project: Project) -> None:
    assert 'no run yet' in mlops('status', '--exit-code', code=3).out
    mlops('run')
    status = mlops('status')
    assert status.lines[1] == 'Up to date: 5 stages.'
    assert '(git add .gitattributes .gitignore .mlops in.txt params.yaml pipeline.yaml)' in status.out
    assert mlops('status', '-q', '--exit-code').out == ''
    (project.path / 't1.bin').unlink()
    assert mlops('status', '--exit-code').code == 0
    assert mlops('status', '--exit-code', '--strict', code=3).out.count('t1.bin') == 1
    assert mlops('plan', '--exit-code', '--strict', code=3).lines[0].startswith('  STAGE')
    assert {stage['verdict'] for stage in mlops('plan', '--json').json['stages']} == {'fresh', 'restore'}
    project.write('t1.bin', 'by hand')
    assert 'Changed by hand' in mlops('status').out
    refused = mlops('checkout', code=5).err
    assert 'not saved anywhere' in refused and 'mlops checkout --force ' in refused and 'force keeps' not in refused
    shown = mlops('checkout', '--force')
    assert '  placed    t1.bin, 4 B' in shown.lines and any(line.startswith('  kept      ') for line in shown.lines)
    assert mlops('checkout', 't1.bin').out == '0 paths placed, 1 already right.\n'


def test_a_comment_is_told_as_such(mlops: Mlops, project: Project) -> None:
    project.write('x.py', 'print(1)\n')
    project.write('pipeline.yaml', 'version: 1\nstages:\n  a:\n    cmd: python x.py > a\n    outs: [a]\n')
    mlops('run')
    project.write('x.py', '# more\nprint(1)\n')
    os.utime(project.path / 'x.py', (1, 1))  # whenever that was
    found = mlops('run')
    assert found.out.startswith('Nothing to do: 1 stage is up to date')
    assert found.err == 'note: x.py changed since, but not in meaning (comments, formatting)\n'
    assert found.err.strip() in mlops('status').out
    project.write('x.py', 'print(2)\n')
    assert 'code' in mlops('plan').out and mlops('run').err == ''


def test_explain_compares_with_what_is_here(mlops: Mlops, project: Project) -> None:
    assert 'no result yet' in mlops('explain', 'prepare').out
    mlops('run')
    fresh = mlops('explain', 'prepare')
    assert fresh.lines[0] == 'prepare: fresh, the workspace holds what this key led to'
    assert 'Made of: 1 command, 1 data, 1 output' in fresh.out
    project.write('params.yaml', 'extra: 5\n')
    stale = mlops('explain', 'train@1')
    assert 'compared with the state that the workspace holds' in stale.out
    assert any(line.split() == ['~', 'param', 'params.yaml:extra', '0', '->', '5'] for line in stale.lines)
    mlops('run')
    project.write('params.yaml', 'extra: 0\n')
    restore = mlops('explain', 'train@1')
    assert restore.lines[0].startswith('train@1: restore')
    assert any(line.split() == ['~', 'param', 'params.yaml:extra', '5', '->', '0'] for line in restore.lines)
    everything = mlops('explain', 'train@1', '-v')
    assert len(everything.lines) > len(restore.lines)
    project.write('in.txt', 'three\n')
    waiting = mlops('explain', 'check')
    assert waiting.lines[0].startswith('check: maybe') and '  ? data' in waiting.out
    assert [one['name'] for one in mlops('explain', 'train', '--json').json['stages']] == ['train@1', 'train@2', 'train@3']


def test_add_and_verify(mlops: Mlops, project: Project) -> None:
    for name in ('x', 'y/z'):
        project.write(f'raw/{name}', name)
    project.write('labels.csv', 'a,b\n')
    added = mlops('add', 'raw', 'labels.csv', './raw')
    assert added.lines[:2] == ['  added     raw, 2 files, 4 B', '  added     labels.csv, 4 B']
    assert added.lines[2].startswith('Keep it: git add .mlops/data/raw.json .mlops/data/labels.csv.json .gitignore')
    assert mlops('add', 'raw').lines == ['  same      raw, 2 files, 4 B']
    project.write('raw/new', 'new')
    (project.path / 'labels.csv').unlink()
    mlops('run')
    status = mlops('status').out
    lines = [line.strip() for line in status.splitlines()]
    found = next(index for index, line in enumerate(lines) if line.split() == ['raw', '1', 'new'])
    assert lines[found + 1 : found + 3] == ['(keep: mlops add raw)', '(go back: mlops checkout raw)']
    assert '  labels.csv          not here   (mlops checkout labels.csv)' in status
    for word, message in (('data', 'is made by stage prepare'), ('nowhere', 'does not exist'), ('../x', 'inside the project')):
        assert message in mlops('add', word, code=2).err
    assert mlops('verify').out.endswith('all sound.\n')
    assert 'part 1 of 2' in mlops('verify', '--sample', '50%').out
    found = next(path for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file())
    found.chmod(0o644)
    found.write_bytes(found.read_bytes() + b'!')
    damage = mlops('verify', code=1)
    assert '  damaged    blake3:' in damage.out and '1 damaged.' in damage.out


def test_no_file_is_tracked_twice(mlops: Mlops, project: Project) -> None:
    project.write('raw/a/x', '1')
    mlops('add', 'raw/a')
    said = mlops('add', 'raw', code=2).err
    assert 'raw holds raw/a, which is tracked by itself' in said
    (project.path / said.rpartition('first: rm ')[2].strip()).unlink()
    mlops('add', 'raw')
    assert 'raw/a/x lies in raw' in mlops('add', 'raw/a/x', code=2).err


def test_tracked_data_that_no_cache_has_is_told_with_a_way_out(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages:\n  a:\n    cmd: cat x > a\n    deps: [x]\n    outs: [a]\n')
    project.write('x', 'x')
    mlops('add', 'x')
    (project.path / 'x').unlink()
    shutil.rmtree(project.path / '.mlops/cache')
    assert 'not in this cache, so nothing was placed: x\n' in mlops('checkout', 'x', code=1).err
    text = ' '.join(mlops('plan').out.split())
    assert 'ring it from a remote (mlops pull x), or copy it here.' in text


def test_checkout_after_going_back_in_git_places_data_and_what_belongs_to_it(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages:\n  sum:\n    cmd: cat raw/* > sum\n    deps: [raw]\n    outs: [sum]\n')
    project.write('raw/a', '1\n')
    mlops('add', 'raw')
    mlops('run')
    project.commit('one')
    project.write('raw/b', '2\n')
    mlops('add', 'raw')
    mlops('run')
    project.commit('two')
    project.git('checkout', '-q', 'HEAD~1')
    assert '(go back: mlops checkout raw)' in mlops('status').out
    placed = mlops('checkout').lines
    assert placed[:2] == ['  placed    raw, 1 file, 2 B', '  placed    sum, 2 B'] and len(placed) == 3
    assert (project.path / 'sum').read_text() == '1\n' and not (project.path / 'raw/b').exists()
    assert 'Up to date: 1 stage.' in mlops('status').out
    project.git('checkout', '-q', '-')
    project.write('sum', 'by hand')
    refused = mlops('checkout', code=5)
    assert refused.lines[0] == '  placed    raw, 2 files, 4 B' and 'left alone: sum' in refused.err
    assert mlops('checkout', 'nowhere', code=2).out == ''


def test_the_graph_in_every_form(mlops: Mlops) -> None:
    assert 'prepare' in mlops('graph').out
    assert mlops('graph', '--format', 'mermaid').out.startswith(('graph', 'flowchart'))
    assert mlops('graph', '--format', 'dot').out.startswith('digraph')
    assert mlops('graph', '--json').json == mlops('graph', '--format', 'json').json


def test_the_gate(mlops: Mlops, project: Project) -> None:
    project.write('m.json', '{"accuracy": 0.97}')
    assert 'passed' in mlops('gate', 'm.json:accuracy >= 0.95').out
    assert mlops('gate', 'm.json:accuracy >= 0.99', '--json', code=1).json['passed'] is False
    assert 'm.jsn' in mlops('gate', 'm.jsn:accuracy >= 1', code=2).err


def test_paths_are_from_where_the_user_stands(mlops: Mlops, project: Project) -> None:
    mlops('run')
    (project.path / 'sub').mkdir()
    (project.path / 't1.bin').unlink()
    assert '  placed    t1.bin' in mlops('checkout', '../t1.bin', cwd='sub').out
    (project.path / 't2.bin').unlink()
    assert '1 restored' in mlops('run', '../t2.bin', cwd='sub').out
    assert mlops('status', '--exit-code', '../t2.bin', cwd='sub').code == 0


def test_events_are_written_while_it_happens(mlops: Mlops, project: Project) -> None:
    mlops('run', '--events', 'events.jsonl')
    events = [json.loads(line) for line in project.read('events.jsonl').splitlines()]
    assert [events[0]['event'], events[-1]['event']] == ['run-started', 'run-ended']
    assert sum(event['event'] == 'stage-ended' for event in events) == 5
    assert '--events nowhere/x' in mlops('run', '--force', '--events', 'nowhere/x', code=2).err
    outside = Path.cwd().parent / 'outside'
    outside.write_text('mine')
    Path('link').symlink_to(outside)
    assert 'symbolic link' in mlops('run', '--force', '--events', 'link', code=5).err, 'a branch may have brought it'
    assert outside.read_text() == 'mine'


def test_an_unknown_executor_is_told_by_the_dry_run_too(mlops: Mlops) -> None:
    for arguments in (['run', '--executor', 'nope'], ['run', '-n', '--executor', 'nope']):
        assert 'there is no executor named nope' in mlops(*arguments, code=2).err


def test_keep_going_and_dry_run(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('test -s t1.bin', 'false'))
    dry = mlops('run', '--dry-run')
    assert dry.lines[0].startswith('  STAGE') and not project.exists('data')
    assert mlops('run', '--dry-run', '--json').json['schema'] == 'mlops/run-plan/v1'
    assert '4 done' in mlops('run', '--keep-going', code=1).out


def test_what_is_missing_is_told_before_anything_runs(mlops: Mlops, project: Project) -> None:
    (project.path / 'in.txt').unlink()
    error = mlops('run', code=2).err
    assert 'stage prepare needs in.txt' in error and 'pipeline.yaml:' in error and 'hint: ' in error
    assert 'Blocked, 5' in mlops('status').out and 'blocked: prepare: in.txt' in mlops('plan').out


def test_a_reader_that_leaves_ends_nothing_badly(project: Project, tmp_path: Path) -> None:
    import subprocess
    import sys

    project.write('pipeline.yaml', 'version: 1\nstages:\n  a:\n    cmd: seq 1 200000 && touch a\n    outs: [a]\n')
    project.mlops('run')
    command = f'{sys.executable} -m mlops_cli logs a | head -1; {sys.executable} -m mlops_cli status >&- 2>&-; echo $?'
    done = subprocess.run(['/bin/sh', '-c', command], cwd=project.path, env=project.environ, capture_output=True, text=True)
    assert done.stdout == '1\n0\n' and done.stderr.startswith('a, run ') and done.stderr.count('\n') == 1
