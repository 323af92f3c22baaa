"""Locks by name in one permanent file, which the kernel frees when their holder ends, however it ends.

Byte-range locks of the open file description: the byte of a name is 63 bits of its digest (docs/formats/locks.md).  Knows
nothing of what the names stand for, nor of the order in which they must be taken.
"""
from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from mlops_cli.core.clock import iso
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops, patience, temporaries
from mlops_cli.fsio.holders import Holder, HolderTable
from mlops_cli.fsio.paths import Root

if TYPE_CHECKING:
    from mlops_cli.fsio.leases import Leases

Mode = Literal['shared', 'exclusive']
OnWait = Callable[[Holder | None, float], None]

_FLOCK = 'qqihh' if sys.platform == 'darwin' else 'hhqqi4x'
_SETLK = getattr(fcntl, 'F_OFD_SETLK', 90)
_GETLK = getattr(fcntl, 'F_OFD_GETLK', 92)
_SHORTEST, _LONGEST = 0.005, 0.2  # seconds between two looks at a lock of another process
_FIRST_WORD, _NEXT_WORD = 1.0, 60.0  # seconds of waiting until on_wait is called, and between its calls
_EXCLUSIVE = -1


def _flock(kind: int, start: int, length: int) -> bytes:
    if sys.platform == 'darwin':
        return struct.pack(_FLOCK, start, length, 0, kind, os.SEEK_SET)
    return struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)


def try_lock(fd: int, *, exclusive: bool, start: int = 0, length: int = 0) -> bool:
    """Lock bytes of an open file (``length`` 0: to its end and beyond) for this open file description; False if somebody
    else has them.  Never waits.  Raises OSError where the file system has no locks."""
    try:
        fcntl.fcntl(fd, _SETLK, _flock(fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, start, length))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        error.filename = ops.path_of(fd)
        raise
    return True


def unlock(fd: int, *, start: int = 0, length: int = 0) -> None:
    """Free bytes of an open file.  Raises OSError."""
    with ops.Naming(fd):
        fcntl.fcntl(fd, _SETLK, _flock(fcntl.F_UNLCK, start, length))


def unlocking(start: int) -> tuple[int, bytes]:
    """What fcntl has to be told to free one byte, for a process that has to do without this module."""
    return _SETLK, _flock(fcntl.F_UNLCK, start, 1)


def is_locked(fd: int, *, start: int = 0, length: int = 0) -> bool:
    """Whether another open file description has any lock on these bytes; takes none itself.  Raises OSError."""
    answer = fcntl.fcntl(fd, _GETLK, _flock(fcntl.F_WRLCK, start, length))
    fields: tuple[int, ...] = struct.unpack_from(_FLOCK, answer)
    return fields[3 if sys.platform == 'darwin' else 0] != fcntl.F_UNLCK


def sharing() -> tuple[int, bytes]:
    """As :func:`unlocking`: to lock all of a file, beside others who do."""
    return _SETLK, _flock(fcntl.F_RDLCK, 0, 0)


class _Forked(Protocol):
    def after_fork(self) -> None: ...


_to_tell: weakref.WeakSet[_Forked] = weakref.WeakSet()


def forget_in_children(thing: _Forked) -> None:
    """Have ``thing.after_fork()`` called in every forked child: there it must close the descriptors that hold locks.

    A lock lives until the last descriptor of its open file description is closed, so a child that kept one would keep the
    lock after its parent's end.  (exec closes them by itself; a fork made by C code without Python is not seen here.)"""
    _to_tell.add(thing)


def _after_fork() -> None:
    for thing in list(_to_tell):
        thing.after_fork()


os.register_at_fork(after_in_child=_after_fork)


class LockTimeout(UserError):
    """A lock was not free in time (exit 11).  ``holder``: who had it, as far as known."""

    def __init__(self, name: str, waited_seconds: float, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(f'timed out after {waited_seconds:.1f} s waiting for the lock {name!r}, held by {describe(holder)}',
                         hint='wait until it has ended, or give a longer --lock-timeout', exit_code=ExitCode.LOCK_TIMEOUT)


def describe(holder: Holder | None) -> str:
    """A holder in words, for messages."""
    if holder is None:
        return 'another process'
    command = f' ({holder["command"]})' if holder['command'] else ''
    return f'process {holder["pid"]} on {holder["host"]}{command} since {iso(holder["since"])}'


class LockFile:
    """The locks of one scope (a worktree, a cache).

    ``path``: the lock file, made if absent and never truncated or removed; with ``root`` relative to it and reached without
    following links.  ``command``: what to tell those who wait (no secrets).  ``mode``: of the file, less the umask.

    A shared lock counts how often this object took it; an exclusive one excludes this object's other takers too.  Thread
    safe.  A forked child holds nothing and may take locks of its own.  Where the file system has no locks they are leases
    (leases.py).  Methods raise OSError where the file cannot be opened."""

    def __init__(self, path: str, *, root: Root | None = None, command: str = '', mode: int = 0o600) -> None:
        self._root = root
        self._path = path if root else os.path.abspath(path)
        self._mode = mode
        self._held: dict[int, int] = {}  # byte -> how many shared takers, or _EXCLUSIVE
        self._freed = threading.Condition()
        self._fd = -1
        self._leases: Leases | None = None  # in place of locks, where the file system has none
        self._table = HolderTable(lambda: self._open(f'{self._path}.holders'), command)
        self._file()
        forget_in_children(self)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: str) -> int:
        if self._root is None:
            return ops.open_permanent(path, self._mode)
        with self._root.parent(path, create=True) as (fd, name):
            return ops.open_permanent(name, self._mode, dir_fd=fd)

    def _file(self) -> int:
        if self._fd < 0:
            self._fd = self._open(self._path)
        return self._fd

    def after_fork(self) -> None:
        """Let go, in a forked child, of what is the parent's."""
        self._freed = threading.Condition()
        self._leases = None
        self.close()

    def close(self) -> None:
        """Free all locks; the object may be used again."""
        with self._freed:
            self._held.clear()
            self._table.close()
            if self._leases is not None:
                self._leases.release_all()
                self._leases = None
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
            self._freed.notify_all()

    def try_shared(self, name: str) -> bool:
        """Take the lock if nobody has it exclusively.  Never waits."""
        return self._try(name, exclusive=False)

    def try_exclusive(self, name: str, *, noted: bool = True) -> bool:
        """Take the lock if nobody has it, this object included.  Never waits.  ``noted``: for :meth:`holder`."""
        return self._try(name, exclusive=True, noted=noted)

    def _try(self, name: str, exclusive: bool, noted: bool = True) -> bool:
        byte = byte_of(name)
        with self._freed:
            count = self._held.get(byte, 0)
            if count == _EXCLUSIVE or (count and exclusive):
                return False
            if not count:
                if not self._take(byte, exclusive):
                    return False
                if noted:
                    self._table.put(byte)
            self._held[byte] = _EXCLUSIVE if exclusive else count + 1
            return True

    def _take(self, byte: int, exclusive: bool) -> bool:
        if self._leases is None:
            try:
                return try_lock(self._file(), exclusive=exclusive, start=byte, length=1)
            except OSError as error:
                self._without_locks(error)
        assert self._leases is not None
        return self._leases.try_take(byte, exclusive=exclusive)

    def _is_taken(self, byte: int) -> bool:
        if self._leases is None:
            try:
                return is_locked(self._file(), start=byte, length=1)
            except OSError as error:
                self._without_locks(error)
        assert self._leases is not None
        return self._leases.is_taken(byte)

    def _without_locks(self, error: OSError) -> None:
        """From here on by leases; raises the error if it is another one."""
        from mlops_cli.fsio import leases

        if error.errno not in leases.NO_LOCKS or self._held:
            raise error
        self._leases = leases.Leases(f'{ops.path_of(self._file())}.leases')

    def release(self, name: str) -> None:
        """Give back what one try or acquire took.  Raises ValueError if this object does not hold it."""
        byte = byte_of(name)
        with self._freed:
            count = self._held.get(byte)
            if count is None:
                raise ValueError(f'the lock {name!r} is not held')
            if count > 1:
                self._held[byte] = count - 1
                return
            if self._leases is not None:
                self._leases.release(byte)
            else:
                unlock(self._file(), start=byte, length=1)
            del self._held[byte]
            self._freed.notify_all()

    def held(self, name: str) -> Mode | None:
        """How this object holds the lock."""
        count = self._held.get(byte_of(name))
        return None if count is None else 'exclusive' if count == _EXCLUSIVE else 'shared'

    def is_taken(self, name: str) -> bool:
        """Whether anybody, this object included, holds the lock in any mode; takes nothing itself."""
        byte = byte_of(name)
        with self._freed:
            return byte in self._held or self._is_taken(byte)

    def holder(self, name: str) -> Holder | None:
        """Who took the lock last and seems to have it still: advice for people, never to be relied on."""
        return self._table.get(byte_of(name)) if self.is_taken(name) else None

    def acquire(self, name: str, mode: Mode = 'exclusive', timeout: float | None = None, on_wait: OnWait | None = None,
                *, noted: bool = True) -> None:
        """Take the lock, waiting for it at most ``timeout`` seconds (None: without limit), and no longer than
        patience.limit_waiting says.  ``noted``: for :meth:`holder`.

        ``on_wait(holder, waited_seconds)`` is called after one second and then once a minute.  Raises LockTimeout."""
        start = time.monotonic()
        timeout = min((limit for limit in (timeout, patience.limit_seconds) if limit is not None), default=None)
        pause, next_word = _SHORTEST, _FIRST_WORD
        while not self._try(name, mode == 'exclusive', noted):
            waited = time.monotonic() - start
            if timeout is not None and waited >= timeout:
                raise LockTimeout(name, waited, self.holder(name))
            if on_wait is not None and waited >= next_word:
                on_wait(self.holder(name), waited)
                next_word = waited + _NEXT_WORD
            with self._freed:  # one of this process wakes us at once, for the others we look again
                self._freed.wait(pause if timeout is None else min(pause, timeout - waited))
            pause = min(pause * 1.5, _LONGEST)

    @contextmanager
    def holding(self, name: str, mode: Mode = 'exclusive', timeout: float | None = None,
                on_wait: OnWait | None = None, *, noted: bool = True) -> Iterator[None]:
        """Hold the lock within; as acquire."""
        self.acquire(name, mode, timeout, on_wait, noted=noted)
        try:
            yield
        finally:
            self.release(name)


@lru_cache(maxsize=4096)
def byte_of(name: str) -> int:
    """The byte of the lock file that stands for a name: the digest's first 63 bits."""
    return int(digest_of(name.encode('utf-8', 'surrogateescape')).hex[:16], 16) >> 1


def hold_owner(locks: LockFile) -> None:
    """Take, until the process ends, the lock that shows temporaries named by it as not forgotten; again does no harm."""
    name = _owner_lock(temporaries.owner())
    if locks.held(name) is None:
        locks.acquire(name, 'exclusive')


def owner_alive(locks: LockFile) -> Callable[[str], bool]:
    """For sweep_temporaries in a folder all of whose users call hold_owner: certain also across hosts and containers."""
    return lambda owner: owner == temporaries.owner() or locks.is_taken(_owner_lock(owner))


def _owner_lock(owner: str) -> str:
    return f'owner/{owner}'
