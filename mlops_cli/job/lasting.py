"""Folders on a host that outlive a job: checkpoints, until one has succeeded, and caches (docs/formats/host.md)."""
from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlops_cli.core.job import Lasting
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.transfer import Told, fetch, push

CHECKPOINTS, CACHES = 'checkpoints-v1', 'caches-v1'
KNOWN = '.known'  # beside a checkpoint: the digest of what who asks for the job has of it
KEPT_SECONDS = 90 * 86400.0  # a checkpoint that no job had in so long is gone


def to_json(one: Lasting) -> list[Any]:
    return [one.name, one.path, *(one.ref.to_json() if one.ref is not None else ())]


def from_json(found: Any) -> Lasting:
    """Raises ValueError, TypeError for what is none."""
    name, path, *ref = found
    if len(name) != 32 or not set(name) <= set('0123456789abcdef'):
        raise ValueError('no name of a folder')
    return Lasting(str(path), name, ObjectRef.from_json(ref) if ref else None)


class Checkpoint:
    """Of one job.  ``root``: the host's folder."""

    def __init__(self, root: Root, store: LocalStore, depot: Depot, one: Lasting) -> None:
        self._root, self._store, self._depot, self._one = root, store, depot, one
        self._folder = f'{CHECKPOINTS}/{one.name}'

    def lend(self, project: str) -> str:
        """Links it into the job's folder; its absolute path.  What is there goes on, unless who asks for the job has something
        else: then it was made later, elsewhere.  Raises OSError, UserError, MissingObject, Damaged."""
        ref = self._one.ref
        if ref is not None and (not self._has() or self._known() != str(ref.digest)):
            told = Told()
            fetch(self._store, self._depot, [('', ref)], told)
            if not told.missing:
                self._root.makedirs(CHECKPOINTS, mode=0o700)
                self._store.materialise(ref, self._root, self._folder, links=('reflink', 'copy'), replace=True)
                self._note(ref)
        return link(self._root, self._folder, f'{project}/{self._one.path}')

    def keep(self) -> ObjectRef | None:
        """What a job that came to nothing leaves, in the bucket; None where that is nothing.  Raises OSError, UserError."""
        if not self._has():
            return None
        ref = self._store.add_path(self._root, self._folder).ref
        self._store.batch.flush()
        push(self._store, self._depot, [('', ref)], Told())
        self._note(ref)
        return ref

    def drop(self) -> None:
        """It has succeeded.  Raises OSError, UserError."""
        self._root.remove_tree(self._folder)
        self._root.remove_tree(self._folder + KNOWN)

    def _has(self) -> bool:
        return self._root.stat(self._folder) is not None and any(self._root.scandir(self._folder))

    def _known(self) -> str:
        try:
            return read_file(self._root, self._folder + KNOWN, 1000).decode(errors='replace')
        except FileNotFoundError:
            return ''

    def _note(self, ref: ObjectRef) -> None:
        write_file(self._root, self._folder + KNOWN, str(ref.digest).encode(), 0o600)


def link(root: Root, folder: str, path: str) -> str:
    """Makes a folder, and a link to it at a path; its absolute path.  Raises OSError, UserError."""
    root.makedirs(folder, mode=0o700)
    root.remove_tree(path)
    root.makedirs(path.rpartition('/')[0], mode=0o700)
    target = root.full(folder)
    with root.parent(path) as (parent, name):
        ops.symlink(target, name, dir_fd=parent)
    with root.parent(folder) as (parent, name):  # it is in use
        ops.utime(name, dir_fd=parent)
    return target


def share(root: Root, project: str, spec: Mapping[str, Any]) -> None:
    """Links what its kind of jobs caches into a job's folder.  Raises OSError, UserError."""
    for found in spec.get('caches') or ():
        one = from_json(found)
        link(root, f'{CACHES}/{one.name}', f'{project}/{one.path}')


def sweep(root: Root) -> None:
    """Checkpoints that nobody had in a long time.  Only where no job runs."""
    with suppress(OSError):
        for entry in root.scandir(CHECKPOINTS, stats=True):
            if not entry.name.endswith(KNOWN) and entry.stat().st_mtime < time.time() - KEPT_SECONDS:
                root.remove_tree(f'{CHECKPOINTS}/{entry.name}')
                root.remove_tree(f'{CHECKPOINTS}/{entry.name}{KNOWN}')
