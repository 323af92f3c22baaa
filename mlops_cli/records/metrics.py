"""Scalar metrics read from the files that stages write: JSON, YAML and TOML.  Size-capped; nothing is executed."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.yamlfile import read

LIMIT = 1 << 20  # bytes of a metrics file
MOST = 1000  # numbers taken from one file


def scalars(data: bytes, file: str) -> tuple[tuple[str, float | int], ...]:
    """(dotted name, number), sorted by name; whatever is not a finite number is left out.

    Raises UserError where the file is no JSON, YAML or TOML, or too large."""
    if len(data) > LIMIT:
        raise UserError(
            f'{file} is larger than {LIMIT >> 20} MiB, too large for metrics',
            hint='write the numbers to a small file, and the rest as an output or plot',
        )
    return tuple(sorted(_flatten(load(data, file), '')))[:MOST]


def load(data: bytes, file: str) -> Any:
    """The plain value of a metrics file by its name's ending.  Raises UserError."""
    ending = file.rpartition('.')[2].lower()
    try:
        if ending == 'json':
            return json.loads(data)
        if ending == 'toml':
            return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{file} cannot be read: {error}', hint=f'a metrics file named .{ending} must hold {ending.upper()}'
        ) from error
    if ending in ('yaml', 'yml'):
        return read(data, file).value
    raise UserError(f'{file}: metrics are read from .json, .yaml and .toml', hint='list it under outs or plots instead')


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, float | int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(item, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flatten(item, f'{prefix}.{number}' if prefix else str(number))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield prefix, value
