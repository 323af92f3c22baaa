"""The door to DuckDB, and to ADBC with what that needs: queries over tables in files and databases.

Each is an extra, imported when it is needed; where one is missing, that is one line with its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from mlops_cli.core.errors import ExitCode, UserError

EXTRA = "pip install 'mlops-cli[sql]'"
MEMORY = '256MB'  # for DuckDB: what does not fit is written to its temporary folder
ROWS = 10_000  # fetched at once
TEXT_LINE = 16 << 20  # bytes of a line of a table of text
RESULT = 'mlops_result'
DRIVERS = {  # how an address begins -> the ADBC driver for it
    'postgresql': 'postgresql', 'postgres': 'postgresql', 'snowflake': 'snowflake', 'bigquery': 'bigquery',
    'grpc': 'flightsql', 'grpc+tls': 'flightsql',
}  # fmt: skip


def duckdb() -> Any:
    """The library.  Raises UserError where it is not installed."""
    try:
        import duckdb
    except ImportError:
        raise UserError('duckdb is not installed', hint=EXTRA, exit_code=ExitCode.MACHINE) from None
    return duckdb


def quoted(name: str) -> str:
    """A name for SQL."""
    return '"' + name.replace('"', '""') + '"'


class Parquet:
    """A parquet file, read by DuckDB that may read nothing else.  ``path``: absolute.  ``delimited``: it is a table of text
    with these columns, all read as text, and with this between them.  ``beside``: another that is read with it.  To be closed.
    Raises UserError."""

    def __init__(
        self, path: str, shown: str, delimited: tuple[Sequence[str], str] | None = None, beside: Parquet | None = None
    ) -> None:
        self._library, self._shown = duckdb(), shown
        self._db = self._library.connect(':memory:', config={'memory_limit': MEMORY, 'threads': 2})
        self._path = path
        self._from = f'read_parquet({_text(path)})' if delimited is None else _of_text(path, *delimited)
        self._beside = beside._from if beside is not None else ''
        paths = [path] if beside is None else [path, beside._path]
        allowed = f'allowed_paths = [{", ".join(map(_text, paths))}]'
        alone = (allowed, 'enable_external_access = false', 'lock_configuration = true')
        for setting in ("TimeZone = 'UTC'", 'enable_progress_bar = false', *alone):
            self._db.execute(f'SET {setting}')
        self.columns = [(str(name), str(kind)) for name, kind, *_ in self._ask('DESCRIBE SELECT * FROM {file}')]

    def close(self) -> None:
        self._db.close()

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._db.execute(query.format(file=self._from, beside=self._beside)).fetchall()
        except self._library.Error as error:
            said = ' '.join(str(error).replace(self._path, self._shown).split())[:200]
            raise UserError(f'{self._shown}: no parquet file that can be read: {said}', exit_code=ExitCode.FAILED) from None
        return found

    def told(self, values: Sequence[str], where: str = '', limit: int | None = None) -> list[tuple[Any, ...]]:
        """What these expressions are of all rows, or of the first ones ``where`` it holds: then the first value is the number
        of the row.  Expressions are ours; names in them went through :func:`quoted`, texts through :func:`literal`."""
        if limit is None:
            return self._ask(_braced(f'SELECT {", ".join(values)} FROM ') + '{file}')
        rows = '(SELECT *, row_number() OVER () AS mlops_row FROM {file})'
        asked = _braced(f'SELECT mlops_row, {", ".join(values)} FROM ') + rows
        return self._ask(asked + _braced(f' WHERE {where} ORDER BY mlops_row LIMIT {limit}'))

    def of_values(self, asked: Sequence[str], values: Sequence[str], rest: str = '') -> list[tuple[Any, ...]]:
        """Expressions over expressions over all rows.  ``rest``: how they are grouped and ordered."""
        inner = f'SELECT {", ".join(values)} FROM '
        return self._ask(_braced(f'SELECT {", ".join(asked)} FROM ({inner}') + '{file}' + _braced(f') {rest}'))

    def farthest(self, mine: str, other: str) -> tuple[int, int, int]:
        """(values here, values beside, how far the distributions of two expressions are apart, times both counts)."""
        found = self._ask(
            f'WITH rows AS (SELECT {_braced(mine)} AS v, 1 AS a, 0 AS b FROM {{file}} '
            f'UNION ALL SELECT {_braced(other)}, 0, 1 FROM {{beside}}), '
            'both_sides AS (SELECT v, sum(a) AS a, sum(b) AS b FROM rows WHERE v IS NOT NULL GROUP BY v), '
            'whole AS (SELECT sum(a) AS n, sum(b) AS m FROM both_sides), '
            'running AS (SELECT sum(a) OVER (ORDER BY v) AS a, sum(b) OVER (ORDER BY v) AS b FROM both_sides) '
            'SELECT n, m, (SELECT max(abs(a * m - b * n)) FROM running) FROM whole'
        )[0]
        first, second, apart = (int(one or 0) for one in found)
        return first, second, apart

    def repeated(self, names: Sequence[str], where: str) -> int:
        """Rows, of those ``where`` it holds, beyond the first with the same values.  ``names``: quoted."""
        keys = ', '.join(names)
        inner = f'SELECT count(*) AS many FROM {{file}} WHERE {_braced(where)} GROUP BY {_braced(keys)}'
        return int(self._ask(f'SELECT coalesce(sum(many - 1), 0) FROM ({inner})')[0][0])

    def summary(self) -> tuple[int, list[tuple[int, Any, Any]]]:
        """(rows, of each column how many have a value, the least, the greatest)."""
        asked = ['count(*)']
        for name, kind in self.columns:
            one = _braced(quoted(name))
            plain = not kind.endswith(']') and not kind.startswith(('STRUCT', 'MAP', 'UNION', 'BLOB'))
            asked += [f'count({one})', *((f'min({one})', f'max({one})') if plain else ('NULL', 'NULL'))]
        row = self._ask(f'SELECT {", ".join(asked)} FROM {{file}}')[0]
        return int(row[0]), [(int(row[at]), row[at + 1], row[at + 2]) for at in range(1, len(row), 3)]

    def rows(self, columns: Sequence[str], *, epochs: bool = False) -> Iterator[tuple[Any, ...]]:
        """Of these columns, in the order of the file.  ``epochs``: moments as seconds since 1970, for which no time zones are
        needed, which are a library of their own."""
        moments = {name for name, kind in self.columns if kind.startswith('TIMESTAMP')} if epochs else set()
        zoned = {name for name, kind in self.columns if kind == 'TIMESTAMP WITH TIME ZONE'} - moments
        wanted = [f'epoch({quoted(name)})' if name in moments else f'make_timestamp(epoch_us({quoted(name)}))' if name in zoned
                  else quoted(name) for name in columns]  # fmt: skip
        asked = f'SELECT {", ".join(wanted)} FROM {self._from}'
        with closing(self._db.cursor()) as cursor:
            cursor.execute(asked)
            while rows := cursor.fetchmany(ROWS):
                yield from rows


def literal(value: str) -> str:
    """A text for SQL."""
    return _text(value)


def _of_text(path: str, names: Sequence[str], between: str) -> str:
    columns = ', '.join(f"{_text(name)}: 'VARCHAR'" for name in names)
    options = f'auto_detect = false, header = true, delim = {_text(between)}, quote = \'"\', escape = \'"\''
    limits = f'max_line_size = {TEXT_LINE}, buffer_size = {2 * TEXT_LINE}'  # else it holds 16 lines of the longest kind
    return f'read_csv({_text(path)}, {options}, columns = {{{columns}}}, {limits})'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _braced(text: str) -> str:
    return text.replace('{', '{{').replace('}', '}}')


def names(description: Sequence[Sequence[Any]]) -> list[str]:
    """Of the columns of a result."""
    return [str(column[0]) for column in description]


# Queries


class Connection(NamedTuple):
    """What the address of a database means.  ``kind``: duckdb, sqlite, or ``adbc:`` and the name of a driver."""

    kind: str
    address: str


def connection(address: str) -> Connection:
    """``duckdb:FILE``, ``sqlite:FILE``, ``postgresql://...`` and others by their ADBC driver, ``adbc+NAME:ADDRESS``; empty is
    DuckDB with nothing in it.  Raises UserError, in which the address does not stand."""
    if not address:
        return Connection('duckdb', ':memory:')
    scheme, colon, rest = address.partition(':')
    path = rest[2:] if rest.startswith('///') else rest
    if colon and scheme in ('duckdb', 'sqlite'):
        return Connection(scheme, path)
    if colon and scheme.startswith('adbc+') and scheme[5:].isidentifier():
        return Connection(f'adbc:{scheme[5:]}', rest)
    if colon and scheme in DRIVERS:
        return Connection(f'adbc:{DRIVERS[scheme]}', address)
    known = ', '.join(('duckdb:FILE', 'sqlite:FILE', *(f'{name}://...' for name in DRIVERS)))
    raise UserError('the address of the database begins with nothing that is known', hint=f'such as {known}, adbc+NAME:ADDRESS')


def write_result(over: Connection, query: str, target: str, kind: str, folder: str) -> None:
    """Runs a query and writes what it finds to an absolute path that is not there yet.  ``kind``: csv, tsv, jsonl or parquet.
    ``folder``: in which relative names of files in the query lie.

    Raises UserError (exit 4) with what the database says, which may hold its address."""
    try:
        if over.kind == 'duckdb':
            _of_duckdb(over.address, query, target, kind, folder)
        elif over.kind == 'sqlite':
            _of_sqlite(over.address, query, target, kind)
        else:
            _of_adbc(over, query, target, kind)
    except (UserError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 -- each database has its own
        raise UserError(' '.join(str(error).split())[:500] or type(error).__name__, exit_code=ExitCode.UNREACHABLE) from None


def _of_duckdb(address: str, query: str, target: str, kind: str, folder: str) -> None:
    library = duckdb()
    options = {'csv': 'FORMAT csv, HEADER', 'tsv': "FORMAT csv, HEADER, DELIMITER '\t'", 'jsonl': 'FORMAT json',
               'parquet': 'FORMAT parquet, COMPRESSION zstd'}[kind]  # fmt: skip
    config = {'autoinstall_known_extensions': 'false', 'allow_community_extensions': 'false'}
    with closing(library.connect(address, read_only=address != ':memory:', config=config)) as db:
        db.execute(f'SET file_search_path = {_text(folder)}')
        *before, last = db.extract_statements(query) or [None]
        if last is None:
            raise UserError('the query is empty', exit_code=ExitCode.WRONG_INPUT)
        for statement in before:
            db.execute(statement)
        db.execute(f'CREATE TEMPORARY VIEW {RESULT} AS {last.query}')  # whose comments and semicolon may stay
        db.execute(f'COPY (FROM {RESULT}) TO {_text(target)} ({options})')


def _of_sqlite(address: str, query: str, target: str, kind: str) -> None:
    import sqlite3
    from urllib.parse import quote

    if kind == 'parquet':
        raise UserError('from sqlite: to .csv, .tsv or .jsonl', hint='or to parquet by way of adbc+sqlite:FILE',
                        exit_code=ExitCode.WRONG_INPUT)  # fmt: skip
    with closing(sqlite3.connect(f'file:{quote(address)}?mode=ro', uri=True)) as db:
        cursor = db.execute(query)
        _write_rows(names(cursor.description or ()), iter(lambda: cursor.fetchmany(ROWS), []), target, kind)


def _of_adbc(over: Connection, query: str, target: str, kind: str) -> None:
    from importlib import import_module

    name = over.kind.removeprefix('adbc:')
    try:
        driver = import_module(f'adbc_driver_{name}.dbapi')
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f'{error.name or "a driver"} is not installed', exit_code=ExitCode.MACHINE,
                        hint=f"pip install 'mlops-cli[adbc]' adbc-driver-{name}") from None  # fmt: skip
    with closing(driver.connect(over.address)) as db, closing(db.cursor()) as cursor:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        if kind == 'parquet':
            with pyarrow.parquet.ParquetWriter(target, reader.schema, compression='zstd') as writer:
                for batch in reader:
                    writer.write_batch(batch)
            return
        pieces = (list(zip(*batch.to_pydict().values(), strict=True)) for batch in reader)
        _write_rows(reader.schema.names, pieces, target, kind)


def _write_rows(head: Sequence[str], pieces: Iterable[Sequence[Sequence[Any]]], target: str, kind: str) -> None:
    """The same rows are the same bytes."""
    import csv
    import json

    if len(set(head)) != len(head):
        raise UserError('two columns of the result have one name', hint='SELECT a.x AS ...', exit_code=ExitCode.WRONG_INPUT)
    with open(target, 'x', encoding='utf-8', newline='') as file:
        if kind == 'jsonl':
            for rows in pieces:
                found = (dict(zip(head, map(_json, row), strict=True)) for row in rows)
                file.writelines(json.dumps(one, ensure_ascii=False) + '\n' for one in found)
            return
        writer = csv.writer(file, delimiter='\t' if kind == 'tsv' else ',', lineterminator='\n')
        writer.writerow(head)
        for rows in pieces:
            writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, 'isoformat') else value


def _json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    return str(_cell(value))
