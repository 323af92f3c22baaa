"""What a key led to, format ``result-v1`` (docs/formats/results.md): one small file per key and set of outputs.

An entry that cannot be read, or that a newer version wrote, is a miss: reported, never an error and never trusted.
"""
from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlops_cli.core.canonical import canonical_bytes, document
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import DISCOVERED, RESULTS, TEMPORARY
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops, temporaries
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.durable import RESULTS as LEVEL
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.shelf import FRESH_SECONDS, QUARANTINE, Place

if TYPE_CHECKING:
    from mlops_cli.store.manifests import Kept, Row
    from mlops_cli.store.trash import Trash

SCHEMA = 'mlops/result/v1'
ENTRY_PREFIX = b'mlops outputs-v1\n'


def outputs_digest(outputs: Iterable[tuple[str, ObjectRef]]) -> Digest:
    """The digest of what a stage made: paths and contents, in any order."""
    return digest_of(ENTRY_PREFIX + canonical_bytes(sorted([path, *ref.to_json()] for path, ref in outputs)))


def environment_digest(environment: Mapping[str, Any]) -> Digest:
    """The digest of a recorded environment, to tell whether two results were made under the same."""
    return digest_of(b'mlops environment-v1\n' + canonical_bytes(dict(environment)))


@dataclass(frozen=True)
class ResultEntry:
    """One outcome of one key.

    ``outputs``: path and content, sorted by path.  ``metrics``: the scalar ones, as plain JSON.  ``manifest``: the entries of
    its key, or the object that holds them (store/manifests.py).  ``log``, ``sources``: objects that explain it.
    ``environment``: versions, platform, driver.  ``origin``: who, where, CI or not, adopted.  ``suspect``: its code or inputs
    changed while it ran, so it is never restored by itself.  ``seconds``: wall time of the run.  ``code_bytes``: path and
    digest of the bytes of each code file, beside the meaning that the key holds.  ``discovered``: path and identity of inputs
    found later; the entry counts only while they match.  ``created``: ISO time."""

    key: Digest
    outputs: tuple[tuple[str, ObjectRef], ...]
    created: str
    seconds: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    log: ObjectRef | None = None
    manifest: Kept | None = None
    sources: ObjectRef | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    code_bytes: tuple[tuple[str, Digest], ...] = ()
    discovered: tuple[tuple[str, Digest], ...] = ()
    suspect: bool = False

    @cached_property
    def outputs_digest(self) -> Digest:
        return outputs_digest(self.outputs)

    @property
    def entry8(self) -> str:
        """The first eight hex digits of the outputs' digest: equal outputs, same name."""
        return self.outputs_digest.hex[:8]

    @cached_property
    def environment_digest(self) -> Digest:
        return environment_digest(self.environment)

    @property
    def file_name(self) -> str:
        """Its name within its folder.  A suspect entry stands beside a clean one with the same outputs, not in its place."""
        return f'{self.key.hex}-{self.entry8}{"-suspect" if self.suspect else ""}.json'

    @cached_property
    def series(self) -> ObjectRef | None:
        """What it consumed over time (docs/formats/usage.md); None where it was too short for that."""
        try:
            return _ref(self.usage.get('series'))
        except ValueError:  # a later version's, perhaps
            return None

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """Every object it names."""
        extra = (ref for ref in (self.log, self.manifest, self.sources, self.series) if isinstance(ref, ObjectRef))
        return (*(ref for _, ref in self.outputs), *extra)


def encode(entry: ResultEntry) -> bytes:
    """The bytes of an entry's file, with a digest of them in front, so that damage shows.  Same entry, same bytes.  Raises
    TypeError or ValueError on what JSON cannot hold."""
    value: dict[str, Any] = {
        'schema': SCHEMA,
        'key': str(entry.key),
        'outputs': sorted([path, *ref.to_json()] for path, ref in entry.outputs),
        'created': entry.created,
        'seconds': entry.seconds,
        'suspect': entry.suspect,
        'code_bytes': sorted([path, str(digest)] for path, digest in entry.code_bytes),
        'discovered': sorted([path, str(digest)] for path, digest in entry.discovered),
    }
    for name in ('log', 'manifest', 'sources'):
        ref: ObjectRef | tuple[Row, ...] | None = getattr(entry, name)
        value[name] = ref.to_json() if isinstance(ref, ObjectRef) else None if ref is None else [*ref]
    for name in ('metrics', 'environment', 'origin', 'usage'):
        value[name] = dict(getattr(entry, name))
    data = document(value)
    return b'%b%b%b%b' % (_CHECK, digest_of(data).hex.encode(), _CHECK_END, data[len(_BEGIN):])


_BEGIN, _CHECK, _CHECK_END = b'{\n ', b'{\n "check":"blake3:', b'",\n '
_CHECKED = len(_CHECK) + 64 + len(_CHECK_END)


def _unchecked(data: bytes) -> bytes:
    """An entry's file without its check.  Raises ValueError where it is not what was written; one without a check is from
    before there was one."""
    if not data.startswith(_CHECK):
        return data
    rest = _BEGIN + data[_CHECKED:]
    if data[len(_CHECK):_CHECKED] != digest_of(rest).hex.encode() + _CHECK_END:
        raise ValueError('its bytes are not those that were written')
    return rest


_FIELDS = frozenset({'schema', 'key', 'outputs', 'created', 'seconds', 'suspect', 'code_bytes', 'discovered', 'log', 'manifest',
                     'sources', 'metrics', 'environment', 'origin', 'usage'})


def _no_constant(text: str) -> Any:
    raise ValueError(f'{text} is not JSON')


def decode(data: bytes) -> ResultEntry:
    """The inverse of :func:`encode`.  Raises ValueError on everything else: another version, other fields, wrong types."""
    try:
        value = json.loads(_unchecked(data), parse_constant=_no_constant)
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'not JSON: {error}') from None
    if not isinstance(value, dict):
        raise ValueError('not a JSON object')
    if value.get('schema') != SCHEMA:
        raise ValueError(f'of schema {str(value.get("schema"))[:40]!r}, not {SCHEMA}')
    if value.keys() != _FIELDS:
        raise ValueError(f'its fields differ: {", ".join(sorted(value.keys() ^ _FIELDS))[:200]}')
    mappings = {name: value[name] for name in ('metrics', 'environment', 'origin', 'usage')}
    if not all(isinstance(found, dict) for found in mappings.values()):
        raise ValueError('metrics, environment, origin and usage are not all objects')
    seconds, created, suspect = value['seconds'], value['created'], value['suspect']
    if not isinstance(created, str) or not isinstance(suspect, bool):
        raise ValueError('created or suspect of the wrong type')
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float('inf'):
        raise ValueError('seconds is not a number')
    return ResultEntry(
        key=Digest.parse(_text(value['key'])), outputs=_outputs(value['outputs']), created=created, seconds=seconds,
        suspect=suspect, code_bytes=_digests(value['code_bytes']), discovered=_digests(value['discovered']),
        log=_ref(value['log']), manifest=_manifest(value['manifest']), sources=_ref(value['sources']), **mappings)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'not a text: {str(value)[:80]}')
    return value


def _ref(value: object) -> ObjectRef | None:
    return None if value is None else ObjectRef.from_json(value)


def _manifest(value: object) -> Kept | None:
    if not isinstance(value, list) or (value and isinstance(value[0], str)):
        return _ref(value)
    for row in value:
        if not isinstance(row, list) or not 3 <= len(row) <= 4 or not all(isinstance(part, str) for part in row[:3]):
            raise ValueError(f'not an entry of a manifest: {str(row)[:80]}')
    return tuple(value)


def _rows(value: object) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) and row and isinstance(row[0], str) for row in value):
        raise ValueError(f'not a list of rows: {str(value)[:80]}')
    if any(one[0] >= two[0] for one, two in pairwise(value)):
        raise ValueError('paths out of order, or one twice')
    return value


def _outputs(value: object) -> tuple[tuple[str, ObjectRef], ...]:
    return tuple((row[0], ObjectRef.from_json(row[1:])) for row in _rows(value))


def _digests(value: object) -> tuple[tuple[str, Digest], ...]:
    rows = _rows(value)
    if any(len(row) != 2 for row in rows):
        raise ValueError('not pairs of path and digest')
    return tuple((path, Digest.parse(_text(digest))) for path, digest in rows)


def choose(entries: Iterable[ResultEntry], *, pinned: Collection[str] = (),
           environment: Digest | None = None) -> ResultEntry | None:
    """The entry to restore: the one pinned in git (``pinned``: the ``entry8`` of the pins of this key), then one made under
    the same environment, then the earliest.  Suspect ones never."""
    sound = [entry for entry in entries if not entry.suspect]
    return min(sound, default=None, key=lambda entry: (
        entry.entry8 not in pinned, entry.environment_digest != environment, entry.created, entry.entry8))


SIZE_LIMIT = 1 << 20  # bytes of an entry that we read
Report = Callable[[str, str], None]


def _silent(_path: str, _problem: str) -> None:
    return None


class Results:
    """The entries of one cache.  ``batch``: takes new ones to their names; whoever made it flushes it.  ``report``: told the
    path of each entry that is passed over, and why.  Thread safe."""

    def __init__(self, cache: str | os.PathLike[str], batch: Batch, *, report: Report = _silent) -> None:
        self._place = Place(cache, RESULTS, durable=batch.durability != 'none')
        self._folder = os.path.join(cache, RESULTS)
        self._batch = batch
        self._report = report
        self._lock = threading.Lock()
        self._pending: dict[Digest, dict[str, ResultEntry]] = {}

    def close(self) -> None:
        """Let go of the folder."""
        self._place.close()

    @property
    def _root(self) -> Root:
        return self._place.root

    @cached_property
    def _trash(self) -> Trash:
        from mlops_cli.store.trash import Trash  # few miss anything where there is one

        return Trash()

    def lookup(self, key: Digest) -> tuple[ResultEntry, ...]:
        """Every entry of a key, those that wait in the batch too, by name; unreadable ones are reported and left out.  Where
        there is none, those that gc threw away come back."""
        with self._lock:
            found = dict(self._pending.get(key, {}))
        names = self._names(key)
        if not (names or found) and self._place.thrown():
            shard = f'{RESULTS}/{key.hex[:2]}'
            if self._trash.folders(self._root) and self._trash.bring_back_entries(self._root, shard, key.hex):
                names = self._names(key)
        for name in names:
            if name not in found and (entry := self._read(name)) is not None:
                found[name] = entry
        return tuple(found[name] for name in sorted(found))

    def _names(self, key: Digest) -> list[str]:
        folder = f'{self._folder}/{key.hex[:2]}'
        if os.path.islink(folder):
            self._place.prepare()  # which refuses it
        try:
            return [name for name in os.listdir(folder) if name.startswith(key.hex)]
        except FileNotFoundError:
            return []

    def freshen(self, key: Digest) -> None:
        """Tell gc that somebody relies on the entries of a key again; once a day is enough.  Raises OSError."""
        for name in self._names(key):
            with suppress(FileNotFoundError, PermissionError):
                facts = ops.lstat(_path(name), self._root.fd)
                if time.time() - facts.st_mtime > FRESH_SECONDS:
                    ops.utime(_path(name), dir_fd=self._root.fd)

    def discovered(self) -> frozenset[str]:
        """Hex digits of the keys of which some result may hold discovered inputs."""
        try:
            return frozenset(os.listdir(f'{self._folder[: -len(RESULTS)]}{DISCOVERED}'))
        except OSError:
            return frozenset()

    def put(self, entry: ResultEntry) -> None:
        """Keep an entry; one with the same key, outputs and discovered inputs that is there already stays.  Raises OSError."""
        name = entry.file_name
        with self._lock:
            if name in self._pending.get(entry.key, {}):
                return
            if self._has(name):
                known = self._read(name)
                if known is not None and known.discovered == entry.discovered:
                    self.freshen(entry.key)
                    return
                if known is None:
                    self.set_aside(_path(name))
            if entry.discovered:
                write_file(self._root, f'{DISCOVERED}/{entry.key.hex}', b'', durable=False)
            self._pending.setdefault(entry.key, {})[name] = entry
        temporary = f'{TEMPORARY}/{temporaries.new_name()}'
        try:
            fd = ops.open_new(temporary, 0o600, dir_fd=self._root.fd)
            try:
                ops.write(fd, encode(entry))
                ops.fchmod(fd, 0o444)
            except BaseException:
                os.close(fd)
                ops.remove_quietly(temporary, dir_fd=self._root.fd)
                raise
            self._batch.add(temporary, _path(name), LEVEL, fd=fd, root=self._root, after=lambda: self._named(entry))
        except BaseException:
            self._named(entry)
            raise

    def _has(self, name: str) -> bool:
        """Whether something has that name, be it what it may."""
        try:
            os.stat(f'{self._folder}/{name[:2]}/{name}', follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _named(self, entry: ResultEntry) -> None:
        with self._lock:
            waiting = self._pending[entry.key]
            del waiting[entry.file_name]
            if not waiting:
                del self._pending[entry.key]

    def more_than(self, number: int) -> bool:
        """Whether there are more entries than this; looks no further once it knows."""
        found = 0
        with suppress(FileNotFoundError):
            for folder in os.scandir(self._folder):
                with suppress(NotADirectoryError, FileNotFoundError):
                    found += 0 if folder.is_symlink() else len(os.listdir(folder.path))
                if found > number:
                    return True
        return False

    def all(self) -> Iterator[ResultEntry]:
        """Every entry that has its name; unreadable ones are reported and left out."""
        return (entry for name in self._all_names() if (entry := self._read(name)) is not None)

    def _all_names(self) -> Iterator[str]:
        folders = self._root.scandir(RESULTS) if self._place.there() else []
        for folder in sorted(folders, key=lambda entry: entry.name):
            if folder.is_dir():
                for found in sorted(self._root.scandir(f'{RESULTS}/{folder.name}'), key=lambda entry: entry.name):
                    if found.name.startswith(folder.name):
                        yield found.name

    def damaged(self) -> Iterator[tuple[str, str, bool]]:
        """(path in the cache, what is wrong, whether it could not even be read) of every entry that :meth:`all` leaves out.
        What could not be read may be as good as ever."""
        for name in self._all_names():
            try:
                self._load(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield _path(name), f'it cannot be read: {error.strerror or error}', True
            except (ValueError, UserError) as error:
                yield _path(name), str(error), False

    def set_aside(self, path: str) -> None:
        """Put what :meth:`damaged` found where nothing reads it.  Raises OSError."""
        aside = f'{QUARANTINE}/{path.rpartition("/")[2]}-{temporaries.new_name()}'
        self._root.makedirs(QUARANTINE, 0o700)
        with suppress(FileNotFoundError):
            ops.rename(path, aside, src_dir_fd=self._root.fd, dst_dir_fd=self._root.fd)

    def _read(self, name: str) -> ResultEntry | None:
        if not self._place.there():
            return None
        try:
            return self._load(name)
        except FileNotFoundError:
            return None
        except (ValueError, UserError, OSError) as error:
            self._report(_path(name), str(error))
            return None

    def _load(self, name: str) -> ResultEntry:
        """Raises OSError, UserError; ValueError for what is no entry of that name."""
        entry = decode(read_file(self._root, _path(name), SIZE_LIMIT))
        if entry.file_name != name:
            raise ValueError('its name does not say what is in it')
        return entry


def _path(name: str) -> str:
    return f'{RESULTS}/{name[:2]}/{name}'
