"""A project in a temporary folder, for tests that read as sessions: write files, run commands, look at what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_cli.core.events import Event
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Plan
from mlops_cli.records.config import load_config
from mlops_cli.run.invoke import Report, Request, chosen, execute, wishes_of
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench, open_workbench

GIT = {
    'GIT_AUTHOR_NAME': 'Ada',
    'GIT_AUTHOR_EMAIL': 'ada@example.org',
    'GIT_COMMITTER_NAME': 'Ada',
    'GIT_COMMITTER_EMAIL': 'ada@example.org',
    'GIT_CONFIG_GLOBAL': '/dev/null',
    'GIT_CONFIG_SYSTEM': '/dev/null',
}


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Project:
    """``environ``: what commands see beside PATH; the home is an empty folder of the test's own."""

    def __init__(self, path: Path, environ: Mapping[str, str] | None = None) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        home = path.parent / f'{path.name}-home'
        home.mkdir(exist_ok=True)
        self.environ = {
            'PATH': os.path.dirname(sys.executable) + os.pathsep + os.environ.get('PATH', os.defpath),
            'HOME': str(home),
            'LC_ALL': 'C.UTF-8',
            'PYTHONDONTWRITEBYTECODE': '1',
            **GIT,
            **(environ or {}),
        }

    def write(self, rel: str, text: str | bytes) -> Path:
        target = self.path / rel
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def read(self, rel: str) -> str:
        return (self.path / rel).read_text()

    def exists(self, rel: str) -> bool:
        return os.path.lexists(self.path / rel)

    def mlops(
        self,
        *arguments: str,
        code: int | None = 0,
        environ: Mapping[str, str] | None = None,
        cwd: str = '.',
        timeout: float = 120,
    ) -> Result:
        """The whole program in a process of its own; the exit code is checked unless ``code`` is None."""
        done = subprocess.run(
            [sys.executable, '-m', 'mlops_cli', *arguments],
            cwd=self.path / cwd,
            env={**self.environ, **(environ or {})},
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        if code is not None:
            assert result.code == code, f'exit {result.code}, not {code}\n{result.out}\n{result.err}'
        return result

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ['git', *arguments], cwd=self.path, env=self.environ, check=True, capture_output=True
        ).stdout.decode()

    def init_git(self) -> None:
        self.git('init', '-q', '-b', 'main')

    def commit(self, message: str) -> str:
        self.git('add', '-A')
        self.git('commit', '-q', '--allow-empty', '-m', message)
        return self.git('rev-parse', 'HEAD').strip()

    # In this process, for tests that run many

    def open(self, overlay: Mapping[tuple[str, str], Any] | None = None) -> Workbench:
        with Root(str(self.path)) as root:
            config = load_config(root, self.environ)
        return open_workbench(str(self.path), config, self.environ, overlay=overlay)

    def run(
        self,
        *stages: str,
        overlay: Mapping[tuple[str, str], Any] | None = None,
        events: list[Event] | None = None,
        **options: Any,
    ) -> Report:
        bench = self.open(overlay)
        try:
            return execute(
                bench,
                Request(tuple(stages), **options),
                emit=(events if events is not None else []).append,
                now=time.time,
                clock=time.monotonic,
                random_bytes=os.urandom(16),
            )
        finally:
            bench.close()

    def plan(self, stages: Sequence[str] = (), overlay: Mapping[tuple[str, str], Any] | None = None, **options: Any) -> Plan:
        bench = self.open(overlay)
        try:
            request = Request(tuple(stages), **options)
            return look(bench, chosen(bench, request), wishes_of(bench, request)).plan
        finally:
            bench.close()

    def verdicts(self) -> dict[str, str]:
        return {step.stage: str(step.verdict) for step in self.plan().steps}
