"""What every way to run a job somewhere must offer.  An executor sees jobs and returns outcomes; it never reads a
pipeline, computes a key or opens ``.mlops/``."""
from __future__ import annotations

from typing import Protocol, TypeAlias

from mlops_cli.core.job import Job, Outcome
from mlops_cli.core.refs import ObjectRef

Handle: TypeAlias = str  # the attempt's name; what else is needed to find the job again, the executor keeps in its folder


class Executor(Protocol):
    """MUST: report each submitted job in exactly one Outcome, also one that it could not start; run jobs that were
    submitted together at the same time (how many there are is the caller's affair); leave no process of a job behind once
    its outcome is out; give a job's processes the variable MLOPS_ATTEMPT beside the job's own.  One thread calls it."""

    def submit(self, job: Job) -> Handle:
        """Starts a job and returns without waiting for it.

        Raises ValueError for a job with no process or an attempt that runs already, UserError if the place cannot be
        reached."""

    def poll(self, timeout_seconds: float) -> list[Outcome]:
        """Jobs that ended since the last call; waits up to ``timeout_seconds`` for the first, not for more, and not at all
        if none runs."""

    def cancel(self, handle: Handle, *, force: bool = False) -> None:
        """Asks a job to end, and ends it after its grace; ``force``: at once.  Its outcome still comes by :meth:`poll`,
        with the ending ``cancelled`` unless it ended by itself first.  A job that is over is left alone."""

    def collect(self, handle: Handle) -> tuple[tuple[str, ObjectRef], ...] | None:
        """Brings a job's log to where the job names it, and its outputs into the local store; returns the outputs by path.
        None: there was nothing to bring, they lie in the job's folder."""

    def close(self) -> list[Outcome]:
        """Cancels what still runs, waits for it, and returns its outcomes.  May be called again; nothing else may."""


class Kind(Protocol):
    """A module that is an executor's home, as ``executors.all`` lists it."""

    def create(self, folder: str) -> Executor:
        """``folder``: absolute path of an existing folder of this machine's, in which the executor keeps what must outlive
        this process.  Cheap: nothing is started or reached yet."""
