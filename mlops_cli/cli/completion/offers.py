"""What may come next on a command line, by the grammar of the commands: a new one needs nothing here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli.cli.completion import completing
from mlops_cli.cli.completion.completing import BY_METAVAR, Offers
from mlops_cli.core.classes import dataclass

Node = Mapping[str, Any]
FILES = frozenset({'PATH', 'FILE', 'DIR'})  # words of a metavar that mean any file
HELP = ['-h', '--help']


@dataclass
class _Place:
    """Where the words lead.  ``pending``: an option that waits for its value.  ``count``: arguments so far."""

    command: Node
    path: str = ''  # the words behind mlops that led there
    pending: Node | None = None
    count: int = 0
    literal: bool = False  # behind --


def offers(grammar: Node, words: Sequence[str], incomplete: str) -> tuple[Offers, bool]:
    """Candidates for the word behind ``words``, and whether files may stand there.  Goes where ``-C`` says."""
    place = _Place(grammar)
    _enter(os.environ.get('MLOPS_DIRECTORY', ''))
    for word in words:
        if not _step(place, word):
            return [], True
    if place.pending is not None:
        return _values(place, place.pending, incomplete)
    if incomplete.startswith('-') and not place.literal:
        return _of_option(place, incomplete)
    if 'commands' in place.command:
        return [(one['name'], one['help']) for one in place.command['commands'] if one['name'].startswith(incomplete)], False
    count = place.count
    for param in (one for one in place.command['params'] if not one['names']):
        if param['most'] == -1 or count < param['most']:
            return _values(place, param, incomplete)
        count -= param['most']
    return [], False


def _step(place: _Place, word: str) -> bool:
    """Takes one word; False for one that leads nowhere."""
    if place.pending is not None:
        _enter_if_asked(place.pending, word)
        place.pending = None
    elif word == '--' and not place.literal:
        place.literal = True
    elif word.startswith('-') and len(word) > 1 and not place.literal:
        _take_option(place, word)
    elif 'commands' in place.command:
        inner = next((one for one in place.command['commands'] if one['name'] == word), None)
        if inner is None:
            return False
        place.command, place.path = inner, f'{place.path} {word}'.strip()
    else:
        place.count += 1
    return True


def _take_option(place: _Place, word: str) -> None:
    name, equals, _ = word.partition('=')
    if param := _option(place.command, name):
        place.pending = param if param['takes'] and not equals else None
    elif not word.startswith('--') and (short := _option(place.command, word[:2])) and short['takes']:  # -j4
        _enter_if_asked(short, word[2:])
    elif not word.startswith('--') and (last := _option(place.command, f'-{word[-1]}')) and last['takes']:  # -qC DIR
        place.pending = last


def _enter_if_asked(param: Node, folder: str) -> None:
    if '-C' in param['names']:
        _enter(folder)


def _enter(folder: str) -> None:
    if folder:
        with suppress(OSError):
            os.chdir(os.path.expanduser(folder))


def _option(command: Node, name: str) -> Node | None:
    return next((one for one in command['params'] if name in one['names']), None)


def _of_option(place: _Place, incomplete: str) -> tuple[Offers, bool]:
    """Names of options; behind ``--name=`` its values."""
    command = place.command
    name, equals, value = incomplete.partition('=')
    if equals:
        param = _option(command, name)
        found, files = _values(place, param, value) if param is not None else ([], False)
        return [(f'{name}={word}', about) for word, about in found], files
    options = [(one['names'], one['help']) for one in command['params'] if one['names']]
    found = []
    for names, about in [*options, (HELP, 'Show what the command takes, an example and its exit codes.')]:
        long = [one for one in names if one.startswith('--')] or names
        chosen = names if len(incomplete) == 2 and incomplete != '--' else long
        found += [(one, about) for one in chosen if one.startswith(incomplete)]
    return found, False


def _values(place: _Place, param: Node, incomplete: str) -> tuple[Offers, bool]:
    if param['choices']:
        return [(word, '') for word in param['choices'] if word.startswith(incomplete)], False
    long = next((name for name in param['names'] if name.startswith('--')), param['takes'])
    found = completing.by_metavar(f'{place.path} {long}', param['takes'], incomplete)
    kinds = completing.words_of(param['takes'])
    return found, not FILES.isdisjoint(kinds) and BY_METAVAR.keys().isdisjoint(kinds)
