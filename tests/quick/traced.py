"""Notes which paths Python code of this process touches."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from typing import Any

_readlink = os.readlink


def install(touched: set[str]) -> None:
    """From here until the answer is kept: ``look PATH``, and ``list PATH`` of folders whose names are asked for, into
    ``touched``."""
    from mlops_cli.cli.quick import looked

    places, listening = looked.places, [True]

    def silently(*arguments: Any) -> Any:
        listening.clear()
        return places(*arguments)

    looked.places = silently
    for name in ('stat', 'lstat', 'open', 'readlink', 'access'):
        setattr(os, name, _noting(getattr(os, name), 'look', touched, listening))
    for name in ('scandir', 'listdir'):
        setattr(os, name, _noting(getattr(os, name), 'list', touched, listening))
    builtins.open = io.open = _noting(builtins.open, 'look', touched, listening)


def _noting(call: Callable[..., Any], how: str, touched: set[str], listening: list[bool]) -> Callable[..., Any]:
    def noting(path: Any = '.', *arguments: Any, **options: Any) -> Any:
        if listening and (found := _absolute(path, options.get('dir_fd'))) is not None:
            touched.add(f'{how} {found}')
        return call(path, *arguments, **options)

    return noting


def _absolute(path: Any, folder: int | None) -> str | None:
    """None for what has no name: a pipe, a file that was unlinked."""
    if isinstance(path, int):
        text = _of(path)
        return text if text.startswith('/') else None
    text = os.fsdecode(path)
    base = os.getcwd() if folder is None else _of(folder)
    return os.path.normpath(os.path.join(base, text))


def _of(fd: int) -> str:
    try:
        return _readlink(f'/proc/self/fd/{fd}')
    except OSError:
        return ''
