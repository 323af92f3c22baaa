"""What was run, as local tables: every run record, and of the pins the numbers and parameters that belong to them.

Made from what git tracks, and brought up to date by the times of folders: only new records are read.  A record that git took
away or replaced is noticed, since that touches its folder; one edited in place is noticed when it is shown.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.strictjson import SIZE_LIMIT
from mlops_cli.fsio.paths import FolderEntry, Root
from mlops_cli.fsio.temporaries import PREFIX
from mlops_cli.records import runs
from mlops_cli.records.database import Database
from mlops_cli.records.files import read_small
from mlops_cli.records.runs import STATES, Run

if TYPE_CHECKING:
    from mlops_cli.core.manifest import Manifest

NAME = 'history-v1.sqlite'
TABLES = (
    'CREATE TABLE folders (path TEXT PRIMARY KEY, signature TEXT NOT NULL) WITHOUT ROWID',
    ('CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, folder TEXT NOT NULL, facts TEXT NOT NULL, '
    'problem TEXT NOT NULL, started REAL, ended TEXT, seconds REAL, who TEXT, host TEXT, branch TEXT, commit_id TEXT, '
    'trial INTEGER, fresh INTEGER, saved_seconds REAL, cpu_seconds REAL, done INTEGER, restored INTEGER, failed INTEGER, '
    'skipped INTEGER, interrupted INTEGER, overlay TEXT)'),
    'CREATE INDEX runs_by_folder ON runs (folder)',
    "CREATE INDEX runs_damaged ON runs (id) WHERE problem <> ''",  # nearly empty, and each command asks
    ('CREATE TABLE results (number INTEGER PRIMARY KEY, key TEXT NOT NULL, outs8 TEXT NOT NULL, explained INTEGER NOT NULL, '
    'UNIQUE (key, outs8))'),
    'CREATE INDEX results_unexplained ON results (number) WHERE explained = 0',
    ('CREATE TABLE stages (run INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, '
    'result INTEGER, seconds REAL, PRIMARY KEY (run, position)) WITHOUT ROWID'),
    'CREATE INDEX stages_by_result ON stages (result)',
    ('CREATE TABLE trial_numbers (name TEXT NOT NULL, run INTEGER NOT NULL, stage TEXT NOT NULL, file TEXT NOT NULL, '
    'value NOT NULL, PRIMARY KEY (name, run, stage, file)) WITHOUT ROWID'),
    'CREATE INDEX trial_numbers_by_run ON trial_numbers (run)',
    'CREATE TABLE pins (file TEXT PRIMARY KEY, result INTEGER, problem TEXT NOT NULL) WITHOUT ROWID',
    'CREATE INDEX pins_by_result ON pins (result)',
    "CREATE INDEX pins_damaged ON pins (file) WHERE problem <> ''",
    ('CREATE TABLE numbers (name TEXT NOT NULL, result INTEGER NOT NULL, file TEXT NOT NULL, value NOT NULL, '
    'PRIMARY KEY (name, result, file)) WITHOUT ROWID'),
    'CREATE INDEX numbers_by_result ON numbers (result)',
    ('CREATE TABLE params (name TEXT NOT NULL, result INTEGER NOT NULL, value TEXT NOT NULL, '
    'PRIMARY KEY (name, result)) WITHOUT ROWID'),
    'CREATE INDEX params_by_result ON params (result)',
    ('CREATE TABLE run_values (name TEXT NOT NULL, run INTEGER NOT NULL, value TEXT NOT NULL, '
    'PRIMARY KEY (name, run)) WITHOUT ROWID'),
    'CREATE INDEX run_values_by_run ON run_values (run)',
)
VERSION = 3
SETTLED_NS = 2_000_000_000  # a folder touched so shortly before it was listed may change again with the same times
CHUNK = 500  # runs asked about at once: SQLite takes no more than some values
TOLD = 50  # records read between two words about progress
_COLUMNS = 22

Progress = Callable[[str, int, int], None]
Explain = Callable[[Digest, str], 'Manifest | None']


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that cannot be read.  ``path``: of the file; ``text``: what is wrong."""

    path: str
    text: str


def problem_of(error: UserError) -> Problem:
    """Of the error that reading a record raised."""
    return Problem(error.where.file if error.where else layout.RUNS, error.message)


@dataclass
class History:
    """``progress``: told (what is read, how many were, how many there are) while it takes long.  ``explain``: the manifest of
    a result that no pin tells about, if it is known here.

    Raises UserError for links in place of folders, OSError."""

    root: Root
    database: Database
    progress: Progress = lambda _what, _done, _all: None
    explain: Explain = lambda _key, _outs8: None
    clock: Callable[[], int] = time.time_ns

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Brings the tables up to date.  Call it at the start of each piece of work."""
        if self._is_current(connection):
            return
        _begin(connection)  # what is read from here on, nobody else changes
        self._refresh_runs(connection)
        self._refresh_pins(connection)
        self._explain_trials(connection)
        damaged = connection.execute("SELECT id, facts FROM runs WHERE problem <> ''").fetchall()
        self.recheck(connection, dict(damaged))  # whoever mended one did so in place

    def _is_current(self, connection: sqlite3.Connection) -> bool:
        """No folder changed, and nothing waits to be read: no other command has to be waited for."""
        months = {entry.name for entry in _listing(self.root, layout.RUNS) if entry.is_dir() and runs.is_month(entry.name)}
        folders = {month: self._signature(f'{layout.RUNS}/{month}') for month in months}
        folders[layout.STAGES] = self._signature(layout.STAGES)
        known = dict(connection.execute('SELECT path, signature FROM folders').fetchall())
        open_ = connection.execute(
            "SELECT 1 FROM runs WHERE problem <> '' UNION ALL SELECT 1 FROM pins WHERE problem <> '' "
            'UNION ALL SELECT 1 FROM results WHERE explained = 0'
        ).fetchone()
        return known == folders and all(folders.values()) and not open_

    def problems(self, connection: sqlite3.Connection) -> list[Problem]:
        """Records that cannot be read, newest runs first."""
        rows = connection.execute("SELECT id, problem FROM runs WHERE problem <> '' ORDER BY id DESC").fetchall()
        found = [Problem(layout.run_record(run_id), text) for run_id, text in rows]
        pinned = connection.execute("SELECT file, problem FROM pins WHERE problem <> '' ORDER BY file").fetchall()
        return found + [Problem(f'{layout.STAGES}/{file}', text) for file, text in pinned]

    def recheck(self, connection: sqlite3.Connection, known: Mapping[str, str]) -> bool:
        """Whether any of these records, by their ids, is no longer what was read; what was read of it is replaced then."""
        ids = sorted(known, reverse=True)  # so those of a folder are looked at together
        found = zip(ids, self.root.stat_many(map(layout.run_record, ids)), strict=True)
        stale = [(run_id, status) for run_id, status in found if status is None or known[run_id] != facts_of(status)]
        for run_id, status in stale:
            _begin(connection)
            _forget_runs(connection, [run_id])
            if status is not None:
                self._read_run(connection, run_id, facts_of(status))
        return bool(stale)

    # Runs

    def _refresh_runs(self, connection: sqlite3.Connection) -> None:
        months = {entry.name for entry in _listing(self.root, layout.RUNS) if entry.is_dir() and runs.is_month(entry.name)}
        known = dict(connection.execute('SELECT path, signature FROM folders').fetchall())
        stale: list[tuple[str, str, list[FolderEntry]]] = []
        for month in sorted(months, reverse=True):
            signature = self._signature(f'{layout.RUNS}/{month}')
            if not signature or known.get(month) != signature:
                stale.append((month, signature, _listing(self.root, f'{layout.RUNS}/{month}', stats=True)))
        for month in known.keys() - months - {layout.STAGES}:
            gone = [run_id for (run_id,) in connection.execute('SELECT id FROM runs WHERE folder = ?', (month,))]
            _forget_runs(connection, gone)
            connection.execute('DELETE FROM folders WHERE path = ?', (month,))
        todo = [item for month, _, entries in stale for item in self._changed_in(connection, month, entries)]
        for number, (run_id, facts) in enumerate(todo):
            if number % TOLD == 0 and number:
                self.progress('run records', number, len(todo))
            self._read_run(connection, run_id, facts)
        for month, signature, _ in stale:
            connection.execute('INSERT OR REPLACE INTO folders VALUES (?, ?)', (month, signature))

    def _changed_in(
        self, connection: sqlite3.Connection, month: str, entries: Sequence[FolderEntry]
    ) -> Iterator[tuple[str, str]]:
        """(id, facts) of the records of a month that must be read; those that are gone or changed are forgotten."""
        there = {
            run_id: facts_of(entry.stat())
            for entry in entries
            if entry.is_file() and (run_id := runs.id_of(entry.name, month)) is not None
        }
        known = dict(connection.execute('SELECT id, facts FROM runs WHERE folder = ?', (month,)).fetchall())
        _forget_runs(connection, [run_id for run_id, facts in known.items() if there.get(run_id) != facts])
        for run_id in sorted(there, reverse=True):
            if known.get(run_id) != there[run_id]:
                yield run_id, there[run_id]

    def _read_run(self, connection: sqlite3.Connection, run_id: str, facts: str) -> None:
        path = layout.run_record(run_id)
        try:
            run = runs.decode(read_small(self.root, path, SIZE_LIMIT), path)
        except FileNotFoundError:
            return  # git has taken it away since the listing
        except UserError as error:
            row = (None, run_id, run_id_folder(run_id), facts, error.message, *[None] * (_COLUMNS - 5))
            connection.execute(f'INSERT INTO runs VALUES ({", ".join("?" * _COLUMNS)})', tuple(map(_held, row)))
            return
        row = (None, run_id, run_id_folder(run_id), facts, '', *map(_held, _of(run)))
        number = connection.execute(f'INSERT INTO runs VALUES ({", ".join("?" * _COLUMNS)})', row).lastrowid
        assert number is not None
        rows = [
            (number, position, one.name, one.state, _result(connection, one.key, one.outs8, run), one.seconds)
            for position, one in enumerate(run.stages)
        ]
        connection.executemany('INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?)', _rows(rows))
        numbers = [(name, number, stage, file, value) for stage, file, name, value in run.metrics]
        connection.executemany('INSERT OR IGNORE INTO trial_numbers VALUES (?, ?, ?, ?, ?)', _rows(numbers))
        values = [(parameter(f'{file}:{key}'), number, json.dumps(value)) for file, key, value in run.values or ()]
        connection.executemany('INSERT OR IGNORE INTO run_values VALUES (?, ?, ?)', _rows(values))

    # Pins

    def _refresh_pins(self, connection: sqlite3.Connection) -> None:
        signature = self._signature(layout.STAGES)
        row = connection.execute('SELECT signature FROM folders WHERE path = ?', (layout.STAGES,)).fetchone()
        damaged = connection.execute("SELECT 1 FROM pins WHERE problem <> ''").fetchone()
        if row is not None and signature and row[0] == signature and not damaged:
            return
        from mlops_cli.records import pins  # mostly nothing is new, and nothing has to be read

        there = {entry.name for entry in _listing(self.root, layout.STAGES) if pins.is_pin(entry.name)}
        known = {file for (file,) in connection.execute("SELECT file FROM pins WHERE problem = ''")}
        connection.execute("DELETE FROM pins WHERE problem <> ''")
        _forget_pins(connection, known - there)
        known = {file for (file,) in connection.execute('SELECT file FROM pins')}
        todo = sorted(there - known)
        for number, file in enumerate(todo):
            if number % TOLD == 0 and number:
                self.progress('pins', number, len(todo))
            self._read_pin(connection, file)
        connection.execute('INSERT OR REPLACE INTO folders VALUES (?, ?)', (layout.STAGES, signature))

    def _read_pin(self, connection: sqlite3.Connection, file: str) -> None:
        from mlops_cli.records import pins

        path = f'{layout.STAGES}/{file}'
        try:
            pin = pins.decode(read_small(self.root, path), path)
        except FileNotFoundError:
            return
        except UserError as error:
            connection.execute('INSERT OR REPLACE INTO pins VALUES (?, NULL, ?)', (_held(file), _held(error.message)))
            return
        result = _result(connection, pin.key, pin.outs8)
        connection.execute('INSERT OR REPLACE INTO pins VALUES (?, ?, ?)', (file, result, ''))
        rows = [(name, result, metrics_file, value) for metrics_file, name, value in pin.metrics]
        connection.executemany('INSERT OR IGNORE INTO numbers VALUES (?, ?, ?, ?)', _rows(rows))
        _add_params(connection, result, pin.manifest)
        connection.execute('UPDATE results SET explained = 1 WHERE number = ?', (result,))

    def _explain_trials(self, connection: sqlite3.Connection) -> None:
        """Parameters of results that only a trial has led to: they have no pin, but perhaps this machine made them."""
        todo = connection.execute('SELECT number, key, outs8 FROM results WHERE explained = 0').fetchall()
        for number, (result, key, outs8) in enumerate(todo):
            if number % TOLD == 0 and number:
                self.progress('results of trials', number, len(todo))
            manifest = self.explain(Digest(key), outs8)
            if manifest is not None:
                _add_params(connection, result, manifest)
            connection.execute('UPDATE results SET explained = 1 WHERE number = ?', (result,))

    def _signature(self, folder: str) -> str:
        """What tells whether a folder's names changed; empty where its times cannot tell yet."""
        now = self.clock()
        status = self.root.stat(folder)
        if status is None:
            return 'absent'
        if max(status.st_mtime_ns, status.st_ctime_ns) > now - SETTLED_NS:
            return ''
        return f'{status.st_dev}:{status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns}'


def _begin(connection: sqlite3.Connection) -> None:
    """From here on this command alone writes, until its piece of work ends."""
    if not connection.in_transaction:
        connection.execute('BEGIN IMMEDIATE')


def facts_of(status: os.stat_result) -> str:
    """What tells whether a record is the one that was read."""
    return f'{status.st_ino}:{status.st_size}:{status.st_mtime_ns}'


def marks(values: Sequence[Any]) -> str:
    """The places of so many values in a statement."""
    return ', '.join('?' * len(values))


def run_id_folder(run_id: str) -> str:
    return layout.run_record(run_id).rpartition('/')[0].rpartition('/')[2]


def parameter(name: str) -> str:
    """How people call a parameter: that of params.yaml without its file."""
    return name.removeprefix(f'{layout.PARAMS_FILE}:')


def overlay_parameters(overlay: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """The same for what was set."""
    return {parameter(f'{file}:{str(key).removeprefix("+")}'): value for file, key, value in overlay}


def _held(value: Any) -> Any:
    """As the tables can hold it: what is no Unicode, such as a name of bytes, with question marks."""
    return value if not isinstance(value, str) or value.isascii() else value.encode(errors='replace').decode()


def _rows(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(map(_held, row)) for row in rows]


def _of(run: Run) -> tuple[Any, ...]:
    states = [one.state for one in run.stages]
    cpu = sum(one.usage.get('cpu_seconds', 0.0) for one in run.stages)
    overlay = json.dumps([list(item) for item in run.overlay])
    return (
        _seconds(run.started), run.ended, run.seconds, run.who, run.host, run.branch, run.commit, bool(run.overlay), run.fresh,
        run.saved_seconds, cpu, *(states.count(state) for state in STATES), overlay,
    )  # fmt: skip


def _seconds(started: str) -> float:
    try:
        return from_iso(started)
    except ValueError:  # such as the 31st of February
        return 0.0


def _listing(root: Root, folder: str, *, stats: bool = False) -> list[FolderEntry]:
    try:
        return [entry for entry in root.scandir(folder, stats=stats) if not entry.name.startswith(PREFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _result(connection: sqlite3.Connection, key: Digest | None, outs8: str, run: Run | None = None) -> int | None:
    """The number under which a result is known; of a run that was no trial, pins alone explain it."""
    if key is None or not outs8:
        return None
    row = connection.execute('SELECT number FROM results WHERE key = ? AND outs8 = ?', (key.hex, outs8)).fetchone()
    if row is not None:
        return int(row[0])
    explained = run is None or not run.overlay
    return connection.execute('INSERT INTO results VALUES (NULL, ?, ?, ?)', (key.hex, outs8, explained)).lastrowid


def _add_params(connection: sqlite3.Connection, result: int | None, manifest: Manifest) -> None:
    rows = [
        (name, result, json.dumps(value))
        for entry in manifest.entries
        if entry.kind == 'param' and entry.value is not None
        for name, value in _leaves(entry.name, json.loads(entry.value))
    ]
    connection.executemany('INSERT OR IGNORE INTO params VALUES (?, ?, ?)', _rows(rows))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A mapping by its entries, as people name them: ``train.depth``."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f'{name}{"." if ":" in name else ":"}{key}', item)
    else:
        yield parameter(name), value


def _forget_runs(connection: sqlite3.Connection, run_ids: Iterable[str]) -> None:
    numbers = [
        (number,)
        for run_id in run_ids
        for (number,) in connection.execute('SELECT number FROM runs WHERE id = ?', (run_id,)).fetchall()
    ]
    for table, column in (('stages', 'run'), ('trial_numbers', 'run'), ('run_values', 'run'), ('runs', 'number')):
        connection.executemany(f'DELETE FROM {table} WHERE {column} = ?', numbers)


def _forget_pins(connection: sqlite3.Connection, files: Iterable[str]) -> None:
    """Other pins of the same results, which know other numbers of them, are to be read again."""
    gone = [(file,) for file in files]
    results = [
        row for file in gone for row in connection.execute('SELECT result FROM pins WHERE file = ?', file).fetchall()
    ]
    connection.executemany('DELETE FROM pins WHERE file = ?', gone)
    for table in ('numbers', 'params', 'pins'):
        connection.executemany(f'DELETE FROM {table} WHERE result = ?', results)


def metric_names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute('SELECT name FROM numbers UNION SELECT name FROM trial_numbers')]


def parameter_names(connection: sqlite3.Connection) -> list[str]:
    statement = 'SELECT DISTINCT name FROM params UNION ALL SELECT DISTINCT name FROM run_values'
    found = {name for (name,) in connection.execute(statement)}
    for (overlay,) in connection.execute('SELECT DISTINCT overlay FROM runs WHERE trial'):
        found |= overlay_parameters(json.loads(overlay)).keys()
    return sorted(found)

