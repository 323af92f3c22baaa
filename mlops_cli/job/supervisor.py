"""The one helper process of a run: starts the processes of all its attempts, watches them, and leaves none behind.

It knows attempts, signals and clocks; no stage, no store, no folder of ours.  It runs in an interpreter without
site-packages and imports as little as it can, for the first stage of a run waits for its start.  The runner speaks to it by
two pipes (docs/formats/supervisor.md); when the runner is gone, however it went, so is everything it had started.
"""
from __future__ import annotations

import fcntl
import os
import select
import time

from mlops_cli.job import spawn
from mlops_cli.job.attempt import ENDING, KILLING, LINGERING, NEVER, RUNNING, Attempt
from mlops_cli.job.family import Family
from mlops_cli.job.output import Filter
from mlops_cli.job.signals import SIGKILL, SIGTERM, set_wakeup_fd
from mlops_cli.job.wire import ALIVE, EVENTS, REQUESTS, Inbox, encode
from mlops_cli.usage import cpu
from mlops_cli.usage.probe import SAMPLE_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mlops_cli.usage.network import Connections

LINGER_SECONDS = 0.25  # multiprocessing's resource tracker and `> >(tee log)` outlive their parent by a moment
KILL_EVERY_SECONDS = 0.02
KILL_PATIENCE_SECONDS = 10.0  # then the outcome is sent, though something cannot be killed (a disk that hangs, sudo)
FOREIGN_SECONDS = 0.1
HOLD_SECONDS = 0.05  # news that nobody waits for travels with the next that matters
READ_BYTES = 1 << 16  # more would be mapped and unmapped for each message
WAKEUP_BYTES = 1 << 10
LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Supervisor:
    """``runner``: pid of our parent.  ``leftover_seconds``: between TERM and KILL for what an attempt leaves behind."""

    connections: Connections | None = None  # of this machine, as soon as something is looked at

    def __init__(self, runner: int, leftover_seconds: float) -> None:
        self.runner = runner
        self.leftover_seconds = leftover_seconds
        self.family = Family()
        self.attempts: dict[str, Attempt] = {}
        self.environment: dict[bytes, bytes] = {}  # that attempts have in common
        self.filters: dict[int, Filter] = {}  # by the descriptor that is read
        self.closing = False
        self.inbox = Inbox()
        self.outbox = bytearray()
        self.send_at = NEVER
        self.poller = select.poll()
        self.wakeup, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poller.register(self.wakeup, select.POLLIN)
        self.poller.register(REQUESTS, select.POLLIN)
        set_wakeup_fd(signalled, warn_on_full_buffer=False)

    def run(self) -> None:
        """Returns when the runner is gone or has closed, and nothing is left of any attempt."""
        while self.attempts or not self.closing:
            self.wait()
            self.family.refresh()
            self.reap()
            now = time.monotonic()
            for attempt in [attempt for attempt in self.attempts.values() if attempt.due <= now]:
                self.act(attempt, now)
            self.flush()
        self.end_strays()
        os.set_blocking(EVENTS, True)
        self.send_at = 0.0
        self.flush()

    def wait(self) -> None:
        """Sleeps until something happens or is due, and takes in what came."""
        due = min([self.send_at, *(attempt.due for attempt in self.attempts.values())])
        timeout = None if due == NEVER else max(0.0, due - time.monotonic()) * 1000
        for descriptor, _ in self.poller.poll(timeout):
            if descriptor == REQUESTS:
                data = os.read(REQUESTS, READ_BYTES)
                for message in self.inbox.feed(data):
                    self.request(message)
                if not data:
                    self.poller.unregister(REQUESTS)
                    self.close()
            elif descriptor == self.wakeup:
                os.read(self.wakeup, WAKEUP_BYTES)
            elif descriptor in self.filters:  # else a request of this very round has ended its attempt
                self.filters[descriptor].pump()
        # Its death also shows as the end of REQUESTS, unless it had forked without exec.
        if not self.closing and os.getppid() != self.runner:
            self.close()

    def request(self, message: tuple[Any, ...]) -> None:
        now = time.monotonic()
        match message:
            case ('environment', environment):
                self.environment = environment
            case ('run', request):
                attempt = Attempt(request, self.environment, now)
                if os.getppid() != self.runner:  # it died with this under way: nobody wants it any more
                    attempt.let_go()
                    return
                self.attempts[attempt.name] = attempt
                self.start(attempt, now)
            case ('cancel', name, force):
                found = self.attempts.get(name)
                if found and force:
                    found.ending = 'cancelled' if found.phase == RUNNING else found.ending
                    self.kill(found, now)
                elif found:
                    self.end(found, 'cancelled', now)

    def close(self) -> None:
        """No more requests: what runs is cancelled."""
        self.closing = True
        now = time.monotonic()
        for attempt in list(self.attempts.values()):
            self.end(attempt, 'cancelled', now)

    def tell(self, message: tuple[Any, ...], *, within: float = 0.0) -> None:
        """Queues a message; sent after at most ``within`` seconds."""
        self.outbox += encode(message)
        self.send_at = min(self.send_at, time.monotonic() + within)

    def flush(self) -> None:
        """Sends what is due; never waits for a runner that does not read."""
        now = time.monotonic()
        if now < self.send_at:
            return
        try:
            del self.outbox[:os.write(EVENTS, self.outbox)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.outbox.clear()
        self.send_at = now + KILL_EVERY_SECONDS if self.outbox else NEVER

    # The life of an attempt.

    def start(self, attempt: Attempt, now: float) -> None:
        """Starts the next process of an attempt."""
        try:
            output = self.open_output(attempt)
            try:
                pid = spawn.start(attempt.argvs[attempt.index], attempt.environment, attempt.directory, output)
            except spawn.NotStarted as error:
                if error.exit_code is not None:  # a shell, too, would say so where the output goes
                    line = f'mlops: {error.message}\n'.encode('utf-8', 'replace')
                    attempt.filter.put(line) if attempt.filter else os.write(output, line)
                raise
            finally:
                if attempt.filter is None:
                    os.close(output)
        except spawn.NotStarted as error:
            attempt.message = error.message
            attempt.exit_code = error.exit_code
            if attempt.index == 0 and error.exit_code is None:
                attempt.ending = 'not-started'
            elif error.exit_code is None:
                attempt.exit_code = spawn.NOT_EXECUTABLE
            attempt.ended = now
            self.settle(attempt, now)
            return
        attempt.pid = pid
        attempt.index += 1
        self.family.lead(attempt.name, pid)
        if attempt.index == 1:
            self.tell(('started', attempt.name, pid), within=HOLD_SECONDS)

    def open_output(self, attempt: Attempt) -> int:
        """A descriptor for the output of the attempt's next process.  Raises spawn.NotStarted."""
        if attempt.filter is not None:
            return attempt.filter.writer
        try:
            log = os.open(attempt.log, LOG_FLAGS, 0o600)
        except OSError as error:
            raise spawn.NotStarted(f'cannot write the log {spawn.shown(attempt.log)}: {error.strerror}') from error
        if attempt.redact is None:
            return log
        attempt.filter = Filter(log, attempt.secrets())
        self.filters[attempt.filter.reader] = attempt.filter
        self.poller.register(attempt.filter.reader, select.POLLIN)
        return attempt.filter.writer

    def reap(self) -> None:
        """Waits for all children that have ended, then goes on with their attempts."""
        ended: list[tuple[Attempt, int]] = []
        touched: dict[str, Attempt] = {}
        while (pid := _ended_child()) is not None:
            owners = self.family.gone(pid)
            _, status, usage = os.wait4(pid, 0)
            attempts = [self.attempts[name] for name in owners if name in self.attempts]
            if len(attempts) == 1:
                attempts[0].probe.ended(usage)
            for attempt in attempts:
                touched[attempt.name] = attempt
                if attempt.pid == pid:
                    ended.append((attempt, os.waitstatus_to_exitcode(status)))
        now = time.monotonic()
        for attempt, code in ended:
            self.process_ended(attempt, 128 - code if code < 0 else code, now)
        for attempt in touched.values():
            if attempt.pid is None and attempt.phase != RUNNING and attempt.name in self.attempts:
                self.settle(attempt, now)

    def process_ended(self, attempt: Attempt, code: int, now: float) -> None:
        attempt.pid = None
        attempt.ended = now
        attempt.exit_code = code
        if attempt.phase == RUNNING:
            if code == 0 and attempt.index < len(attempt.argvs):
                self.start(attempt, now)
            else:
                self.settle(attempt, now)

    def settle(self, attempt: Attempt, now: float) -> None:
        """None of its own processes runs any more; the attempt is over once nothing they started does."""
        self.family.adopt()
        if attempt.phase == RUNNING:
            attempt.phase = LINGERING
            attempt.due = now + LINGER_SECONDS
        if self.family.orphans(attempt.name) or self.is_unclear(attempt, now):
            return
        if attempt.ending == 'exited' or attempt.phase == LINGERING or not self.members(attempt):
            self.finish(attempt, now)
        else:  # some daemon's child; its end will not be told to us
            attempt.due = min(attempt.due, attempt.kill_at, now + FOREIGN_SECONDS)

    def is_unclear(self, attempt: Attempt, now: float) -> bool:
        """Whether something may be of the attempt of which that shows soon: after its exec, or in whom it leaves behind."""
        perhaps = self.family.perhaps(attempt.name)
        return bool(perhaps) and ((attempt.phase == LINGERING and now < attempt.due) or any(map(cpu.is_ending, perhaps)))

    def members(self, attempt: Attempt) -> set[int]:
        return self.family.members(attempt.name, everywhere=attempt.ending != 'exited')

    def act(self, attempt: Attempt, now: float) -> None:
        """Does what is due."""
        if attempt.phase == RUNNING and now < attempt.deadline:
            members = self.family.look(attempt.name)
            attempt.probe.sample(members, self.family.table, now - attempt.started, connections=self.connected())
            attempt.due = min(attempt.deadline, now + SAMPLE_SECONDS)
        elif attempt.phase == RUNNING:
            self.end(attempt, 'timeout', now)
        elif attempt.phase == LINGERING:
            attempt.killed |= self.members(attempt)
            self.ask(attempt, now, self.leftover_seconds)
            self.settle(attempt, now)  # what was perhaps its own is another's
        elif now >= attempt.kill_at:
            self.kill(attempt, now)
        else:
            attempt.due = attempt.kill_at
            self.settle(attempt, now)

    def connected(self) -> Connections:
        """Only where something takes long enough to be looked at."""
        if self.connections is None:
            from mlops_cli.usage.network import Connections

            self.connections = Connections()
        return self.connections

    def end(self, attempt: Attempt, ending: str, now: float) -> None:
        """Cuts an attempt short; one whose own processes have all ended goes on tidying up."""
        if attempt.phase == RUNNING:
            attempt.ending = ending
            self.ask(attempt, now, attempt.grace)

    def ask(self, attempt: Attempt, now: float, grace: float) -> None:
        attempt.phase = ENDING
        attempt.kill_at = attempt.due = now + grace
        self.family.signal(attempt.name, SIGTERM, self.members(attempt))

    def kill(self, attempt: Attempt, now: float) -> None:
        """One round; there is another soon, until nothing is left."""
        self.family.refresh()
        found = self.members(attempt)
        if attempt.ending == 'exited':
            attempt.killed |= found
        if attempt.phase == KILLING:  # time in which this machine stood still, or never let us look, is not counted
            attempt.patience += min(now - attempt.looked, attempt.pause)
        attempt.phase = KILLING
        attempt.kill_at = attempt.looked = now
        if not found and attempt.pid is None and not self.is_unclear(attempt, now):
            self.finish(attempt, now)
            return
        self.family.signal(attempt.name, SIGKILL, found)
        attempt.pause = max(KILL_EVERY_SECONDS, attempt.patience / 4)
        attempt.due = now + attempt.pause
        if attempt.patience > KILL_PATIENCE_SECONDS:
            attempt.release = None  # the alive lock must tell the truth
            attempt.held = []  # and so must those of its cards: they are closed when this process ends
            attempt.message = f'could not be killed: {", ".join(map(str, sorted(found or self.family.perhaps(attempt.name))))}'
            self.finish(attempt, now)

    def finish(self, attempt: Attempt, now: float) -> None:
        if attempt.filter is not None:
            self.poller.unregister(attempt.filter.reader)
            del self.filters[attempt.filter.reader]
            attempt.filter.finish()
            attempt.message = attempt.message or attempt.filter.problem
        if self.connections is not None and attempt.probe.traffic is not None:
            self.connections.ended(attempt.probe.traffic)
        attempt.write_series(now)
        del self.attempts[attempt.name]
        self.family.close(attempt.name)
        if attempt.release is not None:
            fcntl.fcntl(ALIVE, *attempt.release)
        attempt.let_go()
        self.tell(attempt.outcome(now))

    def end_strays(self) -> None:
        """Kills what is left of attempts that are over, as long as it takes: the alive lock must tell the truth."""
        pause = KILL_EVERY_SECONDS
        while True:
            while (pid := _ended_child()) is not None:
                os.wait4(pid, 0)
            children = cpu.own_children()
            if not (children if children is not None else _has_children()):
                return
            table = cpu.processes()
            below = cpu.descendants([pid for pid, row in table.items() if row.parent == os.getpid()], table)
            for pid in below:
                try:
                    os.kill(pid, SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            time.sleep(pause)
            pause = min(0.5, pause * 2)


def _ended_child() -> int | None:
    """A child that has ended and was not waited for; it can still be looked at in /proc."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
