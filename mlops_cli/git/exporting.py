"""The files of a commit, written into a folder: as committed, and never outside it."""

from __future__ import annotations

import os
from collections.abc import Callable

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import check_component, inside
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.git.commits import Blobs, Content, Entry, entry_of
from mlops_cli.git.program import run
from mlops_cli.git.repository import resolve

_LINK_LENGTH = 4095
# The parts of .mlops that are records; the rest of it is this machine's own, whatever a commit says.
_RECORDS = (
    *(layout.CONFIG, layout.GITIGNORE, layout.STAGES, layout.DATA),
    *(layout.RUNS, layout.KEPT, layout.MODELS, layout.ACCEPTED),
)


def export(folder: str, commit: str, target: str, skip: Callable[[str], bool] = lambda _: False) -> tuple[str, ...]:
    """Writes what ``commit`` has below ``folder`` into the empty folder ``target``; the paths, relative to it, sorted.

    ``skip``: paths, relative to it, that are left out.
    Content is as committed: no filters, no conversion.  Left out are submodules, links that lead out, and what of ``.mlops``
    is no record.  Raises UserError where the commit or an object of it cannot be read, and (exit 5), before anything is
    written, for a commit with names that git itself would refuse to check out; OSError."""
    commit = resolve(folder, commit)
    listing = run(folder, ['ls-tree', '-r', '-z', commit])
    if listing is None:
        raise UserError(f'cannot read all of commit {commit[:12]}', hint='git fsck tells what is missing or damaged')
    entries = [entry for entry in map(entry_of, listing.split(b'\0')[:-1]) if _is_wanted(entry) and not skip(entry.path)]
    files = [entry for entry in entries if entry.mode != '120000']
    links = [entry for entry in entries if entry.mode == '120000']
    written: list[str] = []
    with Root(target) as root, Blobs(folder) as blobs:
        folders = {''}
        for entry in [*files, *links]:  # links last, so that nothing can be written through one
            with blobs.open(entry, commit) as content:
                if _write(root, entry, content, folders):
                    written.append(entry.path)
    return tuple(sorted(written))


def _is_wanted(entry: Entry) -> bool:
    """Raises UserError for a path that must not be written."""
    names = entry.path.split('/')
    if '' in names or '.' in names or '..' in names:
        raise _refuse(entry.path, 'contains an empty, . or .. component')
    for position, name in enumerate(names):
        if name == layout.ROOT:
            if position or not any(inside(entry.path, part) for part in _RECORDS):
                return False
            continue
        try:
            check_component(name)
        except ValueError as error:
            raise _refuse(entry.path, str(error)) from error
    return entry.mode in ('100644', '100755', '100664', '120000')


def _refuse(path: str, problem: str) -> UserError:
    return UserError(
        f'refused the commit: its path {path[:200]!r} {problem}',
        exit_code=ExitCode.REFUSED,
        hint='git would not check it out either: do not trust where it came from',
    )


def _write(root: Root, entry: Entry, content: Content, folders: set[str]) -> bool:
    """False for a link that is left out."""
    parent = entry.path.rpartition('/')[0]
    try:
        if entry.mode == '120000':
            to = os.fsdecode(b''.join(content.parts())) if content.size <= _LINK_LENGTH else '/'
            if not _stays_inside(to, entry.path.count('/')):
                return False
            root.makedirs(parent)
            with root.parent(entry.path) as (fd, name):
                ops.symlink(to, name, dir_fd=fd)
            return True
        if parent not in folders:
            root.makedirs(parent)
            folders.add(parent)
        with root.parent(entry.path) as (fd, name):
            file = ops.open_new(name, 0o755 if entry.mode == '100755' else 0o644, dir_fd=fd)
        try:
            for part in content.parts():
                ops.write(file, part)
        finally:
            os.close(file)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refuse(entry.path, 'is there already, perhaps in another case') from error
    return True


def _stays_inside(to: str, depth: int) -> bool:
    """Whether a link leads to something in the tree: relative, ``..`` in front alone and not too many, nothing reserved."""
    names = to.split('/')
    up = 0
    while names and names[0] in ('..', '.'):
        up += names.pop(0) == '..'
    if not to or up > depth or '..' in names or '\0' in to or names[:1] == ['']:
        return False
    try:
        for name in names:
            if name:
                check_component(name)
    except ValueError:
        return False
    return True
