"""How records reach the tracked part of ``.mlops/`` and are read back: whole or not at all, durable with their group."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from mlops_cli.core import layout, strictjson
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.durable import RECORDS, Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.syncing import sync_names
from mlops_cli.fsio.temporaries import PREFIX, new_name, sweep_temporaries

LIMIT = 64 << 20  # bytes; a pin has an entry for each file of a glob
IGNORED = b'/local/'  # the line of .mlops/.gitignore by which git leaves alone what is kept here
_HALF = pattern(rb'\\u[dD][89a-fA-F]')  # of a character beyond U+FFFF, or of none: then no program can write it
_LINE = pattern(rb'[^\r\n]+')


def prepare_folders(root: Root) -> None:
    """Makes ``.mlops`` with the list of what git ignores in it, and takes away what killed commands were writing.

    Nothing where all is in order.  Raises OSError, UserError for a symbolic link."""
    prepare_local(root)
    _make(root, layout.STAGES)
    sweep_temporaries(root, rel=layout.LOCAL)


def prepare_local(root: Root) -> None:
    """Makes the folder for what belongs to this machine; before it, what keeps git from taking it.

    Nothing where all is in order.  Raises OSError, UserError for a symbolic link."""
    _make(root, layout.ROOT)
    if root.stat(layout.LOCAL) is None:  # the first command had no other place yet for what it was writing when it was killed
        sweep_temporaries(root, rel=layout.ROOT)
    append_lines(root, layout.GITIGNORE, layout.GITIGNORE_TEXT.splitlines())
    root.makedirs(layout.LOCAL, mode=0o700)


def _make(root: Root, folder: str) -> None:
    """A folder, if absent; records in it will be durable, so it has to be."""
    if root.stat(folder) is None:
        root.makedirs(folder)
        above = root.open_dir(folder.rpartition('/')[0])
        try:
            sync_names(above)
        finally:
            os.close(above)


def keeps_local(root: Root) -> bool:
    """Whether commands that only read may keep what makes the next one fast: git ignores it here already."""
    with suppress(OSError, UserError):
        return IGNORED in read_small(root, layout.GITIGNORE).split()
    return False


def write_in_batch(root: Root, path: str, data: bytes, batch: Batch, after: Callable[[], None] | None = None) -> None:
    """Writes a record and hands it to the batch; ``after`` is called once it has its name.  Raises OSError.

    It is written in a folder that git ignores: what a crash leaves must never show up in a commit."""
    temporary = f'{layout.LOCAL}/{new_name(PREFIX)}'
    fd = _open_new(root, temporary)
    try:
        ops.write(fd, data)
    except BaseException:
        os.close(fd)
        ops.remove_quietly(root.full(temporary))
        raise
    batch.add(temporary, path, RECORDS, replace=True, fd=fd, root=root, after=after)


def _open_new(root: Root, path: str) -> int:
    try:
        with root.parent(path) as (folder, name):
            return ops.open_new(name, 0o644, dir_fd=folder)
    except FileNotFoundError:
        root.makedirs(layout.LOCAL, mode=0o700)
    with root.parent(path) as (folder, name):
        return ops.open_new(name, 0o644, dir_fd=folder)


def read_small(root: Root, path: str, limit: int = LIMIT) -> bytes:
    """A whole record; symbolic links are not followed.

    Raises UserError for a link, for what is no file, and beyond ``limit`` bytes; OSError."""
    try:
        return read_file(root, path, limit)
    except UserError as error:
        if error.exit_code == ExitCode.REFUSED:
            raise
        raise UserError(
            f'larger than {_size(limit)}: not a record of ours',
            where=Where(path),
            exit_code=ExitCode.FAILED,
            hint=f'look at it; if git has it, put it back with: git checkout -- {_word(path)}',
        ) from None


def _word(path: str) -> str:
    from mlops_cli.core.paths import shell_word  # for mistakes only

    return shell_word(path)


def _size(limit: int) -> str:
    return f'{limit >> 20} MiB' if limit >> 20 else f'{limit >> 10} KiB'


def names_in(root: Root, folder: str) -> list[str]:
    """The names in a folder of records, in no order, temporaries left out; none if there is no such folder.

    Raises OSError, UserError for a symbolic link."""
    try:
        fd = root.open_dir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with ops.Naming(fd):
            return [name for name in os.listdir(fd) if not name.startswith(PREFIX)]
    finally:
        os.close(fd)


def damaged(what: str, problem: object, where: Where) -> UserError:
    """The error for a record that is not as we wrote it.  ``what``: such as ``pin``."""
    return UserError(
        f'damaged {what}: {problem}',
        where=where,
        exit_code=ExitCode.FAILED,
        hint=f'put it back with: git checkout -- {_word(where.file)}',
    )


def unknown_format(what: str, schema: object, where: Where) -> UserError:
    """The error for a record that a later version wrote."""
    return UserError(
        f'this {what} has the format {str(schema)[:80]!r}, which this version does not know', where=where, hint='update mlops'
    )


def read_object(data: bytes, file: str, what: str, schema: str) -> dict[str, Any]:
    """A record that is a JSON object of the format ``schema``.  Raises UserError with file and line."""
    try:
        found = strictjson.read(data, file)
    except UserError as error:
        if conflict := line_starting(data, b'<<<<<<< '):
            raise UserError(
                f'two branches changed this {what}, and git left both in it',
                where=Where(file, conflict, 1),
                exit_code=ExitCode.FAILED,
                hint=f'take one: git checkout --ours {_word(file)}, or --theirs',
            ) from error
        raise damaged(what, error.message, error.where or Where(file)) from error
    if not isinstance(found, dict):
        raise damaged(what, 'not a JSON object', Where(file, 1, 1))
    if 'schema' not in found:
        raise damaged(what, 'it does not say its format', Where(file, 1, 1))
    if found['schema'] != schema:
        raise unknown_format(what, found['schema'], at(file, data, 'schema'))
    refuse_halves(found, data, file, what)
    return found


def refuse_halves(found: Any, data: bytes, file: str, what: str) -> None:
    """Raises UserError with the line, where a text in a record is none."""
    if (escape := _HALF.search(data)) is not None:
        try:
            json.dumps(found, ensure_ascii=False).encode('utf-8', 'surrogateescape')  # as names of files may be
        except UnicodeEncodeError as error:
            line = data.count(b'\n', 0, escape.start()) + 1
            raise damaged(what, 'half of a character', Where(file, line, 1)) from error


def at(file: str, data: bytes, key: str, item: int | None = None) -> Where:
    """The place of an entry in a record, as :func:`line_of`."""
    line = line_of(data, key, item)
    return Where(file, line, 1 if line else 0)


def line_of(data: bytes, key: str, item: int | None = None) -> int:
    """The line (from 1) of an entry of a record that is an object with one entry a line, or of an item of its list; 0 if it
    is not there."""
    line = line_starting(data, f'"{key}":'.encode())
    return line + 1 + item if line and item is not None else line


def line_starting(data: bytes, start: bytes) -> int:
    """The first line (from 1) that starts so, blanks aside; 0 if none does."""
    found = data.find(start)
    while found >= 0:
        begin = found
        while begin and data[begin - 1] in b' \t\v\f':
            begin -= 1
        if not begin or data[begin - 1] in b'\r\n':
            ends = [data.count(end, 0, begin) for end in (b'\n', b'\r', b'\r\n')]
            return ends[0] + ends[1] - ends[2] + 1
        found = data.find(start, found + 1)
    return 0


def append_lines(root: Root, file: str, lines: Iterable[str]) -> bool:
    """Adds lines that the file does not have yet, ended as its other lines are; whether there were any.

    The file is replaced in one step.  Raises OSError, UserError for a symbolic link (git does not follow one either)."""
    status = root.stat(file)
    old = read_small(root, file) if status is not None else b''
    wanted = dict.fromkeys(map(os.fsencode, lines))
    have = {found[0] for found in _LINE.finditer(old) if found[0] in wanted}  # of a large file no list is made
    new = [line for line in wanted if line not in have]
    if not new:
        return False
    end = b'\r\n' if b'\r\n' in old else b'\n'
    if old and not old.endswith((b'\n', b'\r')):
        old += end
    mode = stat.S_IMODE(status.st_mode) if status is not None else 0o644
    write_file(root, file, old + b''.join(line + end for line in new), mode)
    return True
