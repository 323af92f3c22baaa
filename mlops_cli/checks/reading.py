"""Tables of every kind, a piece at a time, with cells that are text, numbers, true or false, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from mlops_cli.checks import tables
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.filesystem import DESCRIPTORS

Open = Callable[[str], int]


def is_typed(path: str) -> bool:
    """Whether cells have types of their own; in CSV and TSV they are text."""
    return tables.suffix(path) not in tables.DELIMITED


def pieces(path: str, open_file: Open) -> Generator[tables.Piece, None, None]:
    """``open_file``: a descriptor of its own.  Raises UserError."""
    if tables.suffix(path) not in tables.PARQUET:
        yield from tables.pieces(open_file(path), path)
        return
    from mlops_cli.databases import Parquet

    fd = open_file(path)
    try:
        with closing(Parquet(f'{DESCRIPTORS}/{fd}', path)) as file:
            names = tuple(name for name, _ in file.columns)
            rows, done = file.rows(names), 0
            while held := list(islice(rows, tables.PIECE)):
                cells = tuple(tuple(map(plain, column)) for column in zip(*held, strict=True))
                yield tables.Piece(names, cells, done + 1, len(held))
                done += len(held)
    finally:
        os.close(fd)


def plain(value: Any) -> Any:
    """A value of a parquet file as JSON would have it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, 'isoformat'):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if type(value).__name__ == 'Decimal':
        return float(value)
    return value if isinstance(value, list | dict) else str(value)


def columns(path: str, open_file: Open) -> tuple[str, ...]:
    """Of a table whose columns are known from its beginning; of JSON lines those of the first rows."""
    if not is_typed(path):
        return tables.head(open_file(path), path)
    with closing(pieces(path, open_file)) as found:
        return next((piece.names for piece in found), ())


def refuse_no_table(path: str) -> None:
    if not tables.is_table(path):
        raise UserError(f'{path} is no table', hint=f'what ends with .{", .".join(tables.SUFFIXES)}')


def refuse_twins(path: str, names: Sequence[str]) -> None:
    """Two columns of one name: a rule for it would be of neither."""
    if len(set(names)) < len(names):
        twin = next(name for at, name in enumerate(names) if name in names[:at])
        raise UserError(f'{path} has two columns {twin!r}', hint='give each a name of its own')
