"""Which recorded result names which content: digests and paths of inputs and outputs of all pins, cached results and runs.

Finds, never proves: a row holds 64 bits of a digest, and whoever follows it opens the record, whose content gives its name.
Pins, results and runs never change under one name, so a row is made once; only which names are there is looked up again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Literal, TypeVar

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.strictjson import SIZE_LIMIT
from mlops_cli.fsio.paths import Root
from mlops_cli.records import pins, runs
from mlops_cli.records.database import Database
from mlops_cli.records.files import names_in, read_small
from mlops_cli.store import manifests, results, tree
from mlops_cli.store.objects import Damaged, MissingObject

NAME = 'lineage-v1.sqlite'
TABLES = (
    'CREATE TABLE names (id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE)',
    'CREATE TABLE records (id INTEGER PRIMARY KEY, source INTEGER, name BLOB, key INTEGER, outs INTEGER, here INTEGER)',
    'CREATE UNIQUE INDEX records_by_name ON records (source, name)',
    'CREATE INDEX records_by_key ON records (key)',
    'CREATE TABLE entries (digest INTEGER, role INTEGER, name INTEGER, record INTEGER)',
    'CREATE INDEX entries_by_digest ON entries (digest)',
    'CREATE INDEX entries_by_name ON entries (name, role)',
    'CREATE TABLE runs (id INTEGER PRIMARY KEY, name BLOB UNIQUE, here INTEGER)',
    'CREATE TABLE made (key INTEGER, outs INTEGER, run INTEGER, state INTEGER, stage INTEGER)',
    'CREATE INDEX made_by_key ON made (key)',
    'CREATE INDEX made_by_stage ON made (stage)',
    'CREATE TABLE folders (path BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID',
    'CREATE TABLE trees (digest BLOB PRIMARY KEY) WITHOUT ROWID',
    'CREATE TABLE nodes (digest BLOB PRIMARY KEY) WITHOUT ROWID',
    'CREATE TABLE members (child INTEGER, parent BLOB, name BLOB)',
    'CREATE INDEX members_by_child ON members (child)',
)
Role = Literal['out', 'data', 'code', 'param', 'environment']
ROLES: tuple[Role, ...] = ('out', 'data', 'code', 'param', 'environment')
Source = Literal['pin', 'result']
SOURCES: tuple[Source, ...] = ('pin', 'result')
FRESH = 'fresh'
STATES = (*runs.STATES, FRESH)
MEMBERS = 500_000  # names in stored folders that are looked through, at most
DEPTH = 64  # folders around a file
_RESULT = pattern(r'[0-9a-f]{64}-[0-9a-f]{8}(-suspect)?\.json')
_RUN = pattern(r'[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8}')
Found = TypeVar('Found')


@dataclass(frozen=True, slots=True)
class RecordName:
    """Where a result is recorded: a pin's file name, or that of an entry of the cache."""

    source: Source
    name: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A record that names some content: as what, and at which path (of a parameter ``file:key``)."""

    record: RecordName
    role: Role
    path: str


@dataclass(frozen=True, slots=True)
class RunMention:
    """A run (its id) that had a result, how it ended there (or ``fresh``), and as which stage."""

    run: str
    state: str
    stage: str


def _text(text: str) -> bytes:
    return text.encode('utf-8', 'surrogatepass')


def _shown(data: bytes) -> str:
    return data.decode('utf-8', 'surrogatepass')


def _result(key: int, outs: int) -> str:
    return f'{key + (1 << 63):016x}-{outs:08x}'


def number_of(digits: str) -> int:
    """The first 16 hex digits as SQLite holds them; in the order of the digits."""
    return int(digits[:16], 16) - (1 << 63)


class LineageIndex:
    """``read``: bytes of an object in the store.  ``settled``: whether a folder in that state cannot change unseen.
    ``folders``: tracked data, for looking into folders that no stage made.

    Raises OSError, and UserError for symbolic links in place of the folders of records."""

    def __init__(
        self,
        database: Database,
        root: Root,
        cache: str,
        *,
        read: Callable[[Digest], bytes],
        settled: Callable[[os.stat_result], bool],
        folders: Iterable[ObjectRef] = (),
    ) -> None:
        self._database, self._root, self._cache = database, root, cache
        self.folders = tuple(folders)
        self._read, self._settled = read, settled
        self._fresh: sqlite3.Connection | None = None
        self.problems: list[str] = []  # records that could not be read, in a sentence each
        self.searched_all = True  # whether every stored folder was looked through

    # Questions

    def with_digest(self, digits: str) -> list[Mention]:
        """Records with an entry whose digest begins with these hex digits (one at least), as far as 16 of them tell."""
        low, high = number_of(digits.ljust(16, '0')), number_of(digits.ljust(16, 'f'))
        return self._mentions('entries.digest BETWEEN ? AND ?', (low, high))

    def with_name(self, name: str, role: Role | None = None, most: int = -1) -> list[Mention]:
        """Records with an entry of this name: a path, or ``file:key``.  ``most``: no more than so many."""
        if role is None:
            return self._mentions('names.text = ?', (_text(name),), most)
        return self._mentions('names.text = ? AND entries.role = ?', (_text(name), ROLES.index(role)), most)

    def has(self, name: str, role: Role) -> bool:
        """Whether there is a record with such an entry: among ten thousand the first tells."""
        question = (
            'SELECT 1 FROM names JOIN entries ON entries.name = names.id JOIN records ON records.id = entries.record '
            'WHERE names.text = ? AND entries.role = ? AND records.here LIMIT 1'
        )
        values = (_text(name), ROLES.index(role))
        return self._use(lambda connection: connection.execute(question, values).fetchone()) is not None

    def below(self, start: str) -> list[Mention]:
        """Records with an entry whose name begins so: ``data/``, or ``params.yaml:train.``."""
        low = _text(start)
        return self._mentions('names.text >= ? AND names.text < ?', (low, low[:-1] + bytes((low[-1] + 1,))))

    def _mentions(self, condition: str, values: tuple[int | bytes, ...], most: int = -1) -> list[Mention]:
        question = (
            'SELECT records.source, records.name, entries.role, names.text FROM entries '
            'JOIN names ON names.id = entries.name JOIN records ON records.id = entries.record '
            f'WHERE records.here AND {condition} ORDER BY records.source, records.name LIMIT ?'
        )
        rows = self._use(lambda connection: connection.execute(question, (*values, most)).fetchall())
        return [Mention(RecordName(SOURCES[s], _shown(name)), ROLES[role], _shown(text)) for s, name, role, text in rows]

    def results_with_name(self, name: str, role: Role) -> set[str]:
        """Key and outputs (16 and 8 hex digits with ``-`` between) of all results with such an entry."""
        question = (
            'SELECT DISTINCT records.key, records.outs FROM entries JOIN names ON names.id = entries.name '
            'JOIN records ON records.id = entries.record WHERE records.here AND names.text = ? AND entries.role = ?'
        )
        values = (_text(name), ROLES.index(role))
        return {_result(*row) for row in self._use(lambda connection: connection.execute(question, values).fetchall())}

    def last_of(self, stage: str, most: int) -> list[str]:
        """The results, as :meth:`results_with_name` has them, of the last runs that had some for a stage."""
        question = (
            'SELECT made.key, made.outs FROM made JOIN runs ON runs.id = made.run JOIN names ON names.id = made.stage '
            'WHERE runs.here AND names.text = ? ORDER BY runs.name DESC LIMIT ?'
        )
        rows = self._use(lambda connection: connection.execute(question, (_text(stage), most)).fetchall())
        return list(dict.fromkeys(_result(*row) for row in rows))

    def of_key(self, digits: str) -> list[RecordName]:
        """Records of keys that begin with these hex digits."""
        low, high = number_of(digits.ljust(16, '0')), number_of(digits.ljust(16, 'f'))
        question = 'SELECT source, name FROM records WHERE here AND key BETWEEN ? AND ? ORDER BY source, name'
        rows = self._use(lambda connection: connection.execute(question, (low, high)).fetchall())
        return [RecordName(SOURCES[source], _shown(name)) for source, name in rows]

    def runs_of(self, key: Digest, outs8: str) -> list[RunMention]:
        """Runs whose record says that they made or restored this result, or found it fresh, oldest first."""
        question = (
            'SELECT runs.name, made.state, names.text FROM made JOIN runs ON runs.id = made.run '
            'JOIN names ON names.id = made.stage WHERE runs.here AND made.key = ? AND made.outs = ? ORDER BY runs.name'
        )
        values = (number_of(key.hex), int(outs8, 16))
        rows = self._use(lambda connection: connection.execute(question, values).fetchall())
        return [RunMention(_shown(run), STATES[state], _shown(stage)) for run, state, stage in rows]

    def holders(self, digest: Digest) -> list[tuple[Digest, str]]:
        """(folder, path in it) of the stored outputs and inputs, folders all, that hold this content somewhere."""
        found: list[tuple[Digest, str]] = []
        self._use(self._learn_trees)
        level = [(digest.hex, '')]
        for _ in range(DEPTH):
            above: dict[tuple[str, str], None] = {}
            for digits, path in level:
                for parent, name in self._parents(digits):
                    above[parent, f'{name}/{path}' if path else name] = None
            found += [(Digest(parent), path) for parent, path in above]
            level = list(above)
            if not level:
                break
        return found

    def _parents(self, digits: str) -> list[tuple[str, str]]:
        question = 'SELECT parent, name FROM members WHERE child = ?'
        rows = self._use(lambda connection: connection.execute(question, (number_of(digits),)).fetchall())
        return [(parent.hex(), _shown(name)) for parent, name in rows]

    # What is there now

    def _use(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        def fresh(connection: sqlite3.Connection) -> Found:
            if connection is not self._fresh:
                self._refresh(connection)
                self._fresh = connection
            return work(connection)

        return self._database.use(fresh)

    def _refresh(self, connection: sqlite3.Connection) -> None:
        self.problems.clear()
        known = dict(connection.execute('SELECT path, state FROM folders').fetchall())

        def refresh(folder: str, look: Callable[[], bool], facts: os.stat_result | None) -> None:
            self._refresh_folder(connection, folder, known.get(_text(folder)), look, facts)

        refresh(layout.STAGES, lambda: self._pins(connection), self._root.stat(layout.STAGES))
        start = f'{layout.RUNS}/'
        months = {path for path in map(_shown, known) if path.startswith(start)}
        for month in sorted(months | {start + name for name in names_in(self._root, layout.RUNS)}):
            refresh(month, partial(self._runs, connection, month), self._root.stat(month))
        with Root(self._cache) if os.path.isdir(self._cache) else nullcontext() as cache:
            folders = [f'{layout.RESULTS}/{number:02x}' for number in range(256)]
            for folder, facts in zip(folders, cache.stat_many(folders) if cache else [None] * 256, strict=True):
                refresh(folder, partial(self._results, connection, cache, folder), facts)

    def _refresh_folder(
        self,
        connection: sqlite3.Connection,
        folder: str,
        known: bytes | None,
        look: Callable[[], bool],
        facts: os.stat_result | None,
    ) -> None:
        """``look`` is called unless the folder is as it was; it returns whether all that it saw could be read."""
        path = _text(folder)
        state = b'%d %d %d' % (facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns) if facts else b''
        if known == state or (known is None and facts is None):
            return
        connection.execute('DELETE FROM folders WHERE path = ?', (path,))
        trusted = facts is not None and self._settled(facts)
        sound = look()
        if facts is not None:
            kept = state if trusted and sound else b'look again'
            connection.execute('INSERT INTO folders VALUES (?, ?)', (path, kept))

    def _pins(self, connection: sqlite3.Connection) -> bool:
        names = {name for name in names_in(self._root, layout.STAGES) if '~' in name and name.endswith('.json')}
        sound = True
        for name in self._unknown(connection, SOURCES.index('pin'), names, ''):
            path = f'{layout.STAGES}/{name}'
            try:
                pin = pins.decode(read_small(self._root, path), path)
            except FileNotFoundError:
                continue  # git took it away meanwhile
            except UserError as error:
                self.problems.append(f'{error.where or path}: {error.message}')
                sound = False
                continue
            record = self._add(connection, 'pin', name, pin.key, pin.outs8)
            entries = [(e.kind, e.name, e.digest) for e in pin.manifest.entries]
            self._put(connection, record, pin.outputs, entries)
        return sound

    def _results(self, connection: sqlite3.Connection, cache: Root | None, folder: str) -> bool:
        """``cache``: None where there is none any more."""
        names = {name for name in names_in(cache, folder) if _RESULT.fullmatch(name)} if cache else set()
        for name in self._unknown(connection, SOURCES.index('result'), names, folder.rpartition('/')[2]):
            try:
                assert cache is not None
                entry = results.decode(read_small(cache, f'{folder}/{name}', results.SIZE_LIMIT))
            except (ValueError, UserError, FileNotFoundError):
                continue  # as for everything else of the cache: it counts as absent
            record = self._add(connection, 'result', name, entry.key, entry.entry8)
            self._put(connection, record, entry.outputs, self._inputs(entry))
        return True

    def _inputs(self, entry: results.ResultEntry) -> Iterator[tuple[str, str, Digest]]:
        """The entries of the key, from the document that was stored with the result; none where it is not here."""
        if entry.manifest is None:
            return
        try:
            rows = manifests.read_rows(entry.manifest, self._read)
            yield from [(kind, name, Digest.parse(digest)) for kind, name, digest, *_ in rows]
        except (MissingObject, Damaged, ValueError, TypeError, AttributeError):
            return

    def _unknown(self, connection: sqlite3.Connection, source: int, names: set[str], start: str) -> list[str]:
        """Notes which records of a folder are there; those that are new, sorted."""
        question = 'SELECT name, id, here FROM records WHERE source = ? AND name >= ? AND name < ?'
        low = _text(start)
        known = {_shown(name): (row, here) for name, row, here in connection.execute(question, (source, low, low + b'\xff'))}
        moved = [(name in names, row) for name, (row, here) in known.items() if (name in names) != bool(here)]
        connection.executemany('UPDATE records SET here = ? WHERE id = ?', moved)
        return sorted(names - known.keys())

    def _add(self, connection: sqlite3.Connection, source: Source, name: str, key: Digest, outs8: str) -> int:
        values = (SOURCES.index(source), _text(name), number_of(key.hex), int(outs8, 16))
        added = connection.execute('INSERT INTO records (source, name, key, outs, here) VALUES (?, ?, ?, ?, 1)', values)
        assert added.lastrowid is not None
        return added.lastrowid

    def _put(
        self,
        connection: sqlite3.Connection,
        record: int,
        outputs: Iterable[tuple[str, ObjectRef]],
        entries: Iterable[tuple[str, str, Digest]],
    ) -> None:
        rows: list[tuple[int, int, int, int]] = []
        for path, ref in outputs:
            if ref.kind == 'tree':
                connection.execute('INSERT OR IGNORE INTO trees VALUES (?)', (bytes.fromhex(ref.digest.hex),))
            for digest in {ref.digest, ref.identity}:
                rows.append((number_of(digest.hex), 0, self._name(connection, path), record))
        for kind, name, digest in entries:
            if kind in ROLES and digest != ABSENT:
                rows.append((number_of(digest.hex), ROLES.index(kind), self._name(connection, name), record))
        connection.executemany('INSERT INTO entries VALUES (?, ?, ?, ?)', rows)

    def _name(self, connection: sqlite3.Connection, name: str) -> int:
        text = _text(name)
        found = connection.execute('SELECT id FROM names WHERE text = ?', (text,)).fetchone()
        if found:
            return int(found[0])
        added = connection.execute('INSERT INTO names (text) VALUES (?)', (text,))
        assert added.lastrowid is not None
        return added.lastrowid

    def _runs(self, connection: sqlite3.Connection, month: str) -> bool:
        names = {name.removesuffix(runs.SUFFIX) for name in names_in(self._root, month) if name.endswith(runs.SUFFIX)}
        names = {name for name in names if _RUN.fullmatch(name)}
        digits = _text(month.rpartition('/')[2].replace('-', ''))
        question = 'SELECT name, id, here FROM runs WHERE name >= ? AND name < ?'
        known = {_shown(name): (row, here) for name, row, here in connection.execute(question, (digits, digits + b'\xff'))}
        moved = [(name in names, row) for name, (row, here) in known.items() if (name in names) != bool(here)]
        connection.executemany('UPDATE runs SET here = ? WHERE id = ?', moved)
        sound = True
        for name in sorted(names - known.keys()):
            path = layout.run_record(name)
            try:
                run = runs.decode(read_small(self._root, path, SIZE_LIMIT), path)
            except FileNotFoundError:
                continue
            except UserError as error:
                self.problems.append(f'{error.where or path}: {error.message}')
                sound = False
                continue
            self._put_run(connection, run)
        return sound

    def _put_run(self, connection: sqlite3.Connection, run: runs.Run) -> None:
        added = connection.execute('INSERT INTO runs (name, here) VALUES (?, 1)', (_text(run.id),)).lastrowid
        rows = [
            (number_of(one.key.hex), int(one.outs8, 16), added, STATES.index(one.state), self._name(connection, one.name))
            for one in run.stages
            if one.key is not None and one.outs8
        ]
        rows += [
            (number_of(key.hex), int(outs8, 16), added, STATES.index(FRESH), self._name(connection, name))
            for name, key, outs8 in run.fresh_stages if outs8
        ]
        connection.executemany('INSERT INTO made VALUES (?, ?, ?, ?, ?)', rows)

    # Folders that the store holds

    def _learn_trees(self, connection: sqlite3.Connection) -> None:
        """Reads the nodes of all recorded folders that were not read yet, each node once, however many folders share it."""
        known = {digest for (digest,) in connection.execute('SELECT digest FROM nodes')}
        (count,) = connection.execute('SELECT count(*) FROM members').fetchone()
        waiting = [Digest(name.hex()) for (name,) in connection.execute('SELECT digest FROM trees')]
        waiting += [ref.digest for ref in self.folders if ref.kind == 'tree']
        while waiting:
            digest = waiting.pop()
            name = bytes.fromhex(digest.hex)
            if name in known:
                continue
            if count > MEMBERS:
                self.searched_all = False
                return
            try:
                entries = tree.decode(self._read(digest))
            except (MissingObject, Damaged, tree.MalformedTree):
                self.searched_all = False
                continue
            known.add(name)
            connection.execute('INSERT INTO nodes VALUES (?)', (name,))
            contents = [(entry, entry.ref) for entry in entries if entry.kind != 'link']
            rows = [
                (number_of(found.hex), name, _text(entry.name))
                for entry, ref in contents
                for found in {ref.digest, ref.identity}
            ]
            connection.executemany('INSERT INTO members VALUES (?, ?, ?)', rows)
            count += len(rows)
            waiting += [e.digest for e in entries if e.kind == 'dir' and e.digest is not None]
