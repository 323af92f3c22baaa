"""A folder of an attempt's own (``isolate: folder``, and every trial): the declared inputs and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.digest import Digest
from mlops_cli.core.paths import ancestors
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import pack, record_ref
from mlops_cli.fingerprint.holes import matching, part_of
from mlops_cli.fingerprint.params import MISSING, render_file
from mlops_cli.fingerprint.stage import Draft, read_file
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.run import aside
from mlops_cli.run.session import Session
from mlops_cli.run.sources import store_file
from mlops_cli.store.ingest import Added
from mlops_cli.store.tree import walk


class Known:
    """What was placed in a folder that is nobody else's: it need not be read again."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, ObjectRef]] = {}
        self._records: dict[str, dict[str, bytes]] = {}

    def take(self, added: Added) -> None:
        self._files.update({path: (pack(facts), ref) for path, facts, ref in added.files})
        self._records.update(added.records)

    def __call__(self, path: str, facts: os.stat_result) -> ObjectRef | None:
        """As the store asks; None where it is not as it was placed."""
        state = pack(facts)
        if path in self._files:
            found, ref = self._files[path]
            return ref if found == state else None
        folder, _, name = path.rpartition('/')
        record = self._records.get(folder, {}).get(name)
        return record_ref(record) if record is not None and record.startswith(state) else None


def build(session: Session, own: str, draft: Draft, inputs: Mapping[str, ObjectRef], *, caches: bool = True) -> Known:
    """Fills the folder: what other stages made, data, code, the declared parameters' files with the overlay written in, and
    links to what it ``caches`` for itself.

    Raises OSError, UserError, MissingObject, Damaged."""
    stage = draft.stage
    session.root.remove_tree(own)
    session.root.makedirs(own, mode=0o700)
    known = Known()
    parameters = {ref.file for ref in stage.params if session.describer.maker_of(ref.file) is None}
    for path, ref in inputs.items():
        _keep(session, path, ref, session.workspace.nodes, ignore=False)
    for path, ref in {**draft.inputs, **draft.elsewhere}.items():
        _keep(session, path, ref, lambda path, ignore: {**session.workspace.nodes(path, ignore=ignore), **draft.nodes})
    wanted = {**draft.inputs, **draft.elsewhere, **dict(_declared(session, draft, inputs))}
    for path in _outermost(wanted):
        if path not in parameters:
            _parents(session, f'{own}/{path}')
            known.take(session.store.materialise(wanted[path], session.root, f'{own}/{path}'))
    _links(session, own, draft)
    for file in sorted(parameters):
        _parameters(session, own, file, [ref.key for ref in stage.params if ref.file == file])
    for output in stage.outputs:
        _parents(session, f'{own}/{output.path}')
        if output.persist and session.root.stat(output.path) is not None:
            added = session.store.add_path(session.root, output.path, known=session.known)
            session.store.materialise(added.ref, session.root, f'{own}/{output.path}')
    if stage.progress:
        _parents(session, f'{own}/{stage.progress}')
    for path in stage.caches if caches else ():
        _share(session, own, path)
    session.root.makedirs(f'{own}/{stage.wdir}' if stage.wdir != '.' else own)
    return known


def _declared(session: Session, draft: Draft, inputs: Mapping[str, ObjectRef]) -> Iterator[tuple[str, ObjectRef]]:
    """What the stage declares of what other stages made, and no more."""
    for hole in draft.holes:
        ref = inputs[hole.output]
        if hole.pattern:
            yield from matching(hole, ref, session.store.read)
        elif (part := part_of(ref, hole.subpath, session.store.read)) is not None:
            yield hole.path, part


def _outermost(paths: Iterable[str]) -> list[str]:
    """Those that lie in none of the others: what is declared twice is brought once."""
    known = set(paths)
    return sorted(path for path in known if known.isdisjoint(ancestors(path)))


def _links(session: Session, own: str, draft: Draft) -> None:
    """Links through which code was found, where what they lead to is there too."""
    base = session.root.full(own)
    for folder in draft.found.folders if draft.found is not None else ():
        for entry in session.root.scandir(folder):
            path = entry.name if folder == '.' else f'{folder}/{entry.name}'
            if not entry.is_symlink() or session.root.stat(f'{own}/{path}') is not None:
                continue
            target = session.root.readlink(path)
            leads_to = os.path.normpath(os.path.join(base, folder, target))
            if not os.path.isabs(target) and leads_to.startswith(base + '/') and os.path.exists(leads_to):
                _parents(session, f'{own}/{path}')
                with session.root.parent(f'{own}/{path}') as (parent, name):
                    ops.symlink(target, name, dir_fd=parent)


def _parents(session: Session, path: str) -> None:
    session.root.makedirs(path.rpartition('/')[0])


def _parameters(session: Session, own: str, file: str, declared: list[str | None]) -> None:
    """A parameter file as the workspace has it, with the overlay in what the stage declares: what it reads beyond that is no
    part of its key, so a trial must not change it."""
    data = read_file(session.workspace, file) if session.workspace.ref(file) is not None else b''
    changes = declared_changes(session, file, declared)
    if data or changes:
        _parents(session, f'{own}/{file}')
        write_file(session.root, f'{own}/{file}', render_file(file, data, changes) if changes else data)


def declared_changes(session: Session, file: str, declared: list[str | None]) -> dict[str, Any]:
    """Key -> value of the overlay, as far as it touches declared keys (None: all of the file)."""
    changes: dict[str, Any] = {}
    for (overlaid, key), value in session.overlay.items():
        plain = key.removeprefix('+')
        if overlaid != file:
            continue
        if any(name is None or plain == name or plain.startswith(f'{name}.') for name in declared):
            changes[key] = value
            continue
        for name in declared:  # a mapping was set, of which only a part is declared
            if name is not None and name.startswith(f'{plain}.'):
                below = session.describer.params.value(file, name)
                changes |= {f'+{name}': below} if below is not MISSING else {key: value}
    return changes


def _share(session: Session, own: str, path: str) -> None:
    """What a stage caches for itself is one for all its attempts: a link to the project's."""
    session.root.makedirs(path)
    _parents(session, f'{own}/{path}')
    with session.root.parent(f'{own}/{path}') as (folder, name):
        ops.symlink(session.root.full(path), name, dir_fd=folder)


def _keep(
    session: Session, path: str, ref: ObjectRef, nodes: Callable[..., Mapping[Digest, bytes]], *, ignore: bool = True
) -> None:
    """Stores an input that is only in the workspace (data that git keeps), as its key has it: without what is ignored, and
    links that leave it by what they lead to.  ``nodes``: of a folder."""
    if session.stored((ref,)):
        return
    if ref.kind != 'tree':
        store_file(session, path)
        return
    known = nodes(path, ignore=ignore)

    def read(digest: Digest) -> bytes:
        return known[digest] if digest in known else session.store.read(digest)

    for name, entry in walk(ref, read):
        if entry.kind in ('file', 'exec') and entry.digest is not None and not session.store.has([entry.digest]):
            store_file(session, f'{path}/{name}')
    session.store.add_nodes(known.values())


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


def python_path_there(session: Session, own: str, inherited: str) -> str:
    """The same for another machine: folders of the project, relative to it; what else is here is not there."""
    project = session.root.path
    moved = [os.path.relpath(part, project) for part in inherited.split(os.pathsep) if part and _inside(part, project)]
    editable = ['src'] if os.path.isdir(os.path.join(project, own, 'src')) else []
    return os.pathsep.join(dict.fromkeys([*moved, *editable]))


def _inside(path: str, folder: str) -> bool:
    return os.path.isabs(path) and os.path.commonpath([path, folder]) == folder


def keep_failed(session: Session, attempt: str, own: str, stage: str, outputs: Iterable[str]) -> tuple[str, ...]:
    """What a failed attempt made stays where it can be looked at; the paths that were kept.  Raises OSError, UserError."""
    there = [path for path in outputs if session.root.stat(f'{own}/{path}') is not None]
    for path in there:
        aside.keep(session.root, aside.failed_folder(session.run, stage), path, f'{own}/{path}')
    session.root.remove_tree(f'{layout.WORK}/{attempt}')
    return tuple(there)
