"""The runner's end of the supervisor: starts it, sends jobs, receives what became of them.

If the supervisor itself dies, its attempts are reported as lost and what lives of them is killed from here."""
from __future__ import annotations

import fcntl
import os
import select
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import mlops_cli
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import Job, Outcome, Usage
from mlops_cli.fsio import locks
from mlops_cli.job.family import VARIABLE, kill_marked
from mlops_cli.job.signals import SIGKILL, SIGSTOP, valid_signals
from mlops_cli.job.wire import ALIVE, EVENTS, REQUESTS, Inbox, encode

LEFTOVER_SECONDS = 5.0
LOST_SECONDS = 5.0  # how long we try to kill what a dead supervisor left
_CALM_ROUNDS = 2  # a process in the middle of an exec shows no environment for a moment
_READ_BYTES = 1 << 16
_HIGH_DESCRIPTOR = 10  # above those that the supervisor is given, so that setting these up cannot clash
_CODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # os.fsencode, at half its price
_PROGRAM = ('import sys; sys.path.append(sys.argv[2]); from mlops_cli.job.entry import main; '
            'main(int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])')


@dataclass(frozen=True, slots=True)
class Started:
    """The first process of an attempt runs.  For quick attempts it comes together with the outcome."""

    attempt: str
    pid: int


class Supervisor:
    """A running supervisor process.  Every method may be called from any thread, one at a time; none from a signal handler."""

    def __init__(self, pid: int, requests: int, events: int, alive: int = -1) -> None:
        self.pid = pid
        self._alive = alive  # shared with that process: what is locked here stays so when we die
        self._requests: int | None = requests
        self._events = events
        self._inbox = Inbox()
        self._common: dict[str, str] | None = None  # the environment of which requests tell the differences
        self._live: dict[str, tuple[float, int | None]] = {}  # attempt -> when it was submitted, pid of its first process
        self._sending = threading.Lock()
        self._crash = ''
        self._ended = False

    @classmethod
    def start(cls, alive_lock: str | None = None, *, leftover_seconds: float = LEFTOVER_SECONDS) -> Supervisor:
        """Starts the process and returns at once; what keeps it from its work shows in :meth:`events`.

        ``alive_lock``: absolute path of a file, made if absent, that is locked as long as any process of any attempt lives
        (:func:`anything_alive`), and as long as one of a certain attempt may (orphans.py).  Raises OSError if this machine
        cannot start another process."""
        requests_end, requests = _high_pipe()
        events, events_end = _high_pipe()
        alive = _open_alive(alive_lock) if alive_lock else -1
        root = os.path.dirname(os.path.dirname(os.path.abspath(mlops_cli.__file__)))
        argv = [sys.executable, '-I', '-S', '-c', _PROGRAM, 'mlops-supervisor', root, str(os.getpid()), str(leftover_seconds),
                alive_lock or '']
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, requests_end, REQUESTS), (os.POSIX_SPAWN_DUP2, events_end, EVENTS)]
        actions += [(os.POSIX_SPAWN_DUP2, alive, ALIVE)] if alive >= 0 else []
        try:
            pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsid=True, setsigmask=(),
                                 setsigdef=valid_signals() - {SIGKILL, SIGSTOP})
        except BaseException:
            os.close(requests)
            os.close(events)
            if alive >= 0:
                os.close(alive)
            raise
        finally:
            os.close(requests_end)
            os.close(events_end)
        return cls(pid, requests, events, alive)

    def fileno(self) -> int:
        """Readable when :meth:`events` would return something; for select."""
        return self._events

    def submit(self, *jobs: Job) -> None:
        """Starts jobs; how many run at once is the caller's affair.  Each ends in exactly one Outcome.

        Raises ValueError for a job without a process or whose attempt is running already."""
        message, common = b'', self._common
        for job in jobs:
            if job.attempt in self._live or not job.processes or not all(process.argv for process in job.processes):
                raise ValueError(f'attempt {job.attempt} runs already, or has no command')
            self._live[job.attempt] = (time.monotonic(), None)
            if self._alive >= 0:  # before it is sent: should we die now, nobody can take it for one that was never begun
                locks.try_lock(self._alive, exclusive=False, start=locks.byte_of(job.attempt), length=1)
            if common is None:
                common = dict(job.environment)
                message += encode(('environment', _bytes_of(common)))
            message += encode(('run', _request(job, common, self._alive >= 0)))
        self._send(message)
        self._common = common

    def cancel(self, attempt: str, *, force: bool = False) -> None:
        """Asks all processes of an attempt to end (TERM), and kills what is left of it after the job's grace; ``force``:
        kills at once, also while that grace runs.  An attempt that is over, or unknown, is left alone."""
        if attempt in self._live:
            self._send(encode(('cancel', attempt, force)))

    def events(self, timeout: float | None = None) -> list[Outcome | Started]:
        """What happened since the last call, in order; waits up to ``timeout`` seconds (None: without limit) for something.

        Raises UserError (exit code MACHINE) if the supervisor could not begin its work."""
        found: list[Outcome | Started] = []
        until = None if timeout is None else time.monotonic() + timeout
        while not found and not self._ended:
            rest = None if until is None else max(0.0, until - time.monotonic())
            poller = select.poll()
            poller.register(self._events, select.POLLIN)
            if not poller.poll(None if rest is None else rest * 1000):
                break
            found = self._receive()
        return found

    def close(self) -> list[Outcome]:
        """Cancels what still runs, waits for the last process of it to be gone, and ends the supervisor.
        Returns the outcomes that came meanwhile; a second call returns none."""
        with self._sending:
            if self._requests is not None:
                os.close(self._requests)
                self._requests = None
        found = []
        while not self._ended:
            found += [event for event in self.events() if isinstance(event, Outcome)]
        return found

    def _send(self, message: bytes) -> None:
        with self._sending:
            if self._requests is None:
                return
            view = memoryview(message)
            try:
                while view:
                    view = view[os.write(self._requests, view):]
            except BrokenPipeError:  # it is dead: events() will see that, and report what was lost
                pass

    def _receive(self) -> list[Outcome | Started]:
        data = os.read(self._events, _READ_BYTES)
        if not data:
            return list(self._bury())
        return [event for message in self._inbox.feed(data) if (event := self._event(message))]

    def _event(self, message: tuple[Any, ...]) -> Outcome | Started | None:
        match message:
            case ('ended', attempt, ending, exit_code, figures, killed, text, gone):
                del self._live[attempt]
                return Outcome(attempt, ending, exit_code, Usage(*figures), killed, text, gone_ns=gone)
            case ('started', attempt, pid):
                self._live[attempt] = (self._live[attempt][0], pid)
                return Started(attempt, pid)
            case ('crashed', text):
                self._crash = text
                return None
            case ('refused', text):
                self._bury()
                raise UserError(f'cannot supervise the stages of this run: {text}', exit_code=ExitCode.MACHINE)
            case _:
                raise AssertionError(f'not a message of the supervisor: {message!r:.200}')

    def _bury(self) -> list[Outcome]:
        """The supervisor has ended: kills what it left, if anything, and reports it as lost."""
        self._ended = True
        os.close(self._events)
        with self._sending:
            if self._requests is not None:
                os.close(self._requests)
                self._requests = None
        _, status = os.waitpid(self.pid, 0)
        lost = self._lost(os.waitstatus_to_exitcode(status)) if self._live else []
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        return lost

    def _lost(self, code: int) -> list[Outcome]:
        how = self._crash or (f'killed by signal {-code}' if code < 0 else f'exit code {code}')
        now = time.monotonic()
        until = now + LOST_SECONDS
        sessions = [pid for _, pid in self._live.values() if pid is not None]
        killed = left = kill_marked(self._live, sessions)
        calm = 0
        while calm < _CALM_ROUNDS and time.monotonic() < until:
            time.sleep(0.01)
            left = kill_marked(self._live, sessions)
            calm = 0 if left else calm + 1
        lost = [Outcome(attempt, 'lost', None, Usage(now - begin, 0.0), killed,
                        f'the process that supervised it died: {how}' + (f'; {left} of its processes live on' if left else ''))
                for attempt, (begin, _) in self._live.items()]
        self._live.clear()
        return lost


def anything_alive(alive_lock: str) -> bool:
    """Whether some supervisor, of this run or an older one, still holds this lock file: a process of an attempt lives."""
    try:
        descriptor = os.open(alive_lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _bytes_of(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(_CODING, _ERRORS): value.encode(_CODING, _ERRORS) for name, value in environment.items()}


def _request(job: Job, common: Mapping[str, str], locked: bool) -> dict[str, Any]:
    environment = _bytes_of({name: value for name, value in job.environment.items() if common.get(name) != value})
    environment[VARIABLE] = os.fsencode(job.attempt)
    return {
        'attempt': job.attempt,
        'argvs': [[os.fsencode(word) for word in process.argv] for process in job.processes],
        'environment': environment,
        'unset': [os.fsencode(name) for name in common if name not in job.environment],
        'directory': os.fsencode(os.path.join(job.folder, job.directory)),
        'log': os.fsencode(job.log),
        'timeout': job.timeout_seconds,
        'grace': job.grace_seconds,
        'redact': job.redact,
        'release': locks.unlocking(locks.byte_of(job.attempt)) if locked else None,
        'held': [(os.fsencode(path), *locks.sharing()) for path in job.held],
    }


def _open_alive(path: str) -> int:
    """-1 where it cannot be opened: the supervisor finds that too, and says so."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    os.close(fd)
    return high


def _high_pipe() -> tuple[int, int]:
    """A pipe whose two descriptors are not among the lowest; both close-on-exec."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
