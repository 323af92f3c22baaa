"""The same content kept more than once, in remotes, buckets and folders (``mlops storage duplicates``).

Only what has the size of something else is read: of large files the beginning first, and all of it where that is equal, too.
What was read is kept in ``.mlops/local``, so that a search goes on where it was broken off, and is quick the next time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import hasher
from mlops_cli.fsio.paths import Root
from mlops_cli.run.space import GB, inventory
from mlops_cli.store.bucket import AT_ONCE, BLOCK, Absent, Bucket, Unreachable, side_by_side
from mlops_cli.store.depot import Depot

FILE = f'{layout.LOCAL}/duplicates-v1.sqlite'
HEAD = 64 << 10  # bytes of the beginning
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
  place TEXT NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL, changed REAL NOT NULL,
  head BLOB, content BLOB, round INTEGER NOT NULL, PRIMARY KEY (place, key)) WITHOUT ROWID"""
_PUT = """
INSERT INTO files (place, key, size, changed, content, round) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (place, key) DO UPDATE SET round = excluded.round,
  head = CASE WHEN size = excluded.size AND changed = excluded.changed THEN head END,
  content = COALESCE(excluded.content, CASE WHEN size = excluded.size AND changed = excluded.changed THEN content END),
  size = excluded.size, changed = excluded.changed"""
_ROWS_AT_ONCE = 5_000
_Row = tuple[str, bytes, int]  # place, key, size


@dataclass(frozen=True, slots=True)
class Place:
    """``name``: as the person calls it.  ``where``: its address, by which it is remembered.  ``price``: of a GB for a month."""

    name: str
    where: str
    source: Depot | Bucket
    price: float | None = None


class Copy(NamedTuple):
    """``content``: the digest in hex of what lies in a remote of ours, under a name that tells people nothing."""

    place: str
    key: str
    content: str = ''


@dataclass(slots=True)
class Group:
    """One content.  ``count``: how many copies there are; ``copies``: some of them.  ``spare``: bytes of all but one.
    ``saving``: what these cost in a month if the copy that is kept is the dearest; None where a price is unknown."""

    size: int
    count: int
    copies: list[Copy]
    saving: float | None = None

    @property
    def spare(self) -> int:
        return self.size * (self.count - 1)


@dataclass(slots=True)
class Told:
    """How far it is.  ``listed``: files.  ``to_read``, ``read``: bytes.  ``changed``: files that went or changed meanwhile."""

    step: Callable[[], object] = lambda: None
    listed: int = 0
    to_read: int = 0
    read: int = 0
    changed: int = 0


@dataclass(slots=True)
class Outcome:
    """``groups``: those that waste most, first.  ``copies``: of all groups, all but one of each.  ``bytes``, ``saving``: of
    these.  ``files``, ``size``: what was looked at; ``small``: how many of them were passed over for their size."""

    groups: list[Group] = field(default_factory=list)
    found: int = 0
    copies: int = 0
    bytes: int = 0
    saving: float | None = None
    files: int = 0
    size: int = 0
    small: int = 0


def search(root: Root, places: Sequence[Place], least: int, most: int, told: Told) -> Outcome:
    """``least``: bytes from which on a file is looked at.  ``most``: groups that are told.

    Raises Unreachable, UserError, OSError.  May be broken off."""
    root.makedirs(layout.LOCAL, 0o700)
    with closing(_opened(root)) as table:
        table.execute('CREATE TEMP TABLE chosen (place TEXT PRIMARY KEY)')
        table.executemany('INSERT INTO chosen VALUES (?)', [(place.where,) for place in places])
        number = 1 + (table.execute('SELECT MAX(round) FROM files').fetchone()[0] or 0)
        for place in places:
            _list(table, place, number, told)
        _read(table, places, max(1, least), told)
        return _outcome(table, places, max(1, least), most)


def _opened(root: Root) -> sqlite3.Connection:
    path = root.full(FILE)
    try:
        return _table_in(path)
    except sqlite3.DatabaseError:  # what was read is read again
        with suppress(FileNotFoundError):
            root.unlink(FILE)
        return _table_in(path)


def _table_in(path: str) -> sqlite3.Connection:
    table = sqlite3.connect(path, isolation_level=None)
    table.execute('PRAGMA journal_mode = WAL')
    table.execute('PRAGMA synchronous = OFF')
    table.execute(_TABLE)
    return table


def _list(table: sqlite3.Connection, place: Place, number: int, told: Told) -> None:
    rows: list[tuple[str, bytes, int, float, bytes | None, int]] = []
    for row in _files(place):
        rows.append((place.where, *row, number))
        if len(rows) == _ROWS_AT_ONCE:
            _put(table, rows, told)
    _put(table, rows, told)
    table.execute('DELETE FROM files WHERE place = ? AND round < ?', (place.where, number))


def _put(table: sqlite3.Connection, rows: list[tuple[str, bytes, int, float, bytes | None, int]], told: Told) -> None:
    table.execute('BEGIN')
    table.executemany(_PUT, rows)
    table.execute('COMMIT')
    told.listed += len(rows)
    told.step()
    rows.clear()


def _files(place: Place) -> Iterator[tuple[bytes, int, float, bytes | None]]:
    """(key, bytes, when it was changed, its digest if that is known)."""
    if isinstance(place.source, Depot):
        seen: dict[bytes, int] = {}
        for one in inventory(place.source):
            seen[one.name] = seen.get(one.name, 0) + 1
            again = f' ({seen[one.name]})' if seen[one.name] > 1 else ''
            yield f'{layout.OBJECTS}/{one.name.hex()}{again}'.encode(), one.size, 0.0, one.name
        return
    for key, size, changed in place.source.list(''):
        yield key.encode('utf-8', 'surrogateescape'), size, changed, None


# What has to be read

_ALIKE = """
SELECT place, key, size FROM files WHERE place IN chosen AND content IS NULL AND {unread} AND size IN (
  SELECT size FROM files WHERE place IN chosen AND size >= ? GROUP BY size HAVING COUNT(*) > 1)"""
# What is known without its beginning, as what lies in a remote of ours, may be equal to any of its size.
_EQUAL = f"""size <= {HEAD} OR (size, head) IN (
  SELECT size, head FROM files WHERE place IN chosen AND size > {HEAD} AND head NOT NULL
  GROUP BY size, head HAVING COUNT(*) > 1) OR size IN (
  SELECT size FROM files WHERE place IN chosen AND size > {HEAD} AND head IS NULL AND content NOT NULL)"""


def _read(table: sqlite3.Connection, places: Sequence[Place], least: int, told: Told) -> None:
    table.execute('CREATE INDEX IF NOT EXISTS sizes ON files (size)')
    sources = {place.where: place.source for place in places if not isinstance(place.source, Depot)}

    def wanted(unread: str) -> list[_Row]:
        return table.execute(_ALIKE.format(unread=f'({unread})'), (least,)).fetchall()

    heads = wanted(f'size > {HEAD} AND head IS NULL')
    told.to_read += HEAD * len(heads)
    _hash(table, 'head', heads, lambda row: _digest(sources[row[0]], row[1], HEAD), told)
    whole = wanted(_EQUAL)
    told.to_read += sum(size for _, _, size in whole)
    _hash(table, 'content', whole, lambda row: _digest(sources[row[0]], row[1], row[2]), told)


def _hash(
    table: sqlite3.Connection,
    column: str,
    rows: Sequence[_Row],
    work: Callable[[_Row], bytes | None],
    told: Told,
) -> None:
    """What was hashed is kept at once: whoever goes on need not read it again."""
    with closing(side_by_side(lambda row: (row, work(row)), rows, AT_ONCE)) as hashed:
        for (place, key, size), found in hashed:
            table.execute(f'UPDATE files SET {column} = ? WHERE place = ? AND key = ?', (found, place, key))
            told.changed += found is None
            told.read += size if column == 'content' else HEAD
            told.step()


def _digest(bucket: Bucket, named: bytes, size: int) -> bytes | None:
    """Of so many bytes from the beginning; None where there are fewer by now."""
    found, key = hasher(), named.decode('utf-8', 'surrogateescape')
    try:
        for start in range(0, size, BLOCK):
            found.update(bucket.get(key, start, min(start + BLOCK, size)))
    except Absent:
        return None
    except Unreachable:
        if bucket.size(key) != size:
            return None
        raise
    return bytes.fromhex(found.hexdigest())


# What was found

_COPIES = 20  # of a content that are named


def _outcome(table: sqlite3.Connection, places: Sequence[Place], least: int, most: int) -> Outcome:
    prices = {place.where: place.price for place in places}
    table.execute('CREATE INDEX IF NOT EXISTS contents ON files (content)')
    outcome, saving = Outcome(), 0.0
    outcome.files, outcome.size, outcome.small = table.execute(
        'SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(SUM(size < ?), 0) FROM files WHERE place IN chosen',
        (least,),
    ).fetchone()
    rows = table.execute(
        'SELECT content, size, place, COUNT(*) FROM files WHERE place IN chosen AND size >= ? AND content NOT NULL '
        'GROUP BY content, size, place ORDER BY content, size',
        (least,),
    )
    worst: list[tuple[int, bytes, Group]] = []
    unknown = False
    for (content, size), held in groupby(rows, key=itemgetter(0, 1)):
        counts = [(prices[place], number) for _, _, place, number in held]
        count = sum(number for _, number in counts)
        if count < 2:
            continue
        group = Group(size, count, [], _saving(counts, size))
        outcome.found += 1
        outcome.copies += count - 1
        outcome.bytes += group.spare
        unknown |= group.saving is None
        saving += group.saving or 0.0
        worst.append((-group.spare, content, group))
        if len(worst) > 2 * most + _ROWS_AT_ONCE:
            worst = sorted(worst, key=itemgetter(0, 1))[:most]
    for _, content, group in sorted(worst, key=itemgetter(0, 1))[:most]:
        group.copies = _copies(table, places, content, group.size)
        outcome.groups.append(group)
    outcome.saving = saving if outcome.found and not unknown else None
    return outcome


def _copies(table: sqlite3.Connection, places: Sequence[Place], content: bytes, size: int) -> list[Copy]:
    called = {place.where: place.name for place in places}
    ours = {place.where for place in places if isinstance(place.source, Depot)}
    found = table.execute(
        'SELECT place, key FROM files WHERE content = ? AND size = ? AND place IN chosen '
        'ORDER BY place, key LIMIT ?',
        (content, size, _COPIES),
    )
    return [
        Copy(called[place], key.decode(errors='backslashreplace'), content.hex() if place in ours else '')
        for place, key in found
    ]


def _saving(held: Sequence[tuple[float | None, int]], size: int) -> float | None:
    """``held``: price and number of copies in each place."""
    known = [(price, number) for price, number in held if price is not None]
    if len(known) < len(held):
        return None
    return (sum(price * number for price, number in known) - max(price for price, _ in known)) * size / GB
