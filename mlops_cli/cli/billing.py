"""``mlops cost report --bill``: a bill of a cloud beside the runs."""

from __future__ import annotations

import csv
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from mlops_cli.cli.console import Line, one_line, out_lines, print_json, say, width
from mlops_cli.cli.screens.billed import billed_document, billed_lines
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.experiments.billed import BY, billed
from mlops_cli.records.runs import Run
from mlops_cli.usage.bills import BillLine, Format, format_of
from mlops_cli.usage.prices import Book

TAGS = ('mlops', 'mlops_run', 'mlops-run', 'Name')
CELL = 1 << 20  # characters
HINT = 'a Cost and Usage Report of AWS, or a usage export of Databricks, as CSV (also .gz) or parquet'


@dataclass
class Reading:
    """``wrong``: (number, why) of lines that are left out, the first of them; ``left_out``: how many."""

    wrong: list[tuple[int, str]] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """``tags``: their keys, () for the usual ones.  ``since``, ``until``: seconds since 1970, when lines begin that count."""

    file: str
    tags: Sequence[str]
    by: str
    since: float | None
    until: float | None


def show_bill(asked: Asked, runs: Sequence[Run], book: Book, json: bool) -> int:
    """Raises UserError for what is no bill, OSError."""
    file, by = asked.file, 'host' if asked.by == 'stage' else str(asked.by)  # which is what is meant where nobody says
    if by not in BY:
        raise UserError(f'--by {by} cannot be told of a bill', hint=f'there are {", ".join(BY)}')
    reading = Reading()
    rows, known = _opened(file)
    with closing(rows):
        lines = _lines(rows, known, asked.tags or TAGS, reading)
        found = billed((line for line in lines if _counts(line, asked)), runs, book, by)
    for number, why in reading.wrong:
        say(Line(f'note: {one_line(file)}: row {number:,} is left out: {one_line(why)}', 'note:'))
    if reading.left_out > len(reading.wrong):
        say(Line(f'note: {reading.left_out - len(reading.wrong):,} more left out', 'note:'))
    if json:
        print_json(billed_document(found, by, file, known.name, reading.left_out, book.currency))
    else:
        out_lines(billed_lines(found, by, known.name, book.currency, width(sys.stdout)))
    return ExitCode.DONE


def _counts(line: BillLine, asked: Asked) -> bool:
    return (asked.since is None or line.start >= asked.since) and (asked.until is None or line.start < asked.until)


def _lines(rows: Iterable[Mapping[str, Any]], known: Format, tags: Sequence[str], reading: Reading) -> Iterator[BillLine]:
    for number, row in enumerate(rows, 1):
        try:
            line = known.line(row, tags)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            reading.left_out += 1
            if len(reading.wrong) < 3:
                why = f'no {error}' if isinstance(error, KeyError) else str(error)
                reading.wrong.append((number, why[:80]))
            continue
        if line is not None:
            yield line


def _opened(file: str) -> tuple[Any, Format]:
    """Its rows, which are to be closed, and what they are."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # which might never end
            raise UserError(f'{file} is no regular file', hint=HINT)
        with open(file, 'rb') as opened:
            head = opened.read(4)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}', hint=HINT) from error
    rows = _parquet(file) if head == b'PAR1' else _csv(file, head[:2] == b'\x1f\x8b')
    try:
        columns = next(rows)
    except UserError as error:
        if error.exit_code == ExitCode.FAILED:  # as of damaged data, which this is not: it was named on the command line
            raise UserError(error.message, hint=HINT) from error
        raise
    known = format_of(list(columns))
    if known is None:
        rows.close()
        raise UserError(f'{file} is no bill that is known here', hint=HINT)
    return _only(rows, set(known.columns)) if head != b'PAR1' else _of_parquet(file, known.columns, rows), known


def _only(rows: Any, columns: set[str]) -> Any:
    for row in rows:
        yield {name: value for name, value in row.items() if name in columns}


def _csv(file: str, packed: bool) -> Any:
    """First its columns, then its rows."""
    csv.field_size_limit(CELL)
    try:
        with (gzip.open if packed else open)(file, 'rt', encoding='utf-8-sig', errors='replace', newline='') as opened:
            rows = csv.DictReader(opened)
            yield dict.fromkeys(rows.fieldnames or ())
            yield from rows
    except (csv.Error, OSError, EOFError, zlib.error) as error:
        raise UserError(f'{file} is no CSV that can be read: {error}', hint=HINT) from error


def _parquet(file: str) -> Any:
    from mlops_cli.databases import Parquet

    with closing(Parquet(os.path.realpath(file), file)) as table:
        yield {name: None for name, _ in table.columns}


def _of_parquet(file: str, columns: Sequence[str], opened: Any) -> Any:
    from mlops_cli.databases import Parquet

    opened.close()
    with closing(Parquet(os.path.realpath(file), file)) as table:
        for row in table.rows(columns, epochs=True):
            yield dict(zip(columns, row, strict=True))
