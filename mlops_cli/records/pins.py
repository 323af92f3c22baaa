"""Pins: what a key led to, as small files that git tracks and merges (docs/formats/pins.md).

A pin holds only what follows from the key and the outputs, and is named by what it holds: equal results are equal files
whoever ran them, different ones never share a name, and a branch only ever adds files.  So no two branches conflict.
Knows nothing about runs, times, or the store.
"""

from __future__ import annotations

import json
import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from itertools import pairwise
from sys import intern
from typing import Any, NoReturn

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.digest import ALGORITHM, Digest, digest_of
from mlops_cli.core.errors import Where
from mlops_cli.core.manifest import KINDS, Entry, Manifest, key_of
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.scalars import is_finite
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import read_plain
from mlops_cli.records.files import damaged, names_in, refuse_halves, unknown_format, write_in_batch
from mlops_cli.records.files import read_small as read_small  # others read small files with it
from mlops_cli.store.results import outputs_digest

SCHEMA = 'mlops/pin/v1'
Metrics = tuple[tuple[str, str, float | int], ...]
SLUG_LENGTH = 60
_TAIL = len('0123456789abcdef-01234567.json')
_NAME = pattern(r'(?P<slug>[^~]+)~(?P<key16>[0-9a-f]{16})-(?P<pin8>[0-9a-f]{8})\.json')
_DIGEST = pattern(f'{ALGORITHM}:[0-9a-f]{{64}}')
_UNSAFE = pattern(r'[^A-Za-z0-9._@=+-]')
# No capitals, since some file systems take `Train` and `train` for one name, and no end like that of a slug with a digest.
_PLAIN = pattern(r'(?!.*-[0-9a-f]{8}\Z)[a-z0-9_@=+-][a-z0-9._@=+-]{0,59}')


@lru_cache(maxsize=4096)
def slug(name: str) -> str:
    """A file name for an instance's name: the name itself where it is short, plain and without capitals; else what is safe
    of it, at most 60 characters, and 8 hex digits of its digest.  Different names differ, also where case does not count."""
    if _PLAIN.fullmatch(name):
        return name
    safe = _UNSAFE.sub('-', name)[:SLUG_LENGTH].lstrip('.')
    return f'{safe}-{digest_of(name.encode("utf-8", "surrogateescape")).hex[:8]}'


def is_pin(name: str) -> bool:
    """Whether a file of this name may be a pin."""
    return _NAME.fullmatch(name) is not None


class Pin:
    """``outputs``: (path, ref).  ``metrics``: (file, dotted name, number).  Both in any order.  Never changed.

    Of a pin that was read the manifest is made when it is asked for: most are only compared by their key."""

    __slots__ = ('_content', '_data', '_key', '_manifest', '_outs8', 'metrics', 'outputs')

    def __init__(self, manifest: Manifest, outputs: tuple[tuple[str, ObjectRef], ...], metrics: Metrics = ()) -> None:
        self.outputs, self.metrics = outputs, metrics
        self._manifest: Manifest | None = manifest
        self._key: Digest | None = None
        self._content = self._data = b''
        self._outs8 = ''

    @classmethod
    def _of(cls, key: Digest, outputs: tuple[tuple[str, ObjectRef], ...], metrics: Metrics, content: bytes) -> Pin:
        """``content``: what it was read from, found in order."""
        pin = cls.__new__(cls)
        pin.outputs, pin.metrics, pin._manifest = outputs, metrics, None
        pin._key, pin._content, pin._data, pin._outs8 = key, content, b'', ''
        return pin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pin):
            return NotImplemented
        return (self.manifest, self.outputs, self.metrics) == (other.manifest, other.outputs, other.metrics)

    def __hash__(self) -> int:
        return hash((self.key, self.outputs, self.metrics))

    def __repr__(self) -> str:
        return f'Pin({self.manifest!r}, {self.outputs!r}, {self.metrics!r})'

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            self._manifest = Manifest.of(_entry_of(row) for row in _JSON.decode(self._content.decode()) if row[1] == 'in')
            self._content = b''
        return self._manifest

    @property
    def key(self) -> Digest:
        if self._key is None:
            self._key = self.manifest.digest
        return self._key

    @property
    def outs8(self) -> str:
        """Eight hex digits that tell the results of one key apart; the same as its entry in the store has."""
        if not self._outs8:
            self._outs8 = outputs_digest(self.outputs).hex[:8]
        return self._outs8

    @property
    def data(self) -> bytes:
        """As :meth:`encode`, worked out once."""
        if not self._data:
            self._data = self.encode()
        return self._data

    def file_name(self, stage: str) -> str:
        """Named by what is in it.  The outputs alone would not do: whether a file's numbers are pinned depends on the
        pipeline listing it under metrics, which is not part of the key."""
        return f'{slug(stage)}~{self.key.hex[:16]}-{_pin8(self.data)}.json'

    def encode(self) -> bytes:
        """Raises ValueError for a metric that is no finite number."""
        lines: list[list[Any]] = [['schema', SCHEMA], ['key', str(self.key)]]
        for entry in self.manifest.entries:
            value = [] if entry.value is None else [json.loads(entry.value)]
            lines.append(['in', entry.kind, entry.name, str(entry.digest), *value])
        lines += [['out', path, *ref.to_json()] for path, ref in sorted(self.outputs)]
        lines += [['metric', *metric] for metric in sorted(self.metrics, key=lambda metric: metric[:2])]
        key16 = self.key.hex[:16]
        return ('[\n' + ',\n'.join(canonical([key16, *line]) for line in lines) + '\n]\n').encode()


def _pin8(data: bytes) -> str:
    return digest_of(data).hex[:8]


def _constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not a number')


_JSON = json.JSONDecoder(parse_constant=_constant)


def decode(data: bytes, file: str) -> Pin:
    """``file``: where it stands; its name must fit.  A checkout with CRLF line ends is read as what was committed.

    Raises UserError naming the line where the file is not a pin of ours, or its content does not give its name or key."""
    name = _NAME.fullmatch(file.rpartition('/')[2])
    if name is None:
        raise damaged('pin', 'this is not how a pin is named', Where(file))
    content = data.replace(b'\r\n', b'\n')
    intact = _pin8(content) == name['pin8']
    if not intact:
        _find_damage(content, file)
    try:
        rows = _JSON.decode(content.decode())
    except (ValueError, RecursionError) as error:
        _find_damage(content, file)
        raise damaged('pin', error, Where(file)) from error
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], list) or rows[0][1:2] != ['schema']:
        raise damaged('pin', 'it does not say its format', Where(file, 2, 1))
    refuse_halves(rows, content, file, 'pin')
    pin = _plain_pin(rows, name['key16'], content) or _pin_of(rows, file, name['key16'])
    if not intact:
        raise damaged('pin', 'its content does not give its name', Where(file))
    return pin


def _plain_pin(rows: list[Any], key16: str, content: bytes) -> Pin | None:
    """The pin, where every row is one that we write; None where one is not, so that :func:`_pin_of` says which."""
    if len(rows) < 2 or rows[0] != [key16, 'schema', SCHEMA] or type(rows[1]) is not list:
        return None
    if rows[1][:2] != [key16, 'key'] or len(rows[1]) != 3:
        return None
    entries: list[list[str]] = []
    outputs: dict[str, ObjectRef] = {}
    metrics: list[tuple[str, str, float | int]] = []
    try:
        for row in rows[2:]:
            if type(row) is not list or len(row) < 5 or row[0] != key16:
                return None
            if row[1] == 'in':
                _, _, kind, name, digest, *value = row
                if kind not in KINDS or type(name) is not str or type(digest) is not str or not _DIGEST.fullmatch(digest):
                    return None
                if value and (len(value) > 1 or not _is_plain(value[0])):
                    return None
                entries.append([kind, name, digest])
            elif row[1] == 'out' and type(row[2]) is str and row[2] not in outputs:
                outputs[intern(row[2])] = ObjectRef.from_json(row[3:])
            elif row[1] == 'metric':
                metrics.append(_metric_of(row))
            else:
                return None
    except ValueError:
        return None
    entries.sort()
    key = key_of(entries)
    if f'{ALGORITHM}:{key.hex}' != rows[1][2] or key.hex[:16] != key16:
        return None
    if any(one[:2] == two[:2] for one, two in pairwise(entries)):
        return None
    return Pin._of(key, tuple(outputs.items()), tuple(metrics), content)


def _is_plain(value: Any) -> bool:
    """Whether it can be written again: no number that is none."""
    if type(value) is dict:
        return all(map(_is_plain, value.values()))
    if type(value) is list:
        return all(map(_is_plain, value))
    return type(value) is not float or math.isfinite(value)


def _pin_of(rows: list[Any], file: str, key16: str) -> Pin:
    entries: list[Entry] = []
    outputs: dict[str, ObjectRef] = {}
    metrics: list[tuple[str, str, float | int]] = []
    key = ''
    for line, row in enumerate(rows, 2):
        try:
            if not isinstance(row, list) or len(row) < 3 or row[0] != key16:
                raise ValueError(f'not an entry that begins with the {key16} of its name')
            what = row[1]
            if what == 'in':
                entries.append(_entry_of(row))
            elif what == 'out' and isinstance(row[2], str) and row[2] not in outputs:
                outputs[row[2]] = ObjectRef.from_json(row[3:])
            elif what == 'metric':
                metrics.append(_metric_of(row))
            elif what == 'key' and line == 3 and isinstance(row[2], str):
                key = row[2]
            elif what != 'schema' or line != 2:
                raise ValueError('not an entry of a pin')
            elif row[2] != SCHEMA:
                raise unknown_format('pin', row[2], Where(file, line, 1))
        except (ValueError, RecursionError) as error:
            raise damaged('pin', error, Where(file, line, 1)) from error
    try:
        pin = Pin(Manifest.of(entries), tuple(outputs.items()), tuple(metrics))
    except ValueError as error:
        raise damaged('pin', error, Where(file)) from error
    if str(pin.key) != key or pin.key.hex[:16] != key16:
        raise damaged('pin', 'its entries do not give its key', Where(file, 3, 1))
    return pin


def _entry_of(row: list[Any]) -> Entry:
    """Raises ValueError."""
    if not 5 <= len(row) <= 6 or row[2] not in KINDS or not isinstance(row[3], str) or not isinstance(row[4], str):
        raise ValueError('not an input of a pin')
    return Entry(row[2], row[3], Digest.parse(row[4]), canonical(row[5]) if len(row) == 6 else None)


def _metric_of(row: list[Any]) -> tuple[str, str, float | int]:
    """Raises ValueError."""
    if len(row) != 5 or not isinstance(row[2], str) or not isinstance(row[3], str) or not is_finite(row[4]):
        raise ValueError('not a metric of a pin')
    return row[2], row[3], row[4]


def _find_damage(content: bytes, file: str) -> None:
    """Raises UserError for the first line that is not as we write lines; nothing if each is."""
    number = 0
    for number, line in enumerate(_lines(content), 1):  # of a large one a line at a time: it may be anything
        if number == 1:
            if line != b'[':
                raise damaged('pin', 'it does not begin with [', Where(file, 1, 1))
            continue
        if line == b']':
            if not content.endswith(b'\n]\n') or content.index(b'\n]\n') != len(content) - 3:
                raise damaged('pin', 'something follows its end', Where(file, number + 1, 1))
            return
        try:
            value = _JSON.decode(line.decode().removesuffix(','))
            if canonical(value).encode() != line.removesuffix(b','):
                raise ValueError('not how mlops writes this entry')
        except (ValueError, RecursionError) as error:
            raise damaged('pin', error, Where(file, number, 1)) from error
    raise damaged('pin', 'its end is missing', Where(file, number, 1))


def _lines(content: bytes) -> Iterator[bytes]:
    """As split at line feeds, one after the other."""
    at = 0
    while (end := content.find(b'\n', at)) >= 0:
        yield content[at:end]
        at = end + 1
    yield content[at:]


class Pins:
    """The flat folder of pins.  One listing shows them all; a pin is opened when its key or stage is asked for.

    Thread safe.  Raises OSError, and UserError for a damaged pin or a symbolic link."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._names: list[str] | None = None  # sorted, so that those of one stage follow each other; None: not listed yet
        self._by_key: dict[str, str | list[str]] | None = None
        self._opened: dict[str, Pin] = {}
        self._pending: set[str] = set()  # added, and named only by a coming flush
        self._folder = -1

    def refresh(self) -> None:
        """Look again: other commands add pins, and git puts others in their place."""
        with self._lock:
            self._look()

    def _look(self) -> list[str]:
        self._by_key = None
        self._names = sorted({*filter(is_pin, self.names()), *self._pending})
        return self._names

    def names(self) -> list[str]:
        """What there is now, in no order.  Pins that lie elsewhere override this and :meth:`bytes_of`."""
        return names_in(self.root, layout.STAGES)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within, many pins are read in little time: their folder is looked up once.  For one thread."""
        with ExitStack() as stack:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._folder = stack.enter_context(self.root.parent(f'{layout.STAGES}/-'))[0]
            try:
                yield
            finally:
                self._folder = -1

    def bytes_of(self, name: str) -> bytes | None:
        """None if it has vanished since the listing: git took it away."""
        if self._folder >= 0 and (data := read_plain(self._folder, name)) is not None:
            return data
        try:
            return read_small(self.root, f'{layout.STAGES}/{name}')
        except FileNotFoundError:
            return None

    def _listed(self) -> list[str]:
        """Listed when first asked for: of ten thousand pins, who asks for none pays nothing."""
        return self._look() if self._names is None else self._names

    def _keyed(self) -> dict[str, str | list[str]]:
        if self._by_key is None:
            found: dict[str, str | list[str]] = {}
            for name in self._listed():
                _put(found, name)
            self._by_key = found
        return self._by_key

    def _open(self, name: str) -> Pin | None:
        """None if it has vanished since the listing: git took it away."""
        found = self._opened.get(name)
        if found is None:
            data = self.bytes_of(name)
            if data is None:
                return None
            found = self._opened[name] = decode(data, f'{layout.STAGES}/{name}')
        return found

    def of_key(self, key: Digest) -> tuple[Pin, ...]:
        """The results of a key, smallest outs8 first; more than one: the stage is not deterministic.

        Of pins that differ in metrics alone, the one that knows most of them."""
        pins = [pin for pin in map(self._open, self.names_of_key(key)) if pin is not None and pin.key == key]
        if len(pins) < 2:
            return tuple(pins)
        found: dict[str, Pin] = {}
        for pin in pins:
            if pin.outs8 not in found or len(pin.metrics) > len(found[pin.outs8].metrics):
                found[pin.outs8] = pin
        return tuple(found[name] for name in sorted(found))

    def names_of_key(self, key: Digest) -> tuple[str, ...]:
        """File names of the pins that say they are of a key."""
        with self._lock:
            named = self._keyed().get(key.hex[:16], ())
            return (named,) if isinstance(named, str) else tuple(named)

    def of_stage(self, stage: str) -> tuple[Pin, ...]:
        """All pins ever written for an instance, for telling what changed."""
        return tuple(pin for pin in map(self._open, self.names_of_stage(stage)) if pin is not None)

    def names_of_stage(self, stage: str) -> tuple[str, ...]:
        """File names of the pins of an instance, sorted."""
        with self._lock:
            return self._of_slug(slug(stage))

    def _of_slug(self, named: str) -> tuple[str, ...]:
        names = self._listed()
        return tuple(names[bisect_left(names, f'{named}~'):bisect_left(names, f'{named}\x7f')])  # which comes after ~

    def add(self, stage: str, pin: Pin, batch: Batch, after: Callable[[], None] | None = None) -> str | None:
        """Adds a pin unless the very same stands there; its path, or None, and then ``after`` is not called.

        Durable when the batch is; ``after`` is called then.  Raises OSError."""
        name = pin.file_name(stage)
        path = f'{layout.STAGES}/{name}'
        with self._lock:
            if name in self._pending or (name in self._of_slug(slug(stage)) and self.root.stat(path) is not None):
                return None
            self._pending.add(name)
        try:
            write_in_batch(self.root, path, pin.data, batch, lambda: self._named(name, after))
        except BaseException:
            self._pending.discard(name)
            raise
        with self._lock:
            self._opened[name] = pin
            names = self._listed()
            at = bisect_left(names, name)
            if names[at:at + 1] != [name]:
                names.insert(at, name)
                if self._by_key is not None:
                    _put(self._by_key, name)
        return path

    def _named(self, name: str, after: Callable[[], None] | None) -> None:
        with self._lock:
            self._pending.discard(name)
        if after is not None:
            after()


def _put(by_key: dict[str, str | list[str]], name: str) -> None:
    key16 = name[-_TAIL:-_TAIL + 16]
    others = by_key.get(key16)
    if others is None:
        by_key[key16] = name  # as nearly all keys have one
    elif isinstance(others, str):
        by_key[key16] = [others, name]
    else:
        others.append(name)
