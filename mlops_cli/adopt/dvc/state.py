"""Whether DVC would find a stage up to date, by its own rules; and where not, why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.adopt.dvc import values
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.objects import Cache
from mlops_cli.adopt.dvc.reading import read
from mlops_cli.adopt.dvc.stages import Hash, Locked, Stage
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
            path = out.path.path
            known = lock.outs.get(path or out.path.written)
            if path is None:
                unseen.append(out.path.written)
            elif known is None or not known.value:
                reasons.append(f'{path}: nothing is recorded of it')
            elif not (found := self._hash(path, known.name, reasons)):
                absent.append(path)
            elif found != known.value:
                reasons.append(f'{path} differs from what is recorded')
        return State(tuple(reasons), tuple(absent), tuple(unseen))

    def _deps(self, stage: Stage, lock: Locked, unseen: list[str]) -> list[str]:
        reasons: list[str] = []
        for dep in stage.deps:
            known = lock.deps.get(dep.path or dep.written)
            if dep.path is None:
                unseen.append(dep.written)
            elif known is None or not known.value:
                reasons.append(f'{dep.path}: nothing is recorded of it')
            elif not (found := self._hash(dep.path, known.name, reasons)):
                if not self._covered(dep.path, known):
                    reasons.append(f'{dep.path} is missing')
            elif found != known.value:
                reasons.append(f'{dep.path} changed since')
        return reasons

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
                rows = self.cache.rows(self.recorded[above]) or []
                return dict(rows).get(path[len(above) + 1 :]) == known.value
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
                found.append(f'{name} is gone')
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
