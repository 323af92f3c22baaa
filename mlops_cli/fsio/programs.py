"""Where a program lies that we start."""
from __future__ import annotations

import os
from functools import lru_cache


def find_program(name: str, path: str | None = None) -> str | None:
    """Its absolute path, of the folders of PATH, or of ``path``; None if there is none.

    Relative folders of PATH are passed over: they would be folders of the project, whose files others may have written."""
    return _find(name, os.environ.get('PATH', os.defpath) if path is None else path)


@lru_cache(maxsize=16)
def _find(name: str, path: str) -> str | None:
    for folder in path.split(os.pathsep):
        program = os.path.join(folder, name)
        if os.path.isabs(folder) and os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    return None
