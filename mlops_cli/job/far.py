"""The far end of a connection to a host: its bucket, and what can be asked of the jobs beside it (docs/formats/host.md)."""
from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import mlops_cli
from mlops_cli.core import limits
from mlops_cli.core.errors import UserError
from mlops_cli.core.job import COST_SUFFIX
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.locks import is_locked, try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job import cards, clearing, environments, lasting
from mlops_cli.job.hosted import (
    ALIVE,
    CANCEL,
    FORCE,
    JOBS,
    LEASE,
    LOG,
    OUTCOME,
    PROGRESS,
    PROJECT,
    SAID,
    SPEC,
    STARTED,
    WAITS,
    touch,
)
from mlops_cli.store import far
from mlops_cli.usage.series import SUFFIX

SPEC_MOST = 64 << 20  # bytes
OUTCOME_MOST = 16 << 20
TEXT_MOST = 1 << 14
PROGRESS_SECONDS = 1.0  # between two words on how far a job is, if nothing else is new
WAIT_MOST = 20.0  # seconds in which an answer may be waited for
LOOK_SECONDS = 0.02  # between two looks, at first; then longer
LOOK_LONGEST = 0.2
RENEW_SECONDS = 10.0  # a folder may be on a server that many jobs ask
END_SECONDS = 5.0
KEPT_SECONDS = 14 * 86400.0  # what is over is gone then
# Of a job that failed, when it is done anew.
LEFT = (OUTCOME, CANCEL, WAITS, PROGRESS, LOG, f'{LOG}{SUFFIX}', f'{LOG}{COST_SUFFIX}')
_JOB = re.compile(r'[0-9a-f]{32}')
_PROGRAM = 'import sys; sys.path[:0] = sys.argv[3:]; from mlops_cli.job.hosted import main; main(sys.argv[1], sys.argv[2])'
_MAKER = 'import sys; sys.path[:0] = sys.argv[3:]; from mlops_cli.job.environments import main; main(sys.argv[1], sys.argv[2])'

_REMOVER = 'import sys; sys.path[:0] = sys.argv[3:]; from mlops_cli.job.clearing import main; main(sys.argv[1], sys.argv[2])'
CONNECTED = 'connected'  # locked by who is connected, shared
CLEAR_SECONDS = 60.0  # that somebody may be alone there


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve, with jobs.  ``folder``: of the host, made if there is none."""
    folder = far.made(target, folder)
    return far.serve(source, target, folder, Jobs(folder).requests()) if folder else 1


class Jobs:
    """Each of :meth:`requests` answers one; raises far.Refused, OSError, UserError."""

    look_longest = LOOK_LONGEST

    def __init__(self, folder: str) -> None:
        self._root = Root(folder)
        self._swept = False
        self._renewed: dict[str, float] = {}  # place -> when its lease was, of time.monotonic()
        self._progresses: dict[str, str] = {}  # place -> path, as far as it was looked for
        self._told_progress: tuple[float, dict[str, Any]] = (0.0, {})  # when, and what it was
        self._told_waiting: dict[str, str] = {}  # of the last look
        self._connected = -1
        if type(self) is Jobs:
            self._connected = self._root.open(CONNECTED, os.O_RDWR | os.O_CREAT, 0o600)
            self._connect()

    def _connect(self) -> None:
        """As long as this is there, nobody is alone; who is, is so for a moment."""
        until = time.monotonic() + CLEAR_SECONDS
        with suppress(OSError):  # a file system without locks: then nobody is ever alone
            while not try_lock(self._connected, exclusive=False) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)

    def _is_alone(self) -> bool:
        try:
            return try_lock(self._connected, exclusive=True)
        except OSError:
            return False

    def requests(self) -> far.More:
        return {'host': self.host, 'start': self.start, 'look': self.look, 'cancel': self.cancel, 'forget': self.forget,
                'environment': self.environment, 'clear': self.clear}

    def host(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """What there is."""
        room = shutil.disk_usage(self._root.path)
        return {
            'name': platform.node(), 'system': f'{platform.system()} {platform.machine()}', 'python': platform.python_version(),
            'cpus': max(1, int(limits.cpus())), 'memory_bytes': limits.memory_bytes() or 0,
            'free_bytes': room.free, 'folder': self._root.path, 'gpus': _gpus(),
            'containers': environments.runners(),
            'git': shutil.which('git') or '', 'jobs': self._running(), 'path': os.environ.get('PATH', ''),
        }  # fmt: skip

    def _running(self) -> int:
        try:
            names = [entry.name for entry in self._root.scandir(JOBS)]
        except FileNotFoundError:
            return 0
        return sum(self._lives(name) for name in names)

    # One job

    def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Begin it, unless it was begun before and may still be of use.  Its specification lies there; what is secret in it
        comes along.  ``by``: who asks, so that who asks twice is not taken for another one."""
        place = self._prepared(asked)
        alive = self._root.open(f'{place}/{ALIVE}', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(alive, exclusive=True):
                return {'started': False, 'ending': self._ends(place)}  # it runs, or is being begun
            by = str(asked.get('by'))
            if self._root.stat(f'{place}/{STARTED}') is not None and (self._began(place) == by or not self._failed(place)):
                return {'started': False}
            for name in LEFT:
                self._root.remove_tree(f'{place}/{name}')
            write_file(self._root, f'{place}/{STARTED}', by.encode(), 0o600)
            spec = json.loads(read_file(self._root, f'{place}/{SPEC}', SPEC_MOST))
            spec['environment'] = asked.get('environment')
            self._says_progress(place, spec)
            self._spawn(place, alive, json.dumps(spec).encode())
            self._root.unlink(f'{place}/{SPEC}')
        finally:
            os.close(alive)
        return {'started': True}

    def environment(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """How the environment of a lock file is; where it is not there, ``begin`` has it made by a process that stays, from the
        folder ``wheels`` if that came."""
        try:
            lock = environments.from_json(asked['lock'])
        except (ValueError, KeyError, TypeError) as error:
            raise far.Refused('no lock file') from error
        found = environments.state(self._root, lock)
        if not asked.get('begin') or found['state'] in ('whole', 'making'):
            return {**found, **_pythons()}
        fd = environments.locked_to_make(self._root, lock)
        if fd is not None:
            try:
                told = {'lock': asked['lock'], 'wheels': asked.get('wheels'), 'path': str(asked.get('path') or '')}
                self._spawn_apart(_MAKER, [str(fd)], (fd,), subprocess.DEVNULL, json.dumps(told).encode())
            finally:
                os.close(fd)
        return {**found, 'state': 'making', **_pythons()}

    def clear(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What nobody has used for ``grace_seconds``; with ``dry_run`` what would go."""
        if self._connected < 0:
            raise far.Refused('a cluster is not cleared')  # there a job that runs locks nothing here
        others = not self._is_alone()
        try:
            running = self._running()
            work = clearing.Clearing(self._root, float(asked.get('grace_seconds') or 0.0), not others and not running)
            items = work.look()
            if not asked.get('dry_run'):
                items = work.carry_out(items)
        finally:
            if not others:
                self._connect()
        if not asked.get('dry_run'):
            self._spawn_apart(_REMOVER, ['-'], (), subprocess.DEVNULL, b'')
        rows = [[item.kind, item.path, item.size, item.used] for item in items]
        return {'items': rows, 'kept': work.kept, 'running': running, 'others': others,
                'remote': work.is_remote}

    def _prepared(self, asked: Mapping[str, Any]) -> str:
        """The folder of a job that is to begin."""
        place = place_of(asked)
        if not self._swept:
            self._swept = True
            self._sweep()
        self._root.makedirs(place, mode=0o700)
        touch(self._root, f'{place}/{LEASE}')
        return place

    def _began(self, place: str) -> str:
        return read_file(self._root, f'{place}/{STARTED}', 1 << 16).decode(errors='replace')

    def _failed(self, place: str) -> bool:
        """Of one that does not run: whether it came to nothing."""
        try:
            outcome = json.loads(read_file(self._root, f'{place}/{OUTCOME}', OUTCOME_MOST))
            return bool(outcome['ending'] != 'exited' or outcome['exit_code'] != 0)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return True

    def _ends(self, place: str) -> bool:
        """Of one that runs: whether it is about to be over, so that what it comes to may not be what is wanted now."""
        return any(self._root.stat(f'{place}/{name}') is not None for name in (CANCEL, OUTCOME))

    def _spawn(self, place: str, alive: int, told: bytes) -> None:
        said = self._root.open(f'{place}/{SAID}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._spawn_apart(_PROGRAM, [place.rpartition('/')[2]], (alive,), said, told)
        finally:
            os.close(said)

    def _spawn_apart(self, program: str, words: list[str], kept: tuple[int, ...], said: int, told: bytes) -> None:
        """A process that stays, whoever goes."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(mlops_cli.__file__)))
        others = [path for path in sys.path[:2] if path.startswith(package) and path != package]
        argv = [sys.executable, '-I', '-S', '-c', program, self._root.path, *words, *others, package]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd='/', start_new_session=True, pass_fds=kept
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(told)
        with suppress(BrokenPipeError):
            process.stdin.close()

    def look(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Of each job how it is; waits a little until one is over, or has said something new.  Who looks still wants them."""
        wanted = asked.get('jobs')
        if not isinstance(wanted, dict) or not all(isinstance(size, int) for size in wanted.values()):
            raise far.Refused('no jobs')
        places = {job: place_of({'job': job}) for job in wanted}
        for place in places.values():
            self._renew(place)
        until = time.monotonic() + min(WAIT_MOST, max(0.0, float(asked.get('seconds') or 0.0)))
        pause = LOOK_SECONDS
        while True:
            found = {job: self._state(place) for job, place in places.items()}
            news = any(state['state'] != 'running' or state['log'] > wanted[job] for job, state in found.items())
            news |= self._told_waiting != (waiting := {job: state['waits'] for job, state in found.items() if 'waits' in state})
            far_on = {job: state['progress'] for job, state in found.items() if 'progress' in state}
            news |= far_on != self._told_progress[1] and time.monotonic() - self._told_progress[0] >= PROGRESS_SECONDS
            if news or time.monotonic() >= until:
                self._told_waiting, self._told_progress = waiting, (time.monotonic(), far_on)
                return {'jobs': found}
            time.sleep(pause)
            pause = min(self.look_longest, pause * 1.3)

    def _renew(self, place: str) -> None:
        now = time.monotonic()
        if now - self._renewed.get(place, -RENEW_SECONDS) >= RENEW_SECONDS and self._root.stat(place) is not None:
            touch(self._root, f'{place}/{LEASE}')
            self._renewed[place] = now

    def _state(self, place: str) -> dict[str, Any]:
        lives = self._lives(place.rpartition('/')[2])  # before the outcome: it is written by who lives
        log = self._root.stat(f'{place}/{LOG}')
        size = log.st_size if log is not None else 0
        if self._root.stat(f'{place}/{OUTCOME}') is not None:
            return {'state': 'over', 'log': size}
        if lives:
            return {'state': 'running', 'log': size, **self._waits(place), **self._progress(place, PROJECT)}
        if self._root.stat(f'{place}/{STARTED}') is None:
            return {'state': 'unknown', 'log': size}
        return {'state': 'lost', 'log': size, 'said': self._last_words(place)}

    def _waits(self, place: str) -> dict[str, str]:
        """For what it waits that was begun, and does not run yet."""
        with suppress(OSError, UserError):
            return {'waits': read_file(self._root, f'{place}/{WAITS}', TEXT_MOST).decode(errors='replace')}
        return {}

    def _says_progress(self, place: str, spec: Mapping[str, Any]) -> None:
        """Where the job will say how far it is, for who looks at it later."""
        self._progresses[place] = path = str(spec.get('progress') or '')
        if path:
            write_file(self._root, f'{place}/{PROGRESS}', os.fsencode(path), 0o600, durable=False)

    def _progress(self, place: str, project: str) -> dict[str, Any]:
        """The file in which it says how far it is, if that is there: where, how long, changed when."""
        try:
            if place not in self._progresses:
                self._progresses[place] = os.fsdecode(read_file(self._root, f'{place}/{PROGRESS}', TEXT_MOST))
            path = self._progresses[place]
            facts = self._root.stat(f'{place}/{project}/{path}') if path else None
        except (OSError, UserError):
            self._progresses.setdefault(place, '')
            return {}
        if facts is None or not stat.S_ISREG(facts.st_mode):
            return {}
        return {'progress': [f'{place}/{project}/{path}', facts.st_size, facts.st_mtime_ns]}

    def _last_words(self, place: str) -> str:
        lines = self._said(place).strip().splitlines()
        return lines[-1][:300] if lines else ''

    def _said(self, place: str) -> str:
        with suppress(OSError, UserError):
            return read_file(self._root, f'{place}/{SAID}', 1 << 20).decode(errors='replace')
        return ''

    def _lives(self, job: str) -> bool:
        try:
            fd = self._root.open(f'{JOBS}/{job}/{ALIVE}', os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return is_locked(fd)
        finally:
            os.close(fd)

    def cancel(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        place = place_of(asked)
        if self._root.stat(place) is not None:
            write_file(self._root, f'{place}/{CANCEL}', FORCE if asked.get('force') else b'end', 0o600, durable=False)
        return {}

    def forget(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What is over, so that the same may be done anew; ``whole`` false: only what takes room."""
        place = place_of(asked)
        until = time.monotonic() + END_SECONDS
        while self._lives(place.rpartition('/')[2]):  # what has said how it ended is about to go
            if time.monotonic() > until or self._root.stat(f'{place}/{OUTCOME}') is None:
                raise far.Refused('it runs')
            time.sleep(LOOK_SECONDS)
        self._root.remove_tree(place if asked.get('whole') else f'{place}/{PROJECT}')
        return {}

    def _sweep(self) -> None:
        """What nobody has asked for in a long time."""
        with suppress(OSError):
            for entry in self._root.scandir(JOBS):
                lease = self._root.stat(f'{JOBS}/{entry.name}/{LEASE}')
                if lease is not None and lease.st_mtime < time.time() - KEPT_SECONDS and not self._lives(entry.name):
                    self._root.remove_tree(f'{JOBS}/{entry.name}')
        if not self._running():
            lasting.sweep(self._root)


def _pythons() -> dict[str, Any]:
    """For who fetches packages elsewhere that are to fit here."""
    return {'python': sys.version.split()[0], 'machine': platform.machine(), 'libc': [*platform.libc_ver()]}


def _gpus() -> list[dict[str, Any]]:
    try:
        return [
            {'uuid': card.uuid, 'name': card.name, 'memory_bytes': card.memory_bytes, 'free_bytes': card.free_bytes}
            for card in cards.listed()
        ]
    except UserError:  # told where some are asked for; the rest of the host may be well
        return []


def place_of(asked: Mapping[str, Any]) -> str:
    job = asked.get('job')
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise far.Refused('no name of a job')
    return f'{JOBS}/{job}'

