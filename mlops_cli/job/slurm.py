"""The door to Slurm: its own programs, found on the machine where jobs are handed in.  Knows nothing of stages and folders.

What they say is read by its form, and where they say nothing, nothing is concluded of a job."""
from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.job.engine import Refused, Row, Silent
from mlops_cli.store.bucket import Unreachable

PATIENCE_SECONDS = 60.0  # for one program of Slurm's; by itself each gives up after ten where nobody listens
PLACES = ('/usr/local/bin', '/opt/slurm/bin', '/usr/local/slurm/bin', '/usr/slurm/bin')  # where clusters have it, off the path
# Of our environment, what its programs and the job get.  Nothing else of who logged in goes into Slurm's spool.
KEPT = ('PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'LD_LIBRARY_PATH')
KNOWS = ('SLURM_CONF',)  # for its programs: which cluster it is
DIGITS = 18  # of a number
OWN_MEGABYTES = 128  # for the processes that see to a stage
OWN_SECONDS = 900.0  # beside a stage's timeout: for what it needs to come, and what it makes to go
ACTIVE = frozenset({'PENDING', 'RUNNING', 'SUSPENDED', 'COMPLETING', 'CONFIGURING', 'RESIZING', 'REQUEUED', 'REQUEUE_FED',
                    'REQUEUE_HOLD', 'SIGNALING', 'SPECIAL_EXIT', 'STAGE_OUT', 'STOPPED', 'RESV_DEL_HOLD'})  # fmt: skip
WAITING = frozenset({'PENDING', 'CONFIGURING', 'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'SUSPENDED',
                     'RESV_DEL_HOLD'})  # fmt: skip
# Of Slurm's reasons those that who knows no Slurm meets first; '' is of one that is about to begin.
WHY = {'None': 'it is about to begin it', 'Resources': 'others have what it asks for (Resources)',
       'Priority': 'others are before it (Priority)', 'BeginTime': 'it is begun again in a moment (BeginTime)'}  # fmt: skip
# Reasons for which a job that waits would wait for ever.
HOPELESS = ('launch failed requeued held', 'BadConstraints', 'DependencyNeverSatisfied', 'InvalidAccount', 'InvalidQOS',
            'AccountNotAllowed', 'QOSNotAllowed', 'PartitionTimeLimit', 'PartitionNodeLimit', 'JobHeldAdmin')  # fmt: skip
CONTROLLER_HINT = 'is slurmctld up? scontrol ping tells, there'
_PASSING = ('contact slurm controller', 'timed out', 'temporarily', 'Zero Bytes', 'Connection re', 'submit limit',
            'in standby mode', 'is in the process of')  # fmt: skip
_LACKING = ('node configuration', 'specification', 'count per node', 'generic resource', 'gres')
_PREFIX = re.compile(r'^(?:sbatch|allocation failure|squeue|sinfo|slurm_\w+|error|Batch job submission failed)(?: error)?:\s*')
_BOOT = re.compile(r'^BOOT_TIME\s*=\s*(\S+)', re.MULTILINE)


class Slurm:
    """Its programs; any thread may ask."""

    def __init__(self) -> None:
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

    def rows(self) -> dict[int, Row]:
        """All jobs of this user, by number.  Raises Silent, UserError."""
        done = self.ask('squeue', '--me', '--noheader', '--states=all', '--format=%A|%T|%r|%j')
        if done.returncode:
            raise Silent(said(done) or 'squeue fails')
        rows = {}
        for line in done.stdout.splitlines():
            number, *rest = line.split('|', 3)
            if is_number(number) and len(rest) == 3:
                state, reason, name = rest
                hopeless = reason if state == 'PENDING' and reason in HOPELESS else ''
                waits = reason if state in WAITING else ''
                rows[int(number)] = Row(int(number), state, name, state in ACTIVE, hopeless, WHY.get(waits, waits))
        return rows

    def since(self) -> str:
        """When its controller began, as it says.  Raises Silent, UserError."""
        done = self.ask('scontrol', 'show', 'config')
        found = _BOOT.search(done.stdout)
        if done.returncode or found is None:
            raise Silent(said(done) or 'scontrol fails')
        return found[1]

    def accounted(self, number: int) -> Row | None:
        """A job of which only the accounts know; None where there are none."""
        if not self._has_accounts:
            return None
        try:
            done = self.ask('sacct', '--jobs', str(number), '--allocations', '--noheader', '--parsable2', '--format=State')
        except Silent:
            return None
        except UserError:  # there is no such program
            self._has_accounts = False
            return None
        self._has_accounts = done.returncode == 0
        words = done.stdout.split()
        return Row(number, words[0], '', words[0] in ACTIVE) if self._has_accounts and words else None

    # Handing in

    def submit(self, words: Sequence[str], script: str) -> int:
        """The number of the job.  Raises Silent where nobody knows whether it was taken, Refused, UserError."""
        done = self.ask('sbatch', '--parsable', *words, given=script)
        number = done.stdout.strip().partition(';')[0]
        if done.returncode == 0 and is_number(number):
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


def is_number(text: str) -> bool:
    """Whether it is one as Slurm writes them: there are other digits, of which some are no number to Python."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


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
    """Of what a node is told, what it asks of Slurm; what the host's own words ask is in front, and gives way."""
    words = ['--requeue', *(str(word) for word in spec.get('submit') or ())]
    if (cpus := math.ceil(float(spec.get('cpus') or 1))) > 1:
        words.append(f'--cpus-per-task={cpus}')
    if memory := int(spec.get('memory_bytes') or 0):
        words.append(f'--mem={math.ceil(memory / (1 << 20)) + OWN_MEGABYTES}M')
    if gpus := int(spec.get('asked_gpus') or 0):
        words.append(f'--gres=gpu:{gpus}')
    if timeout := spec.get('timeout_seconds'):
        words.append(f'--time={math.ceil((float(timeout) + float(spec["grace_seconds"]) + OWN_SECONDS) / 60)}')
    return words


def around(folder: str, output: str, name: str) -> list[str]:
    """What every job of ours is handed in with.  ``output``: absolute path of the file that takes what it says itself.

    All is exported, as there is nothing but KEPT: with less said Slurm asks for the environment of a login, there."""
    return [
        f'--job-name={name}', '--nodes=1', '--ntasks=1', f'--chdir={folder}', '--input=/dev/null', '--open-mode=append',
        f'--output={output.replace("%", "%%")}', '--export=ALL',
    ]  # fmt: skip


def script(words: Sequence[str]) -> str:
    """For the node: becomes the program that is named."""
    return f'#!/bin/sh\nexec {shlex.join(words)}\n'
