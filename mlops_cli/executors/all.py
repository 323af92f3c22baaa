"""All executors by name.  A new one is a module and a line here; outsiders' come by the entry-point group
``mlops.executors``, which is looked at only for a name that is not here."""
from __future__ import annotations

from importlib import import_module
from typing import cast

from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.executors.base import Kind

GROUP = 'mlops.executors'
BUILT_IN = {
    'local': 'mlops_cli.executors.local',
}


def find(name: str) -> Kind:
    """The module of that name.  Raises UserError for a name nobody knows, or whose module is no executor."""
    if name in BUILT_IN:
        return cast(Kind, import_module(BUILT_IN[name]))
    from importlib.metadata import entry_points  # slow, and seldom needed

    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name not in plugins:
        raise UserError(f'there is no executor named {name}',
                        hint=did_you_mean(name, [*BUILT_IN, *plugins], what='executors'))
    try:
        found = plugins[name].load()
    except (ImportError, AttributeError) as error:
        raise UserError(f'the executor {name} ({plugins[name].value}) cannot be loaded: {error}') from error
    if not callable(getattr(found, 'create', None)):
        raise UserError(f'the executor {name} ({plugins[name].value}) has no function create')
    return cast(Kind, found)
