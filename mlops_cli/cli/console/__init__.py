"""The only door to the terminal.  Standard output is data, standard error is talk; nothing that came from a file, a name or
a stage reaches the terminal with a control character in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from mlops_cli.cli.console.text import ascii_marks, cells, clip, fill, no_command, one_line, pad, plain, safe, wrap
from mlops_cli.cli.terminal import NO_TERMINAL, colour, height, prepare, shows_marks, terminal, width

if TYPE_CHECKING:
    from mlops_cli.core.events import Event

__all__ = [
    'NO_TERMINAL',
    'Line',
    'cells',
    'clip',
    'colour',
    'fill',
    'height',
    'hung_up',
    'in_github',
    'note',
    'one_line',
    'out',
    'out_lines',
    'pad',
    'plain',
    'prepare',
    'print_json',
    'safe',
    'say',
    'shows_marks',
    'terminal',
    'width',
    'wrap',
]


class Line(NamedTuple):
    """A line to print.  ``word``: the one that colour may stress, at its first place in the text.  ``style``: a colour for the
    whole line."""

    text: str
    word: str = ''
    style: str = ''


# Word -> colour.  Colour adds nothing: the word itself says it.
STYLES = {
    'done': 'green',
    'passed': 'green',
    'better': 'green',
    'accepted': 'green',
    'chosen': 'green',
    'trusted': 'green',
    'Not deterministic': 'yellow',
    'worse': 'red',
    'cannot be drawn:': 'red',
    'restored': 'cyan',
    'placed': 'cyan',
    'restore': 'cyan',
    'FAILED': 'red',
    'failed': 'red',
    'damaged': 'red',
    'error:': 'red',
    'blocked': 'red',
    'run': 'yellow',
    'stopped': 'yellow',
    'waiting': 'yellow',
    'note:': 'yellow',
    'code unknown:': 'yellow',
    'hint:': 'cyan',
}
PIECE = 1000  # lines that are written at once
_CODES = {'green': '32', 'cyan': '36', 'red': '31', 'yellow': '33'}


def out(text: str | Line = '', *, foreign: bool = False) -> None:
    """A line of data.  ``foreign``: of a log, or in a format of others, where no mark is ours to replace."""
    _write(sys.stdout, text, foreign)


def out_lines(lines: Iterable[str | Line], *, foreign: bool = False) -> None:
    """Lines of data.  A list or tuple is written in large pieces, of anything else each line as soon as it is known."""
    if not isinstance(lines, list | tuple):
        for line in lines:
            out(line, foreign=foreign)
    elif sys.stdout is not None:
        marks, coloured = foreign or shows_marks(sys.stdout), colour(sys.stdout)
        for start in range(0, len(lines), PIECE):
            shown = [_shown(line, marks, coloured) for line in lines[start : start + PIECE]]
            sys.stdout.write('\n'.join([*shown, '']))


said = 0  # lines of talk


def say(text: str | Line = '') -> None:
    """A line of talk.  Where nobody can hear it any more, it is lost."""
    global said
    said += 1
    try:
        _write(sys.stderr, text)
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _nowhere(sys.stderr)


def _write(stream: TextIO | None, text: str | Line, foreign: bool = False) -> None:
    if stream is not None:  # not closed by who started us
        stream.write(_shown(text, foreign or shows_marks(stream), colour(stream)) + '\n')


def _shown(text: str | Line, marks: bool, coloured: bool) -> str:
    """As it reaches a stream on which more than ASCII can be seen, and colour, or not."""
    line = text if isinstance(text, Line) else Line(text)
    shown = safe(line.text)
    if not (marks or shown.isascii()):
        shown = ascii_marks(shown)
    if in_github():
        shown = no_command(shown)
    if coloured and line.word in STYLES:
        return shown.replace(line.word, f'\x1b[{_CODES[STYLES[line.word]]}m{line.word}\x1b[0m', 1)
    if coloured and line.style in _CODES:
        return f'\x1b[{_CODES[line.style]}m{shown}\x1b[0m'
    return shown


def in_github() -> bool:
    """Whether GitHub's runner reads what is printed."""
    return os.environ.get('GITHUB_ACTIONS') == 'true'


def hung_up() -> None:
    """Whoever read standard output went away, as ``| head`` does: what is still written to it goes nowhere."""
    _nowhere(sys.stdout)


def _nowhere(stream: TextIO | None) -> None:
    """From now on what is written to it is lost, what it still holds too: else the interpreter ends with an error."""
    if stream is not None:
        void = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(void, stream.fileno())
        os.close(void)


def note(event: Event) -> None:
    """Shows the notes among events, for commands that have no screen of their own."""
    from mlops_cli.core.events import Note

    if isinstance(event, Note):
        say(Line(f'note: {event.stage}: {event.text}' if event.stage else f'note: {event.text}', 'note:'))


def print_json(document: dict[str, Any]) -> None:
    """The one JSON document of a ``--json`` command.  An iterator of objects stands for their list."""
    if sys.stdout is not None:
        from mlops_cli.cli.console.documents import pieces

        for piece in pieces(document):
            # In JSON that can only be part of a string.
            sys.stdout.write(piece.replace('##[', '#\\u0023[') if in_github() else piece)
        sys.stdout.write('\n')
        sys.stdout.flush()
