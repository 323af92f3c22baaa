"""Python's own parser, for one thread at a time: it counts how deep the tree is that it makes in a place that all threads
share, and ends with a SystemError where another thread counts in between ("AST constructor recursion depth mismatch")."""
from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mlops_cli.core.patterns import pattern

if TYPE_CHECKING:
    import ast

ALONE = threading.Lock()
# Bytes of a source: larger ones are data that a program wrote, and their tree takes 500 times their size in memory.
SOURCE_LIMIT = 2 << 20
NOTEBOOK = '.ipynb'
SOURCES = ('.py', NOTEBOOK)  # files that have a meaning beside their bytes
# Commands that run the cells of notebooks; any other one that names a notebook may read whatever is in it.
_RUNNERS = pattern(r'\bpapermill\b|--execute\b|\bjupyter[ -](?:execute|run)\b|--nbmake\b')


def runs_notebooks(*words: str) -> bool:
    """Whether a command runs the notebooks that it names."""
    return _RUNNERS.search(' '.join(words)) is not None


def parse(source: str | bytes) -> ast.Module:
    """As ast.parse.  Raises what that raises, and ValueError for one above SOURCE_LIMIT."""
    import ast  # slow to load: what has no code to read need not wait for it

    if len(source) > SOURCE_LIMIT:
        raise ValueError(f'it is larger than {SOURCE_LIMIT >> 20} MiB')
    with ALONE:
        return ast.parse(source)
