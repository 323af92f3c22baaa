"""What is on the other side of a stream: a terminal or not, how wide, with colour or without.  Loads nothing: answers that are
printed before anything else is loaded ask it too."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as that of typing, which takes longer to load than all the rest
if TYPE_CHECKING:
    from typing import TextIO

NO_TERMINAL = 100  # columns to lay tables out for where nobody says how many there are


def prepare() -> None:
    """Names that the terminal's encoding cannot show must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')


def terminal(stream: TextIO | None) -> bool:
    """A person watches it: a terminal, and not one that can show nothing but lines."""
    return stream is not None and stream.isatty() and os.environ.get('TERM') != 'dumb'


def shows_marks(stream: TextIO | None) -> bool:
    """More than ASCII can be seen there: Python's own streams write UTF-8 in the C locale, too."""
    encoding = (getattr(stream, 'encoding', '') or '').lower().replace('-', '')
    locale = os.environ.get('LC_ALL') or os.environ.get('LC_CTYPE') or os.environ.get('LANG') or ''
    return encoding.startswith('utf') and locale not in ('C', 'POSIX')


def colour(stream: TextIO | None) -> bool:
    """Colour is wanted: a terminal, and no NO_COLOR."""
    return not os.environ.get('NO_COLOR') and terminal(stream)


def _size(stream: TextIO | None) -> os.terminal_size | None:
    try:
        return os.get_terminal_size(stream.fileno()) if stream is not None and stream.isatty() else None
    except (OSError, ValueError):
        return None


def width(stream: TextIO | None = None) -> int:
    """Columns to fill: as COLUMNS says, else the terminal's, be it only that of the errors or of the keyboard, as before a
    pipe into a pager; else 100."""
    if os.environ.get('COLUMNS', '').isdecimal():
        return max(40, int(os.environ['COLUMNS']))
    for one in (stream or sys.stdout, sys.stderr, sys.stdin):
        size = _size(one) if one is not None else None
        if size and size.columns:
            return max(40, size.columns)
    return NO_TERMINAL


def height(stream: TextIO | None = None) -> int:
    """Lines of the terminal."""
    size = _size(stream or sys.stdout)
    return max(8, size.lines) if size and size.lines else 24
