"""What a dvc.yaml may hold.  What DVC refuses is refused, with its place."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from mlops_cli.adopt.dvc.yaml12 import Loaded
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import kind

_TOP = ('vars', 'stages', 'params', 'metrics', 'plots', 'artifacts', 'datasets')
_STAGE = ('cmd', 'wdir', 'deps', 'params', 'vars', 'frozen', 'meta', 'desc', 'always_changed', 'outs', 'metrics', 'plots',
          'matrix')  # fmt: skip
_ANNOTATIONS = {'desc': str, 'type': str, 'labels': list, 'meta': object}
_OUT = {**_ANNOTATIONS, 'cache': bool, 'persist': bool, 'checkpoint': bool, 'remote': str, 'push': bool}
PLOT = {'template': str, 'x': str, 'y': str, 'x_label': str, 'y_label': str, 'title': str, 'header': bool}
_CHART = {'x': (str, dict), 'y': (str, list, dict), 'x_label': str, 'y_label': str, 'title': str, 'template': str}
Path = tuple[Hashable, ...]


def check(loaded: Loaded) -> dict[str, Any]:
    """The file as a mapping.  Raises UserError with the place of the first thing that DVC refuses."""
    value = {} if loaded.value is None else loaded.value
    if not isinstance(value, dict):
        raise UserError(f'a dvc.yaml is a mapping, this is {kind(value)}', where=loaded.where())
    one = _Checker(loaded)
    one.keys(value, _TOP, ())
    one.listed(value, 'vars', (), (str, dict))
    for name in ('params', 'metrics'):
        one.listed(value, name, (), (str,))
    one.charts(value)
    one.typed(value, 'datasets', (list, dict, str), ())
    artifacts = one.mapping(value, 'artifacts', ())
    for name, said in artifacts.items():
        if not isinstance(said, dict) or not isinstance(said.get('path'), str):
            raise one.wrong(('artifacts', name), 'an artifact is a mapping with path')
        one.flags(said, ('artifacts', name), {'path': str, **_ANNOTATIONS})
    for name, said in one.mapping(value, 'stages', ()).items():
        one.stage(name, said)
    return value


class _Checker:
    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def wrong(self, path: Path, message: str, hint: str = '') -> UserError:
        return UserError(message, where=self.loaded.where(*path), hint=hint)

    def keys(self, value: dict[Any, Any], known: tuple[str, ...], path: Path) -> None:
        for key in value:
            if key not in known:
                raise self.wrong((*path, key), f'DVC knows no key {key!r} here', did_you_mean(str(key), known))

    def typed(self, value: dict[Any, Any], key: str, kinds: type | tuple[type, ...], path: Path) -> None:
        if key in value and not isinstance(value[key], kinds):
            raise self.wrong((*path, key), f'{key} cannot be {kind(value[key])}')

    def listed(self, value: dict[Any, Any], key: str, path: Path, kinds: tuple[type, ...]) -> None:
        self.typed(value, key, list, path)
        for number, one in enumerate(value.get(key, ())):
            if not isinstance(one, kinds):
                raise self.wrong((*path, key, number), f'{key}: an entry cannot be {kind(one)}')

    def mapping(self, value: dict[Any, Any], key: str, path: Path) -> dict[Any, Any]:
        self.typed(value, key, dict, path)
        found: dict[Any, Any] = value.get(key, {})
        for name in found:
            if not isinstance(name, str):
                raise self.wrong((*path, key, name), f'{key}: {name!r} is {kind(name)}, and a name is text')
        return found

    def stage(self, name: str, said: Any) -> None:
        path: Path = ('stages', name)
        if not isinstance(said, dict):
            raise self.wrong(path, f'stage {name} is {kind(said)}, not a mapping with cmd')
        if 'foreach' in said or 'do' in said:
            self.keys(said, ('foreach', 'do'), path)
            if 'foreach' not in said or 'do' not in said:
                raise self.wrong(path, f'stage {name}: foreach and do belong together')
            self.typed(said, 'foreach', (dict, list, str), path)
            self.typed(said, 'do', dict, path)
            said, path = said['do'], (*path, 'do')
        self.keys(said, _STAGE, path)
        if 'cmd' not in said:
            raise self.wrong(path, f'stage {name} has no cmd')
        for key, axis in self.mapping(said, 'matrix', path).items():
            if not isinstance(axis, str | list):
                raise self.wrong((*path, 'matrix', key), f'the axis {key} is {kind(axis)}, not a list')
        self.typed(said, 'cmd', (str, list), path)
        for key in ('wdir', 'desc'):
            self.typed(said, key, str, path)
        for key in ('frozen', 'always_changed'):
            self.typed(said, key, bool, path)
        self.listed(said, 'deps', path, (str,))
        self.listed(said, 'params', path, (str, dict))
        self.listed(said, 'vars', path, (str, dict))
        for key in ('outs', 'metrics'):
            self.outs(said, key, path, self.flags)
        self.outs(said, 'plots', path, self.plot)

    def outs(self, said: dict[Any, Any], key: str, path: Path, flags: Callable[[Any, Path], None]) -> None:
        self.listed(said, key, path, (str, dict))
        for number, one in enumerate(said.get(key, ())):
            for name, more in one.items() if isinstance(one, dict) else ():
                here = (*path, key, number, name)
                if not isinstance(name, str):
                    raise self.wrong(here, f'{key}: {name!r} is {kind(name)}, and a path is text')
                flags(more, here)

    def flags(self, more: Any, path: Path, known: dict[str, Any] = _OUT) -> None:
        if not isinstance(more, dict):
            raise self.wrong(path, f'{path[-1]}: its settings are {kind(more)}, not a mapping')
        self.keys(more, tuple(known), path)
        for key, kinds in known.items():
            self.typed(more, key, kinds, path)
        self.texts(more.get('labels', []), (*path, 'labels'))

    def texts(self, value: Any, path: Path) -> None:
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(one, str):
                raise self.wrong((*path, number) if isinstance(value, list) else path, f'{path[-1]} cannot be {kind(one)}')

    def charts(self, value: dict[Any, Any]) -> None:
        """``plots`` at the top: paths, or charts by name with the columns of files."""
        self.listed(value, 'plots', (), (str, dict))
        for number, one in enumerate(value.get('plots', ())):
            here: Path = ('plots', number)
            if one == {}:
                raise self.wrong(here, 'a chart has a name')
            for name, said in one.items() if isinstance(one, dict) else ():
                self.texts(name, here)
                if said is not None:
                    self.flags(said, (*here, name), _CHART)
                    self.columns(said, (*here, name))

    def columns(self, said: dict[Any, Any], path: Path) -> None:
        for axis in ('x', 'y'):
            found = said.get(axis, '')
            for file, columns in found.items() if isinstance(found, dict) else [('', found)]:
                self.texts(file, (*path, axis))
                if axis == 'x' and isinstance(columns, list):
                    raise self.wrong((*path, axis), f'x: the column of {file} is a list, not a text')
                self.texts(columns, (*path, axis))

    def plot(self, more: Any, path: Path) -> None:
        for one in more if isinstance(more, list) else [more]:
            self.flags(one, path, {**_OUT, **PLOT})
