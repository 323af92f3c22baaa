"""Paths of a DVC project through symbolic links.  DVC follows any; here a path has no link above it, and none leads out."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Protocol, TypeVar

from mlops_cli.adopt.dvc.stages import File, Locked, Path, Stage, Tracked
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root

T = TypeVar('T')
OUT = 'out of the project, by a symbolic link'


class Everything(Protocol):
    root: Root
    files: list[File]
    tracked: list[Tracked]


def settle(project: Everything) -> None:
    """Names each path as it is reached without links above it; one that a link leads out of the project lies elsewhere.  Of
    an output the last link stays: it may be one into DVC's cache.  Raises UserError."""
    links = _Links(project.root)
    placed = {out.path.path for file in project.files for stage in file.stages for out in stage.outs}
    for number, file in enumerate(project.files):
        stages = {stage.key: _stage(links, stage, placed) for stage in file.stages}
        if all(stages[stage.key] is stage for stage in file.stages):
            continue
        groups = {name: tuple(stages[stage.key] for stage in some) for name, some in file.groups.items()}
        locks = {key: _lock(links, lock) for key, lock in file.locks.items()}
        project.files[number] = replace(file, stages=tuple(stages.values()), groups=groups, locks=locks)
    for number, one in enumerate(project.tracked):
        project.tracked[number] = replace(one, path=links.path(one.path))


def _stage(links: _Links, stage: Stage, placed: set[str | None]) -> Stage:
    """The same object where nothing is behind a link."""
    deps = tuple(links.path(dep, last=dep.path not in placed) for dep in stage.deps)
    params = tuple(replace(one, file=links.path(one.file)) for one in stage.params)
    outs = tuple(replace(one, path=links.path(one.path)) for one in stage.outs)
    wdir = links.folder('' if stage.wdir == '.' else stage.wdir)
    if wdir is None:
        raise UserError(f'stage {stage.name}: its wdir {stage.wdir} lies {OUT}', where=stage.where)
    found = replace(stage, deps=deps, params=params, outs=outs, wdir=wdir or '.')
    return stage if found == stage else found


def _lock(links: _Links, lock: Locked) -> Locked:
    return replace(lock, deps=links.keys(lock.deps), outs=links.keys(lock.outs), params=links.keys(lock.params))


class _Links:
    """Each folder is looked at once."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.top = os.path.join(os.path.realpath(root.path), '')
        self._known: dict[str, str | None] = {'': ''}

    def folder(self, rel: str) -> str | None:
        """Where a folder really lies; None for what lies out of the project."""
        if rel not in self._known:
            above, name = posixpath.split(rel)
            parent = self.folder(above)
            self._known[rel] = None if parent is None else self._inside(posixpath.join(parent, name))
        return self._known[rel]

    def _inside(self, rel: str) -> str | None:
        full = self.root.full(rel)
        if not os.path.islink(full):
            return rel
        target = os.path.realpath(full)
        return target[len(self.top) :] if target.startswith(self.top) else None

    def path(self, path: Path, *, last: bool = False) -> Path:
        """``last``: a link that the path itself is counts, too."""
        if path.path is None:
            return path
        above, name = posixpath.split(path.path)
        parent = self.folder(above)
        found = None if parent is None else posixpath.join(parent, name)
        if found is None or (last and self._inside(found) is None):
            return Path(path.written, None, OUT, posixpath.join(self.root.path, path.path))
        return path if found == path.path else replace(path, path=found)

    def keys(self, found: Mapping[str, T]) -> dict[str, T]:
        return {self.path(Path(key, key)).path or key if '://' not in key and not key.startswith('/') else key: value
                for key, value in found.items()}  # fmt: skip
