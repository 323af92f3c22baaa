"""The help of every command as it was printed once (docs/generate.py): shown without loading the command line library, which
lays it out anew in ten times the time.  Loads nothing."""

from __future__ import annotations

import os
import sys

FILE = 'help.txt'  # beside this one: a line of form feed and words, then the help of the command of these words
WHOLE = 80  # columns at which lines are as long as they get
# Of the options in front of a command: what they say may be wrong, which comes before any help.
VARIABLES = ('MLOPS_DIRECTORY', 'MLOPS_QUIET', 'MLOPS_VERBOSE', 'MLOPS_YES', 'MLOPS_LOCK_TIMEOUT')


def page(arguments: list[str]) -> str:
    """The help that is asked for by nothing but ``[COMMAND [COMMAND]] -h``; empty where the library has to say."""
    words = arguments[:-1]
    if arguments[-1:] not in (['-h'], ['--help']) or any(word[:1] in ('', '-') or not word.isalpha() for word in words):
        return ''
    if any(name in os.environ for name in VARIABLES) or _columns() < WHOLE:
        return ''
    try:
        os.getcwd()  # a folder that is gone is told first
        with open(os.path.join(os.path.dirname(__file__), FILE), encoding='utf-8') as file:
            pages = file.read()
    except OSError:
        return ''
    return pages.partition(f'\f{" ".join(["mlops", *words])}\n')[2].partition('\f')[0]


def _columns() -> int:
    """As the library finds them."""
    try:
        columns = int(os.environ['COLUMNS'])
    except (KeyError, ValueError):
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else WHOLE
        except (OSError, ValueError):
            columns = WHOLE
    return columns or WHOLE
