"""What the remotes of a repository have that it has not: asked of them, over the network, and only here."""

from __future__ import annotations

import os
import subprocess

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.programs import find_program
from mlops_cli.git.program import run
from mlops_cli.git.walking import doubt

SECONDS = 120


def unknown_tips(folder: str, known: set[str]) -> list[tuple[str, str]]:
    """(remote, ref) of branches and tags of all remotes whose commits are not among the known ones.

    Raises UserError (exit 4) for a remote that does not answer."""
    listed = run(folder, ['remote'])
    if listed is None:
        raise doubt(f'git does not say which remotes {folder} has', 'mlops doctor tells more')
    found: list[tuple[str, str]] = []
    for name in listed.decode(errors='surrogateescape').splitlines():
        tips: dict[str, str] = {}
        for line in _asked(folder, name).splitlines():
            commit, _, ref = line.partition('\t')
            tips[ref.removesuffix('^{}')] = commit  # what a tag leads to comes behind it
        found += [(name, ref) for ref, commit in sorted(tips.items()) if commit not in known]
    return found


def first_commits(folder: str) -> list[str]:
    """Those without parents that HEAD leads to, sorted: they tell one repository from another."""
    return sorted((run(folder, ['rev-list', '--max-parents=0', 'HEAD']) or b'').decode().split())


def _asked(folder: str, remote: str) -> str:
    program = find_program('git')
    assert program is not None
    argv = [program, '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '-c', 'protocol.ext.allow=never',
            'ls-remote', '--heads', '--tags', '--', remote]  # fmt: skip
    environ = {**os.environ, 'GIT_TERMINAL_PROMPT': '0', 'LC_ALL': 'C'}
    hint = 'what others have there may need what is in the remote: make it reachable, or git remote remove it'
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environ, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(f'git: {remote} does not answer', hint=hint, exit_code=ExitCode.UNREACHABLE) from None
    if done.returncode:
        said = done.stderr.decode(errors='replace').strip().splitlines()[:1]
        why = said[0][:200] if said else 'it does not say why'
        raise UserError(f'git: {remote} cannot be asked: {why}', hint=hint, exit_code=ExitCode.UNREACHABLE)
    return done.stdout.decode(errors='surrogateescape')
