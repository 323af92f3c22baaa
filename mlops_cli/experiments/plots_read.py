"""Bytes of a plot file as a table (CSV, TSV, JSON, JSON lines) or a picture (PNG, JPEG, GIF, WebP, SVG).

They may come from a branch that nobody trusts: sizes are capped, nothing runs, nothing in a cell means anything."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_cli.core import delimited, strictjson
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import plural
from mlops_cli.experiments.plots_values import Picture

LIMIT = 16 << 20  # bytes of a plot file
ROWS = 1_000_000  # of a table
COLUMNS = 500  # of a table that are looked at
PIXELS = 100_000_000  # of a picture that a browser is given
BIGGEST = 1e300  # what can be drawn: the difference of two such numbers is still a number
FIELD = 128 << 10  # characters of a cell
DEPTH = 4  # objects inside a row that become columns
DELIMITED = ('csv', 'tsv')
CALLED = {',': 'comma', ';': 'semicolon', '\t': 'tab'}
LINES = ('jsonl', 'ndjson')
TABLES = (*DELIMITED, 'json', *LINES)
MEDIA = {
    'png': 'image/png',
    'jpg': 'image/jpeg',
    'jpeg': 'image/jpeg',
    'gif': 'image/gif',
    'webp': 'image/webp',
    'svg': 'image/svg+xml',
}
_SVG = pattern(rb'<(?:[A-Za-z_][\w.-]*:)?svg[\s>/]')
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}

Cell = float | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """``columns``: name -> cells, all of one length.  A cell is a number (NaN and infinities too), text, or None where
    there is nothing."""

    columns: Mapping[str, tuple[Cell, ...]]
    rows: int


def suffix(path: str) -> str:
    return path.rpartition('/')[2].rpartition('.')[2].lower() if '.' in path.rpartition('/')[2] else ''


def is_plot(path: str) -> bool:
    """Whether a file of that name can be drawn or shown."""
    return suffix(path) in (*TABLES, *MEDIA)


# Tables


def read_table(data: bytes, path: str, *, header: bool = True, wanted: Iterable[str] = ()) -> Table:
    """``header`` False: the first row of CSV is data, columns are called 0, 1, 2...  ``wanted``: columns that tell which of
    several lists in a JSON file is meant.  Raises UserError with the place where it is no table."""
    if len(data) > LIMIT:
        raise too_large(path)
    kind = suffix(path)
    if kind in DELIMITED:
        return _delimited(data, path, header)
    if kind in LINES:
        return _of_rows(_json_lines(data, path), path)
    return _of_json(strictjson.read(data, path, not_finite=True), path, frozenset(wanted))


def too_large(path: str, what: str = '') -> UserError:
    told = what or f'larger than {LIMIT >> 20} MiB'
    return UserError(f'{told}, too large for a plot', where=Where(path), hint='write fewer rows, as one in ten')


def cell(text: str) -> Cell:
    """What a cell of a CSV file holds."""
    stripped = text.strip()
    if not stripped:
        return None
    try:
        return float(stripped) if '_' not in stripped else stripped
    except ValueError:
        return stripped


def _delimited(data: bytes, path: str, header: bool) -> Table:
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(
            'not UTF-8', where=Where(path, data.count(b'\n', 0, error.start) + 1), hint='save it as UTF-8'
        ) from None
    first = next((line for line in io.StringIO(text, newline='') if line.strip('\r\n')), '')
    delimiter = delimited.separator(path, first, header=header)
    csv.field_size_limit(FIELD)  # it is the process's: who reads tables of data may have set another
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if rows and len(row) != len(rows[0]):
                counts = f'{plural(len(row), "cell")}, the first row has {len(rows[0]):,}'
                hint = f'quote cells that hold a {CALLED[delimiter]}'
                raise UserError(f'a row has {counts}', where=Where(path, reader.line_num), hint=hint)
            rows.append(row)
            if len(rows) > ROWS:
                raise too_large(path, f'more than {ROWS:,} rows')
    except csv.Error as error:
        raise UserError(f'not CSV: {error}', where=Where(path, reader.line_num)) from None
    if not rows:
        raise UserError('the file is empty', where=Where(path))
    names = [name.strip() for name in rows.pop(0)] if header else [str(number) for number in range(len(rows[0]))]
    if header and len(set(names)) != len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise UserError(f'two columns are called {twice[:80]!r}', where=Where(path, 1))
    if not rows:
        raise UserError('a header and no rows', where=Where(path), hint='or write header: false')
    columns = zip(*rows, strict=True)
    comma = delimiter == ';'
    found = {name: _cells(cells, comma=comma) for name, cells, _ in zip(names, columns, range(COLUMNS), strict=False)}
    return Table(found, len(rows))


def _cells(column: Sequence[str], *, comma: bool = False) -> tuple[Cell, ...]:
    """Most columns are numbers throughout, which goes faster.  ``comma``: they may be written with a decimal comma, all of
    them; with one that is not, ``1,5`` is text."""
    try:
        if not any('_' in text for text in column):
            return tuple(map(float, column))
    except ValueError:
        pass
    if comma:
        numbers = [delimited.decimal(text) if text.strip() else None for text in column]
        if all(number is not None or not text.strip() for number, text in zip(numbers, column, strict=True)):
            return tuple(numbers)
    return tuple(map(cell, column))


def _json_lines(data: bytes, path: str) -> list[Any]:
    found = []
    for number, line in enumerate(data.split(b'\n'), 1):
        if not line.strip():
            continue
        try:
            found.append(strictjson.read(line, path, not_finite=True))
        except UserError as error:
            column = error.where.column if error.where else 0
            raise UserError(error.message, hint=error.hint, where=Where(path, number, column)) from None
        if len(found) > ROWS:
            raise too_large(path, f'more than {ROWS:,} rows')
    return found


def _of_json(value: Any, path: str, wanted: frozenset[str]) -> Table:
    """A list of objects; an object that holds one, however deep; or an object of lists of equal length."""
    lists = list(_lists(value, 0))
    if lists:
        best = max(lists, key=lambda rows: (len(wanted & _flat(rows[0], '', 0).keys()), len(rows)))
        return _of_rows(best, path)
    columns = _columns(value)
    if columns is None:
        raise UserError('no list of objects in it', where=Where(path), hint='such as [{"step": 1, "loss": 0.5}, ...]')
    return columns


def _lists(value: Any, depth: int) -> Iterable[list[dict[str, Any]]]:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        yield value
    elif isinstance(value, dict) and depth < DEPTH:
        for below in value.values():
            yield from _lists(below, depth + 1)


def _columns(value: Any) -> Table | None:
    """``{"step": [1, 2], "loss": [0.5, 0.4]}``."""
    if not isinstance(value, dict):
        return None
    lists = {str(name): cells for name, cells in value.items() if isinstance(cells, list) and cells}
    longest = max(map(len, lists.values()), default=0)
    columns = {
        name: tuple(map(_cell_of, cells))
        for name, cells in list(lists.items())[:COLUMNS]
        if len(cells) == longest and not any(isinstance(one, list | dict) for one in cells)
    }
    return Table(columns, longest) if columns else None


def _of_rows(rows: list[Any], path: str) -> Table:
    if not rows:
        raise UserError('no rows in it', where=Where(path))
    flat = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f'row {number} is no object', where=Where(path), hint='such as {"step": 1, "loss": 0.5}')
        flat.append(_flat(row, '', 0))
    names = list(dict.fromkeys(name for row in flat for name in row))[:COLUMNS]
    return Table({name: tuple(row.get(name) for row in flat) for name in names}, len(flat))


def _flat(row: Mapping[str, Any], before: str, depth: int) -> dict[str, Cell]:
    """Objects inside a row are columns with dotted names; lists are none."""
    found: dict[str, Cell] = {}
    for key, value in row.items():
        name = f'{before}{key}'
        if isinstance(value, dict):
            if depth < DEPTH:
                found |= _flat(value, f'{name}.', depth + 1)
        elif not isinstance(value, list):
            found[name] = _cell_of(value)
    return found


def _cell_of(value: Any) -> Cell:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return float(value)
    return value if isinstance(value, str) and value.strip() else None


def drawable(value: Cell) -> float:
    """The number, or NaN for what cannot be drawn."""
    return value if isinstance(value, float) and abs(value) <= BIGGEST else math.nan


# Pictures


def read_picture(data: bytes, path: str) -> Picture:
    """Raises UserError where the bytes are not what the name says, or too many pixels to show."""
    kind = suffix(path)
    if len(data) > LIMIT:
        raise UserError(f'larger than {LIMIT >> 20} MiB, too large to show', where=Where(path))
    size = None
    if kind == 'png':
        fits = data[:8] == b'\x89PNG\r\n\x1a\n' and data[12:16] == b'IHDR' and len(data) >= 24
        size = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) if fits else None
    elif kind in ('jpg', 'jpeg'):
        fits = data[:3] == b'\xff\xd8\xff'
        size = _jpeg_size(data) if fits else None
    elif kind == 'gif':
        fits = data[:6] in (b'GIF87a', b'GIF89a') and len(data) >= 10
        size = (int.from_bytes(data[6:8], 'little'), int.from_bytes(data[8:10], 'little')) if fits else None
    elif kind == 'webp':
        fits = data[:4] == b'RIFF' and data[8:12] == b'WEBP'
    else:
        fits = _SVG.search(data, 0, 65536) is not None
    if not fits:
        name = 'JPEG' if kind in ('jpg', 'jpeg') else kind.upper()
        raise UserError(f'named .{kind}, but it holds no {name}', where=Where(path))
    if size and (size[0] * size[1] > PIXELS or 0 in size):
        raise UserError(f'{size[0]:,} x {size[1]:,} pixels, which cannot be shown', where=Where(path))
    return Picture(MEDIA[kind], data, size)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, from the first frame header."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = data[position + 5 : position + 7], data[position + 7 : position + 9]
            return int.from_bytes(width), int.from_bytes(height)
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4]))
    return None
