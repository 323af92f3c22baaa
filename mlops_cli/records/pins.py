"""Pins: what a key led to, as small files that git tracks and merges (docs/formats/pins.md).

A pin holds only what follows from the key and the outputs, so equal results are equal files whoever ran them, and a
branch only ever adds files.  One JSON array a line, each beginning with the key, so that git never takes two pins for
a rename of each other.  Knows nothing about runs, times, or the store.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.manifest import KINDS, Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import write_in_batch
from mlops_cli.store.results import outputs_digest

SCHEMA = 'mlops/pin/v1'
_NAME = re.compile(r'(?P<slug>.+)~(?P<key16>[0-9a-f]{16})-(?P<outs8>[0-9a-f]{8})\.json')
_UNSAFE = re.compile(r'[^A-Za-z0-9._@=+-]')
SLUG_LENGTH = 60


def slug(name: str) -> str:
    """A file name for an instance's name: at most 60 characters, and 8 hex more where that loses anything."""
    safe = _UNSAFE.sub('-', name)[:SLUG_LENGTH]
    if safe == name and not name.startswith('.'):
        return name
    return f'{safe.lstrip(".")}-{digest_of(name.encode("utf-8", "surrogateescape")).hex[:8]}'


@dataclass(frozen=True)
class Pin:
    """``outputs``: (path, ref), sorted by path.  ``metrics``: (file, dotted name, number), sorted."""

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

    def file_name(self, stage: str) -> str:
        return f'{slug(stage)}~{self.key.hex[:16]}-{self.outs8}.json'

    def encode(self) -> bytes:
        lines: list[list[Any]] = [['schema', SCHEMA], ['key', str(self.key)]]
        for entry in self.manifest.entries:
            value = [] if entry.value is None else [json.loads(entry.value)]
            lines.append(['in', entry.kind, entry.name, str(entry.digest), *value])
        lines += [['out', path, *ref.to_json()] for path, ref in self.outputs]
        lines += [['metric', file, name, value] for file, name, value in self.metrics]
        key16 = self.key.hex[:16]
        return ''.join(canonical([key16, *line]) + '\n' for line in lines).encode()


def decode(data: bytes, file: str) -> Pin:
    """Raises UserError naming the line where the file is not a pin of ours, or its content does not give its key."""
    entries: list[Entry] = []
    outputs: list[tuple[str, ObjectRef]] = []
    metrics: list[tuple[str, str, float | int]] = []
    key = ''
    for number, line in enumerate(data.splitlines(), 1):
        try:
            match json.loads(line):
                case [_, 'schema', str(schema)]:
                    if schema != SCHEMA:
                        raise UserError(
                            f'this pin has the format {schema!r}, which this version does not know',
                            where=Where(file, number, 1),
                            hint='update mlops',
                        )
                case [_, 'key', str(text)]:
                    key = text
                case [_, 'in', str(kind), str(name), str(digest), *value] if kind in KINDS:
                    entries.append(Entry(kind, name, Digest.parse(digest), canonical(value[0]) if value else None))
                case [_, 'out', str(path), *ref]:
                    outputs.append((path, ObjectRef.from_json(ref)))
                case [_, 'metric', str(metrics_file), str(name), int() | float() as number_value]:
                    metrics.append((metrics_file, name, number_value))
                case _:
                    raise ValueError('not an entry of a pin')
        except (ValueError, RecursionError) as error:
            raise UserError(
                f'damaged pin: {error}',
                where=Where(file, number, 1),
                exit_code=ExitCode.FAILED,
                hint=f'put it back with: git checkout -- {file}',
            ) from error
    pin = Pin(Manifest.of(entries), tuple(outputs), tuple(metrics))
    if str(pin.key) != key:
        raise UserError(
            'damaged pin: its entries do not give its key',
            where=Where(file),
            exit_code=ExitCode.FAILED,
            hint=f'put it back with: git checkout -- {file}',
        )
    return pin


class Pins:
    """The flat folder of pins.  One listing shows them all; a pin is opened when its key or stage is asked for."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.by_key: dict[str, list[str]] = {}
        self.by_slug: dict[str, list[str]] = {}
        self._opened: dict[str, Pin] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again: other commands add pins."""
        self.by_key, self.by_slug = {}, {}
        folder = os.path.join(self.root.path, layout.STAGES)
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return
        for name in names:
            if found := _NAME.fullmatch(name):
                self.by_key.setdefault(found['key16'], []).append(name)
                self.by_slug.setdefault(found['slug'], []).append(name)

    def _open(self, name: str) -> Pin:
        if name not in self._opened:
            path = f'{layout.STAGES}/{name}'
            self._opened[name] = decode(read_small(self.root, path), path)
        return self._opened[name]

    def of_key(self, key: Digest) -> tuple[Pin, ...]:
        """All pins of a key, smallest outs8 first; more than one: the stage is not deterministic."""
        pins = [self._open(name) for name in self.by_key.get(key.hex[:16], ())]
        unique = {pin.outs8: pin for pin in pins if pin.key == key}
        return tuple(unique[name] for name in sorted(unique))

    def of_stage(self, stage: str) -> tuple[Pin, ...]:
        """All pins ever written for an instance, for telling what changed."""
        return tuple(self._open(name) for name in self.by_slug.get(slug(stage), ()))

    def names_of_stage(self, stage: str) -> tuple[str, ...]:
        return tuple(self.by_slug.get(slug(stage), ()))

    def add(self, stage: str, pin: Pin, batch: Batch, after: Callable[[], None] | None = None) -> str | None:
        """Adds a pin unless the very same stands there; its path, or None, and then ``after`` is not called.

        Durable when the batch is; ``after`` is called then."""
        name = pin.file_name(stage)
        if name in self.by_slug.get(slug(stage), ()):
            return None
        path = f'{layout.STAGES}/{name}'
        write_in_batch(self.root, path, pin.encode(), batch, after)
        self._opened[name] = pin
        self.by_key.setdefault(pin.key.hex[:16], []).append(name)
        self.by_slug.setdefault(slug(stage), []).append(name)
        return path


def read_small(root: Root, path: str, limit: int = 64 << 20) -> bytes:
    """A whole record; symbolic links are not followed.  Raises UserError beyond ``limit`` bytes, OSError."""
    fd = root.open(path, os.O_RDONLY)
    with open(fd, 'rb') as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UserError(f'larger than {limit >> 20} MiB: not a record of ours', where=Where(path))
    return data
