"""What a container of a daemon consumes: its processes are not below ours, so what counts ours knows nothing of them."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlops_cli.core.classes import replace
from mlops_cli.core.job import Job, Outcome
from mlops_cli.usage import cpu
from mlops_cli.usage.cgroup import Group, group_of
from mlops_cli.usage.network import Connections, Traffic
from mlops_cli.usage.probe import SAMPLE_SECONDS, Probe
from mlops_cli.usage.series import SUFFIX, Series

LOOK_SECONDS = 0.05  # what is used after the last look is not known: with the container goes its account
EARLY_SECONDS = 1.0  # in which memory is looked at each time, too
SLOWEST_SECONDS = 1.0  # between two questions for a container that is not there yet
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Gauge:
    """Of the containers of one job, one after the other.  ``find``: the first process of that which runs now; 0 where none
    does."""

    def __init__(self, find: Callable[[], int]) -> None:
        self._find = find
        self._probe, self._series = Probe(), Series()
        self._connections, self._traffic = Connections(), Traffic()
        self._cpu, self._moved = 0.0, (0, 0)  # of containers that are over
        self._seen = self._tells_moved = False
        self._over = threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connections.ended(self._traffic)
        self._connections.close()

    def ended(self, job: Job, outcome: Outcome) -> Outcome:
        """With what was seen in place of what was counted for who started it; as it is where nothing was.  To be asked once
        the block is over."""
        if not self._seen:
            return outcome
        read, written = self._moved if self._tells_moved else (None, None)
        _, _, peak, *_, received, sent = self._probe.figures(0.0)
        self._write(job, outcome.usage.wall_seconds, read, written)
        more: dict[str, Any] = {'memory_peak_bytes': peak, 'read_bytes': read, 'write_bytes': written,
                                'network_received_bytes': received, 'network_sent_bytes': sent}
        return replace(outcome, usage=replace(outcome.usage, cpu_seconds=round(self._cpu, 6), **more))

    def _watch(self) -> None:
        pause = LOOK_SECONDS
        while not self._over.wait(pause):
            pid = self._find()
            group = group_of(pid) if pid else None
            if group is None:
                pause = min(SLOWEST_SECONDS, pause * 1.2)
                continue
            pause = LOOK_SECONDS
            self._follow(pid, group)

    def _follow(self, pid: int, group: Group) -> None:
        """Until the container is over, or the job."""
        before, moved_before = self._cpu, self._moved
        begun, due = time.monotonic(), 0.0
        while (used := group.cpu_seconds()) is not None:
            self._seen, self._cpu = True, before + used
            if (moved := group.moved_bytes()) is not None:
                self._tells_moved, self._moved = True, (moved_before[0] + moved[0], moved_before[1] + moved[1])
            now = time.monotonic()
            if now - begun < EARLY_SECONDS or now >= due:
                due = now + SAMPLE_SECONDS
                self._look(pid, now - self._begun)
            if self._over.wait(LOOK_SECONDS):
                return

    def _look(self, pid: int, seconds: float) -> None:
        table = cpu.processes()
        rows = {one: table[one] for one in cpu.descendants([pid], table)}
        held = self._probe.memory(rows)
        self._probe.traffic = self._connections.look(self._traffic, rows)
        if rows and (not self._series.rows or seconds - self._series.rows[-1][0] > SAMPLE_SECONDS / 2):
            read, written = self._moved if self._tells_moved else (None, None)
            self._series.add(seconds, self._cpu, held, read, written, self._probe.moved())

    def _write(self, job: Job, wall_seconds: float, read: int | None, written: int | None) -> None:
        """In place of the series of who started it; it counts in sum all the same where that cannot be."""
        path = job.log + SUFFIX
        with suppress(OSError):
            if len(self._series.rows) < 2:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                return
            self._series.add(max(wall_seconds, self._series.rows[-1][0]), self._cpu, None, read, written,
                             self._probe.moved(), last=True)
            with os.fdopen(os.open(path, FLAGS, 0o600), 'wb') as file:
                file.write(self._series.encode())
