"""All executors by name.  A new one is a module and a line here; outsiders' come by the entry-point group
``mlops.executors``, which is looked at only for a name that is not here."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.executors.base import Executor

GROUP = 'mlops.executors'
BUILT_IN = {
    'local': 'mlops_cli.executors.local:Local',
}


def factory(name: str) -> Callable[..., Executor]:
    """What makes the executor of that name; its arguments are its own.  Raises UserError for a name nobody knows, or whose
    module cannot be imported."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(':')
        made: Callable[..., Executor] = getattr(import_module(module), attribute)
        return made
    from importlib.metadata import entry_points  # slow, and seldom needed

    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name in plugins:
        try:
            found: Callable[..., Executor] = plugins[name].load()
        except (ImportError, AttributeError) as error:
            raise UserError(f'the executor {name} ({plugins[name].value}) cannot be loaded: {error}') from error
        return found
    raise UserError(f'there is no executor named {name}', hint=did_you_mean(name, [*BUILT_IN, *plugins], what='there are'))
