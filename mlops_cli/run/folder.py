"""A folder of an attempt's own (``isolate: folder``, and every trial): the declared inputs and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlops_cli.core import layout
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.params import render_file
from mlops_cli.fingerprint.stage import Draft, read_file
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.run.session import Session


def build(session: Session, own: str, draft: Draft, inputs: Mapping[str, ObjectRef]) -> None:
    """Fills the folder: what other stages made, data, code, and parameter files with the overlay written in.

    Raises OSError, UserError, MissingObject, Damaged."""
    stage = draft.stage
    session.root.remove_tree(own)
    session.root.makedirs(own, mode=0o700)
    parameters = {ref.file for ref in stage.params} | {file for file, _ in session.overlay}
    for path, ref in {**draft.inputs, **draft.elsewhere, **inputs}.items():
        if path not in parameters:
            _bring(session, own, path, ref)
    for file in sorted(parameters | set(session.describer.pipeline.files)):
        data = read_file(session.workspace, file) if session.workspace.ref(file) is not None else b''
        changes = {key: value for (overlaid, key), value in session.overlay.items() if overlaid == file}
        if data or changes:
            _parents(session, f'{own}/{file}')
            write_file(session.root, f'{own}/{file}', render_file(file, data, changes) if changes else data)
    for output in stage.outputs:
        _parents(session, f'{own}/{output.path}')
    for path in stage.caches:
        _share(session, own, path)
    session.root.makedirs(f'{own}/{stage.wdir}' if stage.wdir != '.' else own)


def _parents(session: Session, path: str) -> None:
    session.root.makedirs(path.rpartition('/')[0])


def _share(session: Session, own: str, path: str) -> None:
    """What a stage caches for itself is one for all its attempts: a link to the project's."""
    session.root.makedirs(path)
    _parents(session, f'{own}/{path}')
    with session.root.parent(f'{own}/{path}') as (folder, name):
        ops.symlink(session.root.full(path), name, dir_fd=folder)


def _bring(session: Session, own: str, path: str, ref: ObjectRef) -> None:
    """From the store; what is only in the workspace (data that git keeps) is stored first."""
    if not session.stored((ref,)):
        session.store.add_path(session.root, path, known=session.known)
    _parents(session, f'{own}/{path}')
    session.store.materialise(ref, session.root, f'{own}/{path}')


def python_path(session: Session, own: str, inherited: str) -> str:
    """PYTHONPATH with the folder's copies before the project's own folders."""
    base, project = os.path.join(session.root.path, own), session.root.path
    moved = [
        os.path.join(base, os.path.relpath(part, project)) if _inside(part, project) else part
        for part in inherited.split(os.pathsep)
        if part
    ]
    editable = [os.path.join(base, 'src')] if os.path.isdir(os.path.join(base, 'src')) else []
    return os.pathsep.join(dict.fromkeys([*moved, *editable]))


def _inside(path: str, folder: str) -> bool:
    return os.path.isabs(path) and os.path.commonpath([path, folder]) == folder


def keep_failed(session: Session, attempt: str, own: str, stage: str) -> None:
    """What a failed attempt made stays where it can be looked at.  Raises OSError."""
    target = f'{layout.FAILED}/{session.run}/{stage.replace("/", "-")}'
    session.root.makedirs(target.rpartition('/')[0], mode=0o700)
    if session.root.stat(target) is None:
        session.root.rename(own, target)
    session.root.remove_tree(f'{layout.WORK}/{attempt}')
