"""Containers of docker: processes of a daemon, which go on when who asked for them is killed, and are in no account of ours.

So each is watched over by a shell that has it taken away once this process is gone, and measured by its control group."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from mlops_cli.job.container import Named
from mlops_cli.job.environments import NotMade
from mlops_cli.job.gauge import Gauge

# Ends without a word where it is told that all is over; else whoever held the other end of its input is dead.
WATCH = 'read done && exit; sleep "$1"; shift; exec "$@" >/dev/null 2>&1'
REMAPPED, ROOTLESS = 'name=userns', 'name=rootless'


class Docker(Named):
    @cached_property
    def security(self) -> str:
        """What the daemon says of its ways.  Raises NotMade where it does not answer, or not to this user."""
        said = self.told('info', '--format', '{{json .SecurityOptions}}')
        if said.returncode or said.stdout.strip() in ('', 'null'):
            lines = (said.stderr or said.stdout).strip().splitlines()
            last = f': {lines[-1][:300]}' if lines else ''
            raise NotMade(f'its docker does not answer{last}', hint='does it run there, and may you use it? there: docker info')
        return said.stdout

    def options(self, cards: Sequence[str]) -> list[str]:
        words = ['--init', f'--label={self._label}']
        if REMAPPED in self.security:
            words.append('--userns=host')
        if ROOTLESS not in self.security and os.getuid():  # else what it makes would be root's
            words.append(f'--user={os.getuid()}:{os.getgid()}')
        if cards:
            words.append(f'--gpus="device={",".join(cards)}"')
        return words

    def entry(self, program: str) -> str:
        return program

    def has_image(self) -> bool:
        return bool(self.security) and self.told('image', 'inspect', self.image).returncode == 0

    @property
    def _label(self) -> str:
        return f'mlops.job={self.job}'

    @property
    def name(self) -> str:
        """Another one each time: who watches over an earlier one may still be about to end that."""
        return f'mlops-{self.job}-{os.getpid()}'

    def clear(self) -> None:
        found = self.told('ps', '--all', '--quiet', '--no-trunc', '--filter', f'label={self._label}').stdout.split()
        if found:
            self.told('rm', '--force', '--volumes', *found)

    @contextmanager
    def guarded(self, grace_seconds: float) -> Iterator[None]:
        words = ['/bin/sh', '-c', WATCH, 'sh', f'{grace_seconds:.0f}', self.program, 'rm', '--force', '--volumes', self.name]
        guard = subprocess.Popen(words, env=self.environ, cwd='/', stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        try:
            yield
        finally:
            guard.communicate(b'done\n')

    def gauge(self) -> Gauge:
        return Gauge(self._init)

    def _init(self) -> int:
        said = self.told('inspect', '--format', '{{.State.Pid}}', self.name).stdout.strip()
        return int(said) if said.isdigit() else 0
