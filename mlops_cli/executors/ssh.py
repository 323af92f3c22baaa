"""Runs jobs on a host behind ssh: what they need goes there, what they make comes back, each once (docs/formats/host.md).

One connection for all of it.  A job there needs none: whoever asks for the same again goes on where this one was cut off.
"""
from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import COST_SUFFIX, Job, Outcome, Usage
from mlops_cli.core.refs import ObjectRef
from mlops_cli.executors.base import Handle
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.job import environments, lasting
from mlops_cli.job.hosted import JOBS, LOG, OUTCOME, SPEC, from_json
from mlops_cli.store import frames
from mlops_cli.store.bucket import Absent, Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.ssh import FarBucket, SshBucket
from mlops_cli.store.transfer import Told, fetch, push
from mlops_cli.usage.series import SIZE_LIMIT, SUFFIX
from mlops_cli.usage.spending import SIZE_LIMIT as SPENT_LIMIT

LOOK_SECONDS = 2.0  # that an answer may take when there is no news
PATIENCE_SECONDS = 900.0  # without a connection, before a job is given up here; there it goes on
PAUSE_SECONDS = 2.0  # before the host is tried again
LEASE_SECONDS = 86400.0  # without anybody asking for it, after which a job ends by itself
LOG_PART = 1 << 20  # bytes
WORDS = 200  # characters of why a job waits
PROGRESS_SECONDS = 0.9  # between two looks at how far one is
PROGRESS_MOST, PROGRESS_HEAD = 1 << 15, 1 << 13  # bytes of a long file in which it says that: of its end, of its beginning
CLOSE_SECONDS = 30.0
SERIES_SECONDS = 1.0  # that a job took which may have been looked at twice
END_PAUSE_SECONDS = 0.3  # before one that is ending is asked for again
END_PATIENCE_SECONDS = 60.0  # beside its grace
LATER_PAUSE_SECONDS = 2.0  # before one is handed over again that could not be taken yet
SERVING = {'slurm': 'mlops_cli.job.far_slurm', 'ray': 'mlops_cli.job.far_ray'}  # the far end, by who starts the jobs there


def bucket_of(url: str, python: str = '', submit: Sequence[str] = ()) -> FarBucket:
    """A host's, which also answers what is asked of its jobs; behind slurm:// Slurm starts them, behind ray:// Ray, and behind
    k8s:// Kubernetes, to which ``submit`` says what its pods are.  Raises UserError for a url that is none."""
    scheme = url.partition('://')[0]
    if scheme == 'k8s':
        from mlops_cli.kube.bucket import KubeBucket

        return KubeBucket(url, python, submit)
    return SshBucket(url, python, serve=SERVING.get(scheme, 'mlops_cli.job.far'))


NOTHING = Usage(0.0, 0.0)
SENDING = 'what it needs is on its way'
ENDING = 'ending'  # why a job cannot begin yet


def question(path: str, submit: Sequence[str]) -> dict[str, Any]:
    """What there is, for jobs of a host with these settings."""
    return {'do': 'host', 'path': path, 'submit': [*submit]}


class Cancelled(Exception):
    """It is not wanted any more."""


@dataclass
class Under:
    """A job under way.  ``name``: over there.  ``log``: bytes of it that are here.  ``since``: when it was handed over."""

    job: Job
    name: str
    since: float
    log: int = 0
    begun: bool = False
    wish: str = ''  # '', end or force
    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    checkpoint: ObjectRef | None = None
    succeeded: bool = False
    seconds: float = 0.0  # that it took there
    spent: int = 0  # bytes in which it says there what it spent
    goes_on: bool = False  # there, as far as anybody knows
    waits: str = ''  # for what, where it does not run yet
    waiting_since: float = 0.0  # of time.monotonic()
    waited: float = 0.0  # seconds, in all before that
    progress: tuple[int, int] = (-1, -1)  # bytes and time of change of what says how far it is there, when that was brought
    looked: float = 0.0  # when that was

    def wait(self, reason: str) -> None:
        """From now on; '': it runs."""
        now = time.monotonic()
        if self.waits and not reason:
            self.waited += now - self.waiting_since
        elif reason and not self.waits:
            self.waiting_since = now
        self.waits = reason

    def ran(self) -> float:
        """Seconds, as far as that is known here."""
        now = time.monotonic()
        waited = self.waited + (now - self.waiting_since if self.waits else 0.0)
        return max(0.0, now - self.since - waited)
    told: Told = field(default_factory=Told)


class Ssh:
    """``url``: as SshBucket takes it, of the folder to work in there.  ``store``: what is here.  ``name``: what the host is
    called here.  ``path``: folders there in which programs are looked for first.  ``submit``: words for sbatch, where there is
    one."""

    def __init__(self, name: str, url: str, store: LocalStore, *, python: str = '', path: str = '',
                 submit: Sequence[str] = (), lease_seconds: float = LEASE_SECONDS,
                 patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.name, self._url, self._store = name, url, store
        self._path, self._submit = path, tuple(submit)
        self._lease, self._patience = lease_seconds, patience_seconds
        self._bucket = bucket_of(url, python, submit)
        self._under: dict[Handle, Under] = {}
        self._over: dict[Handle, Under] = {}
        self._ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._to_send: queue.SimpleQueue[Under | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._facts: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """What the host has.  The first contact: raises Unreachable where there is none."""
        if self._facts is None:
            self._facts = self._bucket.ask(question(self._path, self._submit))
        return self._facts

    def waits_for(self) -> str:
        """For what the first contact waits, in another thread; '' where that is not known."""
        return self._bucket.waits_for

    # As every executor

    def submit(self, job: Job) -> Handle:
        if job.attempt in self._under or not job.processes or not all(process.argv for process in job.processes):
            raise ValueError(f'attempt {job.attempt} runs already, or has no command')
        os.close(ops.open_append(job.log))  # also of one that says nothing
        under = Under(job, name_of(job), time.monotonic())
        under.wait(SENDING)
        with self._changed:
            self._under[job.attempt] = under
        if not self._threads:
            for work in (self._send_all, self._watch):
                thread = threading.Thread(target=work, name=f'host {self.name}', daemon=True)
                thread.start()
                self._threads.append(thread)
        self._to_send.put(under)
        return job.attempt

    def poll(self, timeout_seconds: float) -> list[Outcome]:
        found: list[Outcome] = []
        with self._changed:
            waits = bool(self._under)
        try:
            found.append(self._ended.get(waits and timeout_seconds > 0, timeout_seconds))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            return found

    def waiting(self) -> dict[Handle, tuple[str, float]]:
        """Of those that do not run yet: for what they wait, and for how many seconds so far."""
        now = time.monotonic()
        with self._changed:
            return {handle: (under.waits, under.waited + now - under.waiting_since)
                    for handle, under in self._under.items() if under.waits}

    def cancel(self, handle: Handle, *, force: bool = False) -> None:
        under = self._under.get(handle)
        if under is None or under.wish == 'force':
            return
        with self._changed:
            under.wish = 'force' if force else 'end'
        threading.Thread(target=self._ask_to_end, args=(under,), name='cancel', daemon=True).start()

    def collect(self, handle: Handle) -> tuple[tuple[str, ObjectRef], ...] | None:
        under = self._over.pop(handle)
        self._drop_progress(under)
        if under.goes_on:
            return ()
        if under.seconds > SERIES_SECONDS:
            self._bring_beside(under, SUFFIX)
        if under.spent:
            self._bring_beside(under, COST_SUFFIX, min(under.spent, SPENT_LIMIT + 1))
        if not under.succeeded:
            if under.checkpoint is not None:
                fetch(self._store, Depot(self._bucket), [('', under.checkpoint)], Told())
            self._quietly({'do': 'forget', 'job': under.name, 'whole': True})
            return ()
        told = Told()
        fetch(self._store, Depot(self._bucket), under.outputs, told)
        if told.missing or {*under.job.outputs} - {path for path, _ in under.outputs}:
            # Its success is of no use, and would be found again for ever.
            self._quietly({'do': 'forget', 'job': under.name, 'whole': True})
        if told.missing:
            raise UserError(f'{len(told.missing)} objects of what it made on {self.name} did not come back',
                            hint='run it again; mlops hosts check tells what is wrong there', exit_code=ExitCode.UNREACHABLE)
        return under.outputs

    def close(self) -> list[Outcome]:
        with self._changed:
            handles = [*self._under]
        for handle in handles:
            self.cancel(handle, force=True)
        found: list[Outcome] = []
        until = time.monotonic() + CLOSE_SECONDS
        while len(found) < len(handles) and time.monotonic() < until:
            found += self.poll(0.2)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._to_send.put(None)
        self._bucket.close()
        for thread in self._threads:
            thread.join(10)
        self._threads = []
        return found

    # Over there

    def _send_all(self) -> None:
        depot = Depot(self._bucket)
        while (under := self._to_send.get()) is not None:
            try:
                if under.wish:
                    raise Cancelled
                if why := self._send(depot, under):
                    under.wait('for an earlier one that is still ending there' if why == ENDING else why)
                    self._later(under, why)
                    continue
                with self._changed:
                    under.begun = True
                    under.wait('')
                    self._changed.notify_all()
                self._ask_to_end(under)
            except Cancelled:
                self._end(under, Outcome(under.job.attempt, 'cancelled', None, _waited(under)))
            except (UserError, OSError, Absent) as error:
                depot = Depot(self._bucket)
                self._end(under, _not_started(under, error))

    def _later(self, under: Under, why: str) -> None:
        """Asks for it again in a moment; meanwhile others are sent.  Raises UserError where it has waited too long."""
        ending = why == ENDING
        if time.monotonic() - under.since > (under.job.grace_seconds + END_PATIENCE_SECONDS if ending else self._patience):
            problem = f'an earlier one is still ending on {self.name}' if ending else f'{self.name} does not take it: {why}'
            raise UserError(problem, hint='look at it there, or take another host', exit_code=ExitCode.UNREACHABLE)
        pause = END_PAUSE_SECONDS if ending else LATER_PAUSE_SECONDS
        timer = threading.Timer(pause, self._to_send.put, (under,))
        timer.daemon = True
        timer.start()

    def _send(self, depot: Depot, under: Under) -> str:
        """Why it cannot begin yet, if so."""
        def go_on() -> None:
            if under.wish:
                raise Cancelled

        job = under.job
        under.told.step = go_on
        known = [(one.path, one.ref) for one in (job.checkpoint,) if one is not None and one.ref is not None]
        lock = job.lock.files if job.lock is not None else ()
        push(self._store, depot, [*job.inputs, *known, *lock], under.told)
        if under.told.missing:
            raise UserError(f'{len(under.told.missing)} objects of its inputs are damaged or gone here', hint='mlops verify')
        # One that no other run can find is of no use to anybody once this one has given it up.
        lease = self._lease if job.identity else min(self._lease, PATIENCE_SECONDS)
        self._bucket.put(f'{JOBS}/{under.name}/{SPEC}', canonical_bytes(specification(job, lease, self._path, self._submit)))
        # What is secret goes to the process that needs it, and into no file.
        start = {'do': 'start', 'job': under.name, 'by': job.attempt, 'environment': dict(job.environment)}
        answer = self._bucket.ask(start)
        if answer.get('ending'):  # an earlier one, which is not to be waited for but done anew
            return ENDING
        return frames.text_of(answer.get('later'))

    def _ask_to_end(self, under: Under) -> None:
        if under.begun and under.wish:
            self._quietly({'do': 'cancel', 'job': under.name, 'force': under.wish == 'force'})

    def _quietly(self, asked: Mapping[str, Any]) -> None:
        """What is better done, and is done by the host itself some day."""
        try:
            self._bucket.ask(asked)
        except (UserError, Absent):
            return

    def _watch(self) -> None:
        silent_since: float | None = None
        while True:
            begun = self._begun()
            if not begun:
                return
            try:
                asked = {'do': 'look', 'jobs': {name: under.log for name, under in begun.items()}, 'seconds': LOOK_SECONDS}
                states = self._bucket.ask(asked).get('jobs')
                for name, under in begun.items():
                    self._take(under, states.get(name) if isinstance(states, dict) else None)
                silent_since = None
            except (UserError, OSError, Absent) as error:
                now = time.monotonic()
                silent_since = silent_since or now
                if now - silent_since > self._patience:
                    for under in begun.values():
                        under.goes_on = True
                        self._end(under, _silent(under, self.name, error))
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, PAUSE_SECONDS)

    def _begun(self) -> dict[str, Under]:
        """Waits until there are some; none once this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or any(under.begun for under in self._under.values()))
            return {} if self._closing else {under.name: under for under in self._under.values() if under.begun}

    def _take(self, under: Under, state: Any) -> None:
        """What the host says of one.  Raises Unreachable, OSError."""
        if not isinstance(state, dict):
            raise Unreachable(self._url, 'it says nothing of its jobs', 'is that host what you take it for?')
        self._bring_log(under, state.get('log'))
        under.wait(_printable(state.get('waits')))
        if state.get('state') == 'running':
            self._bring_progress(under, state.get('progress'))
        if state.get('state') == 'over':
            data = self._bucket.get(f'{JOBS}/{under.name}/{OUTCOME}')
            try:
                outcome, under.outputs = from_json(under.job.attempt, json.loads(data))
            except ValueError:
                message = f'what {self.name} says of it cannot be read'
                outcome = Outcome(under.job.attempt, 'lost', None, _waited(under), message=message)
            if outcome.ending == 'cancelled' and not under.wish:
                message = outcome.message or f'another command had it ended on {self.name}'
                outcome = replace(outcome, ending='lost', message=message)
            under.checkpoint = outcome.details.get('checkpoint')
            under.succeeded, under.seconds = outcome.succeeded, outcome.usage.wall_seconds
            under.spent = int(outcome.details.get('spent', 0))
            self._end(under, outcome)
        elif state.get('state') in ('lost', 'unknown'):
            said = str(state.get('said') or '')[:300]
            message = f'its process on {self.name} is gone' + (f': {said}' if said else ', as after a restart of that host')
            self._end(under, Outcome(under.job.attempt, 'lost', None, _waited(under), message=message))

    def _bring_log(self, under: Under, size: Any) -> None:
        if not isinstance(size, int) or size <= under.log:
            return
        fd = ops.open_append(under.job.log)
        try:
            while under.log < size:
                data = self._bucket.get(f'{JOBS}/{under.name}/{LOG}', under.log, min(size, under.log + LOG_PART))
                ops.write(fd, data)
                under.log += len(data)
        finally:
            os.close(fd)

    def _bring_progress(self, under: Under, told: Any) -> None:
        """What says how far it is, to where it would say so here; of a long file its end."""
        now = time.monotonic()
        if not under.job.progress or now - under.looked < PROGRESS_SECONDS or not _is_file(told):
            return
        where, size, changed = told
        if (size, changed) == under.progress:
            return
        under.looked, under.progress = now, (size, changed)
        try:
            data = self._bucket.get(where, max(0, size - PROGRESS_MOST), size)
            if size > PROGRESS_MOST:
                first = self._bucket.get(where, 0, PROGRESS_HEAD).partition(b'\n')[0]  # the names of a table's columns
                data = first + b'\n' + data.partition(b'\n')[2]
            with Root(under.job.folder) as root:
                write_file(root, under.job.progress, data, 0o600, durable=False)
        except (UserError, OSError, Absent):
            return

    def _drop_progress(self, under: Under) -> None:
        """What was brought while it ran is not what it made."""
        if under.progress != (-1, -1):
            with suppress(UserError, OSError), Root(under.job.folder) as root:
                root.unlink(under.job.progress)

    def _bring_beside(self, under: Under, suffix: str, most: int | None = None) -> None:
        """What lies beside its log, such as what it consumed over time, if that was written; else the sum has to do."""
        try:
            data = self._bucket.get(f'{JOBS}/{under.name}/{LOG}{suffix}', 0, most)
            fd = ops.open_new(f'{under.job.log}{suffix}')
        except (UserError, OSError, Absent):
            return
        try:
            ops.write(fd, data[:SIZE_LIMIT + 1])
        except OSError:
            return
        finally:
            os.close(fd)

    def _end(self, under: Under, outcome: Outcome) -> None:
        with self._changed:
            if self._under.pop(under.job.attempt, None) is None:
                return
            self._over[under.job.attempt] = under
        self._ended.put(outcome)


def name_of(job: Job) -> str:
    """The same for the same work: so that what was begun before a cut is found again."""
    what = [job.identity or job.attempt, job.stage, [[path, *ref.to_json()] for path, ref in job.inputs], [*job.outputs]]
    return digest_of(b'mlops host-v1\n' + canonical_bytes(what)).hex[:32]


def specification(job: Job, lease_seconds: float, path: str = '', submit: Sequence[str] = ()) -> dict[str, Any]:
    """All but the environment, as the host reads it."""
    return {
        'stage': job.stage, 'directory': job.directory,
        'processes': [[*process.argv] for process in job.processes], 'paths': [*job.paths],
        'inputs': [[path, *ref.to_json()] for path, ref in job.inputs], 'outputs': [*job.outputs],
        'timeout_seconds': job.timeout_seconds, 'grace_seconds': job.grace_seconds,
        'redact': None if job.redact is None else [*job.redact], 'lease_seconds': lease_seconds,
        'gpu_memory_bytes': job.gpu_memory_bytes,
        'checkpoint': lasting.to_json(job.checkpoint) if job.checkpoint is not None else None,
        'caches': [lasting.to_json(one) for one in job.caches],
        'lock': environments.to_json(job.lock) if job.lock is not None else None,
        'progress': job.progress,
        'path': path, 'gpus': job.gpus, 'cpus': job.cpus, 'memory_bytes': job.memory_bytes, 'submit': [*submit],
    }  # fmt: skip


def _waited(under: Under) -> Usage:
    """Of one of which only this is known: not the time in which it waited."""
    return Usage(under.ran(), 0.0)


def _printable(text: Any) -> str:
    """What a host says, for people."""
    return ''.join(character if character.isprintable() else '?' for character in text[:WORDS]) if isinstance(text, str) else ''


def _is_file(told: Any) -> bool:
    """``[path, bytes, time of change]``, of what may be brought."""
    return (isinstance(told, list) and [type(part) for part in told] == [str, int, int] and told[1] > 0
            and told[0].startswith(f'{JOBS}/'))


def _not_started(under: Under, error: Exception) -> Outcome:
    return not_started(under.job.attempt, error, _waited(under))


def not_started(attempt: str, error: Exception, usage: Usage = NOTHING) -> Outcome:
    """With what that error says, and whose fault it was."""
    if not isinstance(error, UserError):
        return Outcome(attempt, 'not-started', None, usage, message=str(error), details={'code': int(ExitCode.MACHINE)})
    details = {'code': int(error.exit_code), 'hint': error.hint}
    return Outcome(attempt, 'not-started', None, usage, message=error.message, details=details)


def _silent(under: Under, name: str, error: Exception) -> Outcome:
    message = f'{name} does not answer any more ({error}); it goes on there, and the next run asks for it again'
    if not under.job.identity:
        message = f'{name} does not answer any more ({error}); it ends there, as no other run can find it'
    return Outcome(under.job.attempt, 'lost', None, _waited(under), message=message)


