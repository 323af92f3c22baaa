"""A host that does not answer yet is waited for, with a word of why; who stops waiting is heard at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.support.project import Project

PIPELINE = 'stages: {a: {cmd: echo x > a.txt, outs: [a.txt], host: gpu1}}\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With a host whose ssh never gets as far as to speak."""
    found = Project(tmp_path / 'one')
    found.init_git()
    found.write('pipeline.yaml', PIPELINE)
    program = tmp_path / 'bin/ssh'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 300\n')
    program.chmod(0o755)
    found.environ['PATH'] = f'{program.parent}{os.pathsep}{found.environ["PATH"]}'
    found.mlops('hosts', 'add', 'gpu1', 'ssh://gpu1.invalid/x')
    return found


def said(stream: IO[bytes], words: bytes) -> None:
    until, seen = time.monotonic() + 60, b''
    while words not in seen:
        part = stream.readline()
        assert part and time.monotonic() < until, seen
        seen += part


def test_ctrl_c_is_heard_while_a_host_is_reached(project: Project, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, '-m', 'mlops_cli', 'run'], cwd=project.path, env=project.environ,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stderr is not None
    said(process.stderr, b'gpu1 is being reached')
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(100) == 130 and time.monotonic() - began < 60  # ssh would sleep for 300
    assert b'stopped before anything ran' in process.stderr.read()
    process.stderr.close()
    pid = int((tmp_path / 'pid').read_text())
    until = time.monotonic() + 100
    while Path(f'/proc/{pid}').exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f'/proc/{pid}').exists()
