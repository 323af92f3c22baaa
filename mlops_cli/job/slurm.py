"""The door to Slurm: its own programs, found on the machine where jobs are handed in.  Knows nothing of stages and folders.

What they say is read by its form, and where they say nothing, nothing is concluded of a job."""
from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlops_cli.core.errors import UserError
from mlops_cli.store.bucket import Unreachable

LOOK_SECONDS = 1.5  # between two questions to the controller, however many jobs and who asks
SILENT_SECONDS = 5.0  # before one that did not answer is asked again
PATIENCE_SECONDS = 60.0  # for one program of Slurm's; by itself each gives up after ten where nobody listens
PLACES = ('/usr/local/bin', '/opt/slurm/bin', '/usr/local/slurm/bin', '/usr/slurm/bin')  # where clusters have it, off the path
# Of our environment, what its programs and the job get.  Nothing else of who logged in goes into Slurm's spool.
KEPT = ('PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'LD_LIBRARY_PATH')
KNOWS = ('SLURM_CONF',)  # for its programs: which cluster it is
OWN_MEGABYTES = 128  # for the processes that see to a stage
OWN_SECONDS = 900.0  # beside a stage's timeout: for what it needs to come, and what it makes to go
ACTIVE = frozenset({'PENDING', 'RUNNING', 'SUSPENDED', 'COMPLETING', 'CONFIGURING', 'RESIZING', 'REQUEUED', 'REQUEUE_FED',
                    'REQUEUE_HOLD', 'SIGNALING', 'SPECIAL_EXIT', 'STAGE_OUT', 'STOPPED', 'RESV_DEL_HOLD'})  # fmt: skip
# Reasons for which a job that waits would wait for ever.
HOPELESS = ('launch failed requeued held', 'BadConstraints', 'DependencyNeverSatisfied', 'InvalidAccount', 'InvalidQOS',
            'AccountNotAllowed', 'QOSNotAllowed', 'PartitionTimeLimit', 'PartitionNodeLimit', 'JobHeldAdmin')  # fmt: skip
CONTROLLER_HINT = 'is slurmctld up? scontrol ping tells, there'
_PASSING = ('contact slurm controller', 'timed out', 'temporarily', 'Zero Bytes', 'Connection re', 'submit limit',
            'in standby mode', 'is in the process of')  # fmt: skip
_LACKING = ('node configuration', 'specification', 'count per node', 'generic resource', 'gres')
_PREFIX = re.compile(r'^(?:sbatch|allocation failure|squeue|sinfo|slurm_\w+|error|Batch job submission failed)(?: error)?:\s*')
_BOOT = re.compile(r'^BOOT_TIME\s*=\s*(\S+)', re.MULTILINE)
_PLAIN = re.compile(r'[^A-Za-z0-9_.=+-]')


class Silent(Exception):
    """Slurm does not answer; it may a little later."""


class Refused(Exception):
    """Slurm does not take it.  ``lacking``: it has not what is asked for."""

    def __init__(self, said: str, lacking: bool) -> None:
        super().__init__(said)
        self.lacking = lacking


class Row(NamedTuple):
    """A job as Slurm has it."""

    number: int
    state: str
    reason: str
    name: str

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class View(NamedTuple):
    """All jobs of this user at a moment, which is of time.monotonic().  ``since``: when the controller began, as it says."""

    taken: float
    rows: Mapping[int, Row]
    since: str = ''

    def find(self, name: str, number: int = 0) -> Row | None:
        """By its name: a controller that lost what it had not written down yet gives a number to another job.  ``number``: of
        which it should be, where that is known; else the first one counts that goes on."""
        row = self.rows.get(number)
        if row is not None and row.name == name:
            return row
        found = [row for row in self.rows.values() if row.name == name]
        return min(found, key=lambda row: (not row.active, row.number), default=None)


def job_name(stage: str, token: str) -> str:
    """By which it is found again, whatever became of the answer to its submission; a person sees whose stage it is."""
    return f'{_PLAIN.sub("_", stage)[:60]}.{token}'


class Slurm:
    """Its programs; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: View | None = None
        self._silent_since = self._silent_at = 0.0
        self._has_accounts = True
        self._path = ''
        self.look_in('')

    def look_in(self, path: str) -> None:
        """``path``: folders in which its programs are looked for first, with colons between."""
        before = [os.path.expanduser(part) for part in path.split(os.pathsep) if part]
        self._path = os.pathsep.join([*before, os.environ.get('PATH', os.defpath), *PLACES])

    def program(self, name: str) -> str:
        """Raises UserError where there is none."""
        found = shutil.which(name, path=self._path)
        if found is None:
            hint = 'is that where jobs are handed in? mlops hosts add --path says in which folder its programs are'
            raise Unreachable('Slurm', f'there is no {name}', hint)
        return found

    def ask(self, *words: str, given: str = '') -> subprocess.CompletedProcess[str]:
        """One of its programs.  Raises Silent where that does not end, UserError where there is none."""
        environ = {name: os.environ[name] for name in (*KEPT, *KNOWS) if name in os.environ}
        try:
            return subprocess.run(
                [self.program(words[0]), *words[1:]], input=given, capture_output=True, text=True, errors='replace',
                env=environ, cwd='/', timeout=PATIENCE_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Silent(f'{words[0]} does not end') from error

    # Looking

    def view(self) -> View:
        """Not older than a moment.  Raises Silent, UserError."""
        with self._lock:
            now = time.monotonic()
            if self._silent_since and now - self._silent_at < SILENT_SECONDS:
                raise Silent('its controller does not answer')
            if self._view is None or now - self._view.taken >= LOOK_SECONDS:
                try:
                    self._view = self._looked()
                    self._silent_since = 0.0
                except Silent:
                    self._silent_at = time.monotonic()
                    self._silent_since = self._silent_since or now
                    raise
            return self._view

    def silent_seconds(self) -> float:
        """For how long it has not answered."""
        return time.monotonic() - self._silent_since if self._silent_since else 0.0

    def forget_view(self) -> None:
        """The next look is a new one."""
        with self._lock:
            self._view = None

    def _looked(self) -> View:
        taken = time.monotonic()
        done = self.ask('squeue', '--me', '--noheader', '--states=all', '--format=%A|%T|%r|%j')
        if done.returncode:
            raise Silent(said(done) or 'squeue fails')
        rows = {}
        for line in done.stdout.splitlines():
            number, *rest = line.split('|', 3)
            if number.isdigit() and len(rest) == 3:
                rows[int(number)] = Row(int(number), *rest)
        return View(taken, rows, self._since())

    def _since(self) -> str:
        done = self.ask('scontrol', 'show', 'config')
        found = _BOOT.search(done.stdout)
        if done.returncode or found is None:
            raise Silent(said(done) or 'scontrol fails')
        return found[1]

    def accounted(self, number: int) -> str:
        """The state in which a job has ended, of which only the accounts know; '' where there are none."""
        if not self._has_accounts:
            return ''
        try:
            done = self.ask('sacct', '--jobs', str(number), '--allocations', '--noheader', '--parsable2', '--format=State')
        except Silent:
            return ''
        except UserError:  # there is no such program
            self._has_accounts = False
            return ''
        self._has_accounts = done.returncode == 0
        return done.stdout.split()[0] if self._has_accounts and done.stdout.split() else ''

    # Handing in

    def submit(self, words: Sequence[str], script: str) -> int:
        """The number of the job.  Raises Silent where nobody knows whether it was taken, Refused, UserError."""
        done = self.ask('sbatch', '--parsable', *words, given=script)
        number = done.stdout.strip().partition(';')[0]
        if done.returncode == 0 and number.isdigit():
            return int(number)
        text = said(done) or f'sbatch ended with {done.returncode}'
        if done.returncode == 0 or any(part in done.stderr for part in _PASSING):
            raise Silent(text)
        raise Refused(text, any(part in done.stderr for part in _LACKING))

    def end(self, number: int) -> None:
        """Takes it out of the queue, or ends it where it runs.  Raises Silent, UserError."""
        self.ask('scancel', str(number))

    def wake(self, number: int) -> None:
        """A signal that does nothing by itself to the process that sees to the job.  Raises Silent, UserError."""
        self.ask('scancel', '--batch', '--signal=URG', str(number))


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a program had to say, without who says it."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    line = lines[-1] if lines else ''
    while (shorter := _PREFIX.sub('', line)) != line:
        line = shorter
    return ''.join(character if character.isprintable() else '?' for character in line[:300])


def tested(slurm: Slurm, words: Sequence[str]) -> None:
    """Whether Slurm would take a job.  Raises Refused, Silent, UserError."""
    done = slurm.ask('sbatch', '--test-only', *words, given=script(['true']))
    if done.returncode:
        raise Refused(said(done), True)


def wanted(spec: Mapping[str, Any]) -> list[str]:
    """Of a job's specification, what it asks of Slurm; what the host's own words ask is in front, and gives way."""
    words = [str(word) for word in spec.get('submit') or ()]
    if (cpus := math.ceil(float(spec.get('cpus') or 1))) > 1:
        words.append(f'--cpus-per-task={cpus}')
    if memory := int(spec.get('memory_bytes') or 0):
        words.append(f'--mem={math.ceil(memory / (1 << 20)) + OWN_MEGABYTES}M')
    if gpus := int(spec.get('gpus') or 0):
        words.append(f'--gres=gpu:{gpus}')
    if timeout := spec.get('timeout_seconds'):
        words.append(f'--time={math.ceil((float(timeout) + float(spec["grace_seconds"]) + OWN_SECONDS) / 60)}')
    return words


def around(folder: str, output: str, name: str) -> list[str]:
    """What every job of ours is handed in with.  ``output``: absolute path of the file that takes what it says itself.

    All is exported, as there is nothing but KEPT: with less said Slurm asks for the environment of a login, there."""
    return [
        f'--job-name={name}', '--nodes=1', '--ntasks=1', f'--chdir={folder}', '--input=/dev/null', '--open-mode=append',
        f'--output={output.replace("%", "%%")}', '--export=ALL', '--requeue',
    ]  # fmt: skip


def script(words: Sequence[str]) -> str:
    """For the node: becomes the program that is named."""
    return f'#!/bin/sh\nexec {shlex.join(words)}\n'
