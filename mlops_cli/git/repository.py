"""A repository: where it lies, what its head is, whose name it commits with, what its revisions are called."""

from __future__ import annotations

import os

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.git.program import run

_REVISION_LENGTH = 1000


def has_repository(folder: str) -> bool:
    """Whether a ``.git`` lies in the folder or above it, whatever git says of it."""
    steps = os.path.abspath(folder).split(os.sep)
    return any(os.path.lexists('/'.join([*steps[:count], '.git'])) for count in range(1, len(steps) + 1))


@dataclass(frozen=True, slots=True)
class Head:
    """``commit`` empty in a repository without one, ``branch`` empty on a detached head."""

    commit: str
    branch: str


def head(folder: str) -> Head | None:
    """None outside a repository."""
    found = run(folder, ['rev-parse', 'HEAD', '--symbolic-full-name', 'HEAD'])
    if found is None:  # no commit yet, or no repository
        found = run(folder, ['symbolic-ref', '-q', 'HEAD'], accept=(0, 1))
        if found is None:
            return None
        found = b'\n' + found
    commit, _, name = found.decode(errors='replace').partition('\n')
    return Head(commit, name.strip().removeprefix('refs/heads/') if name.startswith('refs/heads/') else '')


def user(folder: str) -> tuple[str, str]:
    """``user.name`` and ``user.email``, asked at once; empty where one is not set, or there is no git."""
    said = run(folder, ['config', '-z', '--get-regexp', r'^user\.(name|email)$'], accept=(0, 1)) or b''
    pairs = (entry.decode(errors='replace').partition('\n') for entry in said.split(b'\0'))
    found = {key.lower(): value.strip() for key, _, value in pairs}
    return found.get('user.name', ''), found.get('user.email', '')


def setting(folder: str, name: str) -> str:
    """What git is set to here, such as ``user.email``; empty where it is not, or there is no git."""
    found = run(folder, ['config', '--get', name], accept=(0, 1))
    return (found or b'').decode(errors='replace').strip()


def tips(folder: str, most: int = 1000) -> tuple[str, ...]:
    """The commits that branches, here and of remotes, and tags name, newest first; none outside a repository."""
    form = '--format=%(objecttype)%00%(objectname)%00%(*objectname)'
    listing = ['for-each-ref', '--sort=-creatordate', f'--count={most}', form]
    found: dict[str, None] = {}
    for line in (run(folder, [*listing, 'refs/heads/', 'refs/remotes/', 'refs/tags/']) or b'').splitlines():
        kind, name, peeled = line.decode(errors='replace').split('\0')
        if kind == 'commit' or peeled:
            found[peeled or name] = None
    return tuple(found)


def top(folder: str) -> str | None:
    """The folder that holds ``.git``; None outside a repository."""
    found = run(folder, ['rev-parse', '--show-toplevel'])
    return os.fsdecode(found.removesuffix(b'\n')) if found else None


def resolve(folder: str, revision: str) -> str:
    """The commit a revision names.  Raises UserError."""
    if not revision or revision.startswith('-') or '\0' in revision or len(revision) > _REVISION_LENGTH:
        raise UserError(f'not a revision: {revision[:80]!r}', hint='name a commit, branch or tag')
    found = run(folder, ['rev-parse', '--verify', '-q', '--end-of-options', f'{revision}^{{commit}}'])
    if found:
        return found.decode().split()[-1]
    here = head(folder)
    if here is None:
        said = 'git has no answer here' if has_repository(folder) else 'this is not a git repository'
        raise UserError(f'{said}, so it has no revisions', hint='mlops doctor says why' if 'answer' in said else 'git init')
    if not here.commit and revision in ('HEAD', here.branch):
        raise UserError('this repository has no commit yet', hint='git commit')
    if run(folder, ['rev-parse', '--is-shallow-repository']) == b'true\n':
        raise UserError(f'this shallow clone has no revision {revision!r}', hint='git fetch --unshallow')
    raise UserError(f'git knows no revision {revision!r}', hint='mlops runs list, git log or git branch show what there is')


def references(folder: str) -> tuple[tuple[str, str], ...]:
    """(short name, ``branch`` or ``tag``) of every branch, here and of remotes, and tag; those last committed to first."""
    kinds = {'refs/heads/': 'branch', 'refs/remotes/': 'branch', 'refs/tags/': 'tag'}
    listing = ['for-each-ref', '--sort=-creatordate', '--count=1000', '--format=%(refname)%00%(symref)', *kinds]
    found: list[tuple[str, str]] = []
    for line in (run(folder, listing) or b'').splitlines():
        name, _, pointer = line.decode(errors='replace').partition('\0')
        start = next(start for start in kinds if name.startswith(start))
        if not pointer:  # such as origin/HEAD
            found.append((name.removeprefix(start), kinds[start]))
    return tuple(found)


def worktrees(folder: str) -> tuple[str, ...]:
    """The folders that have a branch of this repository checked out, this one too; none outside a repository."""
    listed = (run(folder, ['worktree', 'list', '--porcelain']) or b'').splitlines()
    return tuple(os.fsdecode(line.removeprefix(b'worktree ')) for line in listed if line.startswith(b'worktree '))
