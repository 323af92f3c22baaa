"""Files of DVC's as DVC opens them: through links, and beside the project in the same repository.  Nothing outside of that."""

from __future__ import annotations

import os

from mlops_cli import git
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import check_path
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root


def read(root: Root, rel: str, limit: int) -> bytes:
    """``rel``: from the project's folder, which it may lead out of.  Raises OSError, UserError."""
    full = os.path.realpath(os.path.join(root.path, rel))
    if (inside := _below(os.path.realpath(root.path), full)) is not None:
        return read_file(root, inside, limit)
    top = git.top(root.path)
    inside = _below(os.path.realpath(top), full) if top is not None else None
    if top is None or inside is None:
        raise UserError(f'{rel} leads out of the repository', exit_code=ExitCode.REFUSED,
                        hint='what lies elsewhere on this machine is not read: copy it in')
    return read_file(top, inside, limit)


def _below(folder: str, path: str) -> str | None:
    """The path from a folder; None for what does not lie in it, or is git's or ours."""
    try:
        return check_path(os.path.relpath(path, folder)) if path.startswith(os.path.join(folder, '')) else None
    except ValueError:
        return None
