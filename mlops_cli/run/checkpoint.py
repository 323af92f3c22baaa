"""Checkpoints: a folder per key that survives a kill, is empty for a new key, and is gone after success.

It lies under ``.mlops/local/checkpoints``; where the stage declares it stands a symbolic link to it, so that nothing has to be
moved when the machine dies.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mlops_cli.core import layout
from mlops_cli.core.digest import Digest
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside

if TYPE_CHECKING:
    from mlops_cli.core.job import Lasting
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.run.session import Session


def folder_of(key: Digest) -> str:
    """Project-relative path of the folder that belongs to a key."""
    return f'{layout.CHECKPOINTS}/{key.hex[:32]}'


def lend(session: Session, key: Digest, path: str, stage: str) -> str:
    """Makes the folder and links ``path`` (project-relative, or in the attempt's own folder) to it; its absolute path.

    What stands at ``path`` and is no link of ours is kept under ``.mlops/local/rescue``.  Raises OSError."""
    folder = folder_of(key)
    session.root.makedirs(folder, mode=0o700)
    drop_link(session.root, path)
    if session.root.stat(path) is not None:
        kept = aside.keep(session.root, f'{layout.RESCUE}/{session.run}', path, path)
        session.note(f'what stood where its checkpoint goes was kept: {kept}', stage)
    if parent := path.rpartition('/')[0]:
        session.root.makedirs(parent)
    target = session.root.full(folder)
    with session.root.parent(path) as (parent_fd, name):
        ops.symlink(target, name, dir_fd=parent_fd)
    return target


def known(session: Session, key: Digest, path: str) -> Lasting:
    """As a host is to have it, with what is here of it; that is in the store.  Raises OSError, UserError."""
    from mlops_cli.core.job import Lasting  # who only cleans up needs no jobs

    folder = folder_of(key)
    ref = None
    if session.root.stat(folder) is not None and any(session.root.scandir(folder)):
        ref = session.store.add_path(session.root, folder).ref
    return Lasting(path, key.hex[:32], ref)


def bring(session: Session, key: Digest, ref: ObjectRef) -> None:
    """What a host has of it, to go on from here or on another one.  Raises MissingObject, Damaged, OSError, UserError."""
    session.root.makedirs(layout.CHECKPOINTS, mode=0o700)
    session.store.materialise(ref, session.root, folder_of(key), links=('reflink', 'copy'), replace=True)


def take_back(session: Session, key: Digest, path: str, *, succeeded: bool) -> None:
    """Removes the link, and after success the folder too.  Idempotent.  Raises OSError."""
    drop_link(session.root, path)
    if succeeded:
        session.root.remove_tree(folder_of(key))


def drop_link(root: Root, path: str) -> None:
    """Removes the link that an attempt stood at ``path``; anything else stays.  Idempotent.  Raises OSError, UserError."""
    status = root.stat(path)
    if status is None or not stat.S_ISLNK(status.st_mode):
        return
    if root.readlink(path).startswith(root.full(layout.CHECKPOINTS) + '/'):
        with root.parent(path) as (parent, name):
            ops.unlink(name, dir_fd=parent)
