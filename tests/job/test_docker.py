"""What docker is told, and who watches over what it runs; docker itself is tried in tests/cli/test_host_containers.py."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.job import Process
from mlops_cli.fsio.paths import Root
from mlops_cli.job.containers import ready
from mlops_cli.job.docker import Docker
from mlops_cli.job.environments import NotMade

INFO = """#!/bin/sh
case "$1 $2" in
  "info --format") {info}; exit;;
  "image inspect") exit {has};;
esac
echo "$@" >> {folder}/asked
"""


def docker(folder: Path, info: str, has: int = 0) -> str:
    program = folder / 'docker'
    program.write_text(INFO.format(info=info, has=has, folder=folder))
    program.chmod(0o755)
    return str(program)


def made(folder: Path, security: str) -> Docker:
    return Docker(docker(folder, f"echo '{security}'"), 'busy:1', 'j1', dict(os.environ), ('/a b', '/c'))


def test_what_it_makes_is_of_who_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'getuid', lambda: 1000)
    monkeypatch.setattr(os, 'getgid', lambda: 1001)
    assert '--user=1000:1001' in made(tmp_path, '["name=seccomp,profile=default"]').options(())
    assert not any(word.startswith('--user') for word in made(tmp_path, '["name=rootless"]').options(()))
    assert {'--user=1000:1001', '--userns=host'} <= {*made(tmp_path, '["name=userns"]').options(())}
    monkeypatch.setattr(os, 'getuid', lambda: 0)
    assert not any(word.startswith('--user') for word in made(tmp_path, '["name=cgroupns"]').options(()))


def test_its_words(tmp_path: Path) -> None:
    asked = [Process(('/bin/sh', '-c', 'x'))]
    (process,) = made(tmp_path, '[]').processes(asked, '/a b/p', ['B', 'A', 'PATH'], ['GPU-1', 'GPU-2'])
    words = process.argv
    assert words[1:3] == ('run', '--rm') and words[-4:] == ('--entrypoint=/bin/sh', 'busy:1', '-c', 'x')
    assert '--volume=/a b:/a b' in words and '--workdir=/a b/p' in words
    assert [word for word in words if word.startswith('--env')] == ['--env=A', '--env=B']
    assert '--gpus="device=GPU-1,GPU-2"' in words  # quotes of docker's own: a comma would end the value


def begun(folder: Path) -> None:
    with Root(str(folder)) as root, ready(root, 'busy:1', 'j1', (), lambda: None, '', 1.0):
        pass


def test_a_daemon_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    docker(tmp_path, 'echo "permission denied while trying to connect" >&2; exit 1')
    with pytest.raises(NotMade, match='does not answer: permission denied') as caught:
        begun(tmp_path)
    assert 'docker info' in str(caught.value.hint)


def test_an_image_is_pulled_once_and_what_was_left_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    docker(tmp_path, 'echo []', has=1)
    begun(tmp_path)
    listed = 'ps --all --quiet --no-trunc --filter label=mlops.job=j1'
    assert (tmp_path / 'asked').read_text().splitlines() == ['pull --quiet busy:1', listed, listed]


WATCHED = """
import os, sys
from mlops_cli.job.docker import Docker
with Docker(sys.argv[1], 'busy:1', 'j1', dict(os.environ)).guarded(0):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize('number', [signal.SIGKILL, None])
def test_who_watches_ends_it_only_where_this_process_is_gone(tmp_path: Path, number: int | None) -> None:
    program = docker(tmp_path, 'echo []')
    words, pipe = [sys.executable, '-c', WATCHED, program], subprocess.PIPE
    watched = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    assert watched.stdin is not None and watched.stdout is not None
    pid = int(watched.stdout.readline())
    (guard,) = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    handle = os.pidfd_open(int(guard))
    if number is None:
        watched.stdin.close()
    else:
        watched.send_signal(number)
    watched.wait(30)
    watched.stdout.close()
    assert select.select([handle], [], [], 30)[0], 'it is over'
    os.close(handle)
    asked = tmp_path / 'asked'
    assert (asked.read_text() if asked.exists() else '') == (f'rm --force --volumes mlops-j1-{pid}\n' if number else '')
