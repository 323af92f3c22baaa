"""Locks where the file system has none: leases in a folder, format ``leases-v1`` (docs/formats/locks.md).

Each time a lock is taken alone it gets the next generation, a file that only one can link into place; the highest is the one
that counts.  So a lease that was taken for dead is never removed by two, and who wakes up late sees that others came after.
Who shares a lock has a file of their own, made before they look whether somebody has it alone, and the other way round.

A lease is dead if its process is known to have ended, on this machine; or if for ten minutes neither the clock of the file
system nor ours has seen it renewed.  Who could not renew theirs holds nothing any more, and finds out before giving names.
"""
from __future__ import annotations

import errno
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import boots, naming, ops, temporaries

BEAT_SECONDS = 30.0
DEAD_SECONDS = 600.0
SAFE_SECONDS = DEAD_SECONDS - 4 * BEAT_SECONDS  # without a renewal, after which one's own lease counts for nothing
NO_LOCKS = frozenset((errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS))
_RETRIES = 5  # after ESTALE: the server has forgotten a handle, and gives a new one
_LIMIT = 4096  # bytes of a lease
_FREE = '.free'
_T = TypeVar('_T')


class LostLease(UserError):
    """Others may hold by now what was held here."""

    def __init__(self, folder: str) -> None:
        super().__init__(f'a lock in {folder} was lost: it could not be renewed in time, or another has taken it over',
                         hint='nothing more was written; is the network disk there? then do the same again',
                         exit_code=ExitCode.MACHINE)


class Who(NamedTuple):
    """This process, to others.  ``clock``: seconds since 1970, as this machine thinks."""

    host: str
    boot: str
    owner: str
    clock: Callable[[], float] = time.time

    @classmethod
    def here(cls) -> Who:
        return cls(os.uname().nodename, boots.identity(), temporaries.owner())


def patient(work: Callable[[], _T]) -> _T:
    """``work``, again where the server has forgotten a handle.  Raises OSError."""
    for left in reversed(range(_RETRIES)):
        try:
            return work()
        except OSError as error:
            if error.errno != errno.ESTALE or not left:
                raise
    raise AssertionError('unreachable')


class Leases:
    """The locks of one folder, which is made.  Methods raise OSError.  Thread safe, as its caller is: LockFile."""

    def __init__(self, folder: str, who: Who | None = None, mode: int = 0o700) -> None:
        self._folder, self._who = folder, who or Who.here()
        self._held: dict[int, tuple[str, str]] = {}  # byte -> (name of the file, what is in it that is ours alone)
        self._lock = threading.RLock()
        self._renewed = _elapsed()
        self._ended: threading.Event | None = None
        self.lost = False
        with suppress(FileExistsError):
            ops.mkdir(folder, mode)

    # Taking

    def try_take(self, byte: int, *, exclusive: bool) -> bool:
        """Never waits."""
        with self._lock:
            found = self._alone(byte) if exclusive else self._shared(byte)
            if found is not None:
                if not self._held:
                    self._renewed = _elapsed()
                self._held[byte] = found
                self._beat()
            return found is not None

    def _alone(self, byte: int) -> tuple[str, str] | None:
        with self._file() as (temporary, nonce, now):
            top, names = self._highest(byte)
            if top and not top.endswith(_FREE) and not self._is_dead(top, now):
                return None
            name = self._next(byte, top, temporary)
            if name is None:
                return None
        readers = self._readers(byte)
        # The highest counts: a name that was free long ago may be given again.
        if self._highest(byte)[0] != name or not all(self._is_dead(one, now) for one in readers):
            self._give_back(name, nonce)
            return None
        for old in (*names, *readers):  # a dead reader that wakes up finds its file gone, and so has lost it
            self._unlink(old)
        return name, nonce

    def _next(self, byte: int, top: str, temporary: str) -> str | None:
        """The generation behind the highest, if nobody was faster."""
        name = f'{byte:016x}-{(_generation(top) if top else 0) + 1:016x}'
        return name if self._link(temporary, name) else None

    def _shared(self, byte: int) -> tuple[str, str] | None:
        with self._file() as (temporary, nonce, now):
            name = f'{byte:016x}-shared-{nonce}'
            if not self._link(temporary, name):
                return None
        top, _ = self._highest(byte)
        if not top or top.endswith(_FREE) or (self._is_dead(top, now) and self._supersede(byte, top)):
            return name, nonce
        self._unlink(name)
        return None

    def _supersede(self, byte: int, top: str) -> bool:
        """Go past a dead generation, so that its holder sees it when it wakes up."""
        with self._file() as (temporary, nonce, _):
            name = self._next(byte, top, temporary)
        if name is not None:
            self._give_back(name, nonce)
        return name is not None

    @contextmanager
    def _file(self) -> Iterator[tuple[str, str, float]]:
        """(a file that says who this is, what in it is new, the time as the file system has it)."""
        nonce = secrets.token_hex(16)
        temporary = f'new-{nonce}'
        fd = patient(lambda: ops.open_new(self._path(temporary), 0o644))
        try:
            ops.write(fd, self._text(nonce))
            ops.fsync(fd)
            now = ops.fstat(fd).st_mtime
        finally:
            os.close(fd)
        try:
            yield temporary, nonce, now
        finally:
            self._unlink(temporary)

    def _text(self, nonce: str) -> bytes:
        host, boot, owner, clock = self._who
        return json.dumps({'nonce': nonce, 'host': host, 'boot': boot, 'owner': owner, 'stamp': clock()}).encode().ljust(512)

    def _link(self, temporary: str, name: str) -> bool:
        folder = patient(lambda: os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            return patient(lambda: naming.name_new(folder, temporary, folder, name))
        except OSError as error:  # perhaps it was done, and the answer was lost
            if self._nonce(name) == temporary.removeprefix('new-'):
                return True
            if isinstance(error, FileNotFoundError):
                return False
            raise
        finally:
            os.close(folder)

    # What is there

    def _names(self, byte: int) -> list[str]:
        """Asked of the server: a folder that is opened anew is not taken from memory."""
        begin = f'{byte:016x}-'
        return [name for name in patient(lambda: os.listdir(self._folder)) if name.startswith(begin)]

    def _highest(self, byte: int) -> tuple[str, list[str]]:
        """('' or the file of the highest generation, those of all lower ones)."""
        alone = [name for name in self._names(byte) if '-shared-' not in name]
        alone.sort(key=lambda name: (_generation(name), name))
        return (alone[-1], alone[:-1]) if alone else ('', [])

    def _readers(self, byte: int) -> list[str]:
        return [name for name in self._names(byte) if '-shared-' in name]

    def _read(self, name: str) -> tuple[dict[str, Any], float] | None:
        """(what a lease says, when it was renewed as the file system has it); None if it is gone."""
        def work() -> tuple[bytes, float]:
            with open(self._path(name), 'rb') as file:
                return file.read(_LIMIT), os.fstat(file.fileno()).st_mtime

        try:
            data, changed = patient(work)
        except FileNotFoundError:
            return None
        with suppress(ValueError, RecursionError):
            found = json.loads(data)
            if isinstance(found, dict):
                return found, changed
        return {}, changed

    def _nonce(self, name: str) -> str:
        found = self._read(name)
        return str(found[0].get('nonce')) if found else ''

    def _is_dead(self, name: str, now: float) -> bool:
        """``now``: by the clock that has set the times of the files."""
        found = self._read(name)
        if found is None:
            return not name.endswith(_FREE)
        facts, changed = found
        if facts.get('host') == self._who.host and facts.get('boot') == self._who.boot and self._who.boot:
            with suppress(ValueError):
                if temporaries.process_alive(str(facts.get('owner'))) is False:
                    return True
        stamp = facts.get('stamp')
        if not isinstance(stamp, int | float):  # half written: only the server's clock says anything
            return now - changed > 2 * DEAD_SECONDS
        return now - changed > DEAD_SECONDS and self._who.clock() - stamp > DEAD_SECONDS

    # Keeping, and giving back

    def is_taken(self, byte: int) -> bool:
        """Whether anybody has it, in any mode."""
        with self._lock, self._file() as (_, _, now):
            top, _ = self._highest(byte)
            alone = bool(top) and not top.endswith(_FREE) and not self._is_dead(top, now)
            return alone or any(not self._is_dead(name, now) for name in self._readers(byte))

    def release(self, byte: int) -> None:
        with self._lock:
            name, nonce = self._held.pop(byte)
            self._give_back(name, nonce)

    def release_all(self) -> None:
        with self._lock:
            for byte in [*self._held]:
                with suppress(OSError):
                    self.release(byte)
            if self._ended is not None:
                self._ended.set()
                self._ended = None
            if self.check in ops.fences:
                ops.fences.remove(self.check)

    def _give_back(self, name: str, nonce: str) -> None:
        if '-shared-' in name:
            self._unlink(name)
        elif self._nonce(name) == nonce:  # the number stays, so that no later one is the same
            try:
                patient(lambda: ops.rename(self._path(name), self._path(name + _FREE)))
            except OSError:
                if self._nonce(name) == nonce:  # else it was done, and the answer was lost
                    raise

    def check(self) -> None:
        """Raises LostLease if what is held here may be held by others, too."""
        with self._lock:
            if not self._held:
                return
            late = _elapsed() - self._renewed > SAFE_SECONDS
            if late or self.lost or any(not self._is_ours(byte, *held) for byte, held in self._held.items()):
                self.lost = True
                raise LostLease(self._folder)

    def _is_ours(self, byte: int, name: str, nonce: str) -> bool:
        if self._nonce(name) != nonce:
            return False
        return '-shared-' in name or self._highest(byte)[0] == name

    def _beat(self) -> None:
        if self._ended is None:
            self._ended = threading.Event()
            ops.fences.append(self.check)
            threading.Thread(target=self._renew_on, args=(self._ended,), name='leases', daemon=True).start()

    def _renew_on(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            with self._lock:
                self.renew()

    def renew(self) -> None:
        """Say once more that all that is held here is; who cannot, loses it."""
        begun = _elapsed()
        with self._lock:
            try:
                for name, nonce in self._held.values():
                    self._stamp(name, nonce)
            except (OSError, LostLease) as error:
                if isinstance(error, FileNotFoundError | LostLease):
                    self.lost = True
                return
            self._renewed = begun

    def _stamp(self, name: str, nonce: str) -> None:
        def work() -> None:
            fd = ops.open_with(self._path(name), os.O_RDWR)
            try:
                with ops.Naming(fd):
                    held = os.pread(fd, _LIMIT, 0)
                if json.loads(held).get('nonce') != nonce:
                    raise LostLease(self._folder)
                ops.pwrite(fd, self._text(nonce), 0)
                ops.fsync(fd)
            finally:
                os.close(fd)

        patient(work)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            patient(lambda: ops.unlink(self._path(name)))


def _elapsed() -> float:
    """Seconds, also those in which the machine slept."""
    return time.clock_gettime(getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))


def _generation(name: str) -> int:
    try:
        return int(name.removesuffix(_FREE).rpartition('-')[2], 16)
    except ValueError:
        return 0
