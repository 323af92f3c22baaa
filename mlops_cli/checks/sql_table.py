"""Tables that DuckDB reads, and what their cells are to it: the same as to who reads them row by row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading, tables
from mlops_cli.fsio.filesystem import DESCRIPTORS

if TYPE_CHECKING:
    from mlops_cli.databases import Parquet

WHOLE = ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT')
FLOATS = ('FLOAT', 'DOUBLE')
SMALL = 4 << 20  # bytes of a table of text that is read by rows before DuckDB has started


def is_parquet(path: str) -> bool:
    return tables.suffix(path) in tables.PARQUET


@contextmanager
def table(
    path: str, open_file: reading.Open, beside: Parquet | None = None, small: int | None = None
) -> Iterator[Parquet | None]:
    """None where rows have to be read one by one: there is no DuckDB, the table is small, or of another kind.  A table of text
    that DuckDB refuses later, with UserError, may be one that only reading rows can tell about."""
    delimited = None
    if not is_parquet(path):
        least = SMALL if small is None else small
        if tables.suffix(path) in tables.LINES or size(path, open_file) < least or find_spec('duckdb') is None:
            yield None
            return
        names = tables.head(open_file(path), path)
        if len(names) < 2 or not all(names) or len({name.lower() for name in names}) < len(names):
            yield None
            return
        delimited = (names, tables.separator(open_file(path), path))
    from mlops_cli.databases import Parquet

    fd = open_file(path)
    try:
        with closing(Parquet(f'{DESCRIPTORS}/{fd}', path, delimited, beside)) as file:
            yield file
    finally:
        os.close(fd)


def size(path: str, open_file: reading.Open) -> int:
    fd = open_file(path)
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


class Cells:
    """Expressions about one column.  ``null``: whether there is no value.  ``number``: NULL for what is none, or not finite."""

    def __init__(self, name: str, kind: str, parquet: bool) -> None:
        from mlops_cli.databases import quoted

        self.name, self.kind = quoted(name), kind
        self.written = kind == 'VARCHAR'
        self.parquet = parquet
        self.null = f"({self.name} IS NULL OR {self.name} = '')" if self.written else f'{self.name} IS NULL'
        self.text = f'CAST({self.name} AS VARCHAR)'
        self.number = self._number()

    def is_written(self, kind: str) -> str:
        from mlops_cli.databases import literal

        return f'regexp_full_match({self.name}, {literal(form.WRITTEN[kind])})'

    def _number(self) -> str:
        if self.written:
            if self.parquet:
                return 'NULL'
            there = f'TRY_CAST({self.name} AS DOUBLE)'
            return f'CASE WHEN isfinite({there}) AND {self.is_written("number")} THEN {there} END'
        if self.kind in FLOATS:
            return f'CASE WHEN isfinite({self.name}) THEN CAST({self.name} AS DOUBLE) END'
        return f'CAST({self.name} AS DOUBLE)' if self.kind in WHOLE or self.kind.startswith('DECIMAL') else 'NULL'
