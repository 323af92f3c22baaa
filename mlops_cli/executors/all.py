"""All executors by name.  A new one is a module and a line here; outsiders' come by the entry-point group
``mlops.executors``, which is looked at only for a name that is not here (docs/executors.md)."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.executors.base import Executor, Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = 'mlops.executors'
LOCAL = 'local'
BUILT_IN = {
    LOCAL: 'mlops_cli.executors.local',
}
METHODS = ('submit', 'poll', 'cancel', 'collect', 'close')
# What the code of somebody else may raise while it is imported or begins: told with its name, and no bug of ours.
FOREIGN = (ImportError, AttributeError, NameError, SyntaxError, TypeError, ValueError, LookupError, ArithmeticError,
           RuntimeError, AssertionError, OSError, EOFError)


def find(name: str) -> Kind:
    """The module of that name.  Raises UserError for a name nobody knows, or whose module is no executor."""
    if name in BUILT_IN:
        return cast(Kind, import_module(BUILT_IN[name]))
    plugins = outside()
    if name not in plugins:
        near = did_you_mean(name, [*BUILT_IN, *plugins], what='executors')
        more = '' if near.startswith('did you mean') else f'; a package that brings one has an entry point in the group {GROUP}'
        raise UserError(f'there is no executor named {name}', hint=near + more)
    points = plugins[name]
    if len({point.value for point in points}) > 1:
        brought = ' and '.join(sorted({_package(point) for point in points}))
        raise UserError(f'the executor {name} is brought by {brought}', hint='uninstall all but one of them')
    point = points[0]
    try:
        found = point.load()
    except FOREIGN as error:
        raise _wrong(point, f'cannot be loaded: {_said(error)}') from error
    if not callable(getattr(found, 'create', None)):
        raise _wrong(point, 'has no function create')
    return cast(Kind, found)


def outside() -> dict[str, list[EntryPoint]]:
    """Name -> the entry points that bring an executor of that name, without those that have the name of one of ours."""
    from importlib.metadata import entry_points  # slow, and seldom needed

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if point.name not in BUILT_IN:
            found.setdefault(point.name, []).append(point)
    return found


def create(name: str, folder: str) -> Executor:
    """An executor of that name.  ``folder``: as ``Kind.create`` takes it.

    Raises UserError for a name nobody knows, and for an outsider's that cannot begin or is none."""
    kind = find(name)
    if name in BUILT_IN:
        return kind.create(folder)
    point = outside()[name][0]
    try:
        executor = kind.create(folder)
    except FOREIGN as error:
        raise _wrong(point, f'cannot begin: {_said(error)}') from error
    if missing := [method for method in METHODS if not callable(getattr(executor, method, None))]:
        raise _wrong(point, f'lacks {", ".join(missing)}')
    return executor


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError | OSError) else f'{type(error).__name__}: {error}'


def _package(point: EntryPoint) -> str:
    return f'{point.dist.name} {point.dist.version}' if point.dist is not None else point.value


def _wrong(point: EntryPoint, problem: str) -> UserError:
    package = f', of {_package(point)}' if point.dist is not None else ''
    return UserError(f'the executor {point.name} ({point.value}{package}) {problem}',
                     hint='ask who makes it, or leave --executor away to run on this machine')
