"""Another repository: what a revision of it is, and its files, fetched into a repository of their own.

git is given one protocol and no other, runs no hooks, enters no submodule, checks nothing out and asks nobody.  The user's own
settings count (credentials, ssh, proxies, certificates); those of a project do not, since none is near."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.programs import find_program
from mlops_cli.git.commits import Entry, entry_of
from mlops_cli.git.program import QUIET, SAFE, environment, run

if TYPE_CHECKING:
    import subprocess

PROTOCOLS = ('https', 'ssh', 'http', 'file')
FULL = re.compile(r'[0-9a-f]{40}|[0-9a-f]{64}')
_SHORT = re.compile(r'[0-9a-f]{7,64}')
_OURS = ('GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_SSL_CAINFO', 'GIT_SSL_CAPATH', 'GIT_ASKPASS')
_NOT_HERE = ('core.sshCommand=false', 'protocol.allow=never')


def commit_of(url: str, revision: str, folder: str) -> str:
    """The commit that a branch or tag of the repository at ``url`` is at; of a full commit, itself; empty for what it does not
    advertise.  ``revision`` empty: what it is on.  ``folder``: any that is no repository's.  Raises UserError."""
    if FULL.fullmatch(revision):
        return revision
    tag = f'refs/tags/{revision}'
    names = [f'refs/heads/{revision}', tag, f'{tag}^{{}}', revision] if revision else ['HEAD']
    listed = _reach(url, folder, ['ls-remote', '-q', '--', url, *names])
    found = {name: commit for commit, _, name in (line.partition('\t') for line in listed.splitlines())}
    order = (f'{tag}^{{}}', tag, f'refs/heads/{revision}', revision or 'HEAD')
    return next((found[name] for name in order if name in found), '')


def fetch(url: str, revision: str, folder: str) -> str:
    """Makes ``folder``, an empty one, a repository that has the files of a revision; the commit.  Raises UserError."""
    if run(folder, ['init', '-q', '--template=', '.']) is None:
        raise UserError('git cannot make a repository here', hint='mlops doctor says why', exit_code=ExitCode.MACHINE)
    quietly = ['fetch', '-q', '--no-tags', '--no-recurse-submodules', '--no-auto-maintenance']
    commit = commit_of(url, revision, folder)
    if commit:
        try:
            _reach(url, folder, [*quietly, '--depth=1', '--', url, commit if FULL.fullmatch(revision) else revision or 'HEAD'])
            return _named(folder, 'FETCH_HEAD')
        except UserError:
            if not FULL.fullmatch(revision):
                raise  # a server need not give a commit that no branch is at
    elif not _SHORT.fullmatch(revision):
        raise UserError(
            f'{url} has no branch or tag {revision!r}', exit_code=ExitCode.UNREACHABLE, hint=f'git ls-remote {url} shows them'
        )
    _reach(url, folder, [*quietly, '--', url, '+refs/heads/*:refs/there/heads/*', '+refs/tags/*:refs/there/tags/*'])
    return _named(folder, revision, url)


def _named(folder: str, revision: str, url: str = '') -> str:
    found = run(folder, ['rev-parse', '--verify', '-q', '--end-of-options', f'{revision}^{{commit}}'])
    if not found:
        raise UserError(f'{url} has no commit {revision}', exit_code=ExitCode.UNREACHABLE, hint=f'git ls-remote {url}')
    return found.decode().strip()


def entries(folder: str, commit: str, path: str) -> list[Entry]:
    """Files, links and submodules at or below a path of a commit."""
    whole = [] if path in ('', '.') else [path]
    listed = run(folder, ['--literal-pathspecs', 'ls-tree', '-r', '-z', '--full-tree', commit, '--', *whole]) or b''
    return [entry_of(row) for row in listed.split(b'\0') if row]


def _reach(url: str, folder: str, arguments: Sequence[str]) -> str:
    """What git says after it asked another repository.  Raises UserError (exit 4) with its own words where it could not."""
    import subprocess

    scheme = url.partition('://')[0]
    if scheme not in PROTOCOLS:
        raise UserError(f'{url}: git is not asked over {scheme}', exit_code=ExitCode.REFUSED)
    program = find_program('git')
    if program is None:
        raise UserError('git is not installed', exit_code=ExitCode.MACHINE, hint='mlops doctor')
    settings = [word for word in SAFE if word not in ('-c', *_NOT_HERE)]
    safe = [part for word in settings for part in ((word,) if word.startswith('--') else ('-c', word))]
    kept = {name: os.environ[name] for name in _OURS if name in os.environ}
    environ = {**environment(), **QUIET, 'GIT_ALLOW_PROTOCOL': scheme, **kept}
    environ.pop('GIT_NO_LAZY_FETCH', None)
    argv = [program, *safe, *arguments]
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        argv, cwd=folder, env=environ, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = ' '.join(done.stderr.decode(errors='replace').split())[:300]
        raise UserError(
            f'{url}: {said or "git could not reach it"}', exit_code=ExitCode.UNREACHABLE,
            hint='is the address right? git uses your own credentials: try git ls-remote with it',
        )  # fmt: skip
    return done.stdout.decode(errors='replace')
