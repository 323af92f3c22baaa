"""Keeps what explains a result: its manifest, and its code, parameter and pipeline files, as objects in the store."""

from __future__ import annotations

import os
from typing import Protocol

from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.stage import Describer, Draft
from mlops_cli.store import manifests
from mlops_cli.store.ingest import add_open_file
from mlops_cli.store.local import LocalStore
from mlops_cli.store.tree import build


class Keeper(Protocol):
    """As much of a session as keeping sources needs.  ``trees``: files -> the tree of them that is stored already."""

    @property
    def workspace(self) -> Workspace: ...
    @property
    def describer(self) -> Describer: ...
    @property
    def store(self) -> LocalStore: ...
    @property
    def trees(self) -> dict[tuple[tuple[str, ObjectRef], ...], ObjectRef]: ...


def keep_sources(session: Keeper, draft: Draft, manifest: Manifest) -> tuple[ObjectRef | None, manifests.Kept]:
    """(tree of the source files, manifest as a result keeps it).  Folders among the data are kept as their nodes only, so that
    a later difference can be told file by file.  Raises OSError, UserError."""
    kept: dict[str, ObjectRef] = {}
    files = dict.fromkeys([*draft.code, *session.describer.pipeline.files, *(ref.file for ref in draft.stage.params)])
    for path in files:
        ref = session.workspace.ref(path)
        if ref is None or ref.kind == 'tree':
            continue
        kept[path] = ref if session.store.freshen(ref.digest) else store_file(session, path)
    for path, ref in {**draft.inputs, **draft.elsewhere}.items():
        if ref.kind == 'tree' and not session.store.freshen(ref.digest):
            for node in session.workspace.nodes(path).values():
                session.store.add_bytes(node)
    short = manifests.is_short(manifest)
    described = manifests.rows_of(manifest) if short else session.store.add_bytes(manifests.encode(manifest))
    return (_tree(session, kept) if kept else None), described


def _tree(session: Keeper, kept: dict[str, ObjectRef]) -> ObjectRef:
    """The tree of some files.  Many stages of a run have the same: it is made once."""
    known = tuple(kept.items())
    if known not in session.trees:
        tree, nodes = build(kept)
        session.store.add_nodes(nodes.values())
        session.trees[known] = tree
    return session.trees[known]


def store_file(session: Keeper, path: str) -> ObjectRef:
    """Stores a file of the project as the workspace sees it: followed to where a link inside the project leads.

    Raises OSError, UserError."""
    source = session.workspace.open(path)
    try:
        return add_open_file(session.store, source, path, reflink='reflink' in session.store.links)[0]
    finally:
        os.close(source)

