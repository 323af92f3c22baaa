"""What hooks of git need to know: where they lie, what a commit is about to take in, what changed between two commits.

The only place where the user's own settings about hooks are read; everywhere else they are switched off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.git.commits import blobs, reading
from mlops_cli.git.program import environment, run

OWN_SCOPES = (b'local', b'worktree')


@dataclass(frozen=True, slots=True)
class Place:
    """``folder``: absolute path of the folder of hooks.  ``top``: of the worktree.  ``prefix``: where the project lies in
    it, '' at the top.  ``shared``: why the hooks there are not of this repository alone, '' where they are."""

    folder: str
    top: str
    prefix: str
    shared: str = ''


def place(folder: str) -> Place:
    """Of the repository around ``folder``.  Raises UserError outside one."""
    found = run(folder, ['rev-parse', '--show-toplevel', '--git-common-dir', '--show-prefix'])
    if found is None:
        raise UserError('this is not the worktree of a git repository, so it has no hooks', hint='git init')
    top, common, prefix = os.fsdecode(found).split('\n')[:3]
    common = os.path.normpath(os.path.join(folder, common))
    usual = os.path.join(common, 'hooks')
    settings = run(folder, ['config', '-z', '--show-scope', '--type=path', '--get-all', 'core.hooksPath'], accept=(0, 1)) or b''
    fields = settings.split(b'\0')
    own = [(scope, path) for scope, path in zip(fields[::2], fields[1::2], strict=False) if scope != b'command']
    scope, path = own[-1] if own else (OWN_SCOPES[0], b'')
    chosen = os.path.normpath(os.path.join(top, os.fsdecode(path))) if own else usual
    if scope not in OWN_SCOPES:
        return Place(chosen, top, prefix.rstrip('/'), f'core.hooksPath of the {os.fsdecode(scope)} settings is {chosen}')
    # Settings and links of a repository that somebody else put together may lead anywhere.
    real = os.path.realpath(chosen)
    inside = any(os.path.commonpath([real, os.path.realpath(one)]) == os.path.realpath(one) for one in (top, common))
    return Place(chosen, top, prefix.rstrip('/'), '' if inside else f'they are in {real}, outside of it')


def _with_index(environ: Mapping[str, str]) -> dict[str, str]:
    """A commit of some files only has an index of its own."""
    index = environ.get('GIT_INDEX_FILE')
    return environment() | ({'GIT_INDEX_FILE': index} if index else {})


def staged(folder: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Path, relative to ``folder``, -> git's name of the content, of files that the next commit adds or changes below it."""
    arguments = ['diff-index', '--cached', '--raw', '-z', '--no-renames', '--diff-filter=AM', '--full-index', '--relative']
    inside = _with_index(environ)
    base = 'HEAD' if run(folder, ['rev-parse', '-q', '--verify', 'HEAD']) is not None else _empty_tree(folder)
    fields = (run(folder, [*arguments, base, '--', '.'], environ=inside) or b'').split(b'\0')
    found = {}
    for facts, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, blob, _ = facts.decode().split()
        if mode.startswith('100'):
            found[os.fsdecode(path)] = blob
    return found


def _empty_tree(folder: str) -> str:
    return (run(folder, ['hash-object', '-t', 'tree', '--stdin']) or b'').decode().strip()


def sizes(folder: str, blobs: Sequence[str]) -> dict[str, int]:
    """Git's name of a content -> its bytes."""
    if not blobs:
        return {}
    feed = '\n'.join([*blobs, '']).encode()
    listed = (run(folder, ['cat-file', '--batch-check=%(objectname) %(objectsize)'], feed=feed) or b'').decode()
    rows = (line.split() for line in listed.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def not_staged(folder: str, paths: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Files below these paths that differ from the index, or are not in it and not ignored."""
    arguments = ['ls-files', '-z', '--others', '--modified', '--exclude-standard', '--', *paths]
    found = run(folder, ['--literal-pathspecs', *arguments], environ=_with_index(environ)) or b''
    return tuple(sorted({os.fsdecode(path) for path in found.split(b'\0') if path}))


def changed_between(folder: str, before: str, after: str, paths: Sequence[str]) -> dict[str, str]:
    """Path -> ``A``, ``M`` or ``D`` of files below these paths, from one commit to another."""
    arguments = ['diff-tree', '-r', '-z', '--name-status', '--no-renames', '--relative', before, after, '--', *paths]
    fields = (run(folder, arguments) or b'').split(b'\0')
    return {os.fsdecode(path): os.fsdecode(letter) for letter, path in zip(fields[::2], fields[1::2], strict=False)}


def brought_along(folder: str, commits: Sequence[str], remote: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Files below these paths that commits add or change which the remote is not known to have."""
    if remote and run(folder, ['check-ref-format', f'refs/remotes/{remote}/x']) is not None:
        known = f'--remotes={remote}'
    else:
        known = '--remotes'
    arguments = ['log', '--format=', '--name-only', '-z', '--relative', '--no-renames', '--diff-filter=AM', *commits]
    found = run(folder, [*arguments, '--not', known, '--', *paths]) or b''
    return tuple(sorted({os.fsdecode(path) for path in found.split(b'\0') if path}))


def held_by(folder: str, commits: Sequence[str], paths: Sequence[str], limit: int) -> dict[str, list[bytes]]:
    """Path -> what these commits have there; of larger files nothing, and of those that none has no entry."""
    found: dict[str, dict[str, None]] = {}
    for commit in commits if paths else ():
        for path, blob in (blobs(folder, commit, paths) or {}).items():
            found.setdefault(path, {})[blob] = None
    with reading(folder) as read:
        return {path: [data for blob in those if (data := read(blob, limit)) is not None] for path, those in found.items()}


def merge_base(folder: str, one: str, two: str) -> str:
    """The commit from which two went apart; empty where they have none in common here."""
    return (run(folder, ['merge-base', one, two], accept=(0, 1)) or b'').decode().strip()
