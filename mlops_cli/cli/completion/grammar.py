"""The commands and their parameters as plain values: what the reference, the man page and completion are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
FILE = 'grammar.json'  # beside this file, written by docs/generate.py: completion needs no command's module for it


def node(command: Any, name: str) -> dict[str, Any]:
    """A command as ``name``, ``help``, ``epilog``, ``params`` and, of a group, ``commands`` in order."""
    found: dict[str, Any] = {
        'name': name,
        'help': (command.help or '').strip(),
        'epilog': (command.epilog or '').strip(),
        'params': [_param(param) for param in command.params if not getattr(param, 'hidden', False)],
    }
    if hasattr(command, 'list_commands'):
        inner = ((one, command.get_command(None, one)) for one in command.list_commands(None))
        found['commands'] = [node(one, word) for word, one in inner if one is not None and not one.hidden]
    return found


def _param(param: Any) -> dict[str, Any]:
    """``takes``: what stands for its value, empty for a flag.  ``most``: how many values an argument takes, -1 for any."""
    flag = bool(getattr(param, 'is_flag', False) or getattr(param, 'count', False))
    choices = [str(one) for one in getattr(param.type, 'choices', ())]
    names = [*param.opts, *param.secondary_opts]
    option = param.param_type_name == 'option'
    takes = '' if flag else str(param.metavar or ('|'.join(choices) if choices else param.name.upper()))
    return {
        'kind': param.param_type_name,
        'names': [name for name in names if name.startswith('-')] if option else [],
        'takes': takes,
        'choices': choices,
        'most': param.nargs,
        'repeated': bool(param.multiple),
        'required': bool(param.required),
        'variable': (param.envvar if isinstance(param.envvar, str) else '') or '',
        'default': _default(param, flag),
        'help': ' '.join((param.help or '').split()),
    }


def _default(param: Any, flag: bool) -> str:
    """As text; empty where nothing is assumed, and for flags, which are off."""
    value = param.default
    if flag or callable(value) or value is None or value in ('', (), []) or not getattr(param, 'show_default', True):
        return ''
    return str(getattr(value, 'value', value))


def walk(of: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """(words behind ``mlops``, command) of every command that is no group, in order."""
    for one in of.get('commands', ()):
        here = (*path, one['name'])
        if 'commands' in one:
            yield from walk(one, here)
        else:
            yield here, one


def groups(of: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """(words behind ``mlops``, group) of every group below."""
    for one in of.get('commands', ()):
        if 'commands' in one:
            yield (*path, one['name']), one
            yield from groups(one, (*path, one['name']))


def saved() -> Node:
    """What docs/generate.py wrote."""
    import json
    import os

    with open(os.path.join(os.path.dirname(__file__), FILE), encoding='utf-8') as file:
        found: Node = json.load(file)
    return found


def compact(of: Node) -> dict[str, Any]:
    """What completion needs of it: names, first sentences, what parameters take."""
    params = [
        {
            'names': one['names'],
            'takes': one['takes'],
            'choices': one['choices'],
            'most': one['most'],
            'help': one['help'].partition('. ')[0],
        }
        for one in of['params']
    ]
    found: dict[str, Any] = {'name': of['name'], 'help': of['help'].partition('\n')[0], 'params': params}
    if 'commands' in of:
        found['commands'] = [compact(one) for one in of['commands']]
    return found
