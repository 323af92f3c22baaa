"""Projects that are timed, made once and kept in the scratch folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import work
from bench.errors import BenchError
from bench.places import Places
from bench.tools import Ours, Tool, Tools

FORMAT = 1  # of what this module makes; raise it and all is made anew
GIT = (
    ('user.name', 'Bench'),
    ('user.email', 'bench@example.org'),
    ('gc.auto', '0'),  # nothing of git's own goes on beside what is timed
    ('maintenance.auto', 'false'),
)


class Projects:
    """``say``: takes a line about what is being made, as that may take minutes."""

    def __init__(self, places: Places, tools: Tools, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.places = places
        self._tools = tools
        self._environ = environ
        self._say = say
        self._settled: set[tuple[str, Path]] = set()

    def pipeline(self, tool: str, count: int, purpose: str = '') -> Path:
        """A project of so many stages in the words of ``tool``, none of them run."""

        def make(folder: Path) -> None:
            self._say(f'writing {count:,} stages for {tool}')
            work.pipeline(tool, count, folder)
            self.repository(folder)
            if tool == 'dvc':
                self.dvc_init(folder)
            self.commit(folder)

        return self.keep(f'{tool}-{count}{purpose and "-"}{purpose}', make)

    def built(self, ours: Ours, count: int, purpose: str = '') -> Path:
        """Such a project of ours, all of it run and committed."""
        folder = self.pipeline('mlops', count, ours.own(purpose or 'built'))
        return self.settle(ours, folder)

    def settle(self, ours: Ours, folder: Path) -> Path:
        """Run what is not up to date there, which after a change of formats may be everything; commit what was recorded."""
        if (ours.commit, folder) not in self._settled:
            self._say(f'mlops run in {folder.name}, until nothing is to do')
            self.do((ours.program, 'run', '--quiet', '--jobs', '2'), folder)
            self.commit(folder)
            if 'Nothing to do' not in self.do((ours.program, 'run'), folder):
                raise BenchError(f'mlops run in {folder} finds something to do again and again')
            self._settled.add((ours.commit, folder))
        return folder

    def built_by(self, tool: Tool, count: int) -> Path:
        """Such a project of a peer, all of it built."""

        def make(folder: Path) -> None:
            self._say(f'{tool.name} builds {count:,} stages')
            work.pipeline(tool.name, count, folder)
            if tool.name == 'dvc':
                self.repository(folder)
                self.dvc_init(folder)
                work.dvc_seed(count, folder)
                self.commit(folder)
            else:
                self.do((tool.program, '-s', '-j2') if tool.name == 'make' else (tool.program,), folder)

        return self.keep(f'{tool.name}-{count}-built', make)

    def keep(self, name: str, make: Callable[[Path], None]) -> Path:
        return self.places.keep(f'{name}-v{FORMAT}', make)

    def repository(self, folder: Path) -> None:
        self.git(folder, 'init', '--quiet')
        for key, value in GIT:
            self.git(folder, 'config', key, value)

    def dvc_init(self, folder: Path) -> None:
        if dvc := self._tools.get('dvc'):
            self.do((dvc.program, 'init', '--quiet'), folder)

    def commit(self, folder: Path) -> None:
        """All that is not ignored, if anything changed; packed, as a clone is."""
        if not self.git(folder, 'status', '--porcelain'):
            return
        self.git(folder, '-c', 'core.bigFileThreshold=1', 'add', '--all')  # straight into one pack, not a file for each
        self.git(folder, 'commit', '--quiet', '--message', 'Bench')
        self.git(folder, 'gc', '--quiet')
        self.git(folder, 'status', '--porcelain')  # git's own notes about files are written

    def git(self, folder: Path, *words: str) -> str:
        git = self._tools.get('git')
        if git is None:
            raise BenchError('git is not on this machine')
        return self.do((git.program, *words), folder)

    def do(self, command: tuple[str, ...], folder: Path) -> str:
        """What it said; BenchError if it failed."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            check=False,
        )
        if done.returncode:
            last = '\n    '.join(done.stdout.splitlines()[-12:])
            raise BenchError(f'{" ".join(command[:6])} in {folder} ended with code {done.returncode}:\n    {last}')
        return done.stdout
