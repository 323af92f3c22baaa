"""Every change of the disk, one thin function per system call, so that a recorder sees all of them and a test can make any
of them fail.  Knows nothing of what the files mean.

Paths are text (surrogateescape), relative to ``dir_fd`` as in ``os``.  An OSError is raised as it came, with ``filename``
set to the full path also where the system call only had a descriptor or a name in a folder.
"""
from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mlops_cli.fsio import native, together

Listener = Callable[[str, dict[str, Any]], None]
Given = ParamSpec('Given')
Result = TypeVar('Result')

fences: list[Callable[[], None]] = []  # asked before names are given: is what was locked for it still held?

_injectors: tuple[Listener, ...] = ()
_listeners: tuple[Listener, ...] = ()
_hooks: tuple[Listener, ...] = ()  # injectors first: what they made fail never happened, so it is not recorded

_FICLONE = 0x40049409
_NO_REFLINK = frozenset((errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM,
                         errno.ETXTBSY, errno.EBADF, errno.EISDIR))
_BEYOND_NAMES = getattr(os, 'O_PATH', os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
IN_PROC = '/proc/self/fd/'


def _set_hooks() -> None:
    global _hooks
    _hooks = _injectors + _listeners


@contextmanager
def record(listener: Listener) -> Iterator[None]:
    """Within, ``listener(operation, details)`` is called just before each change, in the thread that makes it.

    ``details`` hold full paths (``path``; ``source`` and ``target`` where there are two), of changes through a descriptor also
    ``fd``, the file's ``inode`` as (device, number), and for a write its ``offset`` and ``data``."""
    global _listeners
    _listeners = (*_listeners, listener)
    _set_hooks()
    try:
        yield
    finally:
        remaining = list(_listeners)
        remaining.remove(listener)
        _listeners = tuple(remaining)
        _set_hooks()


@contextmanager
def inject(callback: Listener) -> Iterator[None]:
    """Within, ``callback(operation, details)`` is called before each change and may raise the OSError it shall fail with."""
    global _injectors
    _injectors = (*_injectors, callback)
    _set_hooks()
    try:
        yield
    finally:
        remaining = list(_injectors)
        remaining.remove(callback)
        _injectors = tuple(remaining)
        _set_hooks()


def path_of(fd: int) -> str:
    """The path an open descriptor has now, for messages and recorders; ``<descriptor N>`` where the system cannot tell."""
    try:
        if sys.platform == 'darwin':
            return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, b'\0' * 1024).rstrip(b'\0'))
        return os.readlink(f'{IN_PROC}{fd}')
    except OSError:
        return f'<descriptor {fd}>'


def full_path(path: str, dir_fd: int | None = None) -> str:
    """``path`` as an absolute one, for messages and recorders; links in it are not resolved."""
    if os.path.isabs(path):
        return path
    return os.path.join(os.getcwd() if dir_fd is None else path_of(dir_fd), path)


def _tell(operation: str, **details: Any) -> None:
    for hook in _hooks:
        hook(operation, details)


def _tell_fd(operation: str, fd: int, **details: Any) -> None:
    facts = os.fstat(fd)
    _tell(operation, fd=fd, path=path_of(fd), inode=(facts.st_dev, facts.st_ino), **details)


def _name(error: OSError, path: str, dir_fd: int | None = None) -> None:
    error.filename = full_path(path, dir_fd)


def _name_both(error: OSError, source: str, source_fd: int | None, target: str, target_fd: int | None) -> None:
    error.filename, error.filename2 = full_path(source, source_fd), full_path(target, target_fd)


def _name_fd(error: OSError, fd: int) -> None:
    error.filename = path_of(fd)


def _again_after_signals(call: Callable[Given, Result]) -> Callable[Given, Result]:
    """A call that a signal interrupted is made again.  Python does so where systems are known to interrupt; network file
    systems, and those that a process serves, interrupt any."""
    @wraps(call)
    def patient(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        while True:
            try:
                return call(*args, **kwargs)
            except InterruptedError:
                continue
    return patient


class Naming:
    """Within, an OSError of a call on a descriptor, or on a name in the folder behind it, gets the full path; for what only
    reads, and so does not go through here.  One that has a full path keeps it."""

    __slots__ = ('_fd',)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            name = error.filename
            if not isinstance(name, str) or name in ('', '.'):
                _name_fd(error, self._fd)
            elif not os.path.isabs(name):
                _name(error, name, self._fd)


def fstat(fd: int) -> os.stat_result:
    """As os.fstat, an error with its path."""
    with Naming(fd):
        return os.fstat(fd)


def lstat(name: str, dir_fd: int) -> os.stat_result:
    """As os.lstat, of a name in a folder; an error with its path, but for FileNotFoundError, which most expect."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            _name(error, name, dir_fd)
        raise


# Files

@_again_after_signals
def open_with(path: str, flags: int, mode: int = 0o600, *, dir_fd: int | None = None) -> int:
    """open(2) with O_CLOEXEC and O_NOFOLLOW added; the caller closes.  Raises OSError."""
    try:
        if _hooks and flags & (os.O_CREAT | os.O_TRUNC):
            _tell('open', path=full_path(path, dir_fd), flags=flags, mode=mode)
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


def open_new(path: str, mode: int = 0o600, dir_fd: int | None = None) -> int:
    """A new file, open for reading and writing; ``mode`` less the umask.  Raises OSError, FileExistsError if it exists."""
    return open_with(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)


def open_append(path: str, mode: int = 0o600, dir_fd: int | None = None) -> int:
    """A file open for appending, made if absent.  Raises OSError, also for a symbolic link."""
    return open_with(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode, dir_fd=dir_fd)


def open_permanent(path: str, mode: int = 0o600, dir_fd: int | None = None) -> int:
    """A file that is made once and then stays (lock files), open for reading and writing, never truncated.  Raises OSError."""
    return open_with(path, os.O_RDWR | os.O_CREAT, mode, dir_fd=dir_fd)


def _write_offset(fd: int) -> int:
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(fd).st_size
    return os.lseek(fd, 0, os.SEEK_CUR)


@_again_after_signals
def write(fd: int, data: bytes | bytearray | memoryview) -> None:
    """All of ``data``, in as many calls as it takes.  Raises OSError; then a part may be written."""
    try:
        if _hooks:
            _tell_fd('write', fd, offset=_write_offset(fd), data=bytes(data))
        done = os.write(fd, data)
        if done < len(data):
            rest = memoryview(data).cast('B')
            while done < len(rest):
                done += os.write(fd, rest[done:])
    except OSError as error:
        _name_fd(error, fd)
        raise


@_again_after_signals
def pwrite(fd: int, data: bytes, offset: int) -> None:
    """All of ``data`` at ``offset``, the descriptor's own position left alone.  Raises OSError."""
    try:
        if _hooks:
            _tell_fd('write', fd, offset=offset, data=data)
        done = os.pwrite(fd, data, offset)
        while done < len(data):
            done += os.pwrite(fd, data[done:], offset + done)
    except OSError as error:
        _name_fd(error, fd)
        raise


@_again_after_signals
def copy_range(src_fd: int, dst_fd: int, offset: int, count: int) -> int:
    """Let the system copy up to ``count`` bytes at ``offset`` from one file to another: how many it did, 0 at the end; -1, and
    nothing is done, where it cannot.  Raises OSError."""
    if sys.platform != 'linux':
        return -1
    try:
        if _hooks:
            _tell_fd('write', dst_fd, offset=offset, data=os.pread(src_fd, count, offset))
        return os.copy_file_range(src_fd, dst_fd, count, offset, offset)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return -1
        _name_fd(error, dst_fd)
        raise


@_again_after_signals
def truncate(fd: int, size: int) -> None:
    """Cut or extend a file to ``size`` bytes.  Raises OSError."""
    with Naming(fd):
        if _hooks:
            _tell_fd('truncate', fd, size=size)
        os.ftruncate(fd, size)


@_again_after_signals
def reflink(src_fd: int, dst_fd: int) -> bool:
    """Make the file of ``dst_fd`` share all blocks of that of ``src_fd``; False where the file system cannot.  Raises OSError
    for what is not a matter of ability (no space, I/O error)."""
    if sys.platform != 'linux':
        return False
    try:
        if _hooks:
            _tell_fd('reflink', dst_fd, source=path_of(src_fd))
        fcntl.ioctl(dst_fd, _FICLONE, src_fd)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        _name_fd(error, dst_fd)
        raise
    return True


# Durability

@_again_after_signals
def fsync(fd: int) -> None:
    """Data and metadata of a file or folder to the medium.  Raises OSError; after that the file's state is not knowable."""
    try:
        if _hooks:
            _tell_fd('fsync', fd)
        native.full_sync(fd)
    except OSError as error:
        _name_fd(error, fd)
        raise


@_again_after_signals
def fsync_many(fds: Sequence[int]) -> bool:
    """As fsync for each, all at once and without threads of ours; False, and nothing done, where the system lacks that.
    For those who sync hundreds (see together.py).  Raises the first OSError after all are done."""
    if not together.available():
        return False
    fd = -1
    try:
        if _hooks:
            for fd in fds:
                _tell_fd('fsync', fd)
        for place, number in together.sync(fds).items():
            fd = fds[place]
            if number:
                raise OSError(number, os.strerror(number))
            native.full_sync(fd)
    except OSError as error:
        _name_fd(error, fd)
        raise
    return True


def sync_folder(path: str = '.', *, dir_fd: int | None = None) -> None:
    """fsync a folder by name: the names given in it become durable.  Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        fsync(fd)
    finally:
        os.close(fd)


@_again_after_signals
def sync_filesystem(fd: int) -> bool:
    """All that was written to the descriptor's file system, by anybody, to the medium.  False, and nothing done, where the
    system lacks it.  Raises OSError, also for a failed write-out since the descriptor was opened."""
    try:
        if _hooks:
            _tell_fd('sync_filesystem', fd)
        return native.sync_filesystem(fd)
    except OSError as error:
        _name_fd(error, fd)
        raise


@_again_after_signals
def sync_range(fd: int, *, wait: bool = False) -> bool:
    """Start the write-out of a file's data; with ``wait``, until it is written.  It makes nothing durable by itself.
    False, and nothing done, where the system lacks it.  Raises OSError."""
    try:
        if _hooks:
            _tell_fd('sync_range', fd, wait=wait)
        return native.sync_range(fd, wait)
    except OSError as error:
        _name_fd(error, fd)
        raise


# Names

@_again_after_signals
def rename(source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    """As os.rename: replaces a file.  Raises OSError."""
    try:
        if _hooks:
            _tell('rename', source=full_path(source, src_dir_fd), target=full_path(target, dst_dir_fd))
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    except OSError as error:
        _name_both(error, source, src_dir_fd, target, dst_dir_fd)
        raise


def rename_noreplace(source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    """Rename that raises FileExistsError in place of replacing.  Raises OSError with ENOTSUP where the system lacks it."""
    _rename_special('rename_noreplace', native.NOREPLACE, source, target, src_dir_fd, dst_dir_fd)


def exchange(a: str, b: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    """Swap two names in one step.  Raises OSError with ENOTSUP where the system lacks it."""
    _rename_special('exchange', native.EXCHANGE, a, b, src_dir_fd, dst_dir_fd)


@_again_after_signals
def _rename_special(operation: str, what: str, source: str, target: str, source_fd: int | None, target_fd: int | None) -> None:
    try:
        if _hooks:
            _tell(operation, source=full_path(source, source_fd), target=full_path(target, target_fd))
        native.rename_special(what, source, target, source_fd, target_fd)
    except OSError as error:
        _name_both(error, source, source_fd, target, target_fd)
        raise


@_again_after_signals
def link(source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    """A second name; a symbolic link as ``source`` is not followed.  Raises OSError, FileExistsError if the name is taken."""
    try:
        if _hooks:
            _tell('link', source=full_path(source, src_dir_fd), target=full_path(target, dst_dir_fd))
        os.link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)
    except OSError as error:
        _name_both(error, source, src_dir_fd, target, dst_dir_fd)
        raise


@_again_after_signals
def symlink(target: str, path: str, *, dir_fd: int | None = None) -> None:
    """A symbolic link at ``path`` that says ``target``.  Raises OSError."""
    try:
        if _hooks:
            _tell('symlink', target=target, path=full_path(path, dir_fd))
        os.symlink(target, path, dir_fd=dir_fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


@_again_after_signals
def unlink(path: str, *, dir_fd: int | None = None) -> None:
    """Remove a name of a file.  Raises OSError."""
    try:
        if _hooks:
            _tell('unlink', path=full_path(path, dir_fd))
        os.unlink(path, dir_fd=dir_fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


@_again_after_signals
def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    """A new folder; ``mode`` less the umask.  Raises OSError."""
    try:
        if _hooks:
            _tell('mkdir', path=full_path(path, dir_fd), mode=mode)
        os.mkdir(path, mode, dir_fd=dir_fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


@_again_after_signals
def rmdir(path: str, *, dir_fd: int | None = None) -> None:
    """Remove an empty folder.  Raises OSError."""
    try:
        if _hooks:
            _tell('rmdir', path=full_path(path, dir_fd))
        os.rmdir(path, dir_fd=dir_fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


# Attributes

@_again_after_signals
def chmod(path: str, mode: int, *, dir_fd: int | None = None) -> None:
    """Permission bits of a file or folder.  Raises OSError, ELOOP for a symbolic link."""
    try:
        if _hooks:
            _tell('chmod', path=full_path(path, dir_fd), mode=mode)
        if os.chmod in os.supports_follow_symlinks:
            os.chmod(path, mode, dir_fd=dir_fd, follow_symlinks=False)
            return
        fd = os.open(path, _BEYOND_NAMES, dir_fd=dir_fd)  # needs no permission on the file itself
        try:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            os.chmod(f'{IN_PROC}{fd}', mode)
        finally:
            os.close(fd)
    except OSError as error:
        _name(error, path, dir_fd)
        raise


@_again_after_signals
def fchmod(fd: int, mode: int) -> None:
    """Permission bits of an open file or folder.  Raises OSError."""
    try:
        if _hooks:
            _tell_fd('chmod', fd, mode=mode)
        os.fchmod(fd, mode)
    except OSError as error:
        _name_fd(error, fd)
        raise


@_again_after_signals
def utime(path: str | int, ns: tuple[int, int] | None = None, *, dir_fd: int | None = None) -> None:
    """Access and modification time in nanoseconds, of a path (a link is not followed) or a descriptor; None is now.
    Raises OSError."""
    try:
        if isinstance(path, int):
            if _hooks:
                _tell_fd('utime', path, ns=ns)
            os.utime(path, ns=ns) if ns else os.utime(path)
            return
        if _hooks:
            _tell('utime', path=full_path(path, dir_fd), ns=ns)
        if ns:
            os.utime(path, ns=ns, dir_fd=dir_fd, follow_symlinks=False)
        else:
            os.utime(path, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        _name_fd(error, path) if isinstance(path, int) else _name(error, path, dir_fd)
        raise


def remove_quietly(path: str, *, dir_fd: int | None = None) -> None:
    """Unlink what may be gone or may not go: for temporaries after a failure, which is the error to tell."""
    with suppress(OSError):
        unlink(path, dir_fd=dir_fd)
