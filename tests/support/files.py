"""Files below folders in which other processes are at work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Of each file that is still there when it is its turn."""
    for folder in folders:
        for below, _, names in os.walk(folder):
            for name in names:
                path = Path(below, name)
                with suppress(FileNotFoundError):
                    if path.is_file():
                        yield path, path.read_bytes()
