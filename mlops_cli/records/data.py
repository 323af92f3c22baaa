"""Tracked data (``mlops add``): one small file per path under ``.mlops/data``, which git tracks (docs/formats/data.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX
from mlops_cli.records.files import at, damaged, read_object, read_small, write_in_batch

if TYPE_CHECKING:  # few commands ask where data came from
    from mlops_cli.records.origin import Source

SCHEMA = 'mlops/data/v1'
SUFFIX = '.json'
LIMIT = 1 << 20  # bytes of a record
BARE = 3  # entries of a record that holds no more than what it is of
SHORTEST, LONGEST = 60.0, 36500 * 86400.0  # seconds of an age
BY_THE_DAY = 2 * 86400.0  # seconds of an age from which on the day is exact enough
_NAME_BYTES = 255
_TEXT = 1000  # characters of what a person says of it
_DAY = pattern(r'[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?')
_LIKE_A_RECORD = pattern(r'(\.json~*)(?=/)')


def record_path(path: str) -> str:
    """Where the record of a path stands.  A folder on the way whose name ends in ``.json`` gets ``~`` behind it, so that it
    is never a record's own name: two branches may add ``a`` and ``a.json/b``."""
    escaped = _LIKE_A_RECORD.sub(r'\1~', path)
    return f'{layout.DATA}/{escaped}{SUFFIX}'


@dataclass(frozen=True, slots=True)
class Record:
    """``desc``, ``licence``: what a person says of it.  ``source``: where it came from; None: whoever added it had it.
    ``max_age``: as it was typed (``30d``), empty for none; ``checked``: the day on which it was last known to be what its
    source holds, of a short age the second too; empty without an age.  ``in_place``: its files are in no cache of ours."""

    path: str
    ref: ObjectRef
    desc: str = ''
    licence: str = ''
    max_age: str = ''
    checked: str = ''
    in_place: bool = False
    source: Source | None = None

    def to_json(self) -> dict[str, Any]:
        """Nothing that was not said: two who import the same write the same."""
        said = {name: getattr(self, name) for name in ('desc', 'licence', 'max_age', 'checked', 'in_place')}
        found: dict[str, Any] = {'schema': SCHEMA, 'path': self.path, 'ref': self.ref.to_json()}
        found |= {name: one for name, one in said.items() if one}
        return found if self.source is None else {**found, 'source': self.source.to_json()}

    @property
    def due(self) -> float | None:
        """Seconds since 1970 from which on it is older than it may be; None if it may be of any age."""
        if not (self.max_age and self.checked):
            return None
        from mlops_cli.core.clock import from_iso
        from mlops_cli.core.units import parse_duration

        return from_iso(self.checked if 'T' in self.checked else f'{self.checked}T00:00:00Z') + parse_duration(self.max_age)


def encode(path: str, ref: ObjectRef) -> bytes:
    """A record that holds no more than what it is of."""
    return document(Record(path, ref).to_json())


def decode(data: bytes, file: str) -> Record:
    """``file``: where the record stands.  Raises UserError with file and line where it is not a record of ours."""
    found = read_object(data, file, 'data record', SCHEMA)
    path = found.get('path')
    if not isinstance(path, str) or record_path(path) != file:
        raise damaged('data record', f'its name does not fit its path {str(path)[:200]!r}', at(file, data, 'path'))
    try:
        if check_path(path) != path or path == '.':
            raise ValueError('is not how mlops writes a path')
    except ValueError as error:
        raise damaged('data record', f'{path!r} {error}', at(file, data, 'path')) from error
    try:
        ref = ObjectRef.from_json(found.get('ref'))
    except ValueError as error:
        raise damaged('data record', error, at(file, data, 'ref')) from error
    if len(found) == BARE:
        return Record(path, ref)
    return Record(path, ref, **_said(found, data, file))


def _said(found: dict[str, Any], data: bytes, file: str) -> dict[str, Any]:
    """What a record holds beside path and content."""
    said: dict[str, Any] = {}
    for name in ('desc', 'licence', 'max_age', 'checked'):
        if name in found:
            try:
                said[name] = check(name, found[name])
            except ValueError as error:
                raise damaged('data record', f'its {name} {error}', at(file, data, name)) from error
    if 'in_place' in found:
        if not isinstance(found['in_place'], bool):
            raise damaged('data record', 'its in_place is neither true nor false', at(file, data, 'in_place'))
        said['in_place'] = found['in_place']
    if 'source' in found:
        from mlops_cli.records.origin import read_source

        try:
            said['source'] = read_source(found['source'])
        except ValueError as error:
            raise damaged('data record', f'its source {error}', at(file, data, 'source')) from error
    return said


def check(name: str, value: object) -> str:
    """One of the texts of a record.  Raises ValueError, whose text follows on the name."""
    if not isinstance(value, str) or len(value) > _TEXT or any(ord(one) < 32 or ord(one) == 127 for one in value):
        raise ValueError('is not one line of text')
    if name == 'checked' and value:
        from mlops_cli.core.clock import check_time

        if not _DAY.fullmatch(value):
            raise ValueError('is no day')
        check_time(value if 'T' in value else f'{value}T00:00:00Z')
    if name == 'max_age' and value:
        from mlops_cli.core.units import parse_duration

        if not SHORTEST <= parse_duration(value) <= LONGEST:
            raise ValueError('is not between 1 minute and 100 years')
    return value


def today(now: float, max_age: str) -> str:
    """What a record says of when it was looked at, as exactly as its age needs: two who look on the same day say the same.
    ``now``: seconds since 1970."""
    if not max_age:
        return ''
    from mlops_cli.core.clock import iso
    from mlops_cli.core.units import parse_duration

    return iso(now)[: 10 if parse_duration(max_age) >= BY_THE_DAY else None]


def records(root: Root) -> dict[str, Record]:
    """Path -> record, for all tracked data, sorted.  Raises UserError for a damaged record, OSError."""
    found = (decode(read_small(root, file, LIMIT), file) for file in _records(root, layout.DATA))
    return {record.path: record for record in sorted(found, key=_path)}


def _path(record: Record) -> str:
    return record.path


def tracked(root: Root) -> dict[str, ObjectRef]:
    """Path -> what it was when it was added, for all tracked data, sorted.  Raises UserError for a damaged record, OSError."""
    return {path: record.ref for path, record in records(root).items()}


def _records(root: Root, folder: str) -> Iterator[str]:
    try:
        entries = root.scandir(folder)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f'{folder}/{entry.name}'
        if entry.is_dir():
            yield from _records(root, path)
        elif entry.name.endswith(SUFFIX) and not entry.name.startswith(PREFIX):
            yield path


def add(root: Root, path: str, ref: ObjectRef, batch: Batch) -> str:
    """Writes a record that holds no more than path and content; as write."""
    return write(root, Record(path, ref), batch)


def write(root: Root, record: Record, batch: Batch) -> str:
    """Writes the record of one path; the record's own path.  Durable when the batch is.

    Its ``path``: as core.paths.check_path returns it.  Raises UserError where no record can have its name, OSError."""
    file = place_for(record.path)
    write_in_batch(root, file, document(record.to_json()), batch)
    return file


def place_for(path: str) -> str:
    """Where the record of a path is to be written.  Raises UserError where no record can have its name."""
    if path == '.':
        raise UserError('the project itself cannot be tracked data', hint='name the files and folders in it that are')
    file = record_path(path)
    if max(len(name.encode('utf-8', 'surrogateescape')) for name in file.split('/')) > _NAME_BYTES:
        raise UserError(
            f'{path} has a name too long for a record of it',
            hint=f'a name in it may have {_NAME_BYTES - len(SUFFIX)} bytes: rename it',
        )
    return file
