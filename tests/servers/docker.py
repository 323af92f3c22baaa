"""A real dockerd of its own, with its own folder, socket and containerd, and a small image.

Installs nothing: without docker, or where it cannot run, what needs it is skipped with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tiny import IMAGE, lay

CLIENT = '/usr/bin/docker'
DAEMON = ('dockerd', '--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs')
LACKING = 'needs dockerd and its client, and root: apt-get install --no-install-recommends docker.io'


@dataclass(frozen=True)
class Docker:
    """``bin``: for the front of PATH."""

    folder: Path
    bin: Path
    image: str = IMAGE

    def left(self) -> str:
        """Containers."""
        return self.asked('ps', '--all', '--quiet')

    def asked(self, *words: str) -> str:
        return subprocess.run([self.bin / 'docker', *words], capture_output=True, text=True, check=True).stdout


@contextmanager
def running(folder: Path, short: Path) -> Iterator[Docker]:
    """``short``: a folder of a short path, for sockets.  Raises pytest.skip."""
    if shutil.which('dockerd') is None or not os.path.exists(CLIENT) or os.getuid():
        pytest.skip(LACKING)
    programs = folder / 'bin'
    programs.mkdir()
    (programs / 'docker').write_text(f'#!/bin/sh\nexec {CLIENT} --host unix://{short}/sock "$@"\n')
    (programs / 'docker').chmod(0o755)
    words = [*DAEMON, f'--data-root={folder}/data', f'--exec-root={short}/exec', f'--pidfile={short}/pid',
             f'--host=unix://{short}/sock', f'--config-file={folder}/none.json']  # fmt: skip
    (folder / 'none.json').write_text('{}')
    with (folder / 'log').open('wb') as log:
        daemon = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        found = Docker(folder, programs)
        _wait(found, daemon)
        lay(folder / 'image.tar')
        subprocess.run([programs / 'docker', 'import', folder / 'image.tar', IMAGE], capture_output=True, check=True)
        words = ['run', '--rm', '--init', '--network=host', '--log-driver=none', IMAGE, '/bin/sh', '-c', 'true']
        tried = subprocess.run([programs / 'docker', *words], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f'docker cannot run here: {tried.stderr.strip()[-300:]}')
        yield found
    finally:
        daemon.terminate()
        daemon.wait(60)
        for place in sorted(_mounted(folder, short), reverse=True):  # it leaves the network namespace of its own mounted
            subprocess.run(['umount', place], check=True)


def _mounted(*folders: Path) -> list[str]:
    places = (line.split()[1] for line in Path('/proc/self/mounts').read_text().splitlines())
    return [place for place in places if any(place.startswith(f'{folder}/') for folder in folders)]


def _wait(docker: Docker, daemon: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while subprocess.run([docker.bin / 'docker', 'version'], capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > until:
            pytest.skip(f'dockerd does not start here: {(docker.folder / "log").read_text()[-300:]}')
        time.sleep(0.1)
