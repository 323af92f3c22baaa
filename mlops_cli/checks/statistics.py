"""What tracked data looks like: rows, columns, missing values and ranges of a table; counts and sizes of a folder.

Worked out once for a content, and kept under ``.mlops/local``: what another version counts otherwise is counted anew."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

from mlops_cli.checks import tables
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.filesystem import DESCRIPTORS
from mlops_cli.fsio.paths import Root
from mlops_cli.store.tree import walk

VERSION = 'mlops/statistics/v2'  # v1 ended at many blank lines
LIMIT = 8 << 20  # bytes of what is kept of one content
LONGEST = 1000  # characters of a value that is no plain one
SHOWN = 60  # characters of a text that is the least or greatest
SUFFIXES = 20  # kept of a folder, the most frequent ones
_NUMBER = pattern(r'\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)\s*', re.IGNORECASE | re.ASCII)


@dataclass
class Column:
    """``typed``: cells are values, else text.  ``nulls``: rows without a value.
    ``numbers``, ``texts``: how many of each; ``whole``: whether all numbers are."""

    name: str
    typed: bool = False
    nulls: int = 0
    numbers: int = 0
    least: float | int | None = None
    greatest: float | int | None = None
    whole: bool = True
    texts: int = 0
    first: str | None = None
    last: str | None = None
    flags: int = 0

    def take(self, cells: tuple[Any, ...], rows: int) -> None:
        """Text of CSV, or values of JSON."""
        given = [cell for cell in cells if cell is not None and cell != '']
        self.nulls += rows - len(given)
        if self.typed:
            self.flags += sum(isinstance(cell, bool) for cell in given)
            self._count([cell for cell in given if isinstance(cell, int | float) and not isinstance(cell, bool)])
            self._name([cell if isinstance(cell, str) else json.dumps(cell)[:LONGEST]
                        for cell in given if not isinstance(cell, int | float)])  # fmt: skip
            return
        try:
            if '_' in ''.join(given):
                raise ValueError
            self._count(list(map(float, given)), given)
        except ValueError:
            numbers = [cell for cell in given if _NUMBER.fullmatch(cell)]
            self._count(list(map(float, numbers)), numbers)
            self._name([cell for cell in given if not _NUMBER.fullmatch(cell)] if numbers else given)

    def _count(self, numbers: list[float], written: Sequence[object] = ()) -> None:
        if not numbers:
            return
        self.numbers += len(numbers)
        if self.whole:
            self.whole = all(type(one) is int or one.is_integer() for one in numbers) and '.' not in ''.join(map(str, written))
        found = [number for number in numbers if math.isfinite(number)]
        if found:
            self.least = min(found) if self.least is None else min(self.least, *found)
            self.greatest = max(found) if self.greatest is None else max(self.greatest, *found)

    def _name(self, texts: list[str]) -> None:
        if texts:
            self.texts += len(texts)
            self.first = min(texts) if self.first is None else min(self.first, *texts)
            self.last = max(texts) if self.last is None else max(self.last, *texts)

    @property
    def type(self) -> str:
        kinds = [name for name, count in (('number', self.numbers), ('text', self.texts), ('boolean', self.flags)) if count]
        if len(kinds) != 1:
            return 'mixed' if kinds else 'empty'
        return 'integer' if kinds == ['number'] and self.whole else kinds[0]

    def document(self) -> dict[str, Any]:
        kind = self.type
        least: Any = self.least if self.numbers else self.first
        greatest: Any = self.greatest if self.numbers else self.last
        if kind == 'integer' and least is not None and greatest is not None:
            least, greatest = int(least), int(greatest)
        return {'name': self.name, 'type': kind, 'nulls': self.nulls, 'min': _shown(least), 'max': _shown(greatest)}


def _shown(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        text = str(value)
        return text if len(text) <= SHOWN else f'{text[: SHOWN - 1]}…'
    return value


@dataclass
class Statistics:
    """``kind``: table, folder or file.  ``problem``: why a table could not be read."""

    kind: str
    rows: int | None = None
    columns: list[dict[str, Any]] = field(default_factory=list)
    files: int = 1
    suffixes: list[dict[str, Any]] = field(default_factory=list)
    smallest: int | None = None
    largest: int | None = None
    problem: str = ''

    def document(self) -> dict[str, Any]:
        return {
            'kind': self.kind, 'rows': self.rows, 'columns': self.columns, 'files': self.files, 'suffixes': self.suffixes,
            'smallest': self.smallest, 'largest': self.largest, 'problem': self.problem,
        }  # fmt: skip


def of_folder(ref: ObjectRef, read: Callable[[Digest], bytes], step: Callable[[], object] = lambda: None) -> Statistics:
    """Read off its nodes alone."""
    counts: dict[str, list[int]] = {}
    files, smallest, largest = 0, None, None
    for path, entry in walk(ref, read):
        if entry.kind == 'dir':
            continue
        step()
        files += 1
        mine = counts.setdefault(tables.suffix(path), [0, 0])
        mine[0] += 1
        mine[1] += entry.size
        if entry.kind != 'link':
            smallest = entry.size if smallest is None else min(smallest, entry.size)
            largest = entry.size if largest is None else max(largest, entry.size)
    often = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:SUFFIXES]
    suffixes = [{'suffix': name, 'files': count, 'bytes': size} for name, (count, size) in often]
    return Statistics('folder', files=files, suffixes=suffixes, smallest=smallest, largest=largest)


def of_file(path: str, open_file: Callable[[], int], step: Callable[[], object] = lambda: None) -> Statistics:
    """``open_file``: a descriptor of its own, which is closed here.  ``path``: as it is called in the project."""
    if not tables.is_table(path):
        return Statistics('file')
    fd = open_file()
    try:
        if tables.suffix(path) in tables.PARQUET:
            return _parquet(fd, path)
        found = _rows(fd, path, step)
        if not found.rows and tables.suffix(path) in tables.DELIMITED:
            found.columns = [Column(name, False, 0).document() for name in tables.head(open_file(), path)]
        return found
    except UserError as error:
        return Statistics('table', problem=f'{error}; {error.hint}' if error.hint else str(error))


def _rows(fd: int, path: str, step: Callable[[], object]) -> Statistics:
    columns: list[Column] = []
    rows = 0
    for piece in tables.pieces(fd, path):
        for at in range(len(columns), len(piece.names)):  # of JSON lines more may come
            columns.append(Column(piece.names[at], tables.suffix(path) in tables.LINES, rows))
        for column, cells in zip(columns, piece.cells, strict=True):
            column.take(cells, piece.rows)
        rows += piece.rows
        step()
    return Statistics('table', rows, [column.document() for column in columns])


def _parquet(fd: int, path: str) -> Statistics:
    from mlops_cli.databases import Parquet

    try:
        with closing(Parquet(f'{DESCRIPTORS}/{fd}', path)) as file:
            rows, found = file.summary()
            columns = [
                {'name': name, 'type': kind.lower()[:40], 'nulls': rows - count, 'min': _shown(least), 'max': _shown(most)}
                for (name, kind), (count, least, most) in zip(file.columns, found, strict=True)
            ]
    finally:
        os.close(fd)
    return Statistics('table', rows, columns)


# What is kept


def kept(root: Root, ref: ObjectRef, path: str) -> Statistics | None:
    """What was worked out before of this content under such a name; None where nothing was."""
    with suppress(OSError, UserError, ValueError, TypeError, KeyError, RecursionError):
        found = json.loads(read_file(root, _place(ref, path), LIMIT))
        if found.pop('version') == VERSION:
            one = Statistics(**found)
            if one.document() == found and all(isinstance(row, dict) for row in (*one.columns, *one.suffixes)):
                return one
    return None


def keep(root: Root, ref: ObjectRef, path: str, one: Statistics) -> None:
    """Not where it could not be read: what is missing may be there the next time."""
    if not one.problem:
        data = json.dumps({'version': VERSION, **one.document()}).encode()
        with suppress(OSError, UserError):
            root.makedirs(layout.STATISTICS, 0o700)
            write_file(root, _place(ref, path), data, 0o600, durable=False)


def _place(ref: ObjectRef, path: str) -> str:
    kind = 'tree' if ref.kind == 'tree' else tables.suffix(path) if tables.is_table(path) else 'file'
    return f'{layout.STATISTICS}/{ref.digest.hex}.{kind}.json'
