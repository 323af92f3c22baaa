"""Takes a trial's parameters over into the parameter files; comments and layout stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import check_path
from mlops_cli.fingerprint.params import render_file
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import paramfile
from mlops_cli.records.pins import read_small


def write_parameters(root: Root, overlay: Sequence[tuple[str, str, Any]]) -> tuple[str, ...]:
    """Writes each value to its file; the files that changed.

    Raises UserError where a file cannot take it, or is none that ``--set`` takes: a record may come with a branch.  OSError."""
    changed = []
    for file, _, _ in overlay:
        _check(file)
    for file in dict.fromkeys(file for file, _, _ in overlay):
        values = {key: value for name, key, value in overlay if name == file}
        old = read_small(root, file) if os.path.lexists(root.full(file)) else b''
        new = render_file(file, old, values)
        if new != old:
            write_file(root, file, new)
            changed.append(file)
    return tuple(changed)


def _check(file: str) -> None:
    try:
        if check_path(file) != file or not file.endswith(paramfile.SUFFIXES):
            raise ValueError('is no parameter file of this project')
    except ValueError as error:
        raise UserError(
            f'refused to write parameters: the run says that they stand in {file[:200]!r}, which {error}',
            hint='look at its record, and ask who committed it',
            exit_code=ExitCode.REFUSED,
        ) from error
