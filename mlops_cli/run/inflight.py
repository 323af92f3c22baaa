"""What other commands have in flight here, as their journals tell: attempts that were begun and have not ended.

A command ends its attempts before it lets go of their locks.  So who holds the lock of a path, and finds that another command
has an attempt open there, knows that it was killed, and that what it did there has yet to be undone."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.paths import inside
from mlops_cli.fsio import ops
from mlops_cli.fsio.journal import SUFFIX, decode

if TYPE_CHECKING:
    from mlops_cli.fsio.paths import Root

INPUTS = '-inputs'  # attempts of this name place what several commands may place at once
_RECENT_NS = 20_000_000  # within which a second change may not show in a folder's time: two ticks of the slowest clock, HZ=100


def opened(records: Iterable[dict[str, Any]], so_far: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """Attempt -> the record that began it, of those that these records do not end.  ``so_far``: of the records before."""
    found = {} if so_far is None else so_far
    for record in records:
        match record:
            case {'do': 'begin', 'attempt': str(attempt), 'outputs': list()}:
                found[attempt] = record
            case {'do': 'end', 'attempt': str(attempt)}:
                found.pop(attempt, None)
            case _:
                pass
    return found


@dataclass
class _Read:
    """How far a journal was read.  ``rest``: of a line that is not whole yet."""

    inode: int
    size: int = 0
    rest: bytes = b''
    open: dict[str, dict[str, Any]] = field(default_factory=dict)


class InFlight:
    """``mine``: the run whose own journal is left out.  Reads what was added since the last look, and takes nothing.  Keeps the
    folder open until :meth:`close`: this is asked before every stage."""

    def __init__(self, root: Root, mine: str) -> None:
        self._root, self._mine = root, mine
        self._folder = -1
        self._listed: tuple[int, list[str]] = (-1, [])  # when the folder had been changed last, and what was in it
        self._known: dict[str, _Read] = {}

    def close(self) -> None:
        """It may be asked again."""
        fd, self._folder = self._folder, -1
        self._listed = -1, []
        if fd >= 0:
            os.close(fd)

    def run_at(self, written: Collection[str], read: Collection[str] = ()) -> str:
        """A run of another command that has an attempt open at one of these paths; '' if none has.  Asked with their locks
        held: alone of those ``written``, shared of those ``read``.  Raises OSError."""
        for name in self._names():
            if name.endswith(SUFFIX) and name != self._mine + SUFFIX:
                for attempt, record in self._open(name).items():
                    paths = written if attempt.endswith(INPUTS) else [*written, *read]
                    if any(_meets(str(output), path) for output in record['outputs'] for path in paths):
                        return name.removesuffix(SUFFIX)
        return ''

    def _names(self) -> list[str]:
        """What is in the folder; not listed again where it was left alone since, and for so long that its clock tells."""
        if self._folder < 0:
            try:
                self._folder = self._root.open_dir(layout.JOURNAL)
            except (FileNotFoundError, NotADirectoryError):
                return []
        facts = ops.fstat(self._folder)
        if not facts.st_nlink:  # taken away, and perhaps made anew
            self.close()
            return self._names()
        if self._listed[0] != facts.st_mtime_ns or facts.st_mtime_ns > time.time_ns() - _RECENT_NS:
            with ops.Naming(self._folder):
                self._listed = facts.st_mtime_ns, sorted(os.listdir(self._folder))
        return self._listed[1]

    def _open(self, name: str) -> dict[str, dict[str, Any]]:
        try:
            facts = ops.lstat(name, self._folder)
            known = self._known.get(name)
            if known is not None and (known.inode, known.size) == (facts.st_ino, facts.st_size):
                return known.open
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:  # it has gone, or is nothing that a command wrote
            self._known.pop(name, None)
            return {}
        try:
            facts = ops.fstat(fd)
            if not S_ISREG(facts.st_mode):
                return {}
            if known is None or known.inode != facts.st_ino or known.size > facts.st_size:
                known = self._known[name] = _Read(facts.st_ino)
            while data := _more(fd, known.size):
                known.size += len(data)
                lines, _, known.rest = (known.rest + data).rpartition(b'\n')
                opened(decode(lines + b'\n')[0], known.open)
            return known.open
        finally:
            os.close(fd)


def _meets(one: str, other: str) -> bool:
    return inside(one, other) or inside(other, one)


def _more(fd: int, start: int) -> bytes:
    with ops.Naming(fd):
        return os.pread(fd, 1 << 20, start)
