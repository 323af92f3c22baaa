"""Keeps git from taking stored outputs in: lines in the project's ``.gitignore``, once per run, only what is not covered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from mlops_cli import git
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records.pins import read_small

_SPECIAL = re.compile(r'([\\*?\[\]!# ])')
ATTRIBUTES = '.gitignore merge=union'


def line_for(path: str) -> str:
    """The line that ignores exactly one path below the project.  A path with a line break has none: ''."""
    return '' if '\n' in path or '\r' in path else '/' + _SPECIAL.sub(r'\\\1', path)


def cover(root: Root, outputs: Iterable[str]) -> tuple[str, ...]:
    """Adds the lines that are missing; those added.  Nothing outside a git repository.  Raises OSError."""
    paths = sorted(set(outputs))
    if not paths or git.top(root.path) is None:
        return ()
    covered = git.ignored(root.path, paths)
    lines = [line for path in paths if path not in covered and (line := line_for(path))]
    if not lines:
        return ()
    append_lines(root, '.gitignore', lines)
    # Two branches that each add lines must merge without a conflict.
    append_lines(root, '.gitattributes', [ATTRIBUTES])
    return tuple(lines)


def append_lines(root: Root, file: str, lines: Iterable[str]) -> bool:
    """Adds lines that the file does not have yet; whether there were any."""
    old = read_small(root, file) if os.path.lexists(root.full(file)) else b''
    have = set(old.splitlines())
    new = [line.encode('utf-8', 'surrogateescape') for line in lines]
    new = [line for line in new if line not in have]
    if not new:
        return False
    if old and not old.endswith(b'\n'):
        old += b'\n'
    write_file(root, file, old + b'\n'.join(new) + b'\n')
    return True
