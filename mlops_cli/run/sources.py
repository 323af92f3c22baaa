"""Keeps what explains a result: its manifest, and its code, parameter and pipeline files, as objects in the store."""

from __future__ import annotations

import json

from mlops_cli.core.canonical import document
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.run.session import Session
from mlops_cli.store.tree import build

MANIFEST_SCHEMA = 'mlops/manifest/v1'


def manifest_document(manifest: Manifest) -> bytes:
    """The full manifest as a JSON document: ``[kind, name, digest]`` or with its value as fourth item."""
    rows = [[e.kind, e.name, str(e.digest), *([] if e.value is None else [json.loads(e.value)])] for e in manifest.entries]
    return document({'schema': MANIFEST_SCHEMA, 'key': str(manifest.digest), 'entries': rows})


def keep_sources(session: Session, draft: Draft, manifest: Manifest) -> tuple[ObjectRef | None, ObjectRef]:
    """(tree of the source files, manifest document).  Folders among the data are kept as their nodes only, so that a later
    difference can be told file by file.  Raises OSError, UserError."""
    kept: dict[str, ObjectRef] = {}
    files = dict.fromkeys([*draft.code, *session.describer.pipeline.files, *(ref.file for ref in draft.stage.params)])
    for path in files:
        ref = session.workspace.ref(path)
        if ref is None or ref.kind == 'tree':
            continue
        if not session.store.has([ref.digest]):
            ref = session.store.add_file(session.root, path)
        kept[path] = ref
    for path, ref in {**draft.inputs, **draft.elsewhere}.items():
        if ref.kind == 'tree' and not session.store.has([ref.digest]):
            for node in session.workspace.nodes(path).values():
                session.store.add_bytes(node)
    described = session.store.add_bytes(manifest_document(manifest))
    if not kept:
        return None, described
    tree, nodes = build(kept)
    for node in nodes.values():
        session.store.add_bytes(node)
    return tree, described
