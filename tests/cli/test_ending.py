"""Ctrl-C, TERM and HUP end a command, and its exit code tells which it was."""

from __future__ import annotations

import functools
import operator
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import ending
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


class Managed:
    """As contextlib makes one of a generator, with ``signal`` coming in at the step at which nothing is safe."""

    def __init__(self, number: int, enter: bool) -> None:
        self.number, self.enter = number, enter
        self.left = False

    def __enter__(self) -> None:
        if self.enter:
            signal.raise_signal(self.number)  # heard in this frame, before the with statement knows what to leave

    def __exit__(self, *_: object) -> None:
        if not self.enter:
            signal.raise_signal(self.number)
        self.left = True


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize('enter', [True, False])
@pytest.mark.parametrize('stacked', [True, False])
def test_what_was_entered_is_left(monkeypatch: pytest.MonkeyPatch, number: int, enter: bool, stacked: bool) -> None:
    """Else a lock is let go of, or an output put back, when all that is needed for it is gone."""
    monkeypatch.setattr(ending, 'asked_by', 0)
    made: Any = Managed(number, enter)
    before = signal.getsignal(number)
    with ending.obeying(), pytest.raises(KeyboardInterrupt):
        if stacked:
            with ExitStack() as stack:
                stack.enter_context(made)
                time.sleep(30 * enter)
        else:
            with made:
                time.sleep(30 * enter)
        time.sleep(30)
    assert made.left and signal.getsignal(number) == before
    assert ending.code(ExitCode.INTERRUPTED) == 128 + number


class Then(zip):  # type: ignore[type-arg]
    """Of a generator, with a signal that is heard once the first answer is there: no code of Python runs in between."""

    throw: Any


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_what_a_generator_manages_is_left(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The signal comes in where contextlib has the generator's first answer, and has not handed it on."""
    monkeypatch.setattr(ending, 'asked_by', 0)
    left = []

    @contextmanager
    def managed() -> Any:
        try:
            yield
        finally:
            left.append(1)

    made: Any = managed()
    throw = made.gen.throw
    made.gen = Then(made.gen, map(signal.raise_signal, [number]))
    made.gen.throw = throw
    with ending.obeying(), pytest.raises(KeyboardInterrupt), made:
        time.sleep(30)
    assert left


def test_what_waits_for_a_thread_has_its_lock_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in where threading has let go of a lock, and has not begun what takes it again in any case."""
    monkeypatch.setattr(ending, 'asked_by', 0)
    real = threading.Lock()
    steps: list[Any] = [real.release, functools.partial(signal.raise_signal, signal.SIGTERM)]
    both: Any = functools.partial(list, map(operator.call, steps))  # no code of Python runs in between

    class Lock:
        acquire = real.acquire
        release = both

        def __enter__(self) -> None:
            real.acquire()

        def __exit__(self, *_: object) -> None:
            real.release()

    changed = threading.Condition(Lock())  # type: ignore[arg-type]
    with ending.obeying(), pytest.raises(KeyboardInterrupt), changed:
        changed.wait(30)
    assert not real.locked()


def test_a_signal_is_not_swallowed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is raised while something is taken apart is told on standard error, and goes nowhere."""
    monkeypatch.setattr(ending, 'asked_by', 0)

    class Gone:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with ending.obeying(), pytest.raises(KeyboardInterrupt):
        Gone()
        time.sleep(30)
    assert capsys.readouterr().err == ''


def test_what_never_leaves_is_interrupted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, 'asked_by', 0)

    class Endless:
        def __enter__(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            while True:
                pass

        def __exit__(self, *_: object) -> None: ...

    with ending.obeying(), pytest.raises(KeyboardInterrupt), Endless():
        pass
    assert ending.code(ExitCode.INTERRUPTED) == 143
