"""The far end of a connection to a cluster: as that of a host, but that an engine starts the jobs, on nodes that have the same
folder (docs/formats/host.md)."""
from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import mlops_cli
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.locks import try_lock
from mlops_cli.job.engine import Engine, Handing, Refused, Row, Silent, View, job_name
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
    SAID,
    SPEC,
    STARTED,
    not_begun,
)
from mlops_cli.job.node import SECRETS, TOLD, claim_name, freshen, is_told, outcome_name, project_name
from mlops_cli.store import far
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.far_start import is_whole

NUMBER = 'handed'  # in a job's folder: the token, the number that it has there, and since when the engine was there
BUNDLES = 'bundles-v1'
BUNDLE_SECONDS = 60 * 86400.0  # that one is kept which nobody used
LOOK_LONGEST = 1.0
LAG_SECONDS = 10.0  # for what a node has written last to be seen here
GONE_SECONDS = 45.0  # for an engine to know a job again that ran, after a restart
AGAIN = 30  # times that a job is handed in anew under engines that were killed
LATE_SECONDS = 20.0  # beside its grace, before a job that is to end is ended by the engine
SILENT_SECONDS = 120.0  # without an answer of the engine, before that is told
_PROGRAM = 'import sys; sys.path[:0] = sys.argv[4:]; from mlops_cli.job.node import main; main(*sys.argv[1:4])'

def serve(source: BinaryIO, target: BinaryIO, folder: str, engine: Engine) -> int:
    """As far.serve of a host."""
    folder = far.made(target, folder)
    if not folder:
        return 1
    return far.serve(source, target, folder, {**Cluster(folder, engine).requests(), **engine.requests()})


@dataclass
class Handed:
    """A job that is handed in.  ``number``: by which its engine knows it; 0 where we do not.  ``since``: when this was
    learned.  ``tried``: whether it may be handed in all the same.  ``under``: when the engine began that took it, '' if that is
    not known; ``again``: how often others did before.  ``missed``: since when the engine has no more of it.  Times are of
    time.monotonic()."""

    token: str
    name: str
    grace: float
    number: int = 0
    since: float = 0.0
    tried: bool = True
    under: str = ''
    again: int = 0
    missed: float = 0.0
    ended: float = 0.0  # when the engine was last asked to end it
    waits: str = ''  # why, where its engine has not begun it


class Cluster(Jobs):
    """``engine``: what starts the jobs."""

    look_longest = LOOK_LONGEST

    def __init__(self, folder: str, engine: Engine) -> None:
        super().__init__(folder)
        self._engine = engine
        self._handed: dict[str, Handed] = {}
        self._package = ''

    def host(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._engine.use(asked)
        submit = [str(word) for word in asked.get('submit') or ()]
        found = self._engine.facts(submit)
        if asked.get('thorough'):
            self._engine.check(submit)
        return {**super().host(asked), **found}

    # One job

    def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """As of a host.  ``later``: why the engine cannot be told of it yet; to be asked again."""
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
            self._clear(place)
            spec = json.loads(read_file(self._root, f'{place}/{SPEC}', SPEC_MOST))
            self._engine.use(spec)
            self._tell(place, spec, asked.get('environment') or {})
            write_file(self._root, f'{place}/{STARTED}', by.encode(), 0o600)
            self._root.unlink(f'{place}/{SPEC}')
            return self._gone_on_with(place)

    def _clear(self, place: str) -> None:
        """Of an earlier handing in nothing is left.  Should it go on somewhere, unknown to its engine, then it has no more of
        what it worked in, and what it has to say bears the token of what is not asked for any more."""
        for name in (*LEFT, SAID, TOLD, NUMBER, SECRETS):
            self._root.remove_tree(f'{place}/{name}')
        kinds = tuple(name('') for name in (claim_name, outcome_name, project_name))
        for entry in [*self._root.scandir(place)]:
            if entry.name.startswith(kinds):
                self._root.remove_tree(f'{place}/{entry.name}')

    @contextmanager
    def _turn(self, place: str) -> Iterator[bool]:
        """Whether nobody else is about to hand this job in."""
        fd = self._root.open(f'{place}/{ALIVE}', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield try_lock(fd, exclusive=True)
        finally:
            os.close(fd)

    def _tell(self, place: str, spec: dict[str, Any], environment: Mapping[str, str]) -> None:
        """What the node will read.  The engine hands out the GPUs."""
        secret = {name: environment[name] for name in spec.get('redact') or () if name in environment}
        told = spec | {
            'token': secrets.token_hex(8), 'gpus': 0, 'asked_gpus': spec.get('gpus'), 'secrets': bool(secret),
            'environment': {name: value for name, value in environment.items() if name not in secret},
        }  # fmt: skip
        if secret:
            write_file(self._root, f'{place}/{SECRETS}', json.dumps(secret).encode(), 0o600)
        write_file(self._root, f'{place}/{TOLD}', json.dumps(told).encode(), 0o600)
        self._says_progress(place, told)
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
            except Silent as error:
                return {'started': False, 'later': f'{self._engine.title}: {error}'}
        return {'started': True}

    def _hand_in(self, place: str, handed: Handed) -> None:
        """Once, though nobody may know what became of an earlier time.  Raises Silent."""
        told = json.loads(read_file(self._root, f'{place}/{TOLD}', SPEC_MOST))
        if handed.tried:
            self._engine.forget_view()
            if row := self._engine.view().find(handed.name):
                self._numbered(place, handed, row.number)
                return
        handed.under = self._engine.view().since
        handed.tried = True
        job = place.rpartition('/')[2]
        package = self._brought()
        others = [f'{package}/{os.path.basename(path)}' for path in sys.path[:2] if os.path.dirname(path) == _package()]
        program = [sys.executable, '-I', '-S', '-c', _PROGRAM, self._root.path, job, handed.token, *others, package]
        try:
            asked = Handing(handed.name, self._root.path, self._root.full(f'{place}/{SAID}'), told, program)
            self._numbered(place, handed, self._engine.submit(asked))
        except Refused as refused:
            message = f'{self._engine.title} does not take it: {refused}'
            self._settle(place, not_begun('not-started', message, LACKING if refused.lacking else PLACE), handed.token)

    def _numbered(self, place: str, handed: Handed, number: int) -> None:
        write_file(self._root, f'{place}/{NUMBER}', f'{handed.token} {number} {handed.under}'.encode(), 0o600)
        handed.number, handed.since, handed.tried, handed.missed = number, time.monotonic(), True, 0.0

    def _known(self, place: str) -> Handed:
        """Raises FileNotFoundError for one that was not begun."""
        handed = self._handed.get(place)
        if handed is None:
            told = json.loads(read_file(self._root, f'{place}/{TOLD}', SPEC_MOST))
            self._engine.use(told)
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
        return Handed(token, job_name(str(told['stage']), token), float(told['grace_seconds']))

    # How it is

    def _lives(self, job: str) -> bool:
        place = f'{JOBS}/{job}'
        return self._root.stat(f'{place}/{TOLD}') is not None and not self._is_over(place)

    def _is_over(self, place: str) -> bool:
        """Whether it has said how it ended, in the name under which it was handed in last: that is its outcome then."""
        if self._root.stat(f'{place}/{OUTCOME}') is not None:
            return True
        with suppress(FileNotFoundError):
            self._root.rename(f'{place}/{outcome_name(self._known(place).token)}', f'{place}/{OUTCOME}')
            return True
        return False

    def _state(self, place: str) -> dict[str, Any]:
        size = self._log_size(place)
        if self._is_over(place):
            self._handed.pop(place, None)
            return {'state': 'over', 'log': self._log_size(place)}
        try:
            state = self._judged(place)
            if state == 'over':
                return {'state': state, 'log': self._log_size(place)}
            handed = self._known(place)
            waits = {'waits': handed.waits} if handed.waits else self._waits(place)
            return {'state': state, 'log': size, **waits, **self._progress(place, project_name(handed.token))}
        except FileNotFoundError:
            return {'state': 'unknown', 'log': size}

    def _log_size(self, place: str) -> int:
        log = self._root.stat(f'{place}/{LOG}')
        return log.st_size if log is not None else 0

    def _judged(self, place: str) -> str:
        """Of one that has not said how it ended.  Raises FileNotFoundError for one that was not begun."""
        handed = self._known(place)
        try:
            view = self._engine.view()
        except Silent:
            return 'running'
        if view.taken < handed.since:
            return 'running'
        row = view.find(handed.name, handed.number)
        if row is None or not row.active:
            return self._missing(place, handed, row, view)
        handed.missed = 0.0
        handed.waits = f'{self._engine.title}: {row.waits}' if row.waits else ''
        if handed.number != row.number:
            self._numbered(place, handed, row.number)
        if row.hopeless:
            self._quietly(self._engine.end, row.number)
            if self._confused(place, handed, view):
                return self._forgotten(place, handed)
            message = f'it would wait in {self._engine.title} for ever: {row.hopeless}'
            return self._settle(place, not_begun('lost', message, PLACE), handed.token)
        self._end_late(place, handed)
        return 'running'

    def _missing(self, place: str, handed: Handed, row: Row | None, view: View) -> str:
        """``row``: how its engine has ended it; None where it knows nothing of it."""
        freshen(self._root, place)
        if self._is_over(place):
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
        row = row or (self._engine.accounted(handed.number) if handed.number else None)
        if row is not None and row.active:
            return 'running'
        if not unwanted and not claimed and (row is None or self._confused(place, handed, view)):
            return self._forgotten(place, handed)
        return self._settle(place, self._verdict(place, handed, row, unwanted), handed.token)

    def _confused(self, place: str, handed: Handed, view: View) -> bool:
        """Of one that never began: whether the engine may have taken it for another one.  A controller of Slurm that was killed
        gives numbers anew, of which nodes know jobs that are over."""
        return bool(handed.under and handed.under != view.since and handed.again < AGAIN and not self._claimed(place, handed))

    def _forgotten(self, place: str, handed: Handed) -> str:
        """It never began, and its engine knows nothing of it: it is handed in again."""
        with self._turn(place) as mine, suppress(Silent):
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

    def _verdict(self, place: str, handed: Handed, row: Row | None, unwanted: bool) -> dict[str, Any]:
        if unwanted:
            return not_begun('cancelled', '', PLACE)
        verdict = self._engine.verdict(handed.number, row.state if row is not None else '', self._said(place))
        words = self._last_words(place) if verdict.quotes else ''
        return not_begun(verdict.ending, verdict.message + (f': {words}' if words else ''), verdict.code)

    def _settle(self, place: str, outcome: dict[str, Any], token: str) -> str:
        if not self._is_over(place):
            if not is_told(self._root, place, token):  # somebody else has handed it in anew meanwhile
                self._handed.pop(place, None)
                return 'running'
            self._root.remove_tree(f'{place}/{project_name(token)}')
            self._root.remove_tree(f'{place}/{SECRETS}')
            write_file(self._root, f'{place}/{OUTCOME}', json.dumps(outcome).encode(), 0o600)
        return 'over'

    # Its end

    def cancel(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        super().cancel(asked)
        place = place_of(asked)
        with suppress(FileNotFoundError):
            handed = self._known(place)
            if handed.number and not self._is_over(place):
                self._quietly(self._engine.wake if self._claimed(place, handed) else self._engine.end, handed.number)
        return {}

    def _end_late(self, place: str, handed: Handed) -> None:
        """What was asked to end, and has not in its time, its engine ends."""
        asked = self._root.stat(f'{place}/{CANCEL}')
        if asked is None or time.monotonic() - handed.ended < LATE_SECONDS:
            return
        grace = handed.grace
        with suppress(FileNotFoundError):
            grace = 0.0 if read_file(self._root, f'{place}/{CANCEL}', 100) == FORCE else grace
        if time.time() - asked.st_mtime > grace + LATE_SECONDS:
            handed.ended = time.monotonic()
            self._quietly(self._engine.end, handed.number)

    @staticmethod
    def _quietly(work: Callable[[int], object], number: int) -> None:
        """What is tried again where it fails."""
        with suppress(Silent, UserError):
            work(number)

    def look(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = super().look(asked)
        silent = self._engine.silent_seconds()
        if silent > SILENT_SECONDS and all(state['state'] == 'running' for state in found['jobs'].values()):
            raise Unreachable(self._engine.title, 'it does not answer', self._engine.hint)
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
