"""Data that is recorded in place (``mlops import --in-place``): its digests are known, its files lie in the workspace alone,
and a push reads them there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.records import data
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.ingest import same_state
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.shelf import read_all
from mlops_cli.store.tree import walk


def recorded(bench: Workbench, record: data.Record) -> data.Record:
    """The record of what is at its path now.  Its files are read, as far as the index does not know them, and stay where they
    are; what names them in folders goes to the store.  Raises UserError, OSError."""
    ref = bench.workspace.ref(record.path)
    assert ref is not None
    if ref.kind == 'tree':
        nodes = bench.workspace.nodes(record.path)
        ref = bench.workspace.ref(record.path) or ref  # what these are the nodes of
        bench.store.add_nodes(nodes.values())
    return replace(record, ref=ref, in_place=True)


class InPlace:
    """As much of a store as a push asks: what is not in the store is read where it lies, and only what still hashes to its
    name is sent."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._store = bench, bench.store
        self._records = [record for record in data.records(bench.root).values() if record.in_place]
        self._known: dict[Digest, str] | None = None
        self._lock = threading.Lock()

    def read(self, digest: Digest) -> bytes:
        """As a store's."""
        try:
            return self._store.read(digest)
        except MissingObject:
            fd, facts = self._there(digest)
        try:
            found = read_all(fd, facts.st_size)
        finally:
            os.close(fd)
        if digest_of(found) != digest:
            raise Damaged(digest, 'it changed since it was recorded')
        return found

    def open(self, digest: Digest) -> tuple[int, os.stat_result]:
        """As a store's: not verified yet."""
        try:
            return self._store.open(digest)
        except MissingObject:
            return self._there(digest)

    def quarantine(self, digest: Digest, problem: str) -> Damaged:
        """What lies in the workspace is a person's, and stays."""
        return self._store.quarantine(digest, problem) if self._store.has([digest]) else Damaged(digest, problem)

    def rewritten(self, fd: int, before: os.stat_result) -> bool:
        """Whether what :meth:`open` gave was written to meanwhile."""
        return not same_state(before, ops.fstat(fd))

    def _there(self, digest: Digest) -> tuple[int, os.stat_result]:
        path = self._places.get(digest)
        if path is None:
            raise MissingObject(digest)
        try:
            fd = self._bench.workspace.open(path)
        except (OSError, UserError):
            raise MissingObject(digest) from None
        return fd, ops.fstat(fd)

    @property
    def _places(self) -> dict[Digest, str]:
        """Content -> where in the workspace it is recorded to be."""
        with self._lock:  # a push asks from several threads: none may see a part of it
            if self._known is None:
                known: dict[Digest, str] = {}
                for record in self._records:
                    for path, ref in _files(record.path, record.ref, self._store):
                        known.setdefault(ref.digest, path)
                self._known = known
            return self._known


def _files(path: str, ref: ObjectRef, store: LocalStore) -> Iterator[tuple[str, ObjectRef]]:
    if ref.kind != 'tree':
        yield path, ref
        return
    try:
        for name, entry in walk(ref, store.read):
            if entry.kind in ('file', 'exec'):
                yield f'{path}/{name}', entry.ref
    except (MissingObject, Damaged):
        return  # what a folder held is not known here
