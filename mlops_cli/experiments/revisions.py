"""What a git revision is recorded to lead to.  Costs an export of its code once; after that it is known by its commit."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from mlops_cli import __version__
from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import inside
from mlops_cli.experiments.model import UNKNOWN, StagePoint
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX, new_name
from mlops_cli.git import commits, exporting
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.model import Step
from mlops_cli.records.database import Database, local_path
from mlops_cli.records.files import LIMIT, keeps_local
from mlops_cli.records.pins import Pins
from mlops_cli.run.workbench import Workbench, open_workbench

NAME = 'revisions-v1.sqlite'
TABLES = (
    (
        'CREATE TABLE revisions (commit_id TEXT PRIMARY KEY, names TEXT NOT NULL, surroundings TEXT NOT NULL, '
        'results TEXT NOT NULL, used INTEGER NOT NULL, value TEXT NOT NULL)'
    ),
)
MOST = 200  # commits that are remembered
LISTED = 1_000_000  # values of templates' parameters, of all stages together
FORM = 2  # of what is remembered; raise it when more is
NEEDLESS = (layout.RUNS, layout.STAGES, layout.KEPT)  # of a commit; pins are read from git when one is asked for
# Besides what a stage declares, this decides which interpreter and which modules its command finds.
VARIABLES = ('PATH', 'PYTHONPATH', 'VIRTUAL_ENV', 'CONDA_PREFIX', 'HOME')

Planned = Callable[[Workbench], Iterable[tuple[Step, StagePoint]]]


@dataclass(frozen=True)
class Revision:
    """``stages``: by name."""

    pipeline: Pipeline
    stages: Mapping[str, StagePoint]


def revision(bench: Workbench, commit: str, plan: Planned) -> Revision:
    """The pipeline of a commit, and what is recorded for it.  ``plan``: how to find that in a project that is open.

    Raises UserError where its pipeline cannot be read, OSError."""
    database = Database(local_path(bench.root, bench.environ, NAME), TABLES, keeps=keeps_local(bench.root))
    try:
        known = database.use(lambda connection: _load(connection, bench, commit))
        if known is not None:
            return known
        with opened_at(bench, commit) as other:
            found = Revision(other.pipeline, {point.stage: point for _, point in plan(other)})
        database.use(lambda connection: _save(connection, bench, commit, found))
        return found
    finally:
        database.close()


def _load(connection: sqlite3.Connection, bench: Workbench, commit: str) -> Revision | None:
    row = connection.execute(
        'SELECT names, surroundings, results, value FROM revisions WHERE commit_id = ?', (commit,)
    ).fetchone()
    if row is None:
        return None
    from mlops_cli.experiments.plain import from_plain  # slow to load: only where a revision is asked for

    try:
        names, surroundings, results, value = json.loads(row[0]), row[1], row[2], json.loads(row[3])
        if surroundings != _surroundings(bench, names) or (results and results != _results(bench)):
            return None
        pipeline = from_plain(Pipeline, value['pipeline'])
        return Revision(pipeline, {name: from_plain(StagePoint, one) for name, one in value['stages'].items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # whoever wrote that, it was not this version


def _save(connection: sqlite3.Connection, bench: Workbench, commit: str, found: Revision) -> None:
    """``results`` stays empty where all is known: then no later result can add to it."""
    names = sorted({name for stage in found.pipeline.stages.values() for name in (*stage.env, *stage.secrets)})
    listed = (one.value for stage in found.pipeline.stages.values() for one in stage.used)
    if sum(len(value) for value in listed if isinstance(value, list | dict | str)) > LISTED:
        return  # each instance of a large matrix would write the whole list of its axis
    from mlops_cli.experiments.plain import to_plain  # as above

    open_ = any(one.state == UNKNOWN for one in found.stages.values())
    try:
        stages = {name: to_plain(one) for name, one in found.stages.items()}
        text = json.dumps({'pipeline': to_plain(found.pipeline), 'stages': stages})
    except (TypeError, ValueError):  # such as a date among a stage's own data
        return
    row = (commit, json.dumps(names), _surroundings(bench, names), _results(bench) if open_ else '', text)
    used = connection.execute('SELECT coalesce(max(used), 0) + 1 FROM revisions').fetchone()[0]
    connection.execute('INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?, ?)', (*row[:4], used, text))
    connection.execute('DELETE FROM revisions WHERE used <= ?', (used - MOST,))


def _surroundings(bench: Workbench, names: Iterable[str]) -> str:
    """What a key depends on besides the commit.  Values of variables are hashed, never kept."""
    values = {name: bench.environ.get(name) for name in (*VARIABLES, *names)}
    return digest_of(canonical([FORM, __version__, sys.version, values]).encode()).hex


def _results(bench: Workbench) -> str:
    """What tells whether the cache got results since."""
    folder = os.path.join(bench.config.cache, layout.RESULTS)
    try:
        with os.scandir(folder) as entries:
            return digest_of(repr(sorted((e.name, e.stat().st_mtime_ns) for e in entries)).encode()).hex
    except OSError:
        return 'none'


class GitPins(Pins):
    """The pins of a commit, read from git."""

    def __init__(self, root: Root, blobs: Mapping[str, str], read: Callable[[str, int], bytes | None]) -> None:
        super().__init__(root)
        self._blobs, self._read = blobs, read

    def names(self) -> list[str]:
        return list(self._blobs)

    def bytes_of(self, name: str) -> bytes | None:
        return self._read(self._blobs[name], LIMIT)


@contextmanager
def opened_at(bench: Workbench, commit: str) -> Iterator[Workbench]:
    """The project as it is in a commit, in a folder of its own, on the same store; without its run records.

    Raises UserError, OSError."""
    project = bench.root.path
    with own_folder(bench) as path:
        files = exporting.export(project, commit, path, skip=lambda file: any(inside(file, part) for part in NEEDLESS))
        pins = commits.blobs(project, commit, [layout.STAGES]) or {}
        names = {file.rpartition('/')[2]: blob for file, blob in pins.items()}
        if layout.PIPELINE_FILE not in files:
            raise UserError(
                f'there is no {layout.PIPELINE_FILE} in commit {commit[:7]}',
                hint=f'name a later one: git log --oneline -- {layout.PIPELINE_FILE}',
            )
        other = _open(bench, path, commit, files)
        try:
            with commits.reading(project) as read:
                yield replace(other, pins=GitPins(other.root, names, read))
        finally:
            other.close()


@contextmanager
def own_folder(bench: Workbench) -> Iterator[str]:
    """An empty folder, removed in the end: in the project where git ignores it, else among the temporary ones."""
    if not keeps_local(bench.root):
        import tempfile  # slow to load

        with tempfile.TemporaryDirectory(prefix='mlops-') as path:
            yield path
        return
    folder = f'{layout.LOCAL}/{new_name(PREFIX)}'  # a command that writes removes it if this one is killed
    bench.root.makedirs(folder, mode=0o700)
    try:
        yield bench.root.full(folder)
    finally:
        bench.root.remove_tree(folder)


def _open(bench: Workbench, path: str, commit: str, files: tuple[str, ...]) -> Workbench:
    """Raises UserError, which says at which commit."""
    try:
        return open_workbench(
            path, bench.config, bench.environ, in_git=lambda below: tuple(f for f in files if f.startswith(below + '/'))
        )
    except UserError as error:
        text = str(error).replace(f'{path}/', '')
        raise UserError(
            f'at commit {commit[:7]}: {text}', hint='that state cannot be told', exit_code=error.exit_code
        ) from error
