"""A pull of a large file that is killed goes on where it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from mlops_cli.store.bucket import BLOCK
from tests.servers.fault_proxy import in_front_of
from tests.servers.s3 import S3
from tests.support.project import Project

SIZE = 10 * BLOCK + 12_345
UNTIL = 6 * BLOCK  # what comes behind that is held back until the first one is dead


def test_a_pull_that_was_killed(project: Project, s3: S3, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages: {}\n')
    content = os.urandom(1 << 20) * (SIZE >> 20) + b'end' * ((SIZE & 0xFFFFF) // 3)
    project.write('large.bin', content)
    project.mlops('add', 'large.bin')
    with in_front_of(s3.endpoint) as proxy:
        environ = {**s3.environ, 'AWS_ENDPOINT_URL': proxy.endpoint, 'AWS_ENDPOINT_URL_S3': proxy.endpoint}
        project.mlops('remote', 'add', 'origin', f'{s3.make_bucket(f"resumes-{os.getpid()}")}/x', environ=environ)
        project.mlops('push', environ=environ)
        project.commit('all')
        project.git('clone', '-q', str(project.path), str(tmp_path / 'two'))
        two = Project(tmp_path / 'two')
        killed, starts = threading.Event(), list[int]()

        def policy(method: str, _key: str, headers: Mapping[str, str]) -> str:
            lower = {name.lower(): value for name, value in headers.items()}
            if method == 'GET' and (asked := re.match(r'bytes=(\d+)-', lower.get('range', ''))):
                starts.append(start := int(asked[1]))
                if start >= UNTIL:
                    killed.wait(60)
            return ''

        proxy.policy = policy
        command = [sys.executable, '-m', 'mlops_cli', '--yes', 'pull']
        first = subprocess.Popen(command, cwd=two.path, env={**two.environ, **environ}, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (there := [path for path in (two.path / '.mlops/cache/tmp').glob('begun-*') if path.stat().st_size >= UNTIL]):
            assert time.monotonic() < end and first.poll() is None
            time.sleep(0.01)
        first.kill()
        first.wait()
        killed.set()
        (begun,) = there
        assert begun.stat().st_size == UNTIL and not two.exists('large.bin')
        starts.clear()
        said = two.mlops('pull', environ=environ)
        assert starts and min(starts) == UNTIL
    assert (two.path / 'large.bin').read_bytes() == content and not begun.exists(), said.err
