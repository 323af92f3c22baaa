"""A real podman with a storage of its own, and a small image.

Installs nothing: without podman, or where it cannot run, what needs it is skipped with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tiny import IMAGE, lay

CONFIG = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""

SECOND = '/sys/fs/cgroup/unified'


@dataclass(frozen=True)
class Podman:
    """``bin``: for the front of PATH."""

    folder: Path
    bin: Path
    runtime: str
    image: str = IMAGE

    def left(self) -> str:
        """Containers, those of which only a note is left too."""
        return self.asked('ps', '--all', '--quiet')

    def asked(self, *words: str) -> str:
        return subprocess.run([self.bin / 'podman', *words], capture_output=True, text=True, check=True).stdout


def made(folder: Path, short: Path, runtime: str = 'runc') -> Podman:
    """Raises pytest.skip.  ``short``: a folder of a short path, of which it makes another one.  ``runtime``: what it runs
    containers by, runc or crun."""
    program = shutil.which('podman')
    if program is None or shutil.which(runtime) is None or os.getuid():
        pytest.skip(f'needs podman and {runtime}, and root: apt-get install --no-install-recommends podman {runtime}')
    (folder / 'containers.conf').write_text(CONFIG.replace('runc', runtime))
    programs = folder / 'bin'
    programs.mkdir()
    # crun refuses groups of both kinds, as machines have that come from the first to the second: without the latter it runs.
    both = runtime == 'crun' and os.path.ismount(SECOND)
    alone = f'unshare --mount /bin/sh -c \'umount {SECOND} && exec "$@"\' sh ' if both else ''
    places = f'--root {folder}/storage --runroot {short}/run --storage-driver vfs'
    start = f'export CONTAINERS_CONF={folder}/containers.conf\nexec {alone}{program} {places} "$@"\n'
    (programs / 'podman').write_text(f'#!/bin/sh\n{start}')
    (programs / 'podman').chmod(0o755)
    found = Podman(folder, programs, runtime)
    lay(folder / 'image.tar')
    words = [programs / 'podman', 'import', folder / 'image.tar', IMAGE]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    tried = done if done.returncode else subprocess.run(
        [programs / 'podman', 'run', '--rm', '--network=host', '--log-driver=none', IMAGE, '/bin/sh', '-c', 'true'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip(f'podman cannot run here: {tried.stderr.strip()[-300:]}')
    return found
