"""Whether DVC would find a stage up to date, by its own rules; and where not, why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlops_cli.adopt.dvc import values
from mlops_cli.adopt.dvc.hashes import Hashes, folder_md5
from mlops_cli.adopt.dvc.links import OUT
from mlops_cli.adopt.dvc.objects import Cache
from mlops_cli.adopt.dvc.reading import read
from mlops_cli.adopt.dvc.stages import Hash, Locked, Path, Stage
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root


@dataclass(frozen=True)
class State:
    """``reasons``: why it is not up to date; empty where it is.  ``absent``: outputs that are recorded and not in the
    workspace.  ``unseen``: dependencies elsewhere, which were not looked at."""

    reasons: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.reasons


class Judge:
    """``recorded``: path -> what DVC records of it, for all outputs and tracked data: an input that is not in the workspace
    counts as that."""

    def __init__(self, root: Root, hashes: Hashes, cache: Cache, recorded: Mapping[str, Hash]) -> None:
        self.root, self.hashes, self.cache, self.recorded = root, hashes, cache, recorded
        self._params: dict[str, Any] = {}

    def state(self, stage: Stage, lock: Locked | None) -> State:
        if lock is None:
            return State(('DVC has recorded no run of it',))
        reasons: list[str] = []
        unseen: list[str] = []
        if stage.callback:
            reasons.append('it has neither dependencies nor outputs, so it always runs')
        elif stage.always_changed:
            reasons.append('always_changed')
        if lock.cmd != stage.cmd:
            reasons.append('the command changed since')
        if not stage.frozen:
            reasons += self._deps(stage, lock, unseen)
            for param in stage.params:
                if param.file.path is not None:
                    reasons += self._param(param.file.path, param.keys, lock.params.get(param.file.path))
        absent: list[str] = []
        for out in stage.outs:
            path = self._inside(out.path)
            known = lock.outs.get(path or out.path.written)
            if path is None:
                unseen.append(out.path.written)
                reasons += _gone(out.path)
            elif known is None or not known.value:
                reasons.append(f'{path}: nothing is recorded of it')
            elif not (found := self._hash(path, known.name, reasons)):
                absent.append(path)
                if out.path.path is None:
                    reasons.append(f'{path} is missing')
            elif found != known.value:
                reasons.append(f'{path} differs from what is recorded')
        return State(tuple(reasons), tuple(absent), tuple(unseen))

    def _deps(self, stage: Stage, lock: Locked, unseen: list[str]) -> list[str]:
        reasons: list[str] = []
        for dep in stage.deps:
            path = self._inside(dep)
            known = lock.deps.get(path or dep.written)
            if path is None:
                unseen.append(dep.written)
                reasons += _gone(dep)
            elif known is None or not known.value:
                reasons.append(f'{path}: nothing is recorded of it')
            elif not (found := self._hash(path, known.name, reasons)):
                if not self._covered(path, known):
                    reasons.append(f'{path} is missing')
            elif found != known.value:
                reasons.append(f'{path} changed since')
        return reasons

    def _inside(self, path: Path) -> str | None:
        """A path in the project, also one that nothing here can be named by: with a backslash, to DVC a sign like others."""
        if path.path is None and path.elsewhere != OUT and path.far.startswith(f'{self.root.path}/'):
            return path.far[len(self.root.path) + 1 :]
        return path.path

    def _hash(self, path: str, name: str, reasons: list[str]) -> str:
        try:
            return self.hashes.of(path, name)
        except UserError as error:
            reasons.append(error.message)
            return ''

    def _covered(self, path: str, known: Hash) -> bool:
        """Whether what is recorded of a missing input is what its maker, or its .dvc file, says."""
        if path in self.recorded:
            return self.recorded[path].value == known.value
        above = path
        while above := above.rpartition('/')[0]:
            if above in self.recorded:
                rows, below = self.cache.rows(self.recorded[above]) or [], path[len(above) + 1 :]
                if known.is_folder:
                    inner = [(rel[len(below) + 1 :], md5) for rel, md5 in rows if rel.startswith(f'{below}/')]
                    return folder_md5(inner) == known.value
                return dict(rows).get(below) == known.value
        return False

    def _param(self, file: str, keys: tuple[str, ...], known: Mapping[str, Any] | None) -> list[str]:
        if known is None:
            return [f'{file}: nothing is recorded of it']
        actual = self._values(file)
        if actual is None:
            return [f'{file} is missing']
        found: list[str] = []
        for key in keys or dict.fromkeys([*actual, *known]):
            there, value = values.lookup(actual, key) if keys else (key in actual, actual.get(key))
            name = f'{file}:{key}'
            if not there:
                found.append(f'{name} is no single value' if values.is_pattern(key) else f'{name} is gone')
            elif key not in known:
                found.append(f'{name} is new')
            elif value != known[key] and not (isinstance(value, tuple) and list(value) == known[key]):
                found.append(f'{name} changed since')
        return found

    def _values(self, file: str) -> Any:
        if file not in self._params:
            try:
                self._params[file] = values.read(read(self.root, file, values.SIZE_LIMIT), file)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._params[file] = None
            except UserError as error:
                raise UserError(f'{file}: {error.message}', where=error.where, hint=error.hint) from None
        return self._params[file]


def _gone(path: Path) -> list[str]:
    """Whether what lies outside the project is still there; what it holds is not looked at."""
    return [] if not path.far.startswith('/') or os.path.lexists(path.far) else [f'{path.written} is missing']
