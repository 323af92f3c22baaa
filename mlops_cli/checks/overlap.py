"""What two sets of data have in common, which a split into training and test must not: rows of tables by key, files of folders
by content or name.

Keys are compared by digests of 16 bytes, in parts that lie on disk where they are many: memory does not grow with the rows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from itertools import islice
from typing import IO, Any

from mlops_cli.checks import tables
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import digest_of_file
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.fsio.filesystem import DESCRIPTORS

BY = ('content', 'name', 'stem')
PARTS = 128
HELD = 16 << 20  # bytes of one side's keys in memory
SIZE = 16  # bytes of a key
NUMBER = 8  # bytes of the number of its row
SHOWN = 5  # examples

Step = Callable[[int], object]


@dataclass
class Overlap:
    """``keys``: different ones on both sides.  ``a``, ``b``: rows or files that have one of them; ``of_a``, ``of_b``: rows
    or files in all; ``without_a``, ``without_b``: those that have no key.  ``examples``: (a key, what it is of in A, in B)."""

    by: str
    keys: int = 0
    a: int = 0
    b: int = 0
    of_a: int = 0
    of_b: int = 0
    without_a: int = 0
    without_b: int = 0
    examples: list[tuple[str, str, str]] = field(default_factory=list)


class Keys:
    """The keys of one side, by their first byte.  To be closed."""

    def __init__(self) -> None:
        self.rows = self.without = 0
        self._held = [bytearray() for _ in range(PARTS)]
        self._size = 0
        self._files: list[IO[bytes]] | None = None

    def close(self) -> None:
        for file in self._files or ():
            file.close()

    def take(self, keys: Iterable[bytes | None], step: Step) -> None:
        """``keys``: of the rows or files in their order; None for one that has none."""
        for key in keys:
            number = self.rows
            self.rows += 1
            if key is None:
                self.without += 1
                continue
            digest = blake2b(key, digest_size=SIZE).digest()
            self._held[digest[0] % PARTS] += digest + number.to_bytes(NUMBER, 'little')
            self._size += SIZE + NUMBER
            if self._size >= HELD:
                self._spill()
            if not number % 10_000:
                step(self.rows)

    def _spill(self) -> None:
        if self._files is None:
            self._files = [tempfile.TemporaryFile('w+b', buffering=0) for _ in range(PARTS)]  # noqa: SIM115 -- until close
        for file, held in zip(self._files, self._held, strict=True):
            file.write(held)
            held.clear()
        self._size = 0

    def part(self, number: int) -> Iterator[tuple[bytes, int]]:
        """(key, row) of one part, in the order of the rows."""
        whole = bytes(self._held[number])
        if self._files is not None:
            self._files[number].seek(0)
            whole = self._files[number].read() + whole
        for at in range(0, len(whole), SIZE + NUMBER):
            yield whole[at : at + SIZE], int.from_bytes(whole[at + SIZE : at + SIZE + NUMBER], 'little')


def compared(by: str, one: Keys, two: Keys) -> tuple[Overlap, list[tuple[int, int]]]:
    """What is on both sides, and rows of both that are examples of it: those with the lowest numbers in A that were met."""
    found = Overlap(by, of_a=one.rows, of_b=two.rows, without_a=one.without, without_b=two.without)
    pairs: list[tuple[int, int]] = []
    for number in range(PARTS):
        mine: dict[bytes, list[int]] = {}
        for key, row in one.part(number):
            known = mine.get(key)
            if known is None:
                mine[key] = [row, 1]
            else:
                known[1] += 1
        met: set[bytes] = set()
        for key, row in two.part(number):
            if (held := mine.get(key)) is not None:
                found.b += 1
                if key not in met:
                    met.add(key)
                    found.a += held[1]
                    pairs.append((held[0], row))
        found.keys += len(met)
        pairs = sorted(pairs)[:SHOWN]
    return found, pairs


# Tables


def of_tables(a: str, b: str, keys: Sequence[str], open_file: Callable[[str], int], step: Step) -> Overlap:
    """``keys``: columns; none: whole rows.  ``open_file``: a descriptor of its own.  Raises UserError."""
    with closing(Keys()) as one, closing(Keys()) as two:
        columns = _columns(a, b, keys, open_file)
        for side, path in ((one, a), (two, b)):
            side.take((_key(row) for row in _rows(path, columns, open_file)), step)
        found, pairs = compared(', '.join(keys) or 'whole rows', one, two)
    texts = _texts(a, columns, [row for row, _ in pairs], open_file)
    found.examples = [(texts[row], f'row {row + 1:,}', f'row {other + 1:,}') for row, other in pairs]
    return found


def _columns(a: str, b: str, keys: Sequence[str], open_file: Callable[[str], int]) -> tuple[str, ...]:
    there = [_names(path, open_file) for path in (a, b)]
    for path, names in zip((a, b), there, strict=True):
        for key in keys:
            if key not in names:
                raise UserError(f'{path} has no column {key!r}', hint=did_you_mean(key, names, what='there are'))
    if not keys and set(there[0]) != set(there[1]):
        odd = sorted(set(there[0]) ^ set(there[1]))[0]
        raise UserError(f'{a} and {b} have other columns, such as {odd!r}', hint='compare those that both have: --key COLUMN')
    return tuple(keys) or tuple(sorted(there[0]))


def _names(path: str, open_file: Callable[[str], int]) -> tuple[str, ...]:
    if tables.suffix(path) in tables.PARQUET:
        from mlops_cli.databases import Parquet

        fd = open_file(path)
        try:
            with closing(Parquet(f'{DESCRIPTORS}/{fd}', path)) as file:
                return tuple(name for name, _ in file.columns)
        finally:
            os.close(fd)
    with closing(tables.pieces(open_file(path), path)) as pieces:
        names: dict[str, None] = {}
        for piece in pieces:
            names.update(dict.fromkeys(piece.names))
            if tables.suffix(path) in tables.DELIMITED:
                break
        return tuple(names)


def _rows(path: str, columns: Sequence[str], open_file: Callable[[str], int]) -> Generator[tuple[Any, ...], None, None]:
    if tables.suffix(path) in tables.PARQUET:
        from mlops_cli.databases import Parquet

        fd = open_file(path)
        try:
            with closing(Parquet(f'{DESCRIPTORS}/{fd}', path)) as file:
                yield from file.rows(columns)
        finally:
            os.close(fd)
        return
    with closing(tables.pieces(open_file(path), path)) as pieces:
        for piece in pieces:
            place = {name: at for at, name in enumerate(piece.names)}
            nothing = (None,) * piece.rows
            yield from zip(*(piece.cells[place[name]] if name in place else nothing for name in columns), strict=True)


def _key(row: tuple[Any, ...]) -> bytes | None:
    """The same for one value in tables of any kind; None for a row with nothing in any of its key columns."""
    texts = [_text(value) for value in row]
    if not any(texts):
        return None
    return texts[0].encode(errors='surrogatepass') if len(texts) == 1 else json.dumps(texts).encode()


def _text(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)


def _texts(path: str, columns: Sequence[str], numbers: Sequence[int], open_file: Callable[[str], int]) -> dict[int, str]:
    """Row -> its key, for people."""
    found: dict[int, str] = {}
    if not numbers:
        return found
    with closing(_rows(path, columns, open_file)) as rows:
        for number, row in enumerate(islice(rows, max(numbers) + 1)):
            if number in numbers:
                found[number] = ', '.join(map(_text, row))[:80]
    return found


# Folders


def of_folders(a: str, b: str, by: str, known: Callable[[str, os.stat_result], str | None], step: Step) -> Overlap:
    """``by``: content, name or stem.  ``known``: the digest of a file in this state, where that is known.  Empty files have no
    content to share.  Links are passed over.  Raises OSError."""
    with closing(Keys()) as one, closing(Keys()) as two:
        for side, folder in ((one, a), (two, b)):
            side.take((_file_key(path, facts, by, known) for path, facts in files(folder)), step)
        found, pairs = compared(by, one, two)
    names = [_nth(a, [row for row, _ in pairs]), _nth(b, [row for _, row in pairs])]
    found.examples = [
        (os.path.basename(names[0].get(row, '')), names[0].get(row, ''), names[1].get(other, '')) for row, other in pairs
    ]
    return found


def files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """(path, its state) of every regular file below, in the order of names."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path, entry.stat(follow_symlinks=False)


def _file_key(path: str, facts: os.stat_result, by: str, known: Callable[[str, os.stat_result], str | None]) -> bytes | None:
    name = os.path.basename(path)
    if by != 'content':
        return os.fsencode(name if by == 'name' else name.partition('.')[0] or name)
    if not facts.st_size:
        return None
    with suppress(FileNotFoundError):  # it went away meanwhile
        return (known(path, facts) or digest_of_file(path).hex).encode()
    return None


def _nth(folder: str, numbers: Sequence[int]) -> dict[int, str]:
    if not numbers:
        return {}
    return {at: path for at, (path, _) in enumerate(islice(files(folder), max(numbers) + 1)) if at in numbers}


def refuse_unlike(a: str, b: str, by: str, keys: Sequence[str]) -> bool:
    """Whether both are folders.  Raises UserError where they cannot be compared so."""
    folders = [os.path.isdir(path) for path in (a, b)]
    for path, is_folder in zip((a, b), folders, strict=True):
        if not is_folder and not tables.at_revision(path)[1] and not os.path.lexists(path):
            raise UserError(f'{path} does not exist', hint=f'looked in {os.getcwd()}', exit_code=ExitCode.WRONG_INPUT)
    if folders[0] != folders[1]:
        raise UserError('one is a folder, the other a file', hint='compare two tables, or two folders')
    if folders[0] and keys:
        raise UserError('--key is of tables', hint=f'folders go --by {", ".join(BY)}')
    if not folders[0] and by:
        raise UserError('--by is of folders', hint='tables go by --key COLUMN')
    for path in () if folders[0] else (a, b):
        if not tables.is_table(path):
            raise UserError(f'{path} is no table', hint=f'what ends with .{", .".join(tables.SUFFIXES)}')
    return folders[0]
