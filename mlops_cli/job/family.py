"""Which process belongs to which attempt, for the one process that is an ancestor of them all.

The supervisor is a subreaper: whoever loses its parent anywhere below becomes the supervisor's own child.  So all that an
attempt has left is its leader, the orphans that were its, and what is below these; nothing can slip away by forking twice,
starting a session or closing descriptors.  Knows no deadlines and sends no outcomes.
"""
from __future__ import annotations

import os

from mlops_cli.job.signals import SIGCONT, SIGKILL, SIGTERM
from mlops_cli.usage import cpu

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VARIABLE = b'MLOPS_ATTEMPT'
# What Apptainer and podman, for who is not root, start below themselves to give a container the files of its image.
SERVERS = frozenset((b'squashfuse', b'squashfuse_ll', b'fuse-overlayfs', b'fuse2fs', b'gocryptfs'))


class Family:
    """The children of this process.  An attempt is known by its name; at most one of its processes is its leader at a time."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self._live: set[str] = set()
        self._sessions: dict[int, str] = {}  # of all leaders of live attempts, those that have ended too
        self._orphans: dict[int, set[str]] = {}  # pid -> the attempts it may come from; usually one
        self._seen: dict[int, str] = {}  # processes that were below a leader at the last look
        self._table: dict[int, cpu.Row] | None = None
        self._marks: dict[int, bytes] | None = None

    def refresh(self) -> None:
        """What was read of /proc before no longer holds."""
        self._table = self._marks = None

    @property
    def table(self) -> dict[int, cpu.Row]:
        """All living processes, read at most once between two calls of :meth:`refresh`."""
        if self._table is None:
            self._table = cpu.processes()
        return self._table

    def lead(self, attempt: str, pid: int) -> None:
        """``pid`` has just been started for the attempt, in a session of its own."""
        self._live.add(attempt)
        self.leaders[pid] = attempt
        self._sessions[pid] = attempt

    def close(self, attempt: str) -> None:
        """The attempt is over; nothing of it is left."""
        self._live.discard(attempt)
        for known in (self._sessions, self._seen):
            for pid in [pid for pid, owner in known.items() if owner == attempt]:
                del known[pid]
        for owners in self._orphans.values():
            owners.discard(attempt)

    def adopt(self) -> None:
        """Notices the orphans that became our children since the last call."""
        children = cpu.own_children()
        if children is None:
            me = os.getpid()
            children = [pid for pid, row in self.table.items() if row.parent == me]
        for pid in children:
            if pid in self.leaders:
                continue
            owners = self._orphans.get(pid)
            if owners is None:
                self._orphans[pid] = self._owners(pid)
            elif len(owners) > 1:  # in the middle of an exec, a process has no environment for a moment
                owners &= self._owners(pid)

    def gone(self, pid: int) -> set[str]:
        """A child has ended (and is still to be waited for).  Returns the attempts it belonged to: exactly one unless it
        was an orphan that hid its origin."""
        leader = self.leaders.pop(pid, None)
        if leader is not None:
            return {leader}
        return self._orphans.pop(pid, None) or self._owners(pid)

    def orphans(self, attempt: str) -> list[int]:
        """Those that are surely of this attempt."""
        return [pid for pid, owners in self._orphans.items() if owners == {attempt}]

    def perhaps(self, attempt: str) -> list[int]:
        """Those that may be of this attempt or of another: they hide, or were seen in the middle of an exec or of their end."""
        return [pid for pid, owners in self._orphans.items() if attempt in owners and len(owners) > 1]

    def members(self, attempt: str, *, everywhere: bool = False) -> set[int]:
        """All living processes of an attempt.  ``everywhere``: also those that some daemon outside started with the
        attempt's environment."""
        self.adopt()
        leaders = [pid for pid, owner in self.leaders.items() if owner == attempt]
        roots = leaders + self.orphans(attempt)
        if everywhere:
            if self._marks is None:
                self._marks = marks(self.table)
            value = os.fsencode(attempt)
            roots += [pid for pid, found in self._marks.items() if found == value]
        return cpu.descendants(roots, self.table)

    def look(self, attempt: str) -> set[int]:
        """As :meth:`members`, and remembers them, so that an orphan that hides later is still known."""
        found = self.members(attempt)
        self._seen.update(dict.fromkeys(found, attempt))
        return found

    def signal(self, attempt: str, number: int, pids: Iterable[int]) -> None:
        """Sends a signal to the groups of the attempt's leaders and to each of ``pids``.

        Who is asked to end, and has time for it, still needs the files of its image: those who serve them are asked when
        nobody else is left."""
        asked = set(pids)
        if number == SIGTERM:
            asked = {pid for pid in asked if cpu.program_of(pid) not in SERVERS} or asked
        groups = [pid for pid, owner in self.leaders.items() if owner == attempt] if asked.issuperset(pids) else []
        for pid in groups:  # not waited for yet, so the number is still its own
            _send(os.killpg, pid, number)
        for pid in asked:
            row = self.table.get(pid)
            if row is None or row.group not in groups:
                _send(os.kill, pid, number)

    def _owners(self, pid: int) -> set[str]:
        session = cpu.session_of(pid)
        if session in self._sessions:
            return {self._sessions[session]}
        if pid in self._seen:
            return {self._seen[pid]}
        value = cpu.variable_of(pid, VARIABLE)
        if value is not None and (name := os.fsdecode(value)) in self._live:
            return {name}
        return set(self._live)


def marks(table: Iterable[int]) -> dict[int, bytes]:
    """pid -> the attempt it was started for, of all processes that carry one and that we may look into."""
    return {pid: value for pid in table if (value := cpu.variable_of(pid, VARIABLE)) is not None}


def kill_marked(attempts: Iterable[str], sessions: Iterable[int] = ()) -> int:
    """One round of SIGKILL to all processes of attempts whose supervisor is no more: those that carry the variable or are
    in one of ``sessions``, and all below.  Returns how many it found; to be called until that is 0."""
    table = cpu.processes()
    values = {os.fsencode(attempt) for attempt in attempts}
    wanted = set(sessions)
    roots = [pid for pid, value in marks(table).items() if value in values]
    roots += [pid for pid, row in table.items() if row.session in wanted]
    found = cpu.descendants(roots, table) - {os.getpid()}
    for pid in found:
        _send(os.kill, pid, SIGKILL)
    return len(found)


def _send(how: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        how(pid, number)
        if number == SIGTERM:
            how(pid, SIGCONT)  # a stopped process would hear it only when it goes on
    except (ProcessLookupError, PermissionError):  # gone meanwhile, or another user's by sudo
        pass
