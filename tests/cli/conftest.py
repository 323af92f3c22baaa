"""Screens are compared with what was pinned: run with MLOPS_PIN=1 to write the pins anew, then read the difference."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from mlops_cli.cli import context

PINS = Path(__file__).parent / 'pins'


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No terminal, no colour, no options left over from another test."""
    for name in ('COLUMNS', 'NO_COLOR', 'MLOPS_QUIET', 'MLOPS_VERBOSE', 'MLOPS_DIRECTORY', 'MLOPS_YES', 'MLOPS_LOCK_TIMEOUT'):
        monkeypatch.delenv(name, raising=False)
    before = vars(context.current).copy()
    context.current.quiet = context.current.verbose = context.current.json = context.current.yes = False
    yield
    vars(context.current).update(before)
    context.wait_at_most(None)


@pytest.fixture
def pinned() -> Callable[[str, Iterable[object]], None]:
    """Compares lines with the file of that name."""

    def compare(name: str, lines: Iterable[object]) -> None:
        text = ''.join(f'{getattr(line, "text", line)}\n' for line in lines)
        path = PINS / f'{name}.txt'
        if os.environ.get('MLOPS_PIN'):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f'{path.name} is not pinned: run with MLOPS_PIN=1'
        assert text == path.read_text()

    return compare
