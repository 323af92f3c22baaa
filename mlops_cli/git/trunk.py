"""The branch that a team merges into, and what it has: for whatever a branch may not say for itself.

Whoever sends a branch chooses what lies in a clone of it alone.  So nothing is taken for the default branch but what surely is
it, and nothing for missing there but what surely is: everything else is refused."""

from __future__ import annotations

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.git.commits import entry_of, reading
from mlops_cli.git.program import run
from mlops_cli.git.repository import has_repository, head

USUAL = ('main', 'master', 'trunk')
_FILE, _FOLDER = ('100644', '100755', '100664'), '040000'


@dataclass(frozen=True, slots=True)
class Trunk:
    """``name``: as people say it; ``commit``: where this clone knows it to be."""

    name: str
    commit: str


def default_branch(folder: str) -> Trunk | None:
    """What the remote calls its head, else the one of its branches that has a usual name; in a repository without a remote, or
    of whose remote nothing is known yet, that of its own branches, or the only one.  None where there is no repository, or
    nothing was committed to it.

    Raises UserError (exit 5) where it cannot be told."""
    here = head(folder)
    if here is None:
        if has_repository(folder):
            raise _unknown('git has no answer here', 'mlops doctor says why: no git, or a folder of somebody else')
        return None
    remote = _remote(folder)
    if remote and (theirs := _branches(folder, f'refs/remotes/{remote}/')):
        said = run(folder, ['symbolic-ref', '-q', f'refs/remotes/{remote}/HEAD'], accept=(0, 1)) or b''
        name = said.decode(errors='replace').strip().removeprefix(f'refs/remotes/{remote}/')
        found = name or _usual(theirs, '')
        if not found:
            raise _unknown(f'nobody told this clone which branch of {remote} it is', _fetch(remote))
        return Trunk(found, _commit(folder, f'refs/remotes/{remote}/{found}', remote))
    ours = _branches(folder, 'refs/heads/')
    found = _usual(ours, '' if remote else here.branch)
    if found:
        return Trunk(found, _commit(folder, f'refs/heads/{found}', remote))
    if not here.commit and not ours and not remote:
        return None
    if not here.commit and not ours and not _branches(folder, 'refs/'):
        return None  # a remote was named, and nothing came or went yet
    raise _unknown('no branch of this clone is surely it', _fetch(remote or 'origin') if remote else 'git branch -m NAME main')


def _remote(folder: str) -> str:
    """Of several the one that git calls so by itself; empty where there is none.  Raises UserError."""
    found = (run(folder, ['remote']) or b'').decode(errors='replace').split()
    if 'origin' in found or (not found and _branches(folder, 'refs/remotes/origin/')):
        return 'origin'
    if len(found) < 2:
        return ''.join(found)
    raise _unknown('of several remotes none is called origin', 'git remote rename NAME origin')


def _branches(folder: str, below: str) -> list[str]:
    listed = run(folder, ['for-each-ref', '--format=%(refname)', below])
    if listed is None:
        raise _unknown('git does not list its branches', 'git fsck tells more')
    names = (line.removeprefix(below) for line in listed.decode(errors='replace').splitlines())
    return [name for name in names if name != 'HEAD']


def _usual(branches: list[str], only: str) -> str:
    """The one with a usual name; of two nobody knows which is meant.  ``only``: the one that may be it as the only one."""
    found = [name for name in USUAL if name in branches]
    return found[0] if len(found) == 1 else only if branches == [only] else ''


def _commit(folder: str, reference: str, remote: str) -> str:
    found = run(folder, ['rev-parse', '--verify', '-q', '--end-of-options', f'{reference}^{{commit}}'], accept=(0, 1))
    if not found:
        raise _unknown(f'{reference.removeprefix("refs/")} is not in this clone', _fetch(remote or 'origin'))
    return found.decode().strip()


def _fetch(remote: str) -> str:
    return f"git fetch {remote} '+refs/heads/*:refs/remotes/{remote}/*' && git remote set-head {remote} -a"


def _unknown(problem: str, hint: str) -> UserError:
    return UserError(f'which branch is the default one cannot be told: {problem}', hint=hint, exit_code=ExitCode.REFUSED)


# What it has


def read(folder: str, commit: str, inside: str, name: str, limit: int) -> bytes | None:
    """A file ``inside`` a folder of the project; None only where the commit has none.  Raises UserError (exit 5) where that
    cannot be told, it is no file, or larger."""
    path = f'{inside}/{name}'
    if _mode(folder, commit, inside)[0] not in ('', _FOLDER):
        raise _unreadable(inside, 'it is no folder', 'make it one')
    mode, blob = _mode(folder, commit, path)
    if not mode:
        return None
    if mode not in _FILE:
        raise _unreadable(path, 'it is no file', 'make it one')
    with reading(folder) as open_blob:
        data = open_blob(blob, limit)
    if data is None:
        raise _unreadable(path, 'this clone does not have its content, or it is too large', 'git fetch --refetch --no-filter')
    return data


def has(folder: str, commit: str, path: str) -> bool:
    """Whether it has anything of that name.  Raises UserError (exit 5)."""
    return bool(_mode(folder, commit, path)[0])


def elsewhere(folder: str, commit: str, ends: tuple[str, ...]) -> list[str]:
    """Files of the whole repository whose paths end so.  Raises UserError (exit 5)."""
    listed = run(folder, ['ls-tree', '-r', '-z', '--name-only', '--full-tree', commit])
    if listed is None:
        raise _unreadable('what it has', 'this clone does not have all of it', 'git fetch --refetch --no-filter')
    paths = listed.decode(errors='replace').split('\0')
    return [path for path in paths if f'/{path}'.endswith(tuple(f'/{end}' for end in ends))]


def _mode(folder: str, commit: str, path: str) -> tuple[str, str]:
    """(how git notes it, its content); two empty texts where it has none."""
    listed = run(folder, ['--literal-pathspecs', 'ls-tree', '-z', commit, '--', path])
    if listed is None:
        raise _unreadable(path, 'this clone does not have what that commit is made of', 'git fetch --refetch --no-filter')
    rows = [entry_of(row) for row in listed.split(b'\0')[:-1]]
    return (rows[0].mode, rows[0].blob) if rows else ('', '')


def _unreadable(path: str, problem: str, hint: str) -> UserError:
    return UserError(f'{path} of the default branch cannot be read: {problem}', hint=hint, exit_code=ExitCode.REFUSED)
