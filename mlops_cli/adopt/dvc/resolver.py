"""A dvc.yaml with its templates, foreach and matrix resolved: the stages that DVC makes of it, by the names it gives them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from mlops_cli.adopt.dvc.context import (
    Context,
    Node,
    check_references,
    has_reference,
    is_composite,
    name_text,
    plain,
    to_text,
)
from mlops_cli.adopt.dvc.yaml12 import Loaded
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.scalars import kind

PARAMS = 'params.yaml'
INSTANCES_LIMIT = 100_000  # of one stage
Load = Callable[[str, str], tuple[str, Any] | None]
Path = tuple[Any, ...]


@dataclass(frozen=True)
class Resolved:
    """``key``: its name in the lock.  ``entry``: the name of its entry in the file.  ``wdir``: relative to the file's folder as
    it is written.  ``values``: its keys."""

    key: str
    entry: str
    wdir: str
    values: Mapping[str, Any]


class Resolver:
    """One dvc.yaml.  ``load``: (folder, a file as it is written) -> (its path, its values), None where it is not there.
    ``settings``: of the section parsing of DVC's config.

    Everything raises UserError with the place in the file."""

    def __init__(self, loaded: Loaded, data: Mapping[str, Any], folder: str, load: Load, settings: Mapping[str, str]) -> None:
        self.loaded, self.data, self.folder, self.settings = loaded, data, folder, settings
        self._load = load
        self.context = Context()
        entries = data.get('vars', [])
        if has_reference(entries):
            raise UserError('DVC replaces no ${...} in vars', where=loaded.where('vars'))
        try:
            if load(folder, PARAMS) is not None:
                self.context.load(PARAMS, self._loader(folder))
            self.context.load_vars(entries, self._loader(folder))
        except UserError as error:
            raise self._placed(error, ('vars',)) from None

    def _loader(self, folder: str) -> Callable[[str], tuple[str, Any]]:
        def loader(written: str) -> tuple[str, Any]:
            found = self._load(folder, written)
            if found is None:
                raise UserError(f'there is no file {written}', hint='files of vars are relative to the folder of the dvc.yaml')
            return found

        return loader

    def _placed(self, error: UserError, path: Path) -> UserError:
        return UserError(error.message, hint=error.hint, where=error.where or self.loaded.where(*path))

    def stages(self) -> Iterator[Resolved]:
        for name, said in self.data.get('stages', {}).items():
            path: Path = ('stages', name)
            if 'matrix' in said:
                yield from self._instances(name, self._matrix(name, said['matrix'], path), said, path, both=True)
            elif 'foreach' in said:
                items, both = self._foreach(name, said['foreach'], path)
                yield from self._instances(name, items, said['do'], (*path, 'do'), both=both)
            elif '@' in name:
                raise UserError(f'stage {name}: "@" stands for instances, DVC finds no such stage',
                                where=self.loaded.where(*path))
            else:
                yield self._resolved(name, name, said, self.context, path)

    def _instances(
        self, name: str, items: Mapping[str, Any], said: Mapping[str, Any], path: Path, *, both: bool
    ) -> Iterator[Resolved]:
        said = {key: value for key, value in said.items() if key != 'matrix'}
        for key, item in items.items():
            if '@' in key or '@' in name:
                raise UserError(f'stage {name}: DVC finds no instance {name}@{key}, for its name holds another "@"',
                                where=self.loaded.where(*path))
            names = {'item': plain(item), **({'key': key} if both else {})}
            yield self._resolved(f'{name}@{key}', name, said, self.context.with_item(names), path)

    def _foreach(self, name: str, written: Any, path: Path) -> tuple[dict[str, Any], bool]:
        """Instance -> item, and whether ``${key}`` stands for something."""
        found = self._items(written, (*path, 'foreach'))
        value = found.value if isinstance(found, Node) else found
        if isinstance(value, dict):
            return {to_text(key, {}): item for key, item in value.items()}, True
        if not isinstance(value, list | tuple):
            raise UserError(f'stage {name}: foreach is {kind(value)}, not a list or a mapping',
                            where=self.loaded.where(*path, 'foreach'))
        items = [Node(one) for one in value] if isinstance(found, Node) else list(value)
        if any(map(is_composite, items)):
            return {str(number): item for number, item in enumerate(items)}, False
        return {name_text(item): item for item in items}, False

    def _items(self, written: Any, path: Path) -> Any:
        try:
            return self.context.resolve(written, None, {}, nodes=True)
        except UserError as error:
            raise self._placed(error, path) from None

    def _matrix(self, name: str, written: Mapping[str, Any], path: Path) -> dict[str, Any]:
        where = self.loaded.where(*path, 'matrix')
        axes: dict[str, list[Any]] = {}
        for axis, found in self._items(written, (*path, 'matrix')).items():
            value = found.value if isinstance(found, Node) else found
            if not isinstance(value, list | dict | str):
                raise UserError(f'stage {name}: the axis {axis} is {kind(value)}, not a list', where=where)
            axes[axis] = [Node(one) for one in value] if isinstance(found, Node) and isinstance(value, list) else list(value)
        if prod(map(len, axes.values())) > INSTANCES_LIMIT:
            raise UserError(f'stage {name}: more than {INSTANCES_LIMIT:,} combinations', where=where)
        made: dict[str, Any] = {}
        for choice in product(*(enumerate(values) for values in axes.values())):
            parts = [f'{axis}{number}' if is_composite(value) else name_text(value)
                     for axis, (number, value) in zip(axes, choice, strict=True)]  # fmt: skip
            made['-'.join(parts)] = {axis: plain(value) for axis, (_, value) in zip(axes, choice, strict=True)}
        return made

    def _resolved(self, key: str, entry: str, said: Mapping[str, Any], context: Context, path: Path) -> Resolved:
        at: Path = path
        try:
            for name, value in said.items():
                at = (*path, name)
                check_references([name, value])
            at = (*path, 'wdir')
            wdir = to_text(context.text(said['wdir'], None, {}), {}) if said.get('wdir') else ''
            at = (*path, 'vars')
            if entries := said.get('vars'):
                if has_reference(entries):
                    raise UserError('DVC replaces no ${...} in vars')
                context = context.clone()
                context.load_vars(entries, self._loader(posixpath.join(self.folder, wdir)))
            values: dict[str, Any] = {}
            for name, value in said.items():
                at = (*path, name)
                if name != 'vars':
                    values[name] = context.resolve(value, name, self.settings)
        except UserError as error:
            told = UserError(f'stage {key}: {error.message}', hint=error.hint, where=error.where)
            raise self._placed(told, at) from None
        return Resolved(key, entry, wdir, values)

    def top(self, name: str) -> Any:
        """A section of the file with its references replaced, which DVC does as soon as it reads the file."""
        try:
            check_references(self.data.get(name))
            found = self.context.resolve(self.data.get(name), None, {})
            if name == 'artifacts' and (other := [key for key in found or () if not isinstance(key, str)]):
                raise UserError(f'artifacts: the name {other[0]} is {kind(other[0])}, and a name is text')
            return found
        except UserError as error:
            raise self._placed(error, (name,)) from None
