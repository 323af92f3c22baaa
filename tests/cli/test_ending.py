"""TERM and HUP end a command as Ctrl-C does, and its exit code tells which it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode
from tests.support.project import Project

# A command in the middle of something that has to be put right: it says so when it was.
SLOW = """\
import sys, time
from mlops_cli.cli import app, catalogue
from mlops_cli.cli.commands import verify
def command(*_, **__):
    try:
        print('begun', flush=True)
        time.sleep(60)
    finally:
        print('put right', flush=True)
verify.command = command
app.understood = lambda _: command
sys.exit(app.run(['verify']))
"""
IN_TERMINAL = """\
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from mlops_cli.__main__ import start
start()
"""
CASES = [(signal.SIGINT, 130, ''), (signal.SIGTERM, 143, ''), (signal.SIGHUP, 129, '')]


@pytest.mark.parametrize(('number', 'code', 'said'), CASES)
def test_what_a_command_has_in_hand_is_put_right(tmp_path: Path, number: signal.Signals, code: int, said: str) -> None:
    process = subprocess.Popen([sys.executable, '-c', SLOW], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b'begun\n'
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err.decode()) == (code, b'put right\n', said)


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    """As nohup has it."""
    script = f'import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{SLOW.replace("sleep(60)", "sleep(0.6)")}'
    process = subprocess.Popen([sys.executable, '-c', script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_leaves_no_traceback(project: Project, number: signal.Signals) -> None:
    """Of ours, that is: the interpreter's own beginning, in its first 60 ms, is not ours to guard."""
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo > a.txt\n    outs: [a.txt]\n')
    project.write('data.txt', 'x')
    for delay in (0.12, 0.2, 0.3):
        process = subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', 'add', 'data.txt'],
            cwd=project.path,
            env=project.environ,
            stderr=subprocess.PIPE,
        )
        time.sleep(delay)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert b'mlops_cli' not in err or b'Traceback' not in err, err.decode()
        assert process.returncode in (0, 128 + number, -number)
    project.mlops('add', 'data.txt')


def test_the_terminal_that_a_run_draws_on_goes_away(project: Project) -> None:
    """The run is ended and recorded all the same."""
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: touch ../begun; sleep 60\n    outs: [a.txt]\n')
    terminal, far = os.openpty()
    process = subprocess.Popen(
        [sys.executable, '-c', IN_TERMINAL, 'run'],
        cwd=project.path,
        env={**project.environ, 'TERM': 'xterm'},
        stdin=far,
        stdout=far,
        stderr=far,
        start_new_session=True,
    )
    os.close(far)
    try:
        until = time.monotonic() + 30
        while not (project.path.parent / 'begun').exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.8)  # something moves by now
        os.close(terminal)
        assert process.wait(30) == ExitCode.HUNG_UP
    finally:
        process.kill()
        process.wait()
    assert [row['ended'] for row in project.mlops('runs', 'list', '--json').json['rows']] == ['interrupted']
