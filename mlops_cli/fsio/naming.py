"""Give a finished temporary file its name, and open the folders that takes.  Knows nothing about when it may have it."""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from mlops_cli.core.errors import UserError
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
            fd = os.open(folder, _FOLDER) if root is None else self._inside(root, folder)
        self._open[key] = fd  # at the end: the first is the one longest unused
        return fd

    def _inside(self, root: Root, folder: str) -> int:
        """A new descriptor; from the folder above it if that is open, since of the folders of objects there are many."""
        above, _, name = folder.rpartition('/')
        parent = self._open.get((id(root), above)) if above and name not in ('.', '..', '') else None
        if parent is None:
            return root.open_dir(folder)
        try:
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ENOENT:
                error.filename = root.full(folder)
                raise
            return root.open_dir(folder)  # which explains it

    def open_made(self, root: Root | None, folder: str, made: Callable[[int], None]) -> int:
        """As :meth:`open`; made if absent, and so are those above it: ``made`` is told the descriptor of each that got a new
        name in it."""
        key = (id(root), folder)
        if key in self._open:
            return self.open(root, folder)
        above = os.path.dirname(folder)
        try:
            if root is not None and above:
                with suppress(UserError):  # a link on the way: the next call says of what
                    self.open_made(root, above, made)
            return self.open(root, folder)
        except FileNotFoundError:
            if not os.path.basename(folder):
                raise
        parent = self.open_made(root, above, made)
        try:
            ops.mkdir(os.path.basename(folder), self._mode, dir_fd=parent)
        except FileExistsError:
            pass  # another process was faster, and answers for its name
        else:
            made(parent)
        return self.open(root, folder)


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
    one = ops.lstat(temporary, source)
    try:
        two = ops.lstat(name, folder)
    except FileNotFoundError:
        return False
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
            ops.lstat(name, folder)
            return False
        except FileNotFoundError:  # whoever is faster from here on has the same content
            ops.rename(temporary, name, src_dir_fd=source, dst_dir_fd=folder)
    return True


def is_damaged(source: int, temporary: str, folder: int, name: str) -> bool:
    """Whether what has the name cannot be what the temporary is: no regular file, or of another size.  Not if a sweep was
    faster, and nothing has it any more.  Raises OSError."""
    with ops.Naming(source):
        wanted = ops.lstat(temporary, source)
    try:
        present = ops.lstat(name, folder)
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(present.st_mode) or present.st_size != wanted.st_size


def freshen(folder: int, name: str) -> bool:
    """Set a file's times to now, so that a sweep of what is old sees that it is wanted; False if it belongs to somebody else
    and that is not permitted, or a sweep was faster.  Raises OSError."""
    try:
        ops.utime(name, dir_fd=folder)
    except (PermissionError, FileNotFoundError):
        return False
    return True
