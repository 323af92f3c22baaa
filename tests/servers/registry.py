"""A real registry of images on loopback.

Installs nothing: without it, what needs it is skipped with the reason."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.podman import Podman
from tests.servers.ports import reserved

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


@dataclass
class Registry:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def name(self, image: str) -> str:
        return f'127.0.0.1:{self.port}/{image}'

    def push(self, podman: Podman, image: str) -> str:
        """The name that podman's image has here."""
        podman.asked('push', '--quiet', '--tls-verify=false', podman.image, f'docker://{self.name(image)}')
        return self.name(image)

    def fetched(self) -> int:
        """How often the contents of an image were, by its largest part."""
        return max(Counter(re.findall(r'"GET (/v2/\S+/blobs/sha256:\w+) ', self.log.read_text())).values(), default=0)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """Raises pytest.skip."""
    program = shutil.which('docker-registry')
    if program is None:
        pytest.skip('needs a registry: apt-get install --no-install-recommends docker-registry')
    with reserved(1) as (port,), (folder / 'log').open('wb') as log:
        (folder / 'config.yml').write_text(CONFIG.format(folder=folder, port=port))
        process = subprocess.Popen([program, 'serve', folder / 'config.yml'], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        found = Registry(port, process, folder / 'log')
        try:
            _wait(found)
            yield found
        finally:
            found.stop()


def _wait(found: Registry) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found.process.poll() is not None:
            pytest.skip(f'the registry cannot run here: {found.log.read_text()[-300:]}')
        try:
            urllib.request.urlopen(f'http://127.0.0.1:{found.port}/v2/', timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError('the registry does not answer')
