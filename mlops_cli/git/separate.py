"""A commit laid out as a repository of its own: a worktree that the repository it comes from knows nothing of.

``git worktree`` would write into the user's ``.git``, run its hooks and filters, and stay listed there after a kill.  Here the
objects are borrowed (``objects/info/alternates``), so nothing is copied, and all of it is gone with the folder."""

from __future__ import annotations

import os

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.git.exporting import export
from mlops_cli.git.program import run

_REFS = ('refs/heads', 'refs/tags', 'refs/remotes')


def lay_out(folder: str, commit: str, target: str) -> str:
    """Fills the empty folder ``target`` with all of a commit, detached and clean, with the history and the names of the
    repository; where ``folder`` is in it, relative, '' at the top.

    Raises UserError as ``export`` does, and for a repository that cannot be borrowed from; OSError."""
    top, prefix = _asked(folder, '--show-toplevel'), _asked(folder, '--show-prefix').rstrip('/')
    objects = os.path.join(folder, _asked(folder, '--git-path', 'objects'))
    if '\n' in objects:
        raise UserError('the path of this repository has a line break in it', hint='git cannot borrow from it: move it')
    form = f'--object-format={_asked(folder, "--show-object-format") or "sha1"}'
    if run(target, ['init', '-q', '--template=', form, '.']) is None:
        raise UserError('git could not make a repository', hint='mlops doctor tells more', exit_code=ExitCode.MACHINE)
    with Root(target) as root:
        root.makedirs('.git/objects/info')
        quoted = os.path.realpath(objects)
        write_file(root, '.git/objects/info/alternates', os.fsencode(quoted) + b'\n', durable=False)
        listed = (run(folder, ['for-each-ref', '--format=%(objectname) %(refname)', *_REFS]) or b'').splitlines()
        write_file(root, '.git/packed-refs', b'\n'.join([*sorted(listed, key=_name), b'']), durable=False)
        write_file(root, '.git/HEAD', commit.encode() + b'\n', durable=False)
        _share_depth(folder, root)
        if prefix:
            root.makedirs(prefix)
    if prefix:
        export(top, commit, target, skip=lambda path: path.startswith(f'{prefix}/'))
    export(folder, commit, os.path.join(target, prefix) if prefix else target)
    if run(target, ['read-tree', commit]) is not None:
        run(target, ['update-index', '-q', '--refresh'], accept=(0, 1))  # so that it looks as clean as it is
    return prefix


def _asked(folder: str, *arguments: str) -> str:
    """Raises UserError where git has no answer."""
    found = run(folder, ['rev-parse', *arguments])
    if found is None:
        raise UserError(f'git has no answer in {folder}', hint='mlops doctor tells more')
    return os.fsdecode(found.removesuffix(b'\n'))


def _name(line: bytes) -> bytes:
    return line.partition(b' ')[2]


def _share_depth(folder: str, root: Root) -> None:
    """A shallow clone ends somewhere; so does what borrows from it."""
    try:
        with open(os.path.join(folder, _asked(folder, '--git-path', 'shallow')), 'rb') as file:
            write_file(root, '.git/shallow', file.read(), durable=False)
    except FileNotFoundError:
        pass
