"""Whether git can be asked at all: where it has no answer, why."""

from __future__ import annotations

import re

from mlops_cli import git
from mlops_cli.core.classes import dataclass

SENTENCES = {
    'missing': 'git is not installed',
    'owner': 'git refuses this repository, which belongs to another user',
    'bare': 'this is a bare repository, which has no files',
    'broken': 'git cannot read this repository',
}


@dataclass(frozen=True, slots=True)
class Access:
    """``installed``: there is a git.  ``problem``: why it has no answer although a ``.git`` is there: ``missing`` (no git),
    ``owner`` (it refuses another user's repository), ``bare``, ``broken``; empty where all is well, and where there is no
    repository.  ``inside``: of a repository, in its work tree.  ``said``: git's own words."""

    installed: bool
    problem: str = ''
    inside: bool = False
    said: str = ''

    @property
    def sentence(self) -> str:
        """Why nothing is known from git here."""
        return SENTENCES.get(self.problem, 'not in a git repository')


def access(folder: str) -> Access:
    """Asks git, and looks for a ``.git`` where it has no answer.  Raises OSError for a folder that is not there."""
    done = git.ask(folder, ['rev-parse', '--is-inside-work-tree'])
    if done is None:
        return Access(False, 'missing' if git.has_repository(folder) else '')
    said = done.stderr.decode(errors='replace').strip()
    if done.returncode == 0:
        inside = done.stdout == b'true\n'
        return Access(True, '' if inside else 'bare', inside)
    if 'dubious ownership' in said:
        return Access(True, 'owner', said=said)
    if 'bare repository' in said:
        return Access(True, 'bare', said=said)
    return Access(True, 'broken' if git.has_repository(folder) else '', said=said)


def version(folder: str) -> tuple[int, ...]:
    """Of git; empty where it does not say."""
    done = git.ask(folder, ['version'])
    found = re.search(rb'(\d+)\.(\d+)(?:\.(\d+))?', done.stdout) if done else None
    return tuple(int(number) for number in found.groups() if number) if found else ()
