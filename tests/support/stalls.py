"""Tests on a machine that stood still.

A virtual machine may be held for a minute or more (a snapshot, a move to another host, a crowded host).  To what runs on it the
clock jumps: each timeout is over at once, what was to sleep for a minute has ended, and a test that fails then has said nothing
about the program.  So a thread watches the clock, and a test that failed *while the machine stood still* is tried once more,
which the last lines of the report say.  A test that fails without it fails; so does one that fails again.
"""
from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest
from _pytest.runner import runtestprotocol

TICK = 0.25  # seconds between two looks at the clock
STALL = 2.0  # seconds that a look came too late, from which on the machine is said to have stood still
AGAIN = 'tried once more'


@dataclass
class Watch:
    """Looks at the clock in a thread of its own; ``lost`` seconds are those by which its looks came late."""

    stall: float = STALL
    lost: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name='stalls').start()

    def stop(self) -> None:
        self._end.set()

    def _watch(self) -> None:
        looked = time.monotonic(), time.process_time()
        while not self._end.wait(TICK):
            now = time.monotonic(), time.process_time()
            self.saw(now[0] - looked[0], now[1] - looked[1])
            looked = now

    def saw(self, passed: float, worked: float) -> None:
        """``passed`` seconds went by between two looks, in which this process had the processor for ``worked``: what it did
        itself without letting the thread have its turn is no stall."""
        late = passed - TICK - worked
        if late >= self.stall:
            self.lost += late


@dataclass(eq=False)  # pytest keeps plugins in sets
class Plugin:
    """Runs each test as pytest itself does, and those once more that failed while the machine stood still."""

    watch: Watch = field(default_factory=Watch)
    again: list[str] = field(default_factory=list)  # what is said at the end

    def pytest_sessionstart(self) -> None:
        self.watch.start()

    def pytest_sessionfinish(self) -> None:
        self.watch.stop()

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        before = self.watch.lost
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        stood = self.watch.lost - before
        if stood and any(report.failed for report in reports):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            reports[-1].user_properties.append((AGAIN, f'{stood:.0f} s in {item.nodeid}'))
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also in the process that only gathers the reports of others."""
        self.again += [str(text) for name, text in report.user_properties if name == AGAIN and report.when == 'teardown']

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.again:
            terminalreporter.section('the machine stood still, and what failed meanwhile was tried once more')
            for line in self.again:
                terminalreporter.line(line)
