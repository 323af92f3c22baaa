"""Lines for narrow terminals: those that are too long are broken, names that are longer than a line lose their middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlops_cli.cli.console import Line, cells, wrap

LEAST = 20  # columns that a text keeps beside its indentation
HANGING = 2


def narrowed(lines: Iterable[Line], columns: int, *, whole: bool = False) -> list[Line]:
    """The lines in at most so many columns.

    Words of commands stay whole, as they are to be copied; so do all, if ``whole``."""
    return [part for line in lines for part in ([line] if cells(line.text) <= columns else _broken(line, columns, whole))]


def _broken(line: Line, columns: int, whole: bool) -> Iterator[Line]:
    text = line.text.lstrip(' ')
    indent = len(line.text) - len(text)
    longest = max(map(cells, text.split()), default=0)
    room = columns - HANGING - max(longest, min(LEAST, columns - HANGING))
    indent = min(indent, max(room, HANGING))
    if not (whole or text.startswith('(') or 'mlops ' in text):
        text = ' '.join(shortened(word, columns - indent - HANGING) for word in text.split(' '))
    stressed = line.word
    for index, part in enumerate(wrap(text, columns - indent - HANGING)):
        word = stressed if stressed in part else ''
        yield Line(' ' * (indent + (HANGING if index else 0)) + part, word, line.style)
        stressed = '' if word else stressed


def shortened(name: str, columns: int) -> str:
    """``train_with…depth@12``: what it begins and ends with, which tells it from others."""
    if cells(name) <= columns:
        return name
    tail = columns // 2
    head, end = name, name
    while cells(head) > columns - tail - 1:
        head = head[:-1]
    while cells(end) > tail:
        end = end[1:]
    return f'{head}…{end}'
