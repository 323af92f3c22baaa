from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.job import Job, Outcome, Process
from mlops_cli.job.client import Started, Supervisor

PYTHON = sys.executable


@dataclass
class Scene:
    """A supervisor, and a folder its jobs run in."""

    supervisor: Supervisor
    folder: Path
    count: int = 0

    def job(self, *commands: str | list[str], **fields: Any) -> Job:
        """A string is a line for the shell, a list an argv."""
        self.count += 1
        given: dict[str, Any] = {
            'attempt': f'{secrets.token_hex(6)}-{self.count}', 'stage': 'stage', 'folder': str(self.folder), 'directory': '.',
            'processes': tuple(Process(('/bin/sh', '-c', one) if isinstance(one, str) else tuple(one)) for one in commands),
            'environment': {'PATH': os.environ['PATH'], 'PYTHON': PYTHON},
            'log': str(self.folder / f'log-{self.count}'), 'grace_seconds': 0.5,
        }
        return Job(**given | fields)

    def run(self, *commands: str | list[str], **fields: Any) -> tuple[Outcome, str]:
        """The outcome and the log of one job."""
        job = self.job(*commands, **fields)
        self.supervisor.submit(job)
        return self.outcome(), self.log(job)

    def outcome(self, timeout: float = 60.0) -> Outcome:
        return self.outcomes(1, timeout)[0]

    def outcomes(self, count: int, timeout: float = 60.0) -> list[Outcome]:
        found: list[Outcome] = []
        until = time.monotonic() + timeout
        while len(found) < count:
            left = until - time.monotonic()
            assert left > 0, f'{count - len(found)} outcomes did not come'
            found += [event for event in self.supervisor.events(left) if isinstance(event, Outcome)]
        return found

    def started(self) -> int:
        """The pid of the first process of the one job, which must not end before."""
        event, = self.supervisor.events(60)
        assert isinstance(event, Started), event
        return event.pid

    def log(self, job: Job) -> str:
        return Path(job.log).read_text(errors='replace') if os.path.exists(job.log) else ''


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / 'project'
    folder.mkdir()
    supervisor = Supervisor.start(str(tmp_path / 'alive'), leftover_seconds=0.5)
    yield Scene(supervisor, folder)
    supervisor.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object], timeout: float = 60.0) -> None:
        until = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < until, 'it did not come about'
            time.sleep(0.01)
    return wait
