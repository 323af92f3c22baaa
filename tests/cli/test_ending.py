"""TERM and HUP end a command as Ctrl-C does, and its exit code tells which it was."""

from __future__ import annotations

import os
import select
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
# The program, which says that from now on Ctrl-C is its own to hear.
GUARDED = """\
import os
from mlops_cli import __main__ as program
main = program.main
def saying() -> None:
    os.write(1, b'.')
    main()
program.main = saying
program.start()
"""
CASES = [(signal.SIGINT, 130, ''), (signal.SIGTERM, 143, ''), (signal.SIGHUP, 129, '')]


@pytest.mark.parametrize(('number', 'code', 'said'), CASES)
def test_what_a_command_has_in_hand_is_put_right(tmp_path: Path, number: signal.Signals, code: int, said: str) -> None:
    process = subprocess.Popen([sys.executable, '-c', SLOW], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b'begun\n'
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err.decode()) == (code, b'put right\n', said)


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    """As nohup has it."""
    waits = SLOW.replace('time.sleep(60)', 'sys.stdin.readline()')
    script = f'import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{waits}'
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, '-c', script], cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(b'\n', timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_leaves_no_traceback(project: Project, number: signal.Signals) -> None:
    """Of ours, that is: the interpreter's own beginning is not ours to guard."""
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo > a.txt\n    outs: [a.txt]\n')
    project.write('data.txt', 'x')
    for delay in (0.0, 0.06, 0.14, 0.24):
        process = subprocess.Popen(
            [sys.executable, '-c', GUARDED, 'add', 'data.txt'],
            cwd=project.path,
            env=project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stdout.read(1) == b'.'
        time.sleep(delay)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
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
        shown = b''
        while b'running' not in shown or not (project.path.parent / 'begun').exists():
            assert select.select([terminal], [], [], 60)[0], shown
            shown += os.read(terminal, 65536)
        os.close(terminal)
        assert process.wait(60) == ExitCode.HUNG_UP
    finally:
        process.kill()
        process.wait()
    assert [row['ended'] for row in project.mlops('runs', 'list', '--json').json['rows']] == ['interrupted']
