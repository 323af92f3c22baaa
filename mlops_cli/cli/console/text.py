"""Text for terminals: made safe, measured in cells, cut and padded to columns.  Strings in, strings out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from mlops_cli.core.patterns import pattern

TAB = 8
# Our own marks where a terminal shows no more than ASCII: one character for one, so that columns stay.
_ASCII = str.maketrans('…⏎→│─╭╮╰╯├┤└┬┴┼○●□◉◌\ufffd', '~|>|-++++++++++o@#*??')
REPLACED = '\ufffd'

# What a terminal, a CI log or a reader could take for an instruction, or does not show at all: C0 and C1 controls but tab and
# line feed, directional overrides and isolates, invisible operators, tags, fillers, lone surrogates.
_UNSAFE = pattern(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f'
    '\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]'
)
_COMMAND = pattern('(?m)^(\\s*)::')
# Whole sequences that colour, move and retitle (ECMA-48): what follows the escape character goes with it.
_SEQUENCE = pattern(
    '(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]'  # CSI, as colours and cursor movements
    '|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?'  # titles, links, device strings
    '|\x1b[ -/]*[0-~]'  # the others, as the choice of a character set
)


def safe(text: str) -> str:
    """Text with everything replaced that could act on a terminal or hide from a reader.  Tabs and line feeds stay."""
    if text.isascii() and text.isprintable():
        return text  # as nearly all is, and the pattern takes long to compile
    return _UNSAFE.sub(REPLACED, text)


def plain(text: str) -> str:
    """As :func:`safe`, for what programs print: their colours and cursor movements are left out, not replaced."""
    return safe(_SEQUENCE.sub('', text))


def no_command(text: str) -> str:
    """Text in which GitHub's runner finds no command: it takes a line for one that begins with ``::``, blanks before it or not,
    and any that has ``##[`` in it.  A blank is put between.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands"""
    if '##[' in text:
        text = text.replace('##[', '## [')
    return _COMMAND.sub(r'\1: :', text) if '::' in text else text


def ascii_marks(text: str) -> str:
    """Text with our own marks replaced by plain characters; names keep what else is in them."""
    return text if text.isascii() else text.translate(_ASCII)


def one_line(text: str) -> str:
    """Safe, and without line feeds or tabs: for names and values in the middle of a line."""
    if text.isascii() and text.isprintable():
        return text
    return safe(text.replace('\n', '⏎').replace('\t', ' '))


@lru_cache(maxsize=4096)
def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ('Mn', 'Me', 'Cf'):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ('W', 'F') else 1


def cells(text: str) -> int:
    """Columns that text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def clip(text: str, columns: int) -> str:
    """At most so many columns; an ellipsis shows where something is missing."""
    if cells(text) <= columns:
        return text
    room, kept = columns - 1, 0
    for index, character in enumerate(text):
        kept += _cells_of(character)
        if kept > room:
            return text[:index] + '…'
    return text


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Blanks up to so many columns, behind the text, or before it with ``right``."""
    blanks = ' ' * (columns - cells(text))
    return blanks + text if right else text + blanks


def fill(words: Iterable[str], columns: int, *, separator: str = ', ') -> list[str]:
    """Words joined into lines of at most so many columns; a word that is longer has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and cells(lines[-1]) + cells(separator) + cells(word) + len(separator.rstrip()) <= columns:
            lines[-1] += separator + word
        else:
            if lines:
                lines[-1] += separator.rstrip()
            lines.append(word)
    return lines


def wrap(text: str, columns: int) -> list[str]:
    """A sentence in lines of at most so many columns, broken at blanks; one at least."""
    return fill(text.split(), columns, separator=' ') or ['']
