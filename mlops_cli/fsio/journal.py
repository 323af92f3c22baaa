"""What a process has in flight, so that the next command can finish or undo it after a kill.

One append-only file per process, locked by it while it lives (docs/formats/journal.md).  Knows nothing of what the records
mean; those who replay them must be able to do so twice.
"""
from __future__ import annotations

import io
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import locks, ops
from mlops_cli.fsio.atomic import as_root
from mlops_cli.fsio.paths import Root

SUFFIX = '.jsonl'
MAX_BYTES = 256 << 20
_TRIES = 200


def encode(record: dict[str, Any]) -> bytes:
    """One line: eight hex digits of CRC-32, a space, canonical JSON, a line feed.  Raises ValueError, TypeError."""
    text = canonical_bytes(record)
    return b'%08x %s\n' % (zlib.crc32(text), text)


def decode(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records of a journal, and how many lines are damaged (a torn last line counts as one, an empty one not)."""
    records: list[dict[str, Any]] = []
    damaged = 0
    for line in io.BytesIO(data):  # one at a time: there may be millions, each an object
        record = _decode_line(line[:-1]) if line.endswith(b'\n') else None
        if record is not None:
            records.append(record)
        elif line != b'\n':
            damaged += 1
    return records, damaged


def _decode_line(line: bytes) -> dict[str, Any] | None:
    text = line[9:]
    if line[:9] != b'%08x ' % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # whoever writes lines that mean harm knows the CRC, too
        return None
    return record if isinstance(record, dict) else None


class Journal:
    """The journal of this process.

    ``folder``: where all journals of the worktree lie, made if absent (0700); with ``root`` a path below that, on which no
    link is followed.  ``name``: unique to this process, one path component.  Not thread safe.  In a forked child it is closed.
    Raises OSError, FileExistsError if the name is taken; UserError (exit 5) for a link."""

    def __init__(self, folder: str | Root, name: str, *, root: Root | None = None) -> None:
        self._stack = ExitStack()
        self._fd = -1
        self._size = 0
        self._torn = False
        self._is_named = False  # whether its own name is durable
        if '/' in name or not name:
            raise ValueError(f'not a name for a journal: {name!r}')
        try:
            self._root = self._stack.enter_context(_opened(folder, root))
            self.path = self._root.full(name + SUFFIX)
            self._name = name + SUFFIX
            self._fd = _create_locked(self._root, self._name)
        except BaseException:
            self._stack.close()
            raise
        locks.forget_in_children(self)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(remove=kind is None)

    def append(self, record: dict[str, Any], *, sync: bool = False) -> None:
        """Add a record.  It survives a kill; with ``sync`` a power loss too.

        Raises OSError; then the record counts as not written, whatever of it reached the file."""
        line = encode(record)
        if self._torn:
            line = b'\n' + line
        try:
            ops.write(self._fd, line)
            if sync:
                ops.fsync(self._fd)
                if not self._is_named:
                    ops.fsync(self._root.fd)
                    self._is_named = True
        except BaseException:
            self._take_back()
            raise
        self._torn = False
        self._size += len(line)

    def _take_back(self) -> None:
        """Cut off what was written in part; where not even that works, the next record begins on a new line."""
        try:
            ops.truncate(self._fd, self._size)
        except OSError:
            self._torn = True
            self._size = ops.fstat(self._fd).st_size

    def close(self, remove: bool = True) -> None:
        """End it; ``remove`` unless the next command has something to do.  Twice does no harm.  Raises OSError."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if remove:
                ops.unlink(self._name, dir_fd=self._root.fd)  # while it is locked, so that nobody claims it meanwhile
        finally:
            os.close(fd)
            self._stack.close()

    def after_fork(self) -> None:
        """Let go, in a forked child, of what is the parent's."""
        self.close(remove=False)


def _opened(folder: str | Root, root: Root | None) -> AbstractContextManager[Root]:
    """Made if absent."""
    if isinstance(folder, str) and root is not None:
        return root.sub(folder, create=True, mode=0o700)
    if isinstance(folder, str) and not os.path.isdir(folder):
        parent, name = os.path.split(os.path.abspath(folder))
        with Root(parent) as above:
            above.makedirs(name, 0o700)
    return as_root(folder)


def _create_locked(root: Root, name: str) -> int:
    """A new journal with its lock.  Between the two somebody may have taken it for one that was left: then once more."""
    for attempt in range(_TRIES):
        try:
            fd = ops.open_with(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, dir_fd=root.fd)
        except FileExistsError:
            if attempt == 0:
                raise
            time.sleep(0.005)  # whoever claimed ours is about to remove it
            continue
        try:
            if locks.try_lock(fd, exclusive=True) and ops.fstat(fd).st_nlink:
                return fd
        except BaseException:
            os.close(fd)
            ops.remove_quietly(name, dir_fd=root.fd)
            raise
        os.close(fd)
    raise FileExistsError(None, 'others keep claiming the new journal', root.full(name))


@dataclass(slots=True)
class Leftover:
    """A journal whose owner is gone, claimed for as long as the iteration stands at it.

    ``name``: as given to Journal.  ``damaged``: lines that could not be read, such as a torn last one."""

    path: str
    name: str
    records: list[dict[str, Any]]
    damaged: int
    _folder: int = field(repr=False)
    _fd: int = field(repr=False)

    def append(self, record: dict[str, Any]) -> None:
        """Add what was done about it, should the rest have to wait for another command.  Raises OSError."""
        ops.write(self._fd, b'\n' + encode(record))  # on a line of its own, whatever the last one came to

    def remove(self) -> None:
        """Remove it: all that it says has been dealt with.  Raises OSError."""
        ops.unlink(self.name + SUFFIX, dir_fd=self._folder)


def leftovers(folder: str | Root, *, root: Root | None = None) -> Iterator[Leftover]:
    """The journals in a folder whose owner is gone, one after the other, each claimed while the iteration stands at it; never
    one whose owner lives or that another process has claimed.  An absent folder has none.

    ``root``: as of Journal.  Raises OSError; UserError (exit 5) for a link."""
    if isinstance(folder, str) and (root.stat(folder) is None if root is not None else not os.path.isdir(folder)):
        return
    with root.sub(folder) if root is not None and isinstance(folder, str) else as_root(folder) as opened:
        for name in sorted(entry.name for entry in opened.scandir()):
            if name.endswith(SUFFIX):
                yield from _claim(opened, name)


def _claim(root: Root, name: str) -> Iterator[Leftover]:
    try:
        fd = root.open(name, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        if not locks.try_lock(fd, exclusive=True):
            return
        facts = ops.fstat(fd)
        if not facts.st_nlink:
            return  # its owner or another claimer has just removed it
        if not facts.st_size:
            ops.unlink(name, dir_fd=root.fd)  # it says nothing; one just made notices and is made again
            return
        records, damaged = decode(_read(fd, root.full(name)))
        yield Leftover(root.full(name), name.removesuffix(SUFFIX), records, damaged, root.fd, fd)
    finally:
        os.close(fd)


def _read(fd: int, path: str) -> bytes:
    parts = []
    size = 0
    with ops.Naming(fd):
        while part := os.read(fd, 1 << 20):
            parts.append(part)
            size += len(part)
            if size <= MAX_BYTES:
                continue
            raise UserError(f'the journal {path} is larger than {MAX_BYTES} bytes', exit_code=ExitCode.REFUSED,
                            hint='it is not one that mlops wrote: look at it, then remove it')
    return b''.join(parts)
