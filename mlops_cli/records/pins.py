"""Pins: what a key led to, as small files that git tracks and merges (docs/formats/pins.md).

A pin holds only what follows from the key and the outputs, and is named by what it holds: equal results are equal files
whoever ran them, different ones never share a name, and a branch only ever adds files.  So no two branches conflict.
Knows nothing about runs, times, or the store.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import Where
from mlops_cli.core.manifest import KINDS, Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import damaged, names_in, unknown_format, write_in_batch
from mlops_cli.records.files import read_small as read_small  # others read small files with it
from mlops_cli.store.results import outputs_digest

SCHEMA = 'mlops/pin/v1'
SLUG_LENGTH = 60
_NAME = re.compile(r'(?P<slug>[^~]+)~(?P<key16>[0-9a-f]{16})-(?P<pin8>[0-9a-f]{8})\.json')
_UNSAFE = re.compile(r'[^A-Za-z0-9._@=+-]')
# No capitals, since some file systems take `Train` and `train` for one name, and no end like that of a slug with a digest.
_PLAIN = re.compile(r'(?!.*-[0-9a-f]{8}\Z)[a-z0-9_@=+-][a-z0-9._@=+-]{0,59}')


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


@dataclass(frozen=True)
class Pin:
    """``outputs``: (path, ref).  ``metrics``: (file, dotted name, number).  Both in any order."""

    manifest: Manifest
    outputs: tuple[tuple[str, ObjectRef], ...]
    metrics: tuple[tuple[str, str, float | int], ...] = ()

    @property
    def key(self) -> Digest:
        return self.manifest.digest

    @cached_property
    def outs8(self) -> str:
        """Eight hex digits that tell the results of one key apart; the same as its entry in the store has."""
        return outputs_digest(self.outputs).hex[:8]

    @cached_property
    def data(self) -> bytes:
        return self.encode()

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
    pin = _pin_of(rows, file, name['key16'])
    if not intact:
        raise damaged('pin', 'its content does not give its name', Where(file))
    return pin


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
    if len(row) != 5 or not isinstance(row[2], str) or not isinstance(row[3], str) or not _is_number(row[4]):
        raise ValueError('not a metric of a pin')
    return row[2], row[3], row[4]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _find_damage(content: bytes, file: str) -> None:
    """Raises UserError for the first line that is not as we write lines; nothing if each is."""
    lines = content.split(b'\n')
    if lines[0] != b'[':
        raise damaged('pin', 'it does not begin with [', Where(file, 1, 1))
    for number, line in enumerate(lines[1:], 2):
        if line == b']':
            if lines[number:] != [b'']:
                raise damaged('pin', 'something follows its end', Where(file, number + 1, 1))
            return
        try:
            value = _JSON.decode(line.decode().removesuffix(','))
            if canonical(value).encode() != line.removesuffix(b','):
                raise ValueError('not how mlops writes this entry')
        except (ValueError, RecursionError) as error:
            raise damaged('pin', error, Where(file, number, 1)) from error
    raise damaged('pin', 'its end is missing', Where(file, len(lines), 1))


class Pins:
    """The flat folder of pins.  One listing shows them all; a pin is opened when its key or stage is asked for.

    Thread safe.  Raises OSError, and UserError for a damaged pin or a symbolic link."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._by_key: dict[str, dict[str, None]] = {}
        self._by_slug: dict[str, dict[str, None]] = {}
        self._listed = False
        self._opened: dict[str, Pin] = {}
        self._pending: set[str] = set()  # added, and named only by a coming flush

    def refresh(self) -> None:
        """Look again: other commands add pins, and git puts others in their place."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        self._by_key, self._by_slug = {}, {}
        for name in sorted({*self.names(), *self._pending}):
            self._list(name)
        self._listed = True

    def names(self) -> list[str]:
        """What there is now, in no order.  Pins that lie elsewhere override this and :meth:`bytes_of`."""
        return names_in(self.root, layout.STAGES)

    def bytes_of(self, name: str) -> bytes | None:
        """None if it has vanished since the listing: git took it away."""
        try:
            return read_small(self.root, f'{layout.STAGES}/{name}')
        except FileNotFoundError:
            return None

    def _list(self, name: str) -> None:
        if found := _NAME.fullmatch(name):
            self._by_key.setdefault(found['key16'], {})[name] = None
            self._by_slug.setdefault(found['slug'], {})[name] = None

    def _of(self, names: str, of: str) -> tuple[str, ...]:
        """Listed when first asked for: of ten thousand pins, who asks for none pays nothing."""
        with self._lock:
            if not self._listed:
                self._look()
            return tuple(getattr(self, names).get(of, ()))

    def _open(self, name: str) -> Pin | None:
        """None if it has vanished since the listing: git took it away."""
        if name not in self._opened:
            data = self.bytes_of(name)
            if data is None:
                return None
            self._opened[name] = decode(data, f'{layout.STAGES}/{name}')
        return self._opened[name]

    def _all(self, names: tuple[str, ...]) -> list[Pin]:
        return [pin for pin in map(self._open, names) if pin is not None]

    def of_key(self, key: Digest) -> tuple[Pin, ...]:
        """The results of a key, smallest outs8 first; more than one: the stage is not deterministic.

        Of pins that differ in metrics alone, the one that knows most of them."""
        found: dict[str, Pin] = {}
        for pin in self._all(self._of('_by_key', key.hex[:16])):
            if pin.key == key and (pin.outs8 not in found or len(pin.metrics) > len(found[pin.outs8].metrics)):
                found[pin.outs8] = pin
        return tuple(found[name] for name in sorted(found))

    def of_stage(self, stage: str) -> tuple[Pin, ...]:
        """All pins ever written for an instance, for telling what changed."""
        return tuple(self._all(self._of('_by_slug', slug(stage))))

    def names_of_stage(self, stage: str) -> tuple[str, ...]:
        """File names of the pins of an instance, sorted."""
        return self._of('_by_slug', slug(stage))

    def add(self, stage: str, pin: Pin, batch: Batch, after: Callable[[], None] | None = None) -> str | None:
        """Adds a pin unless the very same stands there; its path, or None, and then ``after`` is not called.

        Durable when the batch is; ``after`` is called then.  Raises OSError."""
        name = pin.file_name(stage)
        path = f'{layout.STAGES}/{name}'
        with self._lock:
            if not self._listed:
                self._look()
            if name in self._pending or (name in self._by_slug.get(slug(stage), ()) and self.root.stat(path) is not None):
                return None
            self._pending.add(name)
        try:
            write_in_batch(self.root, path, pin.data, batch, lambda: self._named(name, after))
        except BaseException:
            self._pending.discard(name)
            raise
        with self._lock:
            self._opened[name] = pin
            self._list(name)
        return path

    def _named(self, name: str, after: Callable[[], None] | None) -> None:
        with self._lock:
            self._pending.discard(name)
        if after is not None:
            after()
