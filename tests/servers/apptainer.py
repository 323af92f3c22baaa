"""A real Apptainer, and a small image as a file.

Installs nothing: without Apptainer, or where it cannot run, what needs it is skipped with the reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tiny import lay

NAME = 'tiny.sif'


@dataclass(frozen=True)
class Apptainer:
    """``bin``: for the front of PATH.  ``image``: absolute path of the file."""

    folder: Path
    bin: Path
    image: str

    def left(self) -> str:
        """Processes that run in it."""
        return subprocess.run(['pgrep', '-f', self.image], capture_output=True, text=True, check=False).stdout


def made(folder: Path) -> Apptainer:
    """Raises pytest.skip."""
    program = shutil.which('apptainer')
    if program is None:
        pytest.skip('needs Apptainer (https://apptainer.org/docs/admin/latest/installation.html)')
    programs = folder / 'bin'
    programs.mkdir()
    more = ''
    if os.getuid() == 0:  # who runs here as root may not have all that root can have
        built = subprocess.run([program, 'buildcfg'], capture_output=True, text=True, check=True).stdout
        place = Path(re.findall(r'(?m)^SYSCONFDIR=(.*)$', built)[0], 'apptainer/apptainer.conf')
        text = re.sub(r'(?m)^root default capabilities.*$', 'root default capabilities = no', place.read_text())
        (folder / 'apptainer.conf').write_text(text)
        more = f' --config {folder}/apptainer.conf'
    (programs / 'apptainer').write_text(f'#!/bin/sh\nexec {program}{more} "$@"\n')
    (programs / 'apptainer').chmod(0o755)
    lay(folder / 'image.tar')
    (folder / 'tree').mkdir()
    with tarfile.open(folder / 'image.tar') as tar:
        tar.extractall(folder / 'tree', filter='fully_trusted')
    found = Apptainer(folder, programs, str(folder / NAME))
    for words in (['build', found.image, folder / 'tree'], ['exec', found.image, '/bin/sh', '-c', 'true']):
        tried = subprocess.run([programs / 'apptainer', '--silent', *words], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f'Apptainer cannot run here: {tried.stderr.strip()[-300:]}')
    return found
