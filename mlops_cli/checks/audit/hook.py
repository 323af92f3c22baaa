"""Where strace cannot look on, each Python of a stage tells itself what it opens (site/sitecustomize.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import get_args

from mlops_cli.checks.audit.access import Access, Did, Ended, Unseen

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'site')
VARIABLE = 'MLOPS_AUDIT_OUTPUT'
LIMITS = (
    'it sees what Python itself opens, not what libraries read natively (DuckDB, pyarrow, polars), nor other programs, '
    'nor Python started with -I, -E or -S'
)
_DONE = frozenset(get_args(Did))


def environment(output: str, before: str) -> dict[str, str]:
    """What is added to a stage's.  ``before``: its PYTHONPATH."""
    return {VARIABLE: output, 'PYTHONPATH': os.pathsep.join(filter(None, (FOLDER, before)))}


class Parser:
    def __init__(self) -> None:
        self.unclear = 0

    def line(self, line: bytes) -> Iterator[Access | Ended | Unseen]:
        """What a line tells, if anything."""
        if not line:
            return
        try:
            pid, did, *names = json.loads(line)
            first, second = [*map(str, names), '', ''][:2]
        except (ValueError, RecursionError):
            self.unclear += 1
            return
        if did == 'begun':
            yield Ended(int(pid), begun=True)
            yield Ended(int(pid))
        elif did in _DONE and first.startswith('/'):
            yield Access(did, first, os.path.realpath(first), second)
