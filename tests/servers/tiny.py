"""A small image made of this machine's own shell and a few programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

IMAGE = 'localhost/tiny:1'
PROGRAMS = ('sh', 'cat', 'sleep', 'mkdir', 'touch', 'env', 'date', 'dd', 'id')


def lay(path: Path) -> None:
    """The tree of it as a tar, which podman and docker import."""
    with tarfile.open(path, 'w') as into:
        for source in sorted(_needed()):
            into.add(os.path.realpath(source), source.lstrip('/'))
        for name in ('tmp', 'proc', 'dev', 'etc'):
            into.addfile(_folder(name))


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o777
    return info


def _needed() -> set[str]:
    """Programs, and the libraries that they are linked to."""
    found: set[str] = set()
    for name in PROGRAMS:
        program = shutil.which(name, path='/bin:/usr/bin')
        assert program is not None
        found.add(f'/bin/{name}')
        for word in subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith('/'):
                found.add(word)
    return found
