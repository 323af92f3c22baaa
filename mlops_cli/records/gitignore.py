"""Keeps git from taking stored outputs in: lines in the project's ``.gitignore``, once per run, only what is not covered."""

from __future__ import annotations

import os
from collections.abc import Iterable

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import append_lines as append_lines  # init writes the attribute with it
from mlops_cli.records.files import prepare_local, read_small

FILE = '.gitignore'
ATTRIBUTES = '.gitignore merge=union'
WAIT_SECONDS = 60.0
_SPECIAL = pattern(r'([\\*?\[\]!# ])')


def line_for(path: str) -> str:
    """The line that ignores exactly one path below the project.

    Raises ValueError for a path with a line break, which no line can name (and no declared path has)."""
    if '\n' in path or '\r' in path:
        raise ValueError(f'{path!r} has a line break')
    return '/' + _SPECIAL.sub(r'\\\1', path)


def cover(root: Root, outputs: Iterable[str]) -> tuple[str, ...]:
    """Adds the lines that are missing; those added, sorted.  Outside a git repository only where there is
    such a file already, as somebody means to make one.

    Raises OSError; UserError for a ``.gitignore`` that is a symbolic link."""
    paths = sorted(set(outputs))
    if not _missing(root, paths):
        return ()
    prepare_local(root)
    with LockFile(layout.LOCKS, root=root) as locks, locks.holding('gitignore', timeout=WAIT_SECONDS):
        # Asked again: another command may have added them meanwhile.
        lines = [line_for(path) for path in _missing(root, paths)]
        if not lines:
            return ()
        # Two branches that each add lines must merge without a conflict, so that comes first.
        append_lines(root, '.gitattributes', [ATTRIBUTES])
        append_lines(root, FILE, lines)
    return tuple(lines)


def _missing(root: Root, paths: list[str]) -> list[str]:
    text = set(read_small(root, FILE).splitlines()) if root.stat(FILE) is not None else None
    if text is not None:  # what has a line of its own needs no process
        paths = [path for path in paths if os.fsencode(line_for(path)) not in text]
    covered = git.ignored(root.path, paths)
    if covered is None:
        return paths if text is not None else []
    return [path for path in paths if path not in covered]
