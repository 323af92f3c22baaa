"""The whole program, in a process of its own, where that is the question: a terminal, signals, locks, heartbeats."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.cli.screens import run as run_screen
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.core.events import RunStarted, StageStarted
from tests.cli.values import RUN, bench, ended
from tests.support.project import Project

SLOW = """\
version: 1
stages:
  slow:
    cmd: echo begun > ready; for i in 1 2 3 4 5 6 7 8 9; do echo step $i; {wait}; done; echo made > out
    outs: [out]
"""
UNTIL_TOLD = 'until [ -e go ]; do sleep 0.02; done'


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', *arguments],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f'{path} never came'
        time.sleep(0.05)


def on_a_terminal(project: Project, *arguments: str, go: str = '', columns: int = 80, **environ: str) -> tuple[int, str]:
    """What a terminal of so many columns is sent.  ``go``: by which the file ``go`` is made that stages may wait for."""
    main, other = os.openpty()
    os.set_blocking(main, False)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', *arguments],
        cwd=project.path,
        env={**project.environ, 'TERM': 'xterm-256color', **environ},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    found = b''
    while process.poll() is None or select.select([main], [], [], 0)[0]:
        if select.select([main], [], [], 0.1)[0]:
            try:
                found += os.read(main, 65536)
            except OSError:  # nobody writes to it any more
                break
            if go and go in found.decode(errors='replace'):
                project.write('go', '')
    os.close(main)
    return process.wait(), found.decode()


@pytest.mark.parametrize('environ', [{}, {'NO_COLOR': '1'}], ids=['colour', 'no colour'])
def test_on_a_terminal_something_moves_and_goes_away(project: Project, environ: dict[str, str]) -> None:
    project.write('pipeline.yaml', SLOW.format(wait=UNTIL_TOLD))
    code, text = on_a_terminal(project, 'run', go='0 of 1 done, 1 running', **environ)
    assert code == 0
    assert '  running   slow' in text and '\x1b[2K' in text
    assert 'no history yet' in text or text.count('running   slow') > 1
    last = re.sub('\x1b\\[[0-9]*m', '', text.rpartition('\x1b[2K')[2])
    assert '1 done in ' in last and 'running' not in last
    assert text.rfind('\x1b[?25h') > text.rfind('\x1b[?25l')
    assert ('\x1b[32m' in text) == (not environ)


def test_a_dumb_terminal_sees_lines_only(project: Project) -> None:
    project.write('pipeline.yaml', SLOW.format(wait='sleep 0.1'))
    code, text = on_a_terminal(project, 'run', TERM='dumb')
    assert code == 0 and '\x1b' not in text and 'running' not in text


@pytest.mark.parametrize(
    ('number', 'code'),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.full)],
    ids=['INT', 'TERM'],
)
def test_asked_to_stop_it_stops_what_runs_and_says_so(project: Project, number: int, code: int) -> None:
    project.write('pipeline.yaml', SLOW.format(wait='sleep 5').replace('echo begun', "trap 'sleep 2; exit 1' TERM; echo begun"))
    process = start(project, 'run')
    wait_for(project.path / 'ready')
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert 'stopping: 1 stage being ended; once more to end them at once' in err
    assert process.returncode == code
    assert '  stopped   slow' in out and out.rstrip().endswith('To go on: mlops run')
    assert project.mlops('runs', 'list', '--json').json['rows'][0]['interrupted'] == 1


def test_while_another_command_runs_a_stage(project: Project) -> None:
    project.write('pipeline.yaml', SLOW.format(wait=UNTIL_TOLD))
    process = start(project, 'run')
    try:
        wait_for(project.path / 'ready')
        status = project.mlops('status').out
        assert 'Running now' in status and '(mlops logs slow --follow)' in status and 'step ' in status
        assert project.mlops('status', '--json').json['running'][0]['pid'] == process.pid
        late = project.mlops('run', '--lock-timeout', '0.1', code=11)
        assert f'pid {process.pid}' in late.err
        following = start(project, 'logs', 'slow', '--follow')
        assert following.stdout is not None and following.stdout.readline() == 'step 1\n'
        project.write('go', '')
        assert following.communicate(timeout=60)[0] == ''.join(f'step {n}\n' for n in range(2, 10))
    finally:
        project.write('go', '')
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_without_a_terminal_a_long_run_is_heard_of(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute; here the minutes are short."""
    monkeypatch.setattr(run_screen, 'HEARTBEAT', 0.5)
    heard, end = '', time.monotonic() + 60
    with RunScreen(bench()) as screen:
        screen.listen(RunStarted(RUN, 'digits', 8, 0, 4))
        screen.listen(StageStarted('prepare', 1, 'log'))
        while 'running prepare 0m; 0 of 8 done, 1 running, 7 waiting' not in heard:
            assert time.monotonic() < end, heard
            time.sleep(0.1)
            heard += capsys.readouterr().err
        screen.listen(ended('prepare'))
