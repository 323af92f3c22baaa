"""Lines at the bottom of a terminal that are drawn again and again, while others scroll by above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlops_cli.cli.console import STYLES, Line, colour, safe, shows_marks
from mlops_cli.cli.console.text import ascii_marks


def _text(line: Line, marks: bool) -> Text:
    shown = safe(line.text)
    text = Text(shown if marks else ascii_marks(shown), no_wrap=True, overflow='crop', end='')
    if line.word in STYLES:
        start = text.plain.find(line.word)
        if start >= 0:
            text.stylize(STYLES[line.word], start, start + len(line.word))
    return text


class Moving:
    """The moving part on ``stream``, a terminal.  Not thread safe: whoever draws holds a lock."""

    def __init__(self, stream: TextIO) -> None:
        self._marks = shows_marks(stream)
        self._console = Console(
            file=stream,
            force_terminal=True,
            color_system='standard' if colour(stream) else None,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
        )
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        self._console.show_cursor(True)  # a run that is killed must not leave the terminal without one

    def show(self, lines: Sequence[Line]) -> None:
        """Draws these in place of what moved before."""
        self._live.update(Text('\n', end='').join(_text(line, self._marks) for line in lines), refresh=True)

    def print(self, line: Line) -> None:
        """A line that stays, above the moving part."""
        self._console.print(_text(line, self._marks), soft_wrap=True)

    def close(self) -> None:
        """Takes the moving part away."""
        self._live.stop()
