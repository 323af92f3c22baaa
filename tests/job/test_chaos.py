"""Many jobs of all kinds, cut short at any moment: one outcome each, nothing left, nothing leaked."""
from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.job import Outcome
from mlops_cli.job.family import marks
from mlops_cli.usage import cpu

KINDS = (
    'exit 0', 'exit 3', 'sleep 0.05', 'sleep 60', 'kill -9 $$', 'echo out; echo err >&2',
    'trap "" TERM; while :; do sleep 0.02; done',
    'sleep 60 & sleep 60 & exit 0',
    'setsid sh -c "trap \\"\\" TERM; while :; do sleep 0.02; done" & exit 0',
    f'{sys.executable} -S -c "import os\nfor _ in range(4): os.fork()\nos.setsid() if os.getpid() != os.getsid(0) else 0"',
    'for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.0$i &) ; done; wait',
    'kill -STOP $$',
    'no-such-command',
)


def trial(scene, seed: int, count: int) -> None:
    chance = random.Random(seed)
    jobs = [scene.job(*chance.choices(KINDS, k=chance.choice((1, 1, 1, 2))), grace_seconds=chance.choice((0, 0.05, 0.3)),
                      timeout_seconds=chance.choice((0.01, 0.2, 0.5, 1.0)), redact=chance.choice((None, (), ('PATH',))))
            for _ in range(count)]
    outcomes: dict[str, Outcome] = {}
    waiting = list(jobs)
    until = time.monotonic() + 240
    while len(outcomes) < count:
        assert time.monotonic() < until, [job.processes for job in jobs if job.attempt not in outcomes]
        batch = [waiting.pop() for _ in range(min(len(waiting), chance.randrange(20)))]
        scene.supervisor.submit(*batch)
        for job in chance.sample(jobs, 3):
            scene.supervisor.cancel(job.attempt, force=chance.random() < 0.3)
        for event in scene.supervisor.events(chance.random() * 0.02):
            if isinstance(event, Outcome):
                assert event.attempt not in outcomes
                assert event.ending != 'lost', event.message
                outcomes[event.attempt] = event
    ours = {os.fsencode(job.attempt) for job in jobs}
    left = [pid for pid, value in marks(cpu.processes()).items() if value in ours]
    assert not left, left
    until = time.monotonic() + 60  # one that has ended may still wait to be waited for
    while children := Path(f'/proc/{scene.supervisor.pid}/task/{scene.supervisor.pid}/children').read_text().split():
        assert time.monotonic() < until, [Path(f'/proc/{pid}/status').read_text() for pid in children]
        time.sleep(0.01)


def test_a_hundred_jobs(scene):
    trial(scene, 1, 100)


@pytest.mark.full
@pytest.mark.parametrize('seed', range(2, 22))
def test_more_of_them(scene, seed):
    trial(scene, seed, 200)
