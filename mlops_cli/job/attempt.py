"""One attempt as the supervisor sees it: what was asked, how far it is, what it consumed.  Data; the supervisor decides."""
from __future__ import annotations

import fcntl
import os
import time

from mlops_cli.usage.probe import FIRST_SAMPLE_SECONDS, Probe
from mlops_cli.usage.series import SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mlops_cli.job.output import Filter

RUNNING = 'running'  # its processes run, one after another
LINGERING = 'lingering'  # the last has ended; what is still there has a moment to end by itself
ENDING = 'ending'  # what lives of it was asked to end, and has until `due`
KILLING = 'killing'  # what lives of it is killed, again and again until nothing is left

NEVER = float('inf')
SERIES_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Attempt:
    """``due``: when the supervisor must look at it next, on the monotonic clock.  ``common``: the environment from which the
    request tells the differences."""

    __slots__ = ('argvs', 'deadline', 'directory', 'due', 'ended', 'ending', 'environment', 'exit_code', 'filter', 'grace',
                 'held', 'index', 'kill_at', 'killed', 'log', 'looked', 'message', 'name', 'patience',
                 'pause', 'phase', 'pid', 'probe', 'redact', 'release', 'started')

    def __init__(self, request: dict[str, Any], common: dict[bytes, bytes], now: float) -> None:
        self.name: str = request['attempt']
        self.argvs: list[list[bytes]] = request['argvs']
        self.environment: dict[bytes, bytes] = {**common, **request['environment']}
        for name in request['unset']:
            del self.environment[name]
        self.directory: bytes = request['directory']
        self.log: bytes = request['log']
        self.grace: float = request['grace']
        self.redact: tuple[str, ...] | None = request['redact']
        self.release: tuple[int, bytes] | None = request['release']  # what frees its part of the alive lock
        self.deadline: float = NEVER if request['timeout'] is None else now + request['timeout']
        self.started = now
        self.ended: float | None = None
        self.due = min(self.deadline, now + FIRST_SAMPLE_SECONDS)
        self.phase = RUNNING
        self.ending = 'exited'
        self.exit_code: int | None = None
        self.message = ''
        self.index = 0
        self.pid: int | None = None  # of the process that runs now
        self.kill_at = NEVER
        self.looked = self.pause = 0.0  # when it was killed last, and how long that was to be left at that
        self.patience = 0.0  # seconds that it had to die of that
        self.killed: set[int] = set()
        self.filter: Filter | None = None
        self.probe = Probe()
        self.held = [_locked(*file) for file in request['held']]

    def let_go(self) -> None:
        """What was kept for it while it lived, such as GPUs, is free."""
        for descriptor in self.held:
            if descriptor >= 0:
                os.close(descriptor)
        self.held.clear()

    def secrets(self) -> dict[str, str]:
        """Variables whose values must not reach the log, by name."""
        named = {name: self.environment.get(os.fsencode(name)) for name in self.redact or ()}
        return {name: value.decode('utf-8', 'surrogateescape') for name, value in named.items() if value is not None}

    def write_series(self, now: float) -> None:
        """What it consumed over time, beside its log; nothing of one that was over before it was looked at twice."""
        series = self.probe.series
        if len(series.rows) < 2:
            return
        _, cpu, _, read, written, *_ = self.probe.figures(0.0)
        series.add((self.ended or now) - self.started, cpu, None, read, written, self.probe.moved(), last=True)
        try:
            file = os.open(self.log + os.fsencode(SUFFIX), SERIES_FLAGS, 0o600)
            try:
                os.write(file, series.encode())
            finally:
                os.close(file)
        except OSError:  # no room, most likely: what it made counts, and how is told in sum all the same
            return

    def outcome(self, now: float) -> tuple[Any, ...]:
        """The message that reports it."""
        wall = (self.ended or now) - self.started
        figures, gone = self.probe.figures(wall), time.time_ns()
        return ('ended', self.name, self.ending, self.exit_code, figures, len(self.killed), self.message, gone)


def _locked(path: bytes, command: int, how: bytes) -> int:
    """-1 where that cannot be: whoever started the attempt has it locked too."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.fcntl(descriptor, command, how)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor
