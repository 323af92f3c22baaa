"""Where the project is."""

from __future__ import annotations

import os

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError


def project_folder(start: str | None = None) -> str:
    """The nearest folder, from ``start`` upwards, with a pipeline.yaml.  Raises UserError."""
    here = folder = os.path.abspath(start or os.getcwd())
    while True:
        if os.path.isfile(os.path.join(folder, layout.PIPELINE_FILE)):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            raise UserError(
                f'no {layout.PIPELINE_FILE} in {here} or above it',
                hint='mlops init makes a project here, or name one: mlops -C DIR ...',
            )
        folder = parent
