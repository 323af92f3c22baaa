"""Ctrl-C, TERM and KILL in the middle of a run: nothing half-valid stays, what was there is back, no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  slow:
    cmd: |
      echo half > out.txt
      echo "$$" > ../pid
      touch ../started
      while [ ! -e ../go ]; do sleep 0.05; done
      cat in.txt > out.txt
    deps: [in.txt]
    outs: [out.txt]
  after:
    cmd: cp out.txt last.txt
    deps: [out.txt]
    outs: [last.txt]
"""


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


@pytest.fixture
def halfway(project: Project) -> Project:
    """``slow`` has run once with ``old``; its input is ``new`` now."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'old\n')
    project.write('../go', '')
    project.mlops('run')
    (project.path.parent / 'go').unlink()
    (project.path.parent / 'started').unlink()
    project.write('in.txt', 'new\n')
    return project


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has reached the middle of ``slow``."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run', *arguments],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(lambda: (project.path.parent / 'started').exists())
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def stage_pid(project: Project) -> int:
    return int((project.path.parent / 'pid').read_text())


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_and_puts_back_what_was_there(halfway: Project, number: signal.Signals, code: int) -> None:
    with running(halfway) as process:
        assert halfway.read('out.txt') == 'half\n'
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == code, output.decode()
    assert halfway.read('out.txt') == 'old\n'
    assert not alive(stage_pid(halfway))
    assert [row['ended'] for row in halfway.mlops('runs', 'list', '--json').json['rows']] == ['interrupted', 'done']
    verdicts = {stage['name']: stage['verdict'] for stage in halfway.mlops('status', '--json').json['stages']}
    assert verdicts == {'slow': 'run', 'after': 'maybe'}
    halfway.write('../go', '')
    halfway.mlops('run')
    assert halfway.read('last.txt') == 'new\n'


def test_a_killed_run_is_undone_by_the_next_command(halfway: Project) -> None:
    with running(halfway) as process:
        process.kill()
        process.wait()
    pid = stage_pid(halfway)
    wait_for(lambda: not alive(pid))
    assert halfway.read('out.txt') == 'half\n'
    halfway.write('../go', '')
    result = halfway.mlops('run')
    assert 'was killed' in result.err
    assert halfway.read('last.txt') == 'new\n'
    rows = halfway.mlops('runs', 'list', '--json').json['rows']
    assert [row['ended'] for row in rows] == ['done', 'killed', 'done']


def test_a_killed_run_is_healed_by_checkout_too(halfway: Project) -> None:
    with running(halfway) as process:
        process.kill()
        process.wait()
    halfway.write('in.txt', 'old\n')
    halfway.mlops('checkout')
    assert halfway.read('out.txt') == 'old\n'


def test_two_runs_at_once_wait_for_each_other(halfway: Project) -> None:
    """The second waits for the stage, then finds it done."""
    with running(halfway) as first:
        second = subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', 'run', '--json'],
            cwd=halfway.path,
            env=halfway.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        refused = halfway.mlops('run', '--lock-timeout', '0.2', code=11)
        assert 'slow' in refused.err
        halfway.write('../go', '')
        out, err = second.communicate(timeout=60)
        first_out, _ = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0), first_out.decode() + out.decode() + err.decode()
    rows = halfway.mlops('runs', 'list', '--json').json['rows']
    assert sum(row['done'] for row in rows) == 4, rows  # each of the two stages once for each input, in whichever run
    assert halfway.read('last.txt') == 'new\n'
    assert halfway.mlops('status', '--exit-code').code == 0


def test_many_runs_at_once_run_each_stage_once(project: Project) -> None:
    names = [f's{number}' for number in range(12)]
    stages = ''.join(
        f'  {name}:\n    cmd: echo {name} >> ../trace; sleep 0.05; echo {name} > {name}.txt\n    outs: [{name}.txt]\n'
        for name in names
    )
    project.write('pipeline.yaml', f'stages:\n{stages}')
    processes = [
        subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', 'run'],
            cwd=project.path,
            env=project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sorted((project.path.parent / 'trace').read_text().split()) == sorted(names)
    assert project.mlops('status', '--exit-code').code == 0


def test_a_second_signal_ends_a_stage_that_will_not_listen(project: Project) -> None:
    project.write(
        'pipeline.yaml',
        'stages:\n  deaf:\n    grace: 100\n    cmd: trap "" INT TERM; touch ../started; while :; do sleep 0.05; done\n',
    )
    with running(project) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(b'stopping'):  # it heard the first
            assert line, 'it never said that it stops'
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.communicate(timeout=120)
        assert process.returncode == 130 and time.monotonic() - began < 60
    assert os.path.exists(project.path / '.mlops/runs')
