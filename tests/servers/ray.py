"""A real Ray of one node on loopback, with ports and folders of its own and GPUs that are none, from PyPI in an environment of
its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import reserved

START_SECONDS = 120
GPUS = 2
CPUS = 16  # that it takes itself to have, so that as many jobs run at once


def program() -> Path:
    """``ray``, installed the first time; MLOPS_TEST_RAY names one that is there.  Raises pytest.skip."""
    if given := os.environ.get('MLOPS_TEST_RAY'):
        return Path(given)
    venv = Path.home() / '.cache' / 'mlops-tests' / 'ray'
    if not (venv / 'complete').exists():
        for argv in (
            [sys.executable, '-m', 'venv', '--without-pip', '--clear', str(venv)],
            [sys.executable, '-m', 'pip', '--python', str(venv / 'bin/python'), 'install', '--quiet', 'ray[default]'],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f'Ray cannot be installed: {done.stderr.strip()[-200:]}')
        (venv / 'complete').touch()
    return venv / 'bin' / 'ray'


@dataclass
class Ray:
    """``port``: of its dashboard."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def url(self, folder: Path) -> str:
        return f'ray://:{self.port}{folder}'

    def stop(self) -> None:
        """All of it; its processes leave the group of the first one, and name the folder in their words."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        found = subprocess.run(['pgrep', '-f', str(self.folder)], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@contextmanager
def running(dashboard: int = 0) -> Iterator[Ray]:
    """Until the end of the block.  ``dashboard``: its port, 0 for any.  Raises pytest.skip."""
    found = program()
    folder = Path(tempfile.mkdtemp(prefix='r', dir='/tmp'))  # its sockets need a short path
    with reserved(6) as ports:  # all different; its own programs take them with nobody else there
        ports = [*ports]
    ports[1] = dashboard or ports[1]
    named = ('ray-client-server', 'dashboard-agent-listen', 'dashboard-agent-grpc', 'metrics-export')
    others = [f'--{name}-port={port}' for name, port in zip(named, ports[2:], strict=True)]
    words = [
        str(found), 'start', '--head', '--block', '--node-ip-address=127.0.0.1', f'--port={ports[0]}', f'--num-cpus={CPUS}',
        f'--num-gpus={GPUS}', '--dashboard-host=127.0.0.1', f'--dashboard-port={ports[1]}', f'--temp-dir={folder}',
        '--object-store-memory=100000000', '--disable-usage-stats', *others,
    ]  # fmt: skip
    environ = {name: os.environ[name] for name in ('PATH', 'HOME', 'LANG') if name in os.environ}
    environ |= {'PATH': f'{found.parent}{os.pathsep}{environ["PATH"]}', 'RAY_USAGE_STATS_ENABLED': '0'}
    with (folder / 'said').open('wb') as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, env=environ, start_new_session=True)
    server = Ray(folder, ports[1], process)
    try:
        _await(server)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _await(server: Ray) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError, urllib.error.URLError):
            url = f'http://127.0.0.1:{server.port}/api/cluster_status'
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b'"GPU"' in answer.read():
                    return
        said = (server.folder / 'said').read_text(errors='replace')
        assert server.process.poll() is None and time.monotonic() < end, said[-2000:]
        time.sleep(0.2)
