"""Whole files or none: read one in a bounded way, replace one in a single step.  Knows nothing of what is in them."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.naming import Folders
from mlops_cli.fsio.paths import Root

_CHUNK = 1 << 20


@contextmanager
def as_root(root_dir: str | Root) -> Iterator[Root]:
    """A Root as it is; of a path one that lasts as long as the context."""
    if isinstance(root_dir, Root):
        yield root_dir
    else:
        with Root(root_dir) as root:
            yield root


def write_file(root_dir: str | Root, rel: str, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace or make the file ``rel`` in one step: at any moment it holds all of the old or all of the new content.

    ``mode``: less the umask, as for the folders that are made (0755).  ``durable``: return only when it survives a power
    loss.  After an error nothing is left behind; if it came from the very last step, the fsync of the folder, the new content
    is in place.  Raises OSError; UserError (exit 5) if the path leads through a link or is one."""
    with as_root(root_dir) as root, Folders() as folders:
        path, name = os.path.split(rel)
        folder = _folder(root, path, folders, durable)
        _refuse_link(root, rel, name, folder)

        def make(place: int, temporary: str) -> None:
            fd = ops.open_new(temporary, mode, dir_fd=place)
            try:
                ops.write(fd, data)
                if durable:
                    ops.fsync(fd)
            finally:
                os.close(fd)
            ops.rename(temporary, name, src_dir_fd=place, dst_dir_fd=folder)

        from mlops_cli.fsio import scratch  # most commands write nothing so

        scratch.build(root, folder, make)
        if durable:
            ops.fsync(folder)


def _folder(root: Root, path: str, folders: Folders, durable: bool) -> int:
    return folders.open_made(root, path, ops.fsync if durable else lambda _parent: None)


def _refuse_link(root: Root, rel: str, name: str, folder: int) -> None:
    """A rename would replace the link, not what it leads to: not what who made it wanted."""
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(ops.lstat(name, folder).st_mode):
            raise UserError(f'refused to write {rel!r}: it is a symbolic link', exit_code=ExitCode.REFUSED,
                            hint=f'replace {root.full(rel)} by a real file')


def read_file(root_dir: str | Root, rel: str, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises OSError (FileNotFoundError if absent); UserError with exit 5 for a link, a folder or a device, with exit 2 if it is
    larger."""
    with as_root(root_dir) as root:
        fd = root.open(rel)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UserError(f'refused to read {rel!r}: it is not a regular file', exit_code=ExitCode.REFUSED,
                                hint='name a regular file')
            return _read(fd, rel, limit)
        except OSError as error:
            error.filename = root.full(rel)
            raise
        finally:
            os.close(fd)


def _read(fd: int, rel: str, limit: int) -> bytes:
    """Counts what it reads, since a file may grow after its size was looked at."""
    parts: list[bytes] = []
    size = 0
    while True:
        part = os.read(fd, min(_CHUNK, limit + 1 - size))
        if not part:
            return b''.join(parts)
        parts.append(part)
        size += len(part)
        if size > limit:
            raise UserError(f'{rel!r} is larger than the {limit} bytes allowed for such a file',
                            hint='check that it is the file you mean')
