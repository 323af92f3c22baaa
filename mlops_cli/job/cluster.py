"""The far end of a connection to a cluster: as that of a host, but that Slurm starts the jobs, on nodes with the same folder
(docs/formats/host.md)."""
from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import mlops_cli
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.job import Ending
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.locks import try_lock
from mlops_cli.job import partitions, slurm
from mlops_cli.job.far import LEFT, SPEC_MOST, Jobs, place_of
from mlops_cli.job.hosted import (
    ALIVE,
    CANCEL,
    FORCE,
    JOBS,
    LACKING,
    LOG,
    OUTCOME,
    PLACE,
    PROJECT,
    SAID,
    SPEC,
    STAGE,
    STARTED,
    not_begun,
)
from mlops_cli.job.node import SECRETS, TOLD, claim_name, freshen
from mlops_cli.store import far
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.far_start import is_whole

NUMBER = 'slurm'  # in a job's folder: the token, the number that it has in Slurm, and since when its controller was there
BUNDLES = 'bundles-v1'
BUNDLE_SECONDS = 60 * 86400.0  # that one is kept which nobody used
LOOK_LONGEST = 1.0
LAG_SECONDS = 10.0  # for what a node has written last to be seen here
GONE_SECONDS = 45.0  # for the controller to know a job again that ran, after a restart
AGAIN = 30  # times that a job is handed in anew under controllers that were killed
LATE_SECONDS = 20.0  # beside its grace, before a job that is to end is ended by Slurm
SILENT_SECONDS = 120.0  # without an answer of the controller, before that is told
_PROGRAM = 'import sys; sys.path[:0] = sys.argv[4:]; from mlops_cli.job.node import main; main(*sys.argv[1:4])'

# Ending, whose fault, what is said, by the state in which Slurm has ended a job.
ENDINGS: dict[str, tuple[Ending, int, str]] = {
    'TIMEOUT': ('timeout', STAGE, 'Slurm ended it at its time limit'),
    'DEADLINE': ('timeout', STAGE, 'Slurm ended it at its deadline'),
    'OUT_OF_MEMORY': ('lost', STAGE, 'it took more memory than Slurm gave it, and was ended: raise resources.memory'),
    'CANCELLED': ('cancelled', PLACE, 'it was cancelled in Slurm'),
    'NODE_FAIL': ('lost', PLACE, 'its node failed'),
    'BOOT_FAIL': ('lost', PLACE, 'its node did not come up'),
    'PREEMPTED': ('lost', PLACE, 'Slurm took its node for another job'),
}  # fmt: skip

# What the nodes' part of Slurm writes where a job's state does not tell it, or nobody knows that any more.
WORDS = {'memory limit': 'OUT_OF_MEMORY', 'oom-kill event': 'OUT_OF_MEMORY', 'DUE TO TIME LIMIT': 'TIMEOUT',
         'DUE TO PREEMPTION': 'PREEMPTED', 'DUE TO NODE FAILURE': 'NODE_FAIL'}  # fmt: skip


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve of a host."""
    folder = os.path.expanduser(folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return far.serve(source, target, folder, Cluster(folder).requests())


@dataclass
class Handed:
    """A job that is handed in.  ``number``: in Slurm; 0 where that is not known.  ``since``: when this was learned.  ``tried``:
    whether it may be in Slurm all the same.  ``under``: when the controller began that took it, '' if that is not known;
    ``again``: how often others did before.  ``missed``: since when Slurm has no more of it.  Times are of time.monotonic()."""

    token: str
    name: str
    grace: float
    number: int = 0
    since: float = 0.0
    tried: bool = True
    under: str = ''
    again: int = 0
    missed: float = 0.0
    ended: float = 0.0  # when Slurm was last asked to end it


class Cluster(Jobs):
    look_longest = LOOK_LONGEST
    title, hint = 'Slurm', slurm.CONTROLLER_HINT

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._slurm = slurm.Slurm()
        self._handed: dict[str, Handed] = {}
        self._package = ''

    def host(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._use(asked)
        submit = [str(word) for word in asked.get('submit') or ()]
        found = self._facts(submit)
        if asked.get('thorough'):
            self._check(submit)
        return {**super().host(asked), **found}

    def _facts(self, submit: Sequence[str]) -> dict[str, Any]:
        return partitions.facts(self._slurm, submit)

    def _check(self, submit: Sequence[str]) -> None:
        partitions.check(self._slurm, submit)

    def _use(self, asked: Mapping[str, Any]) -> None:
        """Its programs are where the host's path says."""
        if path := str(asked.get('path') or ''):
            self._slurm.look_in(path)

    # One job

    def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """As of a host.  ``later``: why Slurm cannot be told of it yet; to be asked again."""
        place = self._prepared(asked)
        with self._turn(place) as mine:
            if not mine:
                return {'started': False, 'ending': self._ends(place)}
            by = str(asked.get('by'))
            if self._root.stat(f'{place}/{STARTED}') is not None:
                if self._state(place)['state'] not in ('over', 'unknown'):
                    return self._gone_on_with(place)
                if self._began(place) == by or not self._failed(place):
                    return {'started': False}
            for name in (*LEFT, SAID, NUMBER, TOLD, SECRETS):
                self._root.remove_tree(f'{place}/{name}')
            spec = json.loads(read_file(self._root, f'{place}/{SPEC}', SPEC_MOST))
            self._use(spec)
            self._tell(place, spec, asked.get('environment') or {})
            write_file(self._root, f'{place}/{STARTED}', by.encode(), 0o600)
            self._root.unlink(f'{place}/{SPEC}')
            return self._gone_on_with(place)

    @contextmanager
    def _turn(self, place: str) -> Iterator[bool]:
        """Whether nobody else is about to hand this job in."""
        fd = self._root.open(f'{place}/{ALIVE}', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield try_lock(fd, exclusive=True)
        finally:
            os.close(fd)

    def _tell(self, place: str, spec: dict[str, Any], environment: Mapping[str, str]) -> None:
        """What the node will read.  Slurm hands out the GPUs."""
        secret = {name: environment[name] for name in spec.get('redact') or () if name in environment}
        told = spec | {
            'token': secrets.token_hex(8), 'words': self._wanted(spec), 'gpus': 0, 'asked_gpus': spec.get('gpus'),
            'secrets': bool(secret),
            'environment': {name: value for name, value in environment.items() if name not in secret},
        }  # fmt: skip
        if secret:
            write_file(self._root, f'{place}/{SECRETS}', json.dumps(secret).encode(), 0o600)
        write_file(self._root, f'{place}/{TOLD}', json.dumps(told).encode(), 0o600)
        self._handed[place] = self._known_of(told)
        self._handed[place].tried = False

    def _gone_on_with(self, place: str) -> dict[str, Any]:
        """Handed in, if it is not yet; in our turn only."""
        handed = self._known(place)
        if self._root.stat(f'{place}/{CANCEL}') is not None:
            return {'started': False, 'ending': True}
        if not handed.number:
            try:
                self._hand_in(place, handed)
            except slurm.Silent as error:
                return {'started': False, 'later': f'{self.title}: {error}'}
        return {'started': True}

    def _hand_in(self, place: str, handed: Handed) -> None:
        """Once, though nobody may know what became of an earlier time.  Raises Silent."""
        told = json.loads(read_file(self._root, f'{place}/{TOLD}', SPEC_MOST))
        if handed.tried:
            self._slurm.forget_view()
            if row := self._slurm.view().find(handed.name):
                self._numbered(place, handed, row.number)
                return
        handed.under = self._slurm.view().since
        handed.tried = True
        job = place.rpartition('/')[2]
        package = self._brought()
        others = [f'{package}/{os.path.basename(path)}' for path in sys.path[:2] if os.path.dirname(path) == _package()]
        program = [sys.executable, '-I', '-S', '-c', _PROGRAM, self._root.path, job, handed.token, *others, package]
        try:
            self._numbered(place, handed, self._submitted(place, told, handed, program))
        except slurm.Refused as refused:
            message = f'{self.title} does not take it: {refused}'
            self._settle(place, not_begun('not-started', message, LACKING if refused.lacking else PLACE))

    def _wanted(self, spec: Mapping[str, Any]) -> list[str]:
        return slurm.wanted(spec)

    def _submitted(self, place: str, told: Mapping[str, Any], handed: Handed, program: Sequence[str]) -> int:
        """Its number.  Raises Silent where nobody knows whether it was taken, Refused, UserError."""
        words = [*told['words'], *slurm.around(self._root.path, self._root.full(f'{place}/{SAID}'), handed.name)]
        return self._slurm.submit(words, slurm.script(program))

    def _numbered(self, place: str, handed: Handed, number: int) -> None:
        write_file(self._root, f'{place}/{NUMBER}', f'{handed.token} {number} {handed.under}'.encode(), 0o600)
        handed.number, handed.since, handed.tried, handed.missed = number, time.monotonic(), True, 0.0

    def _known(self, place: str) -> Handed:
        """Raises FileNotFoundError for one that was not begun."""
        handed = self._handed.get(place)
        if handed is None:
            told = json.loads(read_file(self._root, f'{place}/{TOLD}', SPEC_MOST))
            self._use(told)
            handed = self._known_of(told)
            with suppress(FileNotFoundError, ValueError):
                token, number, *under = read_file(self._root, f'{place}/{NUMBER}', 200).decode().split()
                if token == handed.token:
                    handed.number, handed.under = int(number), ''.join(under)
            self._handed[place] = handed
        return handed

    @staticmethod
    def _known_of(told: Mapping[str, Any]) -> Handed:
        token = str(told['token'])
        return Handed(token, slurm.job_name(str(told['stage']), token), float(told['grace_seconds']))

    # How it is

    def _lives(self, job: str) -> bool:
        place = f'{JOBS}/{job}'
        return self._root.stat(f'{place}/{TOLD}') is not None and self._root.stat(f'{place}/{OUTCOME}') is None

    def _state(self, place: str) -> dict[str, Any]:
        size = self._log_size(place)
        if self._root.stat(f'{place}/{OUTCOME}') is not None:
            self._handed.pop(place, None)
            return {'state': 'over', 'log': size}
        try:
            state = self._judged(place)
            return {'state': state, 'log': self._log_size(place) if state == 'over' else size}
        except FileNotFoundError:
            return {'state': 'unknown', 'log': size}

    def _log_size(self, place: str) -> int:
        log = self._root.stat(f'{place}/{LOG}')
        return log.st_size if log is not None else 0

    def _judged(self, place: str) -> str:
        """Of one that has not said how it ended.  Raises FileNotFoundError for one that was not begun."""
        handed = self._known(place)
        try:
            view = self._slurm.view()
        except slurm.Silent:
            return 'running'
        if view.taken < handed.since:
            return 'running'
        row = view.find(handed.name, handed.number)
        if row is None or not row.active:
            return self._missing(place, handed, row, view)
        handed.missed = 0.0
        if handed.number != row.number:
            self._numbered(place, handed, row.number)
        if row.state == 'PENDING' and row.reason in slurm.HOPELESS:
            self._quietly(self._slurm.end, row.number)
            if self._confused(place, handed, view):
                return self._forgotten(place, handed)
            return self._settle(place, not_begun('lost', f'it would wait in {self.title} for ever: {row.reason}', PLACE))
        self._end_late(place, handed)
        return 'running'

    def _missing(self, place: str, handed: Handed, row: slurm.Row | None, view: slurm.View) -> str:
        """``row``: how Slurm has ended it; None where it knows nothing of it."""
        freshen(self._root, place)
        if self._root.stat(f'{place}/{OUTCOME}') is not None:
            return 'over'
        claimed = self._claimed(place, handed)
        if claimed and claimed != handed.number:  # handed in twice: that is the one that does it
            self._numbered(place, handed, claimed)
            return 'running'
        now = time.monotonic()
        handed.missed = handed.missed or now
        unwanted = self._root.stat(f'{place}/{CANCEL}') is not None
        lag = 0.0 if unwanted and not claimed else GONE_SECONDS if claimed and row is None else LAG_SECONDS
        if now - handed.missed < lag:
            return 'running'
        state = row.state if row is not None else self._slurm.accounted(handed.number) if handed.number else ''
        if state in slurm.ACTIVE:
            return 'running'
        if not unwanted and not claimed and (not state or self._confused(place, handed, view)):
            return self._forgotten(place, handed)
        return self._settle(place, self._verdict(place, state, unwanted))

    def _confused(self, place: str, handed: Handed, view: slurm.View) -> bool:
        """Of one that never began: whether Slurm may have taken it for another one.  A controller that was killed gives numbers
        anew, of which nodes know jobs that are over."""
        return bool(handed.under and handed.under != view.since and handed.again < AGAIN and not self._claimed(place, handed))

    def _forgotten(self, place: str, handed: Handed) -> str:
        """It never began, and Slurm knows nothing of it: it is handed in again."""
        with self._turn(place) as mine, suppress(slurm.Silent):
            if mine:
                handed.number, handed.tried = 0, False
                handed.again += 1
                self._hand_in(place, handed)
        return 'running'

    def _claimed(self, place: str, handed: Handed) -> int:
        """The number of the one that has begun; 0 if none has."""
        try:
            return int(read_file(self._root, f'{place}/{claim_name(handed.token)}', 100))
        except (FileNotFoundError, ValueError):
            return 0

    def _verdict(self, place: str, state: str, unwanted: bool) -> dict[str, Any]:
        if unwanted:
            return not_begun('cancelled', '', PLACE)
        if state not in ENDINGS:
            text = self._said(place)
            state = next((meant for words, meant in WORDS.items() if words in text and 'slurmstepd' in text), state)
        unknown = f'in Slurm it is {state.lower()}, and it has not said how it went' if state else 'Slurm has no more of it'
        ending, code, message = ENDINGS.get(state, ('lost', PLACE, unknown))
        words = self._last_words(place) if ending == 'lost' and code == PLACE else ''
        return not_begun(ending, message + (f': {words}' if words else ''), code)

    def _settle(self, place: str, outcome: dict[str, Any]) -> str:
        if self._root.stat(f'{place}/{OUTCOME}') is None:
            self._root.remove_tree(f'{place}/{PROJECT}')
            self._root.remove_tree(f'{place}/{SECRETS}')
            write_file(self._root, f'{place}/{OUTCOME}', json.dumps(outcome).encode(), 0o600)
        return 'over'

    # Its end

    def cancel(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        super().cancel(asked)
        place = place_of(asked)
        with suppress(FileNotFoundError):
            handed = self._known(place)
            if handed.number and self._root.stat(f'{place}/{OUTCOME}') is None:
                self._quietly(self._slurm.wake if self._claimed(place, handed) else self._slurm.end, handed.number)
        return {}

    def _end_late(self, place: str, handed: Handed) -> None:
        """What was asked to end, and has not in its time, Slurm ends."""
        asked = self._root.stat(f'{place}/{CANCEL}')
        if asked is None or time.monotonic() - handed.ended < LATE_SECONDS:
            return
        grace = handed.grace
        with suppress(FileNotFoundError):
            grace = 0.0 if read_file(self._root, f'{place}/{CANCEL}', 100) == FORCE else grace
        if time.time() - asked.st_mtime > grace + LATE_SECONDS:
            handed.ended = time.monotonic()
            self._quietly(self._slurm.end, handed.number)

    @staticmethod
    def _quietly(work: Callable[[int], object], number: int) -> None:
        """What is tried again where it fails."""
        with suppress(slurm.Silent, UserError):
            work(number)

    def look(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = super().look(asked)
        silent = self._slurm.silent_seconds()
        if silent > SILENT_SECONDS and all(state['state'] == 'running' for state in found['jobs'].values()):
            raise Unreachable(self.title, 'its controller does not answer', self.hint)
        return found

    # What the nodes need of us

    def _brought(self) -> str:
        """Our own files, where the nodes have them: a home may be another one there."""
        package = _package()
        name = os.path.basename(package)
        target = self._root.full(f'{BUNDLES}/{name}')
        if not self._package:
            self._root.makedirs(BUNDLES, 0o700)
            for entry in self._root.scandir(BUNDLES, stats=True):
                if entry.stat().st_mtime < time.time() - BUNDLE_SECONDS:
                    self._root.remove_tree(f'{BUNDLES}/{entry.name}')
            if not is_whole(target, name):
                new = f'{target}.{os.getpid()}-{time.time_ns()}.new'
                shutil.copytree(package, new, ignore=shutil.ignore_patterns('__pycache__'))
                os.sync()
                with suppress(FileExistsError, OSError):  # somebody was faster
                    os.rename(new, target)
                shutil.rmtree(new, ignore_errors=True)
            self._package = target
        os.utime(target)
        return target


def _package() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(mlops_cli.__file__)))
