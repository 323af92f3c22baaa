"""Begins to hash a large file before the program is loaded that will ask for it: where there is no index, or a tracked file
changed after it was written, there is no other way to know the file.

Nothing is taken from here but time: what is hashed counts only if that very file, unchanged, is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_cli.cli.finding import find_project
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError

if TYPE_CHECKING:
    from mlops_cli.fsio.paths import Root

COMMANDS = ('status', 'plan', 'run')  # which look at every input
LOOKED_AT = 200  # records
LARGE = 256 << 20  # bytes; as store.mapped, which is loaded only for such files


def begin(arguments: Sequence[str]) -> None:
    """Look for such a file.  Raises nothing."""
    if not arguments or arguments[0] not in COMMANDS:
        return
    with suppress(OSError, UserError, ValueError):
        folder = find_project(os.getcwd())
        if folder and os.path.isdir(os.path.join(folder, layout.DATA)):
            _begin_in(folder)


def _begin_in(folder: str) -> None:
    from mlops_cli.fsio.paths import Root

    written = max(_changed(os.path.join(folder, layout.INDEX + suffix)) for suffix in ('', '-wal'))
    with Root(folder) as root:
        for path in _large(root):
            if os.lstat(os.path.join(folder, path)).st_ctime_ns > written:
                from mlops_cli.core.paths import check_path
                from mlops_cli.store import mapped

                fd = root.open(check_path(path))
                try:
                    if mapped.begin(fd):
                        return
                finally:
                    os.close(fd)


def _large(root: Root) -> Iterator[str]:
    """The paths of large files that have a record, of some of the first.  Read from names alone; no link is followed."""
    waiting, left = [''], LOOKED_AT
    while waiting:
        inside = waiting.pop(0)
        for name in sorted(entry.name for entry in root.scandir(f'{layout.DATA}/{inside}'.rstrip('/'))):
            left -= 1
            if left < 0:
                return
            path = os.path.join(inside, name.removesuffix('.json'))
            if not name.endswith('.json'):
                waiting.append(path)
                continue
            with suppress(OSError):
                if os.lstat(root.full(path)).st_size >= LARGE:
                    yield path


def _changed(path: str) -> int:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0


def end() -> None:
    """End what was begun and not asked for."""
    import sys

    if mapped := sys.modules.get('mlops_cli.store.mapped'):
        mapped.abandon()
