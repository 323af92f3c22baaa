"""One line that says how far something is."""

from __future__ import annotations

import io
import sys

import pytest

from mlops_cli.cli import context
from mlops_cli.cli.console import cells
from mlops_cli.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '40')
    return Terminal()


def steps(count: int, on: Terminal | None, text: str = 'x') -> None:
    """A step each tenth of a second."""
    now = iter(range(10_000))
    with pytest.MonkeyPatch.context() as patch:
        if on is not None:
            patch.setattr(sys, 'stderr', on)
        with Progress(lambda: text, clock=lambda: next(now) / 10) as progress:
            for _ in range(count):
                progress.step()


def test_what_is_over_soon_says_nothing(stderr: Terminal) -> None:
    steps(4, stderr)
    assert stderr.getvalue() == ''


def test_it_is_drawn_now_and_then_and_taken_away(stderr: Terminal) -> None:
    steps(20, stderr, 'adding 数据 \x1b[2J' + 'x' * 200)
    lines = stderr.getvalue().split('\r')[1:]
    assert 4 < len(lines) < 12 and lines[-1] == '\x1b[K'
    assert all(cells(line.removesuffix('\x1b[K')) <= 39 and '\x1b[2J' not in line for line in lines)


def test_a_cut_line_is_plain_in_the_c_locale(stderr: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LC_ALL', 'C')
    steps(20, stderr, 'x' * 200)
    assert stderr.getvalue().isascii() and 'x~' in stderr.getvalue()


@pytest.mark.parametrize('option', ['quiet', 'json'])
def test_nobody_who_did_not_ask_is_told(stderr: Terminal, option: str) -> None:
    setattr(context.current, option, True)
    steps(50, stderr)
    assert stderr.getvalue() == ''


def test_without_a_terminal_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    steps(50, None)
    assert capsys.readouterr().err == ''


def test_a_terminal_that_goes_away_ends_nothing(stderr: Terminal) -> None:
    stderr.write = lambda _: (_ for _ in ()).throw(OSError(5, 'gone'))  # type: ignore[method-assign, assignment]
    steps(50, stderr)
