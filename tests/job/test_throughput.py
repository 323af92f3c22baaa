"""The price of being supervised, against the barest loop that could do the same."""
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlops_cli.core.job import Job, Outcome, Process
from mlops_cli.job.client import Supervisor

AT_ONCE = 2


def bare(folder: Path, count: int) -> float:
    """Seconds that posix_spawn and wait need."""
    begin = time.perf_counter()
    null = os.open(os.devnull, os.O_RDWR)
    environment = dict(os.environ)
    started, live = 0, set[int]()
    while started < count or live:
        while len(live) < AT_ONCE and started < count:
            log = os.open(folder / f'log{started}', os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            live.add(os.posix_spawn('/bin/sh', ['sh', '-c', f'cp {folder}/a {folder}/b{started}'], environment, setsid=True,
                                    file_actions=actions))
            os.close(log)
            started += 1
        pid, status, _ = os.wait4(-1, 0)
        assert pid not in live or status == 0  # else one that an earlier test left
        live.discard(pid)
    os.close(null)
    return time.perf_counter() - begin


def supervised(folder: Path, count: int) -> float:
    begin = time.perf_counter()
    environment = dict(os.environ)
    supervisor = Supervisor.start(str(folder / 'alive'))
    started = live = 0
    while started < count or live:
        batch = []
        while live < AT_ONCE and started < count:
            words = ('/bin/sh', '-c', f'cp {folder}/a {folder}/b{started}')
            batch.append(Job(f'{os.getpid()}-{started}', 's', str(folder), '.', (Process(words),), environment,
                             str(folder / f'log{started}')))
            started += 1
            live += 1
        supervisor.submit(*batch)
        for event in supervisor.events():
            if isinstance(event, Outcome):
                assert event.succeeded
                live -= 1
    supervisor.close()
    return time.perf_counter() - begin


def ratios(folder: Path, count: int, rounds: int) -> list[tuple[float, float]]:
    """Pairs of seconds (bare, supervised), measured in turn."""
    found = []
    for number in range(rounds):
        pair = []
        for name, run in (('bare', bare), ('supervised', supervised)):
            place = folder / f'{number}-{name}'
            place.mkdir()
            (place / 'a').write_text('x')
            pair.append(run(place, count))
        found.append((pair[0], pair[1]))
    return found


@pytest.mark.full
def test_a_thousand_copies(tmp_path):
    found = sorted(ours / theirs for theirs, ours in ratios(tmp_path, 1000, 5))
    assert found[2] <= 1.3, found
