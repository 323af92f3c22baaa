"""Tells whoever wants to know (fsio.paths) of absolute paths that are looked at by their names, past any Root."""
from __future__ import annotations

import os

from mlops_cli.fsio import paths


def noted(path: str, *, listed: bool = False) -> str:
    """The path.  ``listed``: the names in that folder count."""
    if paths.asked is not None and path.startswith('/') and '\0' not in path:
        folder, name = os.path.split(os.path.normpath(path))
        paths.asked.add((folder, name, listed))
    return path
