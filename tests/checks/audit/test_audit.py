"""``mlops audit``: what is shown, what it proposes for the pipeline, and what it says where it did not see all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.checks.audit.tracing import find_strace
from tests.support.project import Project

STRACE, WHY = find_strace(os.environ)
needs_strace = pytest.mark.skipif(not STRACE, reason=WHY)

MAIN = """\
import importlib
a = open('data/a.csv').read() + open('data/b.csv').read()
importlib.import_module('hel' + 'per')
open('debug.log', 'a').write('x')
open('out.txt', 'w').write(a)
"""
PIPELINE = """\
version: 1
stages:
  a:   # the only one
    cmd: python main.py
    deps:
      # the table
      - data/a.csv  # first
      - unused.txt
    outs: [out.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'p')
    for name in ('data/a.csv', 'data/b.csv', 'data/c.csv', 'unused.txt'):
        made.write(name, f'{name}\n')
    made.write('helper.py', 'X = 1\n')
    made.write('main.py', MAIN)
    made.write('pipeline.yaml', PIPELINE)
    return made


def of(found: Any, stage: str) -> list[tuple[str, str]]:
    (one,) = [one for one in found['stages'] if one['stage'] == stage]
    return [(row['kind'], row['path']) for row in one['undeclared']]


@needs_strace
def test_what_is_missing_is_shown_and_written(project: Project) -> None:
    said = project.mlops('audit', code=1)
    for line in ('reads       data/b.csv', 'loads       helper.py', 'writes      debug.log', 'not opened  unused.txt'):
        assert line in said.out
    assert 'Seen by strace.' in said.out
    assert '+      - data/b.csv' in said.out and project.read('pipeline.yaml') == PIPELINE
    (project.path / 'debug.log').unlink()
    found = project.mlops('audit', '--write', '--json', code=1).json
    assert of(found, 'a') == [('read', 'data/b.csv'), ('write', 'debug.log'), ('code', 'helper.py')]
    assert found['written'] == ['pipeline.yaml'] and found['stages'][0]['unused'] == [{'dep': 'unused.txt', 'list': 'deps'}]
    wanted = PIPELINE.replace('    deps:\n', '    code: [helper.py]\n    deps:\n')
    wanted = wanted.replace('      - data/a.csv', '      - data/b.csv\n      - data/a.csv')
    assert project.read('pipeline.yaml') == wanted.replace('[out.txt]', '[debug.log, out.txt]')
    assert 'all that it opens is declared' in project.mlops('audit').out
    project.write('helper.py', 'X = 2\n')
    assert project.mlops('plan', '--exit-code', code=3)


@needs_strace
def test_the_patch_is_one_that_git_takes(project: Project) -> None:
    patch = project.mlops('audit', '--json', code=1).json['patch']
    project.init_git()
    subprocess.run(['git', 'apply', '-'], input=patch.encode(), cwd=project.path, check=True)
    assert 'data/b.csv' in project.read('pipeline.yaml')


@needs_strace
def test_instances_share_what_is_added(project: Project) -> None:
    project.write('pipeline.yaml', """\
version: 1
stages:
  m:
    matrix: {x: [a, b]}
    cmd: x=${item.x}; cat $(printf data/%s.csv $x) > $x.out
    outs: ['${item.x}.out']
  each:
    foreach: [a]
    do:
      cmd: x=${item}; cat $(printf 'data/%s.csv data/[x].csv %s.out' $x $x) > $x.each
      outs: ['${item}.each']
""")
    project.write('data/[x].csv', '')
    project.mlops('run', 'm')
    # One at a time: nobody knows yet that the one reads what the other makes.
    found = project.mlops('audit', '-j1', '--write', '--json', code=1).json
    assert of(found, 'm@a') == [('read', 'data/a.csv')] and of(found, 'm@b') == [('read', 'data/b.csv')]
    text = project.read('pipeline.yaml')
    assert '    deps: [data/a.csv, data/b.csv]\n' in text
    assert "      deps: [{path: \"data/[x].csv\"}, a.out, data/a.csv]\n" in text or '{path: "data/[x].csv"}' in text
    assert project.mlops('audit', '--json', code=None).json['clean']


def without_strace(project: Project) -> dict[str, str]:
    folder = project.path.parent / 'bin'
    folder.mkdir()
    (folder / 'strace').write_text('#!/bin/sh\necho "strace: ptrace(PTRACE_TRACEME): Operation not permitted" >&2\nexit 1\n')
    (folder / 'strace').chmod(0o755)
    return {'PATH': f'{folder}:{project.environ["PATH"]}'}


def test_without_strace_python_tells(project: Project) -> None:
    project.write('lib/sitecustomize.py', 'import os\nos.environ["OURS"] = "yes"\n')
    more = 'import os, sys\nassert os.environ["OURS"] == "yes"\nassert not any("audit" in p for p in sys.path)\n'
    project.write('main.py', MAIN + more)
    environ = {**without_strace(project), 'PYTHONPATH': 'lib'}
    said = project.mlops('audit', '--json', environ=environ, code=1)
    assert 'Operation not permitted' in said.err
    assert said.json['by'] == 'python' and 'DuckDB' in said.json['limits']
    assert {('read', 'data/b.csv'), ('code', 'helper.py'), ('write', 'debug.log')} <= {*of(said.json, 'a')}
    assert said.json['stages'][0]['whole']


def test_the_hook_keeps_out_of_what_a_program_does(project: Project) -> None:
    project.write('main.py', 'import os, sys\nos.closerange(3, 100)\nf = os.open("out.txt", os.O_WRONLY | os.O_CREAT)\n'
                  'for _ in range(9): open("data/a.csv").close(); open("data/b.csv").close()\n'
                  'os.write(f, b"ok")\n')  # fmt: skip
    found = project.mlops('audit', '--json', environ=without_strace(project), code=1).json
    assert of(found, 'a') == [('read', 'data/b.csv')] and project.read('out.txt') == 'ok'


@needs_strace
@pytest.mark.parametrize('command', ['kill -9 $PPID; sleep 0.2', 'kill -9 $PPID; cat $(echo data/b).csv'])
def test_a_stage_that_ends_strace_is_never_clean(project: Project, command: str) -> None:
    project.write('pipeline.yaml', f'version: 1\nstages: {{a: {{cmd: "{command}; true", outs: []}}}}\n')
    found = project.mlops('audit', '--json', code=1, timeout=60).json
    assert not found['clean'] and not found['stages'][0]['clean']


@needs_strace
def test_a_stage_of_many_processes(project: Project) -> None:
    project.write('pipeline.yaml', """\
version: 1
stages:
  a: {cmd: 'i=0; while [ $i -lt 300 ]; do (cat $(echo data/b).csv > t$i; mv t$i u$i; rm u$i) & i=$((i+1)); done; wait'}
""")
    found = project.mlops('audit', '--json', code=1, timeout=120).json
    assert of(found, 'a') == [('read', 'data/b.csv')]
    assert found['stages'][0]['whole'] and found['stages'][0]['processes'] > 600


@needs_strace
def test_a_stage_that_fails_tells_what_it_opened(project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages: {a: {cmd: cat $(echo data/b).csv; false}}\n')
    said = project.mlops('audit', code=1)
    assert 'a: failed: exit 1; so far 1 undeclared read' in said.out


@needs_strace
def test_interrupted(project: Project) -> None:
    read = project.path.parent / 'read'
    cmd = f'cat $(echo data/b).csv; touch {read}; sleep 600'
    project.write('pipeline.yaml', f'version: 1\nstages: {{a: {{cmd: {cmd}, grace: 1s}}}}\n')
    words = [sys.executable, '-m', 'mlops_cli', 'audit']
    run = subprocess.Popen(words, cwd=project.path, env=project.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not read.exists():
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 130, err
    assert b'data/b.csv' in out


@needs_strace
def test_stages_of_other_machines_are_left_out(project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages: {a: {cmd: "true", host: far}, b: {cmd: "true"}}\n')
    assert 'a runs on far' in project.mlops('audit', 'b', 'a', code=2).err
    said = project.mlops('audit', '--json', 'b')
    assert [one['stage'] for one in said.json['stages']] == ['b']


@needs_strace
def test_what_was_seen_counts_from_then_on(project: Project) -> None:
    project.init_git()
    project.mlops('run')
    project.write('helper.py', 'X = 2\n')
    assert 'Nothing to do' in project.mlops('run').out  # nobody knows of it
    project.mlops('audit', code=1)
    said = project.mlops('plan', '--json').json['stages'][0]
    assert said['verdict'] == 'fresh' and 'data/b.csv, helper.py' in str(said)
    for _ in range(3):
        assert 'Nothing to do' in project.mlops('run').out
    project.write('helper.py', 'X = 3\n')
    (stage,) = project.mlops('plan', '--json', '--exit-code', code=3).json['stages']
    assert [(one['kind'], one['subject'], one['detail']) for one in stage['reasons']] == [
        ('code', 'helper.py', 'seen by an audit, and not declared')
    ]
    assert project.mlops('run', '--json').json['stages'][0]['state'] == 'done'
    assert 'Nothing to do' in project.mlops('run').out  # it counts as it was in that run, though nobody looked
    project.write('data/b.csv', 'other\n')
    assert project.mlops('run', '--json').json['stages'][0]['state'] == 'done'
    assert 'other' in project.read('out.txt')
    project.write('data/b.csv', 'data/b.csv\n')  # as it was before: that result counts again
    assert project.mlops('run', '--json').json['stages'][0]['state'] == 'restored'
    assert 'not deterministic' not in project.mlops('status').out


@needs_strace
def test_what_is_declared_later_is_no_longer_discovered(project: Project) -> None:
    project.mlops('audit', '--write', code=1)
    assert project.mlops('audit', '--json').json['clean']
    (stage,) = project.mlops('plan', '--json').json['stages']
    assert stage['verdict'] == 'fresh' and 'audit' not in str(stage)


@needs_strace
def test_reports(project: Project) -> None:
    said = project.mlops('audit', '-o', 'r/a.html', '-o', 'r/a.md', '-o', 'r/a.json', '--json', code=1)
    page, text = project.read('r/a.html'), project.read('r/a.md')
    assert json.loads(project.read('r/a.json')) == said.json
    assert page.count('class="box') == 1 + 4 and '<h2>What would be declared</h2>' in page  # the stage, and four files
    assert '| a | reads | <code>data&#47;b&#46;csv</code> |' in text and 'flowchart LR' in text and '```diff' in text
    assert 'reports' not in str(said.json['stages'])
    project.write('mine.md', 'mine\n')
    assert 'is there already' in project.mlops('audit', '-o', 'mine.md', code=5).err and project.read('mine.md') == 'mine\n'
    assert 'no kind of report' in project.mlops('audit', '-o', 'a.pdf', code=2).err
