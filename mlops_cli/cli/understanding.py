"""Reads the command lines that leave no question open, without the command line library, which takes longer than most commands.

What each command takes stands in its own signature (cli/options.py), from which the library reads it too.  Whatever is unknown,
wrong, abbreviated, grouped (``-kv``), comes from the environment or is an answer by the library (``-h``) is left to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from mlops_cli.cli import catalogue, context
from mlops_cli.cli.habits import HABITS
from mlops_cli.cli.helping import VARIABLES
from mlops_cli.cli.options import Argument, Declared, Option
from mlops_cli.core.classes import dataclass

FLAGS = {'-q': 'quiet', '--quiet': 'quiet', '-v': 'verbose', '--verbose': 'verbose', '--yes': 'yes'}  # of every command
SAID = {'metavar', 'help', 'show_default', 'min', 'envvar'}  # what is understood of a declaration


class NotSimple(Exception):
    """Something that only the library knows."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command line.  ``values``: those given; every other parameter has its default.  ``globals``: which flags."""

    directory: str
    globals: frozenset[str]
    function: Callable[..., Any]
    values: Mapping[str, Any]

    def __call__(self) -> Any:
        for name in self.globals:
            setattr(context.current, name, True)
        context.enter(self.directory)
        return self.function(**self.values)


def understood(arguments: Sequence[str]) -> Call | None:
    """The call that is meant; None: the library has to say."""
    if any(name in os.environ for name in VARIABLES):
        return None
    words = list(arguments)
    try:
        directory, flags = _in_front(words)
        if words and words[0] not in catalogue.COMMANDS:
            return Call(directory, frozenset(flags), partial(context.refuse_unknown, words, catalogue.COMMANDS, HABITS), {})
        function = _function(words)
        values = _values(function, words, flags)
    except NotSimple:
        return None
    return Call(directory, frozenset(flags), function, values)


def _in_front(words: list[str]) -> tuple[str, set[str]]:
    """What stands before the command, which is taken away."""
    directory, flags = '', set()
    while words and words[0].startswith('-'):
        word = words.pop(0)
        if word == '-C' and words and _is_value(words[0]):
            directory = words.pop(0)
        elif word in FLAGS:
            flags.add(FLAGS[word])
        else:
            raise NotSimple
    return directory, flags


def _function(words: list[str]) -> Callable[..., Any]:
    """The command's function; its name is taken away."""
    if not words:
        from mlops_cli.cli import here  # which is all that mlops alone shows

        return here.command
    module = catalogue.module(words.pop(0))
    if not hasattr(module, 'app'):
        function: Callable[..., Any] = module.command
    elif words and words[0] in module.app.commands:
        function = module.app.commands[words.pop(0)].function
    elif not words and module.app.alone is not None:
        function = module.app.alone
    else:
        raise NotSimple
    return function


def _values(function: Callable[..., Any], words: Sequence[str], flags: set[str]) -> dict[str, Any]:
    """The arguments of the function; flags of every command are added to ``flags``."""
    options, places = _declared(function)
    values: dict[str, Any] = {}
    given: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if not word.startswith('-'):
            given.append(word)
        elif word in options:
            _take(values, options[word], waiting)
        elif word in FLAGS and not _has_globals_of(options, FLAGS[word]):
            flags.add(FLAGS[word])
        else:
            name, equals, value = word.partition('=')
            if not equals or not name.startswith('--') or name not in options or options[name].kind is bool:
                raise NotSimple
            _take(values, options[name], iter([value]))
    _place(values, places, given, function)
    return values


def _has_globals_of(options: Mapping[str, Any], flag: str) -> bool:
    """The command uses one of the flag's names for something else."""
    return any(name in options for name, one in FLAGS.items() if one == flag)


@dataclass(frozen=True, slots=True)
class _Taken:
    """``kind``: bool, str, int, list or another type, of which only the library knows."""

    name: str
    kind: Any
    declared: Declared


def _declared(function: Callable[..., Any]) -> tuple[dict[str, _Taken], list[_Taken]]:
    """Options by each of their names, arguments in order."""
    options: dict[str, _Taken] = {}
    places = []
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name == 'return':
            continue
        kind, declared = get_args(hint) if get_origin(hint) is Annotated else (None, None)
        if not isinstance(declared, Declared) or not declared.said.keys() <= SAID:
            raise NotSimple
        if declared.said.get('envvar', '') in os.environ:
            raise NotSimple
        one = _Taken(name, _plain(kind), declared)
        if isinstance(declared, Argument):
            places.append(one)
        elif isinstance(declared, Option):
            options |= dict.fromkeys([name for name in declared.names if '/' not in name], one)
    return options, places


def _plain(kind: Any) -> Any:
    """``list[str] | None`` is list; None: none that is known here."""
    others = [one for one in get_args(kind) if one is not type(None)] if isinstance(kind, UnionType) else [kind]
    if len(others) != 1 or others[0] not in (bool, str, int, list[str]):
        return None
    return list if others[0] == list[str] else others[0]


def _take(values: dict[str, Any], one: _Taken, waiting: Iterator[str]) -> None:
    if one.kind is bool:
        values[one.name] = True
        return
    value = next(waiting, '')
    if not _is_value(value):
        raise NotSimple
    if one.kind is str:
        values[one.name] = value
    elif one.kind is list:
        values.setdefault(one.name, []).append(value)
    elif one.kind is int and value.isascii() and value.isdecimal() and len(value) < 10:
        values[one.name] = int(value)
        if values[one.name] < one.declared.said.get('min', 0):
            raise NotSimple
    else:
        raise NotSimple


def _is_value(word: str) -> bool:
    return word != '' and not word.startswith('-')


def _place(values: dict[str, Any], places: Sequence[_Taken], given: list[str], function: Callable[..., Any]) -> None:
    """Words without an option, to the arguments in order."""
    code: Any = function
    required = code.__code__.co_argcount - len(code.__defaults__ or ())
    names = code.__code__.co_varnames[:required]
    if '' in given:
        raise NotSimple
    for index, one in enumerate(places):
        if one.kind is list and index == len(places) - 1:
            if given:
                values[one.name], given = given, []
        elif one.kind is str:
            if given:
                values[one.name] = given[0]
                given = given[1:]
        else:
            raise NotSimple
        if one.name in names and one.name not in values:
            raise NotSimple
    if given or any(name not in values for name in names):
        raise NotSimple
