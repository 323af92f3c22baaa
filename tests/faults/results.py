"""What was tried so far: a line of JSON a case, so that a run can be ended at any moment and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.faults.base import Row, Verdict
from tests.faults.rows import module_of
from tests.faults.tools import REPOSITORY, Tool


def default_folder() -> Path:
    return Path(os.environ.get('MLOPS_FAULTS_DIR') or '~/.cache/mlops-faults').expanduser()


def _digest(paths: Iterable[Path]) -> str:
    seen = hashlib.sha256()
    for path in sorted(paths):
        seen.update(f'{path.relative_to(REPOSITORY)}\0'.encode() + hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()[:16]


def version_of(row: Row, tool: Tool) -> str:
    """Changes when the row, or what is tried, does: then what was tried before counts no more."""
    module = REPOSITORY / (module_of(row.name).replace('.', '/') + '.py')
    tried = _digest((REPOSITORY / 'mlops_cli').rglob('*.py')) if tool.name == 'mlops' else tool.version
    return f'{tried}-{_digest([module, *(REPOSITORY / "tests/faults").glob("*.py")])}'


class Results:
    """``folder``: where they are kept.  Several processes may add at once: a line is one write to a file opened to append."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / 'results.jsonl'

    def add(self, row: Row, tool: Tool, full: bool, case: str, verdict: Verdict) -> None:
        line = {
            'row': row.name, 'tool': tool.name, 'full': full, 'version': version_of(row, tool), 'case': case, **asdict(verdict)
        }
        with self.path.open('ab', buffering=0) as file:
            file.write(json.dumps(line).encode() + b'\n')

    def of(self, row: Row, tool: Tool, full: bool) -> dict[str, Verdict]:
        """By case; those of another version of the row or of what is tried are left out."""
        found: dict[str, Verdict] = {}
        wanted = (row.name, tool.name, full, version_of(row, tool))
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            if (one['row'], one['tool'], one['full'], one['version']) == wanted:
                found[one['case']] = Verdict(one['tried'], one['bad'], one['heal'], tuple(one['notes']))
        return found
