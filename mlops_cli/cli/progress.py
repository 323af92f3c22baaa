"""One line that says how far something is, where a terminal watches; nothing where none does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from mlops_cli.cli import context
from mlops_cli.cli.console import clip, one_line, shows_marks, terminal, width
from mlops_cli.cli.console.text import ascii_marks
from mlops_cli.core.units import plural

PATIENCE = 0.5  # seconds until it is worth saying anything
PERIOD = 0.2  # seconds between two drawings


class Progress:
    """Within ``with``; gone after it.  ``text``: makes the line, asked only when it is drawn."""

    def __init__(self, text: Callable[[], str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._text, self._clock = text, clock
        self._watched = terminal(sys.stderr) and not context.current.quiet and not context.current.json
        self._next = clock() + PATIENCE
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def step(self) -> None:
        """Something was done; to be called often."""
        if self._watched and (now := self._clock()) >= self._next:
            self._next = now + PERIOD
            self._draw(clip(one_line(self._text()), width(sys.stderr) - 1))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._drawn:
            self._draw('')

    def _draw(self, line: str) -> None:
        try:
            sys.stderr.write(f'\r{line if shows_marks(sys.stderr) else ascii_marks(line)}\x1b[K')
            sys.stderr.flush()
            self._drawn = True
        except OSError:  # the terminal is gone
            self._watched = self._drawn = False


class Reading:
    """How far a table has been read, on the screen."""

    def __init__(self, path: str) -> None:
        self.rows = 0
        self.progress = Progress(lambda: f'  reading {one_line(path)}: {plural(self.rows, "row")}')

    def __enter__(self) -> Reading:
        self.progress.__enter__()
        return self

    def __exit__(self, *of: Any) -> None:
        self.progress.__exit__(*of)

    def step(self, rows: int) -> None:
        self.rows = rows
        self.progress.step()
