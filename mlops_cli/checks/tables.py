"""Tables in files, a piece at a time: CSV, TSV, JSON lines, and parquet by way of DuckDB.

They may come from a branch that nobody trusts: no line is longer than there is memory for, nothing in a cell means anything."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

from mlops_cli.core import delimited
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import plural

DELIMITED = ('csv', 'tsv')
LINES = ('jsonl', 'ndjson')
PARQUET = ('parquet', 'pq')
SUFFIXES = (*DELIMITED, *LINES, *PARQUET)
NAMED = (*SUFFIXES, 'json', 'yaml', 'yml', 'toml')  # what the name ends with of a file that can be asked for at a revision
_AT = pattern(rf'(.*?\.(?:{"|".join(NAMED)}))@(.+)', re.DOTALL | re.IGNORECASE)
LINE = 16 << 20  # characters of a line
PIECE = 5000  # rows
COLUMNS = 2000


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows: ``cells`` of each column, in the order of ``names``; a row that has no such cell has None.  ``first``: the
    number of the first row, from 1."""

    names: tuple[str, ...]
    cells: tuple[tuple[Any, ...], ...]
    first: int
    rows: int


def at_revision(word: str) -> tuple[str, str]:
    """A file and the git revision of which it is meant, as ``data/train.csv@v1``; no revision for a file as it is here.

    Only the text tells, never whether there is a file of that name: who sends a branch could put one there."""
    found = _AT.match(word)
    return (found[1], found[2]) if found else (word, '')


def suffix(path: str) -> str:
    name = at_revision(path)[0].rpartition('/')[2]
    return name.rpartition('.')[2].lower() if '.' in name else ''


def is_table(path: str) -> bool:
    return suffix(path) in SUFFIXES


def pieces(fd: int, path: str) -> Generator[Piece, None, None]:
    """All rows of a table of text.  ``fd`` is taken over; ``path`` says what it is, and is for messages.  CSV: cells are text.

    Raises UserError (exit 1) where it is no such table."""
    with os.fdopen(fd, encoding='utf-8-sig', newline='') as file:
        try:
            yield from _delimited(file, path) if suffix(path) in DELIMITED else _json_lines(file, path)
        except UnicodeDecodeError:
            raise UserError('not UTF-8', where=Where(path), exit_code=ExitCode.FAILED, hint='save it as UTF-8') from None


def head(fd: int, path: str) -> tuple[str, ...]:
    """The columns of a CSV or TSV, which may have no rows.  ``fd`` is taken over.  Raises UserError as :func:`pieces`."""
    with os.fdopen(fd, encoding='utf-8-sig', newline='') as file:
        try:
            lines = _lines(file, path)
            first = next((line for line in lines if line.strip('\r\n')), '')
            between = delimited.separator(path, first)
            csv.field_size_limit(LINE)
            found = tuple(name.strip() for name in next(csv.reader(_chained(first, lines), delimiter=between), []))
        except UnicodeDecodeError:
            raise UserError('not UTF-8', where=Where(path), exit_code=ExitCode.FAILED, hint='save it as UTF-8') from None
        except csv.Error as error:
            raise UserError(f'not CSV: {error}', where=Where(path), exit_code=ExitCode.FAILED) from None
    if len(found) > COLUMNS:
        raise UserError(f'more than {COLUMNS:,} columns', where=Where(path, 1), exit_code=ExitCode.FAILED)
    return found


def separator(fd: int, path: str) -> str:
    """What parts the cells of a CSV.  ``fd`` is taken over."""
    with os.fdopen(fd, encoding='utf-8-sig', newline='', errors='replace') as file:
        return delimited.separator(path, next((line for line in _lines(file, path) if line.strip('\r\n')), ''))


def _lines(file: io.TextIOBase | Any, path: str) -> Iterator[str]:
    number = 0
    while line := file.readline(LINE):
        number += 1
        if len(line) == LINE and not line.endswith('\n'):
            raise UserError(f'a line of more than {LINE >> 20} MiB', where=Where(path, number), exit_code=ExitCode.FAILED)
        yield line


def _delimited(file: Any, path: str) -> Iterator[Piece]:
    lines = _lines(file, path)
    first = next((line for line in lines if line.strip('\r\n')), '')
    if not first:
        return
    csv.field_size_limit(LINE)
    reader = csv.reader(_chained(first, lines), delimiter=delimited.separator(path, first))
    done = 0
    try:
        head = tuple(name.strip() for name in next(reader))
        if len(head) > COLUMNS:
            raise UserError(f'more than {COLUMNS:,} columns', where=Where(path, 1), exit_code=ExitCode.FAILED)
        filled = filter(None, reader)  # without blank lines, of which a whole piece may consist
        width = len(head)
        while rows := list(islice(filled, PIECE)):
            for at, row in enumerate(rows):
                if len(row) != width:
                    if any(row[width:]):
                        raise _too_long(path, done + at + 1, len(row), width)
                    rows[at] = [*row[:width], *[''] * (width - len(row))]
            yield Piece(head, tuple(zip(*rows, strict=True)), done + 1, len(rows))
            done += len(rows)
    except csv.Error as error:
        raise UserError(f'not CSV: {error}', where=Where(path, reader.line_num), exit_code=ExitCode.FAILED) from None


def _too_long(path: str, row: int, cells: int, names: int) -> UserError:
    """Which cell belongs to which name, nobody knows."""
    return UserError(
        f'row {row:,} has {cells} cells under {plural(names, "name")}',
        where=Where(path),
        hint='name each column in the first row, and quote cells that hold what parts them',
        exit_code=ExitCode.FAILED,
    )


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _json_lines(file: Any, path: str) -> Iterator[Piece]:
    names: dict[str, None] = {}
    held: list[dict[str, Any]] = []
    done = 0

    def piece() -> Piece:
        cells = tuple(tuple(row.get(name) for row in held) for name in names)
        return Piece(tuple(names), cells, done + 1, len(held))

    for number, line in enumerate(_lines(file, path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError('not JSON', where=Where(path, number), exit_code=ExitCode.FAILED) from None
        if not isinstance(row, dict):
            raise UserError('not an object', where=Where(path, number), exit_code=ExitCode.FAILED)
        names.update(dict.fromkeys(row))
        if len(names) > COLUMNS:
            raise UserError(f'more than {COLUMNS:,} columns', where=Where(path, number), exit_code=ExitCode.FAILED)
        held.append(row)
        if len(held) == PIECE:
            yield piece()
            done += len(held)
            held.clear()
    if held:
        yield piece()
