"""What is tracked, gathered for the screens that show it: its state here, its age, who uses it, what it holds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import one_line
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import project_relative
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.refs import ref_document
from mlops_cli.core.units import plural
from mlops_cli.records import data
from mlops_cli.store.objects import Damaged, MissingObject

if TYPE_CHECKING:
    from mlops_cli.checks.statistics import Statistics
    from mlops_cli.run.workbench import Workbench

READ = 256 << 20  # bytes of a table that is read without being asked for by name


@dataclass(frozen=True, slots=True)
class Row:
    """``here``: yes, changed or no.  ``since``: when its record was last written, in seconds since 1970; 0.0: not known.
    ``users``: stages.  ``statistics`` None: not worked out.  ``lies_in``: where, if outside the project."""

    record: data.Record
    here: str
    since: float
    users: tuple[str, ...]
    statistics: Statistics | None
    now: float
    lies_in: str = ''

    @property
    def overdue(self) -> bool:
        return self.record.due is not None and self.record.due <= self.now

    def document(self) -> dict[str, Any]:
        one, counted = self.record, self.statistics
        return {
            **ref_document(one.path, one.ref), 'here': self.here, 'files': counted.files if counted else None,
            'age_seconds': round(self.now - self.since) if self.since else None, 'used_by': list(self.users),
            'desc': one.desc, 'licence': one.licence, 'max_age': one.max_age, 'checked': one.checked, 'overdue': self.overdue,
            'in_place': one.in_place, 'lies_in': self.lies_in, 'source': one.source.shown if one.source is not None else '',
            'rows': counted.rows if counted else None, 'columns': len(counted.columns) if counted and counted.columns else None,
        }  # fmt: skip


def rows_of(bench: Workbench, words: Sequence[str]) -> list[Row]:
    """Of all tracked data, or of the paths that words name where the user stands.  Raises UserError."""
    from mlops_cli import git
    from mlops_cli.pipeline.graph import readers

    records = data.records(bench.root)
    chosen = records
    if words:
        chosen = {}
        for word in words:
            path = project_relative(bench.root.path, word)
            if path not in records:
                raise UserError(f'{path} is not tracked', hint=did_you_mean(path, records, what='tracked are'))
            chosen[path] = records[path]
    committed = git.last_committed(bench.root.path, layout.DATA) if chosen else {}
    changed = set(git.changed(bench.root.path, [layout.DATA])) if committed else set()
    found = []
    now = time.time()
    for path, record in chosen.items():
        here = bench.workspace.ref(path)
        state = 'no' if here is None else 'yes' if here.identity == record.ref.identity else 'changed'
        file = data.record_path(path)
        facts = bench.root.stat(file)
        since = float(committed[file]) if file in committed and file not in changed else facts.st_mtime if facts else 0.0
        counted = _statistics(bench, record, state, bool(words))
        found.append(Row(record, state, since, readers(bench.pipeline, path), counted, now, bench.root.elsewhere.get(path, '')))
    return found


def _statistics(bench: Workbench, record: data.Record, here: str, asked: bool) -> Statistics | None:
    """Of the content that the record names; None where that is nowhere here, or is large and not asked for."""
    from mlops_cli.checks import statistics

    if (known := statistics.kept(bench.root, record.ref, record.path)) is not None:
        return known
    if record.ref.kind != 'tree' and record.ref.size > READ and not asked:
        return None
    counted = 0

    def step() -> None:
        nonlocal counted
        counted += 1
        progress.step()

    with Progress(lambda: f'  reading   {one_line(record.path)}: {plural(counted, "step")}') as progress:
        try:
            if record.ref.kind == 'tree':
                nodes = bench.workspace.nodes(record.path) if here == 'yes' else {}
                found = statistics.of_folder(
                    record.ref, lambda digest: nodes[digest] if digest in nodes else bench.store.read(digest), step
                )
            else:
                found = statistics.of_file(record.path, lambda: _opened(bench, record, here), step)
        except (MissingObject, Damaged):
            return None
    if bench.root.stat(layout.LOCAL) is not None:  # a command that reads makes nothing in a project that never ran
        statistics.keep(bench.root, record.ref, record.path, found)
    return found


def _opened(bench: Workbench, record: data.Record, here: str) -> int:
    if here == 'yes':
        return bench.workspace.open(record.path)
    fd, facts = bench.store.open(record.ref.digest)
    if facts.st_size != record.ref.size:
        os.close(fd)
        raise MissingObject(record.ref.digest)
    return fd
