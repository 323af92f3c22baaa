"""Give a finished temporary file its name, and open the folders that takes.  Knows nothing about when it may have it."""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from types import TracebackType

from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST = 64  # folders held open at once
_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))


class Folders:
    """The folders of one flush, held open while it lasts, so that each is walked to once.

    A path is a root and a relative path in it, or no root and an absolute path.  Use as a context manager."""

    def __init__(self, mode: int = 0o755) -> None:
        self._mode = mode  # of folders made, less the umask
        self._open: dict[tuple[int, str], int] = {}

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def open(self, root: Root | None, folder: str) -> int:
        """A descriptor, valid until 63 other folders were asked for.  Raises OSError, UserError for a link on the way."""
        key = (id(root), folder)
        fd = self._open.pop(key, None)
        if fd is None:
            if len(self._open) >= _MOST:
                os.close(self._open.pop(next(iter(self._open))))
            fd = os.open(folder, _FOLDER) if root is None else root.open_dir(folder)
        self._open[key] = fd  # at the end: the first is the one longest unused
        return fd

    def make(self, root: Root | None, folder: str) -> Iterable[int]:
        """Make a folder and those above it; the descriptors of those that got a new name in them, as each is made."""
        missing = []
        at = folder
        while at not in ('', '/'):
            try:
                self.open(root, at)
                break
            except FileNotFoundError:
                missing.append(at)
                at = os.path.dirname(at)
        for path in reversed(missing):
            parent = self.open(root, os.path.dirname(path))
            try:
                ops.mkdir(os.path.basename(path), self._mode, dir_fd=parent)
            except FileExistsError:
                continue  # another process was faster, and answers for its name
            yield parent


def name_new(source: int, temporary: str, folder: int, name: str) -> bool:
    """Give the file a name that nobody has; False, and the file stays, if it is taken.  Raises OSError."""
    try:
        ops.link(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    except FileExistsError:
        return _was_linked(source, temporary, folder, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_new(source, temporary, folder, name)
    ops.unlink(temporary, dir_fd=source)
    return True


def _was_linked(source: int, temporary: str, folder: int, name: str) -> bool:
    """Whether the name is the file's own: a network file system may lose the answer and say that a repeated link exists."""
    one = os.stat(temporary, dir_fd=source, follow_symlinks=False)
    two = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if (one.st_dev, one.st_ino) != (two.st_dev, two.st_ino):
        return False
    ops.unlink(temporary, dir_fd=source)
    return True


def _rename_new(source: int, temporary: str, folder: int, name: str) -> bool:
    try:
        ops.rename_noreplace(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            return False
        except FileNotFoundError:  # whoever is faster from here on has the same content
            ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    return True


def is_damaged(source: int, temporary: str, folder: int, name: str) -> bool:
    """Whether what has the name cannot be what the temporary is: no regular file, or of another size.  Raises OSError."""
    wanted = os.stat(temporary, dir_fd=source, follow_symlinks=False)
    present = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return not stat.S_ISREG(present.st_mode) or present.st_size != wanted.st_size


def freshen(folder: int, name: str) -> bool:
    """Set a file's times to now, so that a sweep of what is old sees that it is wanted; False if it belongs to somebody else
    and that is not permitted.  Raises OSError."""
    try:
        ops.utime(name, dir_fd=folder)
    except PermissionError:
        return False
    return True
