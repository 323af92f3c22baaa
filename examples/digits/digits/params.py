"""The project's parameters, as they stand in params.yaml."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_params(path: str = 'params.yaml') -> dict[str, Any]:
    """All of a parameter file.  A stage must declare the keys that it uses, so that a change of one runs it again."""
    params: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    return params
