"""Every file of a kind that any commit holds, whoever still knows of that commit: for those who must miss none.

Commits are walked without simplification, and each is compared with its first parent: what no comparison shows was there
before.  Asks plumbing only, which follows nobody's settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.git.program import ask, run
from mlops_cli.git.repository import resolve

Wanted = Callable[[str], bool]
_BROKEN = (b'ignoring broken ref', b'does not point to a valid object', b'ignoring dangling symref')


@dataclass(frozen=True, slots=True)
class Commit:
    """``when``: it was committed, in seconds since 1970."""

    name: str
    when: int
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Worktree:
    """``problem``: why its files cannot be looked at; empty where they can."""

    path: str
    head: str
    problem: str = ''


def doubt(message: str, hint: str) -> UserError:
    """For what keeps from knowing all that a repository holds."""
    return UserError(message, hint=hint, exit_code=ExitCode.REFUSED)


def refuse_incomplete(folder: str) -> None:
    """Raises UserError (exit 5) where a repository does not have all its commits, or leaves some out."""
    if run(folder, ['rev-parse', '--is-shallow-repository']) != b'false\n':
        raise doubt(
            f'{folder} is a shallow clone: what earlier commits record is not known here', 'git fetch --unshallow, then again'
        )
    settings = run(
        folder, ['config', '-z', '--get-regexp', r'^(extensions\.partialclone|remote\..*\.promisor)$'], accept=(0, 1)
    )
    if settings is None or any(not row.lower().endswith((b'\nfalse', b'\n0', b'\nno')) for row in settings.split(b'\0') if row):
        raise doubt(
            f'{folder} is a partial clone: what its commits record may not be here',
            'git fetch --refetch --no-filter, take remote.*.promisor out of .git/config, then again',
        )
    grafts = run(folder, ['rev-parse', '--git-path', 'info/grafts'])
    path = os.path.join(folder, os.fsdecode((grafts or b'').removesuffix(b'\n')))
    if grafts is None or (os.path.isfile(path) and os.path.getsize(path)):
        raise doubt(f'{path} hides commits of {folder}', 'git replace --convert-graft-file, or remove it')


def commits(folder: str) -> dict[str, Commit]:
    """All commits that any ref or reflog of any worktree leads to.  Raises UserError (exit 5) where git cannot follow one."""
    done = ask(folder, ['rev-list', '--all', '--reflog', '--timestamp', '--parents'])
    if done is None or done.returncode or any(text in done.stderr for text in _BROKEN):
        said = done.stderr.decode(errors='replace').strip().splitlines()[:1] if done else ['there is no git']
        raise doubt(
            f'git cannot follow all the history of {folder}: {said[0][:200] if said else "it does not say why"}',
            'git fsck tells what is missing or damaged; git update-ref -d REF removes a ref that leads nowhere',
        )
    found: dict[str, Commit] = {}
    for line in done.stdout.decode().splitlines():
        when, name, *parents = line.split()
        found[name] = Commit(name, int(when), tuple(parents))
    return found


def tips(folder: str, trees: Sequence[Worktree]) -> set[str]:
    """The commits that a ref, or the head of a worktree, names."""
    listed = run(folder, ['for-each-ref', '--format=%(objectname) %(*objectname)']) or b''
    return {*listed.decode().split(), *(tree.head for tree in trees if tree.head)}


def worktrees(folder: str) -> tuple[Worktree, ...]:
    """All of the repository.  Raises UserError (exit 5) if git does not say."""
    listed = run(folder, ['worktree', 'list', '--porcelain', '-z'])
    end = b'\0'
    if listed is None:  # before git 2.36
        listed, end = run(folder, ['worktree', 'list', '--porcelain']), b'\n'
    if listed is None:
        raise doubt(f'git does not say which worktrees {folder} has', 'mlops doctor tells more')
    found = []
    for block in listed.split(end + end):
        facts: dict[bytes, bytes] = {}
        for line in block.split(end):
            word, _, value = line.partition(b' ')
            facts[word] = value
        if b'worktree' not in facts or b'bare' in facts:
            continue
        path = os.fsdecode(facts[b'worktree'])
        head = facts.get(b'HEAD', b'').decode()
        problem = '' if os.path.isdir(path) else 'it is not there'
        found.append(Worktree(path, head.strip('0') and head, problem))
    return tuple(found)


def introduced(folder: str, chosen: Mapping[str, Commit], wanted: Wanted) -> dict[tuple[str, str], list[str]]:
    """(path from the top, git's name of the content) of every file in these commits that is wanted -> the commits that it came
    with.  What is no regular file has an empty name.

    Raises UserError (exit 5) where git cannot read one of them."""
    feed: list[str] = []
    whole: list[str] = []
    for commit in chosen.values():
        before = next((parent for parent in commit.parents if parent in chosen), None)
        if before is None and commit.parents:
            whole.append(commit.name)
        else:
            feed.append(f'{commit.name} {before}' if before else commit.name)
    found: dict[tuple[str, str], list[str]] = {}
    arguments = ['diff-tree', '--stdin', '-r', '--root', '--raw', '-z', '--no-renames', '--full-index', '--']
    listed = run(folder, [*arguments, ':(top,glob)**/.mlops/**'], feed='\n'.join([*feed, '']).encode()) if feed else b''
    if listed is None:
        raise _unreadable(folder)
    for name, path, mode, blob in _raw(listed):
        if blob.strip('0') and wanted(path):
            found.setdefault((path, _content(mode, blob)), []).append(name)
    for name in whole:
        rows = run(folder, ['ls-tree', '-r', '-z', '--full-tree', name])
        if rows is None:
            raise _unreadable(folder)
        for row in rows.split(b'\0')[:-1]:
            facts, _, encoded = row.partition(b'\t')
            path = os.fsdecode(encoded)
            if wanted(path):
                mode, _, blob = facts.decode().split()
                found.setdefault((path, _content(mode, blob)), []).append(name)
    return found


def _raw(listed: bytes) -> Iterator[tuple[str, str, str, str]]:
    """(commit, path, mode, content) of each file that a comparison shows as it is afterwards."""
    fields = iter(listed.split(b'\0'))
    commit = ''
    for field in fields:
        if field.startswith(b':'):
            _, mode, _, blob, _ = field.decode().split()
            yield commit, os.fsdecode(next(fields)), mode, blob
        elif field:
            commit = field.decode()


def _content(mode: str, blob: str) -> str:
    return blob if mode.startswith('100') else ''


def _unreadable(folder: str) -> UserError:
    return doubt(f'git cannot read all commits of {folder}', 'git fsck tells what is missing or damaged')


def staged(folder: str, wanted: Wanted) -> set[tuple[str, str]]:
    """The same of the index of the worktree that has its top here.  What is only intended to be added has no content yet."""
    listed = run(folder, ['ls-files', '--stage', '-z', '--full-name', '--', ':(top,glob)**/.mlops/**'])
    if listed is None:
        raise doubt(f'git cannot read the index of {folder}', 'git status tells more')
    found = set()
    for row in listed.split(b'\0')[:-1]:
        facts, _, encoded = row.partition(b'\t')
        mode, blob, _ = facts.decode().split()
        path = os.fsdecode(encoded)
        if wanted(path) and blob not in EMPTY:
            found.add((path, _content(mode, blob)))
    return found


EMPTY = frozenset(('e69de29bb2d1d6434b8b29ae775ad8c2e48c5391',
                   '473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813'))  # of SHA-1 and of SHA-256 repositories


def name_of(data: bytes) -> str:
    """What git calls this content in nearly all repositories, which are of SHA-1."""
    import hashlib

    return hashlib.new('sha1', b'blob %d\0' % len(data) + data, usedforsecurity=False).hexdigest()


def full_names(folder: str, revisions: Collection[str]) -> frozenset[str]:
    """The commits that these revisions mean.  Raises UserError for one that is none."""
    return frozenset(resolve(folder, one) for one in revisions)
