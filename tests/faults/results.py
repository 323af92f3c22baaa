"""What was tried so far: a line of JSON a case, so that a run can be ended at any moment and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.base import Row, Verdict
from tests.faults.rows import module_of
from tests.faults.tools import REPOSITORY, Tool, git


def default_folder() -> Path:
    return Path(os.environ.get('MLOPS_FAULTS_DIR') or '~/.cache/mlops-faults').expanduser()


def _digest(paths: Iterable[Path]) -> str:
    seen = hashlib.sha256()
    for path in sorted(paths):
        seen.update(f'{path.relative_to(REPOSITORY)}\0'.encode() + hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()[:16]


def commit_of(tool: Tool) -> str:
    """By what name people find the code that is tried: of mlops its last commit, with a + where it was changed since."""
    if tool.name != 'mlops':
        return tool.version
    last = git(REPOSITORY, 'log', '-1', '--format=%h', '--', 'mlops_cli').strip()
    return last + ('+' if git(REPOSITORY, 'status', '--porcelain', '--', 'mlops_cli').strip() else '')


def version_of(row: Row, tool: Tool) -> str:
    """Changes when the row, or what is tried, does: then what was tried before counts no more."""
    module = REPOSITORY / (module_of(row.name).replace('.', '/') + '.py')
    tried = _digest((REPOSITORY / 'mlops_cli').rglob('*.py')) if tool.name == 'mlops' else tool.version
    return f'{tried}-{_digest([module, *(REPOSITORY / "tests/faults").glob("*.py")])}'


@dataclass(frozen=True, slots=True)
class Tried:
    """``verdicts``: by case.  ``cases``: how many there were in all when one was tried last, 0 where none was; where they are
    found by counting what a command does, the next time may have one more or less.  ``commit``: of the code tried."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    cases: int = 0
    commit: str = ''

    @property
    def complete(self) -> bool:
        return len(self.verdicts) >= self.cases > 0

    @property
    def bad(self) -> bool:
        return any(one.bad for one in self.verdicts.values())


def _mended(whole: Tried, again: Mapping[str, Tried]) -> Tried:
    """With what was bad in it as it was when it was tried again.  The commit says how much of it is of another one."""
    newer = {case: again[case] for case, one in whole.verdicts.items() if one.bad and case in again}
    if not newer:
        return whole
    counts = Counter(one.commit for one in newer.values())
    said = ', '.join(f'{count} again of {commit}' for commit, count in counts.items())
    verdicts = whole.verdicts | {case: one.verdicts[case] for case, one in newer.items()}
    return Tried(verdicts, whole.cases, f'{whole.commit} ({said})')


class Changed(Exception):
    """The code is another than when it was begun with: what was tried is neither of the one nor of the other."""


class Results:
    """``folder``: where they are kept.  Several processes may add at once: a line is one write to a file opened to append."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / 'results.jsonl'
        self._begun: dict[tuple[str, str], str] = {}
        self._commits: dict[str, str] = {}

    def add(self, row: Row, tool: Tool, full: bool, case: str, verdict: Verdict, cases: int) -> None:
        """``cases``: how many the row has.  Raises Changed."""
        version = version_of(row, tool)
        if self._begun.setdefault((row.name, tool.name), version) != version:
            raise Changed(f'{row.name}: the code has changed meanwhile; begin again')
        commit = self._commits.setdefault(tool.name, commit_of(tool))
        line = {
            'row': row.name, 'tool': tool.name, 'full': full, 'version': version, 'commit': commit, 'case': case,
            'cases': cases, **asdict(verdict),
        }  # fmt: skip
        with self.path.open('ab', buffering=0) as file:
            file.write(json.dumps(line).encode() + b'\n')

    def of(self, row: Row, tool: Tool, full: bool) -> Tried:
        """Those of another version of the row or of what is tried are left out."""
        version = self._begun.setdefault((row.name, tool.name), version_of(row, tool))
        return self._versions(row, tool, full).get(version, Tried())

    def newest(self, row: Row, tool: Tool, full: bool) -> Tried:
        """Of the version that was tried last; of an older one that was tried to its end, or of which more was, as long as of
        the newer ones only a part was, and nothing bad came of that.  What was bad in it and then tried again on a newer one
        counts as it did there."""
        found = Tried()
        again: dict[str, Tried] = {}  # by case, of the newest version that tried it
        for one in reversed(self._versions(row, tool, full).values()):
            this = _mended(one, again)
            if one.complete:
                return this
            if this.bad and found.verdicts:
                break
            if len(this.verdicts) > len(found.verdicts):
                found = this
            if this.bad:
                break
            again = dict.fromkeys(one.verdicts, one) | again
        return found

    def _versions(self, row: Row, tool: Tool, full: bool) -> dict[str, Tried]:
        """By version, the one that was last added to at the end."""
        found: dict[str, Tried] = {}
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            if (one['row'], one['tool'], one['full']) == (row.name, tool.name, full):
                verdicts = found.pop(one['version'], Tried()).verdicts
                verdicts[one['case']] = Verdict(one['tried'], one['bad'], one['heal'], tuple(one['notes']))
                found[one['version']] = Tried(verdicts, one['cases'], one['commit'])
        return found
