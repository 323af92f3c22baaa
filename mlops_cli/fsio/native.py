"""The system calls Python has no name for, through libc.  Knows nothing of paths' safety or of recorders: only ops calls it.

libc is bound at the first use, since importing ctypes costs 2 ms that most commands need not pay.
"""
from __future__ import annotations

import errno
import os
import sys
from functools import cache
from typing import Any

NOREPLACE = 'noreplace'
EXCHANGE = 'exchange'

_LINUX_FLAGS = {NOREPLACE: 1, EXCHANGE: 2}  # linux/fs.h RENAME_*
_DARWIN_FLAGS = {NOREPLACE: 4, EXCHANGE: 2}  # sys/stdio.h RENAME_EXCL, RENAME_SWAP
_RENAMEAT2_NUMBER = {'x86_64': 316, 'aarch64': 276, 'riscv64': 276, 'ppc64le': 357, 's390x': 347}
_AT_FDCWD = -2 if sys.platform == 'darwin' else -100
_WRITE = 2  # SYNC_FILE_RANGE_*
_WAIT_WRITE_WAIT = 1 | 2 | 4
_F_FULLFSYNC = 51  # darwin


@cache
def _libc() -> Any:
    import ctypes
    return ctypes.CDLL(None, use_errno=True)


@cache
def _rename_call() -> Any:
    """A callable (old folder, old name, new folder, new name, flags) -> int, or None where there is no such call."""
    import ctypes
    libc = _libc()
    arguments = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    for name in ('renameat2', 'renameatx_np'):
        call = getattr(libc, name, None)
        if call is not None:
            call.argtypes, call.restype = arguments, ctypes.c_int
            return call
    number = _RENAMEAT2_NUMBER.get(os.uname().machine) if sys.platform == 'linux' else None
    if number is None:
        return None
    libc.syscall.argtypes, libc.syscall.restype = [ctypes.c_long, *arguments], ctypes.c_long
    return lambda *given: libc.syscall(number, *given)


@cache
def _sync_range_call() -> Any:
    import ctypes
    call = getattr(_libc(), 'sync_file_range', None) if sys.platform == 'linux' else None
    if call is not None:
        call.argtypes, call.restype = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint], ctypes.c_int
    return call


def boot_session() -> str:
    """What darwin calls the present start of the machine; empty where it does not say."""
    import ctypes
    buffer, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    if _libc().sysctlbyname(b'kern.bootsessionuuid', buffer, ctypes.byref(size), None, ctypes.c_size_t(0)):
        return ''
    return buffer.value.decode('ascii', 'replace')


def _last_error() -> int:
    import ctypes
    return ctypes.get_errno()


def rename_special(what: str, source: str, target: str, source_folder: int | None, target_folder: int | None) -> None:
    """Rename with :data:`NOREPLACE` or :data:`EXCHANGE`.  Raises OSError; ENOTSUP where kernel or file system lack it."""
    call = _rename_call()
    if call is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    flags = (_DARWIN_FLAGS if sys.platform == 'darwin' else _LINUX_FLAGS)[what]
    one = _AT_FDCWD if source_folder is None else source_folder
    two = _AT_FDCWD if target_folder is None else target_folder
    while call(one, os.fsencode(source), two, os.fsencode(target), flags) != 0:
        number = _last_error()
        if number == errno.EINTR:
            continue
        if number in (errno.EINVAL, errno.ENOSYS):  # how file systems say that they lack the flag
            number = errno.ENOTSUP
        raise OSError(number, os.strerror(number))


def sync_range(fd: int, wait: bool) -> bool:
    """Start writing a file's dirty pages; with ``wait``, return when they are written.  False where the system lacks it.

    Raises OSError, also for an earlier failed write-out of this file."""
    call = _sync_range_call()
    if call is None:
        return False
    while call(fd, 0, 0, _WAIT_WRITE_WAIT if wait else _WRITE) != 0:
        number = _last_error()
        if number == errno.EINTR:
            continue
        if number in (errno.ENOSYS, errno.ESPIPE, errno.EINVAL):
            return False
        raise OSError(number, os.strerror(number))
    return True


def sync_filesystem(fd: int) -> bool:
    """All of the descriptor's file system to the medium; False where the system lacks it, or would not tell of an error
    since the descriptor was opened (Linux before 5.8).  Raises OSError."""
    call = _sync_filesystem_call()
    if call is None:
        return False
    while call(fd) != 0:
        number = _last_error()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


@cache
def _sync_filesystem_call() -> Any:
    import ctypes
    if sys.platform != 'linux' or _release(os.uname().release) < (5, 8):
        return None
    call = getattr(_libc(), 'syncfs', None)
    if call is not None:
        call.argtypes, call.restype = [ctypes.c_int], ctypes.c_int
    return call


def _release(text: str) -> tuple[int, ...]:
    numbers = text.partition('-')[0].split('.')[:2]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()


def full_sync(fd: int) -> None:
    """fsync, on macOS down to the medium.  Raises OSError."""
    if sys.platform == 'darwin':
        import fcntl
        fcntl.fcntl(fd, _F_FULLFSYNC)
    else:
        os.fsync(fd)
