"""Whose commands are tried: mlops as it stands in this tree, DVC from PyPI in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GIT = {
    'GIT_AUTHOR_NAME': 'Ada',
    'GIT_AUTHOR_EMAIL': 'ada@example.org',
    'GIT_COMMITTER_NAME': 'Ada',
    'GIT_COMMITTER_EMAIL': 'ada@example.org',
    'GIT_CONFIG_GLOBAL': '/dev/null',
    'GIT_CONFIG_SYSTEM': '/dev/null',
}


class Unavailable(Exception):
    """The message says why a tool cannot be had here."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended.  ``code``: negative for a signal."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """For notes."""
        return f'{" ".join(self.argv[-6:])}: exit {self.code}: {(self.err or self.out)[-400:]!r}'


@dataclass(frozen=True)
class Tool:
    """``start``: the words before a command's own.  ``version``: for the table."""

    name: str
    version: str
    start: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def argv(self, *words: str) -> list[str]:
        return [*self.start, *words]

    def environment(self, home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """All variables that its commands see.  ``home``: made if absent."""
        home.mkdir(parents=True, exist_ok=True)
        return {
            'PATH': os.path.dirname(sys.executable) + os.pathsep + os.environ.get('PATH', os.defpath),
            'HOME': str(home),
            'LC_ALL': 'C.UTF-8',
            'PYTHONDONTWRITEBYTECODE': '1',
            **GIT,
            **self.environ,
            **(extra or {}),
        }

    def do(
        self,
        cwd: Path,
        *words: str,
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        timeout: float = 120,
        code: int | None = None,
    ) -> Done:
        """A command, to its end.  ``before``: words in front of the program, as of strace.  ``code``: that it has to end with.

        The home is ``<cwd>-home``.  Raises subprocess.TimeoutExpired, AssertionError."""
        return run([*before, *self.argv(*words)], cwd, self.environment(Path(f'{cwd}-home'), environ), timeout, code)


def run(argv: Sequence[str], cwd: Path, environ: Mapping[str, str], timeout: float = 120, code: int | None = None) -> Done:
    """A program, to its end.  Raises subprocess.TimeoutExpired, AssertionError."""
    begun = time.monotonic()
    none = subprocess.DEVNULL
    ended = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, timeout=timeout, check=False, stdin=none)
    done = Done(
        tuple(argv),
        ended.returncode,
        ended.stdout.decode(errors='replace'),
        ended.stderr.decode(errors='replace'),
        time.monotonic() - begun,
    )
    assert code is None or done.code == code, done.said
    return done


def git(cwd: Path, *words: str) -> str:
    """What git printed.  Raises AssertionError."""
    return run(['git', *words], cwd, {'PATH': os.environ.get('PATH', os.defpath), 'HOME': '/nowhere', **GIT}, code=0).out


def mlops() -> Tool:
    """This tree, with the interpreter that runs this."""
    from mlops_cli import __version__

    return Tool('mlops', __version__, (sys.executable, '-m', 'mlops_cli'), {'PYTHONPATH': str(REPOSITORY)})


def dvc(folder: Path) -> Tool:
    """Installed from PyPI below ``folder`` the first time.  Raises Unavailable."""
    venv = folder / 'dvc'
    if not (venv / 'complete').exists():
        for argv in (
            [sys.executable, '-m', 'venv', '--without-pip', str(venv)],
            [sys.executable, '-m', 'pip', '--python', str(venv / 'bin/python'), 'install', '--quiet', '--compile', 'dvc'],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f'DVC cannot be installed: {done.stderr.strip()[-200:]}')
        (venv / 'complete').touch()
    version = 'import importlib.metadata as m; print(m.version("dvc"))'
    said = subprocess.run([venv / 'bin/python', '-c', version], capture_output=True, text=True, check=True).stdout.strip()
    return Tool('dvc', said, (str(venv / 'bin/dvc'),), {'DVC_NO_ANALYTICS': '1'})


def tool(name: str, folder: Path) -> Tool:
    """Raises Unavailable."""
    return mlops() if name == 'mlops' else dvc(folder / 'tools')
