"""What the disk looked like when a file was hashed, so that only what changed is opened again.  Never misses an edit.

A pure cache (SQLite, docs/formats/index.md): lost, it costs time; damaged, it is thrown away.  A row is trusted only if
device, inode, size, both times and mode are as they were *and* the file was not touched so shortly before it was read that a
later edit could carry the same times.  Such fresh rows are kept, but hashed again at the next look.
"""
from __future__ import annotations

import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import INDEX, LOCAL
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import SIGNATURE, make_record, pack, record_is, record_ref
from mlops_cli.fingerprint import indexed
from mlops_cli.fsio import filesystem, ops, wal
from mlops_cli.fsio.paths import Root
from mlops_cli.store.ingest import Added

StatFilter = Callable[[os.stat_result], os.stat_result]
Warn = Callable[[str], None]

CLOCK = f'{LOCAL}/clock'  # touched to learn what time the file system thinks it is
FINE_SLOP_NS = 20_000_000
COARSE_SLOP_NS = 2_000_000_000
COARSE_STEP_NS = 10_000_000  # times that are multiples of this come from a file system with coarse ones
FOREIGN_SLOP_NS = 600_000_000_000  # where no file can be touched: clocks may differ by this much
PROBE_AGE_SECONDS = 0.01  # how old a reading of the clock may be before it pays to take another
SETTLED_AGE_SECONDS = 1.0  # how old one may be that proves that a file has settled
FLUSH_SECONDS = 5.0
_WAIT_SECONDS = 10.0  # for another command that writes the same tables
HELD = 200_000  # records in memory, some 250 bytes each, from which they are written and let go of

_SEAL = struct.Struct('<32s32sq')

_TABLES = (
    'CREATE TABLE IF NOT EXISTS folders (path BLOB PRIMARY KEY, value BLOB NOT NULL)',
    'CREATE TABLE IF NOT EXISTS seals (path BLOB, view BLOB, value BLOB NOT NULL, PRIMARY KEY (path, view)) WITHOUT ROWID',
    'CREATE TABLE IF NOT EXISTS verified (digest BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID',
    'CREATE TABLE IF NOT EXISTS placed (stage BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID',
)


class Moment(NamedTuple):
    """A reading of a file system's clock, taken before what is judged by it was read.

    ``device``: which file system, -1 if none could be asked.  ``before_ns``: what was last touched before this has settled;
    ``foreign_before_ns``: the same for files on other devices."""

    device: int
    before_ns: int
    foreign_before_ns: int

    def limit(self, device: int) -> int:
        """Before when a file on a device must have been touched."""
        return self.before_ns if device == self.device else self.foreign_before_ns

    def settled(self, facts: os.stat_result) -> bool:
        """Whether no edit from now on can leave these times as they are."""
        limit = self.limit(facts.st_dev)
        return facts.st_mtime_ns < limit and facts.st_ctime_ns < limit


@dataclass(frozen=True, slots=True)
class Seal:
    """A folder whose every file was known and settled.  ``signature``: 32 bytes that stand for the state of all it holds."""

    signature: bytes
    ref: ObjectRef


def _split(rel: str) -> tuple[str, str]:
    folder, _, name = rel.rpartition('/')
    return folder, name


def database_path(root: Root, environ: Mapping[str, str]) -> str:
    """Where a project's index belongs: in the project, but in the user's cache folder if the project lies on a network file
    system, where SQLite cannot lock."""
    if not filesystem.probe(root.fd).network:
        return os.path.join(root.path, INDEX)
    cache = environ.get('XDG_CACHE_HOME') or os.path.join(environ.get('HOME') or os.path.expanduser('~'), '.cache')
    name = digest_of(os.path.realpath(root.path).encode('utf-8', 'surrogateescape')).hex[:16]
    return os.path.join(cache, 'mlops', f'{name}-{os.path.basename(INDEX)}')


class Index:
    """``database``: its file; its folder is made.  ``root``: the project.  ``stat_filter``: what tests put between us and the
    file system's times.  ``warn``: told, once, in a sentence, if the database had to be thrown away or cannot be used.
    ``keeps``: whether anything may be written yet; until then all is in memory, and written as soon as it may be."""

    def __init__(self, database: str | os.PathLike[str], root: Root, *, stat_filter: StatFilter | None = None,
                 warn: Warn = lambda _text: None, clock: Callable[[], int] = time.time_ns,
                 keeps: Callable[[], bool] = lambda: True) -> None:
        self.stat_filter = stat_filter
        self._keeps = keeps
        self._database, self._root, self._warn, self._clock = database, root, warn, clock
        self._warned = False
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._folders: dict[str, dict[str, bytes]] = {}
        self._seals: dict[tuple[str, bytes], Seal] | None = None
        self._dirty_folders: set[str] = set()
        self._put = 0  # records since they were let go of last
        self._dirty_seals: dict[tuple[str, bytes], Seal | None] = {}
        self._verified: dict[Digest, bytes] = {}
        self._dirty_verified: dict[Digest, bytes] = {}
        self._placed: dict[str, bytes] | None = None
        self._dirty_placed: set[str] = set()
        self._flushed = time.monotonic()
        self._clock_fd: int | None = None
        self._moment = Moment(-1, 0, 0)
        self._probed = float('-inf')

    # The clock

    def moment(self, *, max_age_seconds: float = PROBE_AGE_SECONDS) -> Moment:
        """A reading of the file system's clock not older than this.  Take it before reading what it shall judge."""
        with self._lock:
            now = time.monotonic()
            if now - self._probed > max_age_seconds:
                self._moment, self._probed = self._probe(), now
            return self._moment

    def settled_before(self, device: int) -> int:
        """When a file on a device must have been touched last, in nanoseconds since 1970, to have settled."""
        return self.moment().limit(device)

    def _probe(self) -> Moment:
        foreign = self._clock() - FOREIGN_SLOP_NS
        if not self._keeps():
            return Moment(-1, foreign, foreign)
        try:
            if self._clock_fd is None:
                with self._root.parent(CLOCK, create=True) as (folder, name):
                    self._clock_fd = ops.open_permanent(name, dir_fd=folder)
            ops.utime(self._clock_fd)
            facts = self._seen(os.fstat(self._clock_fd))
        except (OSError, UserError):  # a project on a read-only disk has no clock of its own
            return Moment(-1, foreign, foreign)
        slop = FINE_SLOP_NS if facts.st_mtime_ns % COARSE_STEP_NS else COARSE_SLOP_NS
        return Moment(facts.st_dev, facts.st_mtime_ns - slop, foreign)

    def _seen(self, facts: os.stat_result) -> os.stat_result:
        return self.stat_filter(facts) if self.stat_filter else facts

    def settled(self, facts: os.stat_result) -> bool:
        """Whether a file in this state can be trusted at a look now."""
        facts = self._seen(facts)
        return self.moment(max_age_seconds=SETTLED_AGE_SECONDS).settled(facts) or self.moment().settled(facts)

    # Files

    def get(self, rel: str, facts: os.stat_result) -> ObjectRef | None:
        """The content of a regular file in this state; None if it must be read."""
        facts = self._seen(facts)
        folder, name = _split(rel)
        with self._lock:
            record = self.folder(folder).get(name)
            moment = self._moment if time.monotonic() - self._probed <= SETTLED_AGE_SECONDS else None
        if record is None or not record_is(record, pack(facts)):
            return None
        if (moment is None or not moment.settled(facts)) and not self.settled(facts):
            return None
        return record_ref(record)

    def put_many(self, rows: Iterable[tuple[str, os.stat_result, ObjectRef]], *, moment: Moment | None = None) -> None:
        """Remember contents.  ``facts``: taken after the content was read, and equal before.  ``moment``: the clock before
        it was read; None, when that is not known: then only long untouched files count as settled."""
        moment = moment or Moment(-1, 0, self._clock() - FOREIGN_SLOP_NS)
        with self._lock:
            for rel, facts, ref in rows:
                if ref.kind == 'tree':
                    continue
                facts = self._seen(facts)
                folder, name = _split(rel)
                records = self.folder(folder)
                settled = make_record(pack(facts), ref, True)
                if records.get(name) != settled:  # which proves more than a moment that came later
                    records[name] = settled if moment.settled(facts) else make_record(pack(facts), ref, False)
                    self._dirty_folders.add(folder)
        self._flush_if_due()

    def put_added(self, added: Added) -> None:
        """Remember what was read while it was added to the store."""
        self.put_many(added.files, moment=added.moment)
        for folder, records in added.records.items():
            if added.whole:
                self._put_rows(folder, records, len(records))
                continue
            known = self.folder(folder)
            self.put_folder(folder, {name: record for name, record in records.items()
                                     if name not in known or not _proves_as_much(known[name], record)}, records)

    def folder(self, folder: str) -> dict[str, bytes]:
        """The records of the files directly in a folder, by name; read it under the lock, change it through put."""
        found = self._folders.get(folder)
        if found is None:
            found = self._folders[folder] = self._load_folder(folder)
        return found

    def put_folder(self, folder: str, records: dict[str, bytes], present: Collection[str]) -> None:
        """Remember records of files of one folder.  ``present``: the files seen there; others are forgotten in time."""
        with self._lock:
            rows = self.folder(folder)
            if len(rows) > 2 * len(present) + 64:
                rows = {name: record for name, record in rows.items() if name in present}
            rows.update(records)
            self._put_rows(folder, rows, len(records))

    def _put_rows(self, folder: str, rows: dict[str, bytes], new: int) -> None:
        """Remember these of a folder, and no others.  ``new``: how many of them are."""
        with self._lock:
            self._folders[folder] = rows
            self._dirty_folders.add(folder)
            self._put += new
            if self._put > HELD:
                self.flush()
                self._put = 0
                if not self._dirty_folders:  # else they could not be written
                    self._folders.clear()
        self._flush_if_due()

    def _load_folder(self, folder: str) -> dict[str, bytes]:
        path = indexed.encoded(folder)
        for (stored,) in self._query('SELECT value FROM folders WHERE path = ?', (path,)):
            if (value := indexed.unsealed(indexed.FORM + path, stored)) is not None:
                return indexed.believed(value)
        return {}

    # Folders

    def seal(self, folder: str, view: bytes) -> Seal | None:
        """What a folder was when all in it had settled.  ``view``: which of its files count."""
        with self._lock:
            if self._seals is None:
                self._seals = self._load_seals()
            return self._seals.get((folder, view))

    def put_seal(self, folder: str, view: bytes, seal: Seal | None) -> None:
        """Remember a folder, or with None forget it."""
        with self._lock:
            if self.seal(folder, view) == seal:
                return
            assert self._seals is not None
            if seal is None:
                self._seals.pop((folder, view), None)
            else:
                self._seals[folder, view] = seal
            self._dirty_seals[folder, view] = seal
        self._flush_if_due()

    def sealed_as(self, digest: Digest) -> Iterator[tuple[str, bytes]]:
        """(folder, view) of the sealed folders with this content."""
        with self._lock:
            if self._seals is None:
                self._seals = self._load_seals()
            yield from [place for place, seal in self._seals.items() if seal.ref.digest == digest]

    def _load_seals(self) -> dict[tuple[str, bytes], Seal]:
        found = {}
        for path, view, stored in self._query('SELECT path, view, value FROM seals'):
            value = indexed.unsealed(indexed.FORM + path + b'\0' + view, stored)
            if value is not None and len(value) == indexed.BOOT.size + _SEAL.size and value.startswith(indexed.boot()):
                signature, digest, size = _SEAL.unpack_from(value, indexed.BOOT.size)
                ref = ObjectRef(Digest(digest.hex()), size, 'tree')
                found[path.decode('utf-8', 'surrogateescape'), view] = Seal(signature, ref)
        return found

    # What was moved

    def carry(self, former: str, place: str) -> None:
        """What is known of a folder and of those in it counts for the place to which it was just moved too, until
        :meth:`drop`: what lies in a folder keeps its state.  In memory only."""
        with self._lock:
            if self._seals is None:
                self._seals = self._load_seals()
            below = f'{former}/'
            self._seals |= {(place + folder[len(former):], view): seal for (folder, view), seal in self._seals.items()
                            if folder == former or folder.startswith(below)}
            self._folders |= {place + folder[len(former):]: dict(records) for folder, records in self._folders.items()
                              if folder == former or folder.startswith(below)}

    def carry_file(self, former: str, place: str, before: os.stat_result, after: os.stat_result) -> None:
        """The same of a file, whose ``ctime`` changes as it is moved.  ``before``, ``after``: its states at once before and at
        once after that.  An edit between the two that leaves size and ``mtime`` as they were is not seen."""
        ref = self.get(former, before)
        if ref is not None and _but_ctime(before) == _but_ctime(after):
            folder, name = _split(place)
            with self._lock:
                self.folder(folder)[name] = make_record(pack(self._seen(after)), ref, True)

    def drop(self, place: str) -> None:
        """Forget what was moved there."""
        with self._lock:
            parent, name = _split(place)
            self._folders.get(parent, {}).pop(name, None)
            below = f'{place}/'
            for folder in [one for one in self._folders if one == place or one.startswith(below)]:
                del self._folders[folder]
                self._dirty_folders.discard(folder)
            for key in [one for one in self._seals or () if one[0] == place or one[0].startswith(below)]:
                (self._seals or {}).pop(key)
                self._dirty_seals.pop(key, None)

    # Objects of the store

    def is_verified(self, digest: Digest, facts: os.stat_result) -> bool:
        """Whether this object was found sound in exactly this state."""
        facts = self._seen(facts)
        name = bytes.fromhex(digest.hex)
        with self._lock:
            known = self._verified.get(digest)
            if known is None:
                known = self._verified[digest] = self._load_verified(name)
        return bool(known) and known == indexed.sealed(name, pack(facts)) and self.settled(facts)

    def _load_verified(self, name: bytes) -> bytes:
        rows = self._query('SELECT value FROM verified WHERE digest = ?', (name,))
        return rows[0][0] if rows else b''

    def set_verified(self, digest: Digest, facts: os.stat_result, moment: Moment) -> None:
        """Remember an object that was found sound.  ``facts``: the same before and after reading it; ``moment``: before."""
        facts = self._seen(facts)
        if moment.settled(facts):
            with self._lock:
                self._verified[digest] = self._dirty_verified[digest] = indexed.sealed(bytes.fromhex(digest.hex), pack(facts))
            self._flush_if_due()

    # What was placed

    def placed(self, stage: str) -> bytes:
        """What was last remembered of what mlops itself put into the workspace for a stage; empty where nothing was."""
        with self._lock:
            return self._all_placed().get(stage, b'')

    def set_placed(self, stage: str, value: bytes) -> None:
        """Remember what mlops put into the workspace for a stage."""
        with self._lock:
            if self._all_placed().get(stage) == value:
                return
            self._all_placed()[stage] = value
            self._dirty_placed.add(stage)
        self._flush_if_due()

    def _all_placed(self) -> dict[str, bytes]:
        if self._placed is None:
            rows = self._query('SELECT stage, value FROM placed')
            found = {path.decode('utf-8', 'surrogateescape'): indexed.unsealed(path, stored) for path, stored in rows}
            self._placed = {stage: value for stage, value in found.items() if value is not None}
        return self._placed

    # The database

    def flush(self) -> None:
        """Write what is new, in one transaction."""
        with self._lock:
            self._flushed = time.monotonic()
            if not (self._dirty_folders or self._dirty_seals or self._dirty_verified or self._dirty_placed):
                return
            if self._use(self._write):
                self._dirty_folders.clear()
                self._dirty_seals.clear()
                self._dirty_verified.clear()
                self._dirty_placed.clear()

    def _write(self, connection: sqlite3.Connection) -> None:
        now = indexed.BOOT.pack(indexed.boot(), self._clock())
        folders = [(path := indexed.encoded(folder),
                    indexed.sealed(indexed.FORM + path, now + indexed.joined(self._folders[folder])))
                   for folder in self._dirty_folders]
        connection.executemany('INSERT OR REPLACE INTO folders VALUES (?, ?)', folders)
        gone = [(indexed.encoded(folder), view) for (folder, view), seal in self._dirty_seals.items() if seal is None]
        connection.executemany('DELETE FROM seals WHERE path = ? AND view = ?', gone)
        connection.executemany('INSERT OR REPLACE INTO seals VALUES (?, ?, ?)', [
            (path := indexed.encoded(folder), view,
             indexed.sealed(indexed.FORM + path + b'\0' + view, now + _packed_seal(seal)))
            for (folder, view), seal in self._dirty_seals.items() if seal is not None])
        connection.executemany('INSERT OR REPLACE INTO verified VALUES (?, ?)',
                               [(bytes.fromhex(digest.hex), value) for digest, value in self._dirty_verified.items()])
        placed = self._placed or {}
        connection.executemany('INSERT OR REPLACE INTO placed VALUES (?, ?)', [
            (path := indexed.encoded(stage), indexed.sealed(path, placed[stage])) for stage in self._dirty_placed])
        connection.commit()

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def close(self) -> None:
        """Write what is new and let go of the files.  The index can still be used; it opens them again."""
        with self._lock:
            self.flush()
            self._drop()
            if self._clock_fd is not None:
                os.close(self._clock_fd)
                self._clock_fd, self._probed = None, float('-inf')

    def _query(self, statement: str, values: tuple[bytes, ...] = ()) -> list[tuple[bytes, ...]]:
        """The rows found; none where the database fails."""
        found: list[tuple[bytes, ...]] = []
        self._use(lambda connection: found.extend(connection.execute(statement, values)))
        return found

    def _use(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Work with the connection.  False if SQLite failed: that is told once, and the next use finds a new database.  False
        too where nothing may be written yet."""
        with self._lock:
            if not self._keeps():
                return False
            try:
                work(self._open())
            except sqlite3.Error as error:
                self._recover(error)
                return False
            return True

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            with suppress(OSError):
                ensure_folder(os.path.dirname(self._database))
            with wal.in_place(self._database):
                self._connection = connection = sqlite3.connect(self._database, timeout=_WAIT_SECONDS, check_same_thread=False)
                wal.use(connection, _WAIT_SECONDS)
            connection.execute('PRAGMA synchronous = OFF')  # every value carries its own check
            for table in _TABLES:
                connection.execute(table)
            connection.commit()
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _recover(self, error: sqlite3.Error) -> None:
        """Go on without the database: a new one if this one is damaged, one in memory if the disk or a lock is in the way."""
        self._drop()
        if isinstance(error, sqlite3.OperationalError) and 'malformed' not in str(error) and 'no such' not in str(error):
            problem = f'the index {self._database} cannot be used ({error}): files are hashed again'
            self._connection = sqlite3.connect(':memory:', check_same_thread=False)
            for table in _TABLES:
                self._connection.execute(table)
        else:
            problem = f'the index {self._database} was damaged ({error}) and is built anew: files are hashed again'
            for suffix in ('', '-wal', '-shm'):
                ops.remove_quietly(f'{self._database}{suffix}')
        if not self._warned:
            self._warned = True
            self._warn(problem)


def ensure_folder(path: str) -> None:
    """The folder and those above it.  Raises OSError."""
    if path and not os.path.isdir(path):
        if (above := os.path.dirname(path)) != path:  # of / nobody may be able to say that it is there
            ensure_folder(above)
        with suppress(FileExistsError):
            ops.mkdir(path)


def _but_ctime(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_mode


def _proves_as_much(record: bytes, other: bytes) -> bool:
    """As another of the same file, whose moment came later."""
    return record_is(record, other[:SIGNATURE.size]) and record[SIGNATURE.size + 1:] == other[SIGNATURE.size + 1:]


def _packed_seal(seal: Seal) -> bytes:
    return _SEAL.pack(seal.signature, bytes.fromhex(seal.ref.digest.hex), seal.ref.size)
