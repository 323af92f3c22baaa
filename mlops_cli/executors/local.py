"""Runs jobs on this machine, in the folder they name, by one supervisor for all of them."""
from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import Job, Outcome
from mlops_cli.core.refs import ObjectRef
from mlops_cli.executors.base import Handle
from mlops_cli.job.client import LEFTOVER_SECONDS, Started, Supervisor

if TYPE_CHECKING:
    from mlops_cli.job.measured import Measured

ALIVE = 'alive-v1'  # in the executor's folder; locked as long as a process of some job lives


def create(folder: str) -> Local:
    return Local(os.path.join(folder, ALIVE))


class Local:
    """``alive_lock``: absolute path of a file that is locked as long as a process of some job lives.
    ``leftover_seconds``: from TERM to KILL for processes that a job leaves behind."""

    def __init__(self, alive_lock: str | None = None, *, leftover_seconds: float = LEFTOVER_SECONDS) -> None:
        self._alive_lock = alive_lock
        self._leftover_seconds = leftover_seconds
        self._supervisor: Supervisor | None = None
        self._running: set[str] = set()
        self.pids: dict[str, int] = {}  # attempt -> first process of those that run
        self._measured: Measured | None = None  # from the first job that has GPUs on

    def start(self) -> Supervisor:
        """Starts the supervisor, if there is none, and does not wait for it; to be called as soon as it is known that
        something will run.  Raises UserError."""
        if self._supervisor is None:
            try:
                self._supervisor = Supervisor.start(self._alive_lock, leftover_seconds=self._leftover_seconds)
            except OSError as error:
                raise UserError(f'cannot start a process on this machine: {error.strerror}',
                                exit_code=ExitCode.MACHINE) from error
        return self._supervisor

    def submit(self, job: Job) -> Handle:
        return self.submit_all([job])[0]

    def submit_all(self, jobs: list[Job]) -> list[Handle]:
        """As :meth:`submit` for each, in one message."""
        supervisor = self.start()
        for job in jobs:
            self._measure(job)
        supervisor.submit(*jobs)
        names = [job.attempt for job in jobs]
        self._running.update(names)
        return names

    def _measure(self, job: Job) -> None:
        if job.cards:
            if self._measured is None:
                from mlops_cli.job.measured import Measured

                self._measured = Measured()
            self._measured.begin(job)

    def fileno(self) -> int:
        """Readable when :meth:`poll` has something; changes when a supervisor was lost."""
        return self.start().fileno()

    def poll(self, timeout_seconds: float) -> list[Outcome]:
        until = time.monotonic() + timeout_seconds
        found: list[Outcome] = []
        while self._supervisor is not None and self._running and not found:
            events = self._supervisor.events(max(0.0, until - time.monotonic()))
            for event in events:
                if isinstance(event, Started):
                    self.pids[event.attempt] = event.pid
                else:
                    found.append(self._measured.ended(event) if self._measured is not None else event)
                    self._running.discard(event.attempt)
                    self.pids.pop(event.attempt, None)
            if not events:
                break
        if any(outcome.ending == 'lost' for outcome in found):
            self._supervisor = None  # the next job gets a new one
        return found

    def cancel(self, handle: Handle, *, force: bool = False) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel(handle, force=force)

    def collect(self, handle: Handle) -> tuple[tuple[str, ObjectRef], ...] | None:  # noqa: ARG002  # all lies there already
        return None

    def close(self) -> list[Outcome]:
        supervisor, self._supervisor = self._supervisor, None
        self._running.clear()
        if self._measured is not None:
            self._measured.close()
        return supervisor.close() if supervisor else []
