"""What of git is wrong or worth knowing."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.checks.doctor.facts import Facts, Finding, Level
from mlops_cli.core.paths import shell_word
from mlops_cli.core.units import plural, show_size

OLDEST = (2, 31)  # earlier ones do not let settings be passed by the environment, by which filters are switched off
BIG_FILE = 50_000_000  # bytes; what hosting services begin to warn of
SHOWN = 3


def git(facts: Facts) -> Iterator[Finding]:
    found = facts.git
    if not found.installed:
        level: Level = 'wrong' if found.problem else 'note'
        yield Finding('git', level, 'git is not installed: runs are recorded, but no commit is', 'install git')
    elif found.problem == 'owner':
        folder = found.top or facts.project or facts.here
        text = 'git refuses this repository, because it belongs to another user: no commit is recorded, nothing is ignored'
        yield Finding('git', 'wrong', text, f'if you trust it: git config --global --add safe.directory {folder}')
    elif found.problem == 'bare':
        yield Finding('git', 'wrong', 'this is a bare repository, which has no files', 'git worktree add ../work, and go there')
    elif found.problem:
        yield Finding('git', 'wrong', f'git cannot read this repository: {found.said}', 'git fsck')
    elif facts.project and not found.inside:
        yield Finding('git', 'note', 'not in a git repository: what is recorded has no history', 'git init')


def old(facts: Facts) -> Iterator[Finding]:
    found = facts.git
    if found.version and found.version < OLDEST:
        shown, oldest = '.'.join(map(str, found.version)), '.'.join(map(str, OLDEST))
        yield Finding('git-version', 'wrong', f'git {shown} is too old to be asked safely', f'install git {oldest} or later')


def head(facts: Facts) -> Iterator[Finding]:
    found = facts.git
    if not found.inside:
        return
    if not found.commit:
        yield Finding('head', 'note', 'no commit yet: runs cannot say which one they were of', 'git add -A && git commit')
    elif not found.branch:
        text = f'on no branch (detached at {found.commit[:8]}): commits made here are easily lost'
        yield Finding('head', 'note', text, 'git switch -c NAME')
    if found.shallow:
        yield Finding('head', 'note', 'a shallow clone: revisions before its first commit are unknown', 'git fetch --unshallow')


def ours(facts: Facts) -> Iterator[Finding]:
    if found := facts.git.tracked_ours:
        text = f'git tracks {_some(found)}, which only this machine may write: who committed it can mislead mlops here'
        yield Finding('ours-in-git', 'wrong', text, f'git rm -r --cached {shell_word(found[0])}, and ask who committed it')


def conflicts(facts: Facts) -> Iterator[Finding]:
    if found := facts.git.conflicts:
        text = f'{plural(len(found), "record")} in .mlops left in conflict by a merge: {_some(found)}'
        fix = f'take one: git checkout --ours {shell_word(found[0])}, or --theirs; then git add'
        yield Finding('conflicts', 'wrong', text, fix)


def outputs(facts: Facts) -> Iterator[Finding]:
    for path, (stage, size) in sorted(facts.git.tracked_outputs.items())[:20]:
        text = f'git tracks {path}, an output of {stage} that the cache keeps ({show_size(size)})'
        fix = f'git rm -r --cached {shell_word(path)}; or cache: false, if git shall keep it'
        yield Finding('outputs-in-git', 'wrong' if size >= BIG_FILE else 'note', text, fix)


def ignored(facts: Facts) -> Iterator[Finding]:
    if found := facts.git.not_ignored:
        text = f'git would take {_some(found)}: the lines in .gitignore are missing'
        yield Finding('ignored', 'note', text, 'mlops run adds them')


def big(facts: Facts) -> Iterator[Finding]:
    for path, size in sorted(facts.git.big_untracked.items(), key=lambda one: -one[1])[:5]:
        text = f'{path} has {show_size(size)} and is neither tracked, an output nor ignored: git add -A would take it'
        yield Finding('big-files', 'wrong', text, f'mlops add {shell_word(path)}, or a line in .gitignore')


def _some(paths: tuple[str, ...]) -> str:
    return ', '.join(paths[:SHOWN]) + (f' and {len(paths) - SHOWN} more' if len(paths) > SHOWN else '')
