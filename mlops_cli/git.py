"""The door to git.  Everything that runs often, or on a repository nobody trusts, calls git with an argument list and
with everything switched off that a hostile repository could make it execute; GitPython serves the rest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root

_SAFE = (
    '--no-optional-locks',
    '-c',
    'core.fsmonitor=false',
    '-c',
    'core.hooksPath=/dev/null',
    '-c',
    'protocol.ext.allow=never',
    '-c',
    'core.quotePath=false',
    '-c',
    'log.showSignature=false',
)


def _run(folder: str, arguments: Sequence[str], *, feed: bytes = b'', accept: tuple[int, ...] = (0,)) -> bytes | None:
    """Standard output, or None where git is missing, this is no repository, or the exit code is not accepted."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith('GIT_') or name == 'GIT_CEILING_DIRECTORIES'
    }
    environ |= {'GIT_TERMINAL_PROMPT': '0', 'GIT_NO_LAZY_FETCH': '1', 'LC_ALL': 'C'}
    try:
        done = subprocess.run(
            ['git', *_SAFE, *arguments], cwd=folder, env=environ, input=feed, capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode in accept else None


@dataclass(frozen=True, slots=True)
class Head:
    """``commit`` empty in a repository without one, ``branch`` empty on a detached head."""

    commit: str
    branch: str


def head(folder: str) -> Head | None:
    """None outside a repository."""
    found = _run(folder, ['rev-parse', '--verify', '-q', 'HEAD'], accept=(0, 1))
    if found is None:
        return None
    branch = _run(folder, ['symbolic-ref', '-q', '--short', 'HEAD'], accept=(0, 1)) or b''
    return Head(found.decode().strip(), branch.decode(errors='replace').strip())


def top(folder: str) -> str | None:
    """The folder that holds ``.git``; None outside a repository."""
    found = _run(folder, ['rev-parse', '--show-toplevel'])
    return os.fsdecode(found.rstrip(b'\n')) if found else None


def tracked(folder: str, paths: Sequence[str] = ()) -> tuple[str, ...]:
    """Files below ``folder`` (or the paths) that git tracks, relative to it, sorted; empty outside a repository."""
    found = _run(folder, ['ls-files', '-z', '--', *paths]) or b''
    return tuple(sorted({os.fsdecode(name) for name in found.split(b'\0') if name}))


def ignored(folder: str, paths: Iterable[str]) -> frozenset[str]:
    """Those of the paths that git ignores."""
    listed = list(paths)
    if not listed:
        return frozenset()
    feed = b'\0'.join(os.fsencode(path) for path in listed) + b'\0'
    found = _run(folder, ['check-ignore', '-z', '--no-index', '--stdin'], feed=feed, accept=(0, 1)) or b''
    return frozenset(os.fsdecode(name) for name in found.split(b'\0') if name)


def changed(folder: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Those files below the paths that are untracked or differ from HEAD."""
    found = _run(folder, ['status', '--porcelain=v1', '-z', '--untracked-files=all', '--no-renames', '--', *paths]) or b''
    return tuple(os.fsdecode(item[3:]) for item in found.split(b'\0') if len(item) > 3)


def resolve(folder: str, revision: str) -> str:
    """The commit a revision names.  Raises UserError."""
    if not revision or revision.startswith('-') or '\0' in revision:
        raise UserError(f'not a revision: {revision!r}')
    found = _run(folder, ['rev-parse', '--verify', '-q', '--end-of-options', f'{revision}^{{commit}}'])
    if not found:
        if head(folder) is None:
            raise UserError('this is not a git repository, so it has no revisions', hint='git init')
        raise UserError(f'git knows no revision {revision!r}', hint='mlops runs list, git log or git branch show what there is')
    return found.decode().split()[-1]


def export(folder: str, commit: str, target: str) -> tuple[str, ...]:
    """Writes the files that ``commit`` has below ``folder`` into the empty folder ``target``; their paths, relative to it.

    Symbolic links and submodules are left out.  Raises UserError where the commit cannot be read."""
    from git import Blob, Repo
    from git.exc import GitError

    written: list[str] = []
    try:
        with Repo(folder, search_parent_directories=True) as repo, Root(target) as root:
            base = os.path.relpath(os.path.realpath(folder), os.path.realpath(str(repo.working_dir))).replace(os.sep, '/')
            top_tree = repo.commit(commit).tree
            tree = top_tree if base == '.' else top_tree / base
            for blob in tree.traverse():
                if isinstance(blob, Blob) and blob.mode in (0o100644, 0o100755):
                    path = str(blob.path) if base == '.' else str(blob.path)[len(base) + 1 :]
                    _write_blob(root, path, blob.data_stream.read(), blob.mode & 0o777)
                    written.append(path)
    except (GitError, KeyError, ValueError) as error:
        raise UserError(f'cannot read commit {commit[:12]}: {error}', exit_code=ExitCode.WRONG_INPUT) from error
    return tuple(sorted(written))


def _write_blob(root: Root, path: str, data: bytes, mode: int) -> None:
    root.makedirs(path.rpartition('/')[0])
    with root.parent(path) as (parent, name):
        fd = ops.open_new(name, mode, dir_fd=parent)
    try:
        ops.write(fd, data)
    finally:
        os.close(fd)
