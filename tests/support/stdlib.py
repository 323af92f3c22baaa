"""The standard library of the Python that runs the tests: code that nobody wrote for them."""
from __future__ import annotations

import random
import sysconfig
from functools import cache
from pathlib import Path


@cache
def standard_library() -> tuple[str, ...]:
    """Absolute paths of all its source files, sorted."""
    root = Path(sysconfig.get_path('stdlib'))
    found = sorted(str(path) for path in root.rglob('*.py') if 'site-packages' not in path.parts)
    assert len(found) > 400  # Debian leaves tests and more out
    return tuple(found)


@cache
def sample(count: int, *, largest: int = 40_000) -> tuple[str, ...]:
    """Always the same ones, of at most ``largest`` bytes."""
    small = [path for path in standard_library() if Path(path).stat().st_size <= largest]
    return tuple(random.Random(20).sample(small, count))
