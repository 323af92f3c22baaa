"""What the GPUs of attempts did, put beside what their processes consumed."""
from __future__ import annotations

import os
from contextlib import suppress

from mlops_cli.core.classes import replace
from mlops_cli.core.job import Job, Outcome
from mlops_cli.usage.metered import Meter, Tally
from mlops_cli.usage.series import SIZE_LIMIT, SUFFIX, with_gpus

FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Measured:
    """Of jobs that were given cards."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._meter = Meter()

    def begin(self, job: Job) -> None:
        self._jobs[job.attempt] = job
        self._meter.begin(job.attempt, job.cards)

    def ended(self, outcome: Outcome) -> Outcome:
        job = self._jobs.pop(outcome.attempt, None)
        tally = self._meter.end(outcome.attempt) if job is not None else None
        if job is None or tally is None:
            return outcome
        with suppress(OSError, ValueError):  # it counts in sum all the same
            _write(job, tally)
        return replace(outcome, usage=replace(outcome.usage, **tally.figures()))

    def close(self) -> None:
        self._meter.close()
        self._jobs.clear()


def _write(job: Job, tally: Tally) -> None:
    """Into the series beside its log, if there is one: of short attempts there is none."""
    if not tally.figures():
        return
    fd = os.open(f'{job.log}{SUFFIX}', FLAGS)
    with os.fdopen(fd, 'r+b') as file:
        made = with_gpus(file.read(SIZE_LIMIT), tally.rows)
        file.seek(0)
        file.write(made)
        file.truncate()
