"""The door to git.  Where git is missing, refuses the repository, or there is none, the answers are those of a folder outside
any repository.  Nothing that a repository brings along is executed (program.py).

What reads whole commits is not loaded from here: :mod:`mlops_cli.git.commits`, :mod:`mlops_cli.git.exporting`,
:mod:`mlops_cli.git.trunk`."""

from mlops_cli.git.files import changed, ignored, lacking, last_committed, tracked
from mlops_cli.git.program import ask
from mlops_cli.git.repository import (
    Head,
    has_repository,
    head,
    references,
    resolve,
    setting,
    tips,
    top,
    user,
    worktrees,
)

__all__ = [
    'Head',
    'ask',
    'changed',
    'has_repository',
    'head',
    'ignored',
    'lacking',
    'last_committed',
    'references',
    'resolve',
    'setting',
    'tips',
    'top',
    'tracked',
    'user',
    'worktrees',
]
