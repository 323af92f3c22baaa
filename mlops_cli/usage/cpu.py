"""Reads what the kernel tells about processes: /proc and wait4.  Knows no stage, keeps no state.

The supervisor of a run imports this in an interpreter without site-packages, so it needs next to nothing itself; psutil
would cost that process more than all the rest.  Where there is no /proc, tables are empty and sizes are None.
"""
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from resource import struct_rusage

PAGE_BYTES = os.sysconf('SC_PAGE_SIZE')
TICKS_PER_SECOND = os.sysconf('SC_CLK_TCK')
POWERCAP = '/sys/class/powercap'
BLOCK_BYTES = 512  # the unit of ru_inblock and ru_oublock, whatever the disk's is
_READ_BYTES = 1 << 16
_MAXRSS_BYTES = 1 if sys.platform == 'darwin' else 1024


class Row:
    """One living process, as /proc/<pid>/stat shows it.  ``start``: clock ticks since boot; ``rss``: bytes; ``ticks``: of the
    processor, its own and of those that it has waited for."""

    __slots__ = ('group', 'parent', 'rss', 'session', 'start', 'ticks')

    def __init__(self, parent: int, group: int, session: int, start: int, rss: int, ticks: int = 0) -> None:
        self.parent = parent
        self.group = group
        self.session = session
        self.start = start
        self.rss = rss
        self.ticks = ticks


def read_row(pid: int | str) -> Row | None:
    """The process, or None if it is gone or a mere zombie."""
    text = _read(f'/proc/{pid}/stat')
    return parse_stat(text) if text else None


def parse_stat(text: bytes, *, zombies: bool = False) -> Row | None:
    """A line of /proc/<pid>/stat; the name in it may hold spaces and parentheses."""
    fields = text[text.rfind(b')') + 2:].split()
    if len(fields) < 22:
        return None
    # A main thread that has ended while others go on also shows as Z.
    if fields[0] in (b'Z', b'X') and int(fields[17]) < 2 and not zombies:
        return None
    ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    return Row(int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), max(0, int(fields[21])) * PAGE_BYTES, ticks)


def session_of(pid: int) -> int | None:
    """The session of a process, even of one that has ended and was not waited for."""
    text = _read(f'/proc/{pid}/stat')
    row = parse_stat(text, zombies=True) if text else None
    return row.session if row else None


def program_of(pid: int) -> bytes:
    """The name of what it runs, of which the kernel keeps 15 bytes."""
    return (_read(f'/proc/{pid}/comm') or b'').rstrip(b'\n')


def is_ending(pid: int) -> bool:
    """Whether a process has given its memory back and has its end before it, or has ended and was not waited for: what it was
    started with can be read no more, and what it started may still be its child."""
    text = _read(f'/proc/{pid}/stat') or b''
    fields = text[text.rfind(b')') + 2:].split()
    return len(fields) >= 22 and int(fields[17]) < 2 and (fields[0] in (b'Z', b'X') or int(fields[20]) == 0)


def processes() -> dict[int, Row]:
    """All living processes of this machine that we may see, by pid; empty where there is no /proc."""
    try:
        names = os.listdir('/proc')
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.isdigit() and (row := read_row(name)):
            found[int(name)] = row
    return found


def own_children() -> list[int] | None:
    """Children of the calling process, ended ones too.  Exact, if it has one thread and nobody else waits for them;
    None where the kernel does not offer the list."""
    pid = os.getpid()
    text = _read(f'/proc/{pid}/task/{pid}/children')
    return None if text is None else [int(child) for child in text.split()]


def descendants(roots: Iterable[int], table: Mapping[int, Row]) -> set[int]:
    """The roots that live, and all below them."""
    below: dict[int, list[int]] = {}
    for pid, row in table.items():
        below.setdefault(row.parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in table]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += below.get(pid, ())
    return found


def variable_of(pid: int, name: bytes) -> bytes | None:
    """The value a process was started with for an environment variable; None if unset, or not for us to read."""
    text = _read(f'/proc/{pid}/environ')
    if not text:
        return None
    text = b'\0' + text
    begin = text.find(b'\0' + name + b'=')
    if begin < 0:
        return None
    begin += len(name) + 2
    end = text.find(b'\0', begin)
    return text[begin:] if end < 0 else text[begin:end]


def proportional_bytes(pid: int) -> int | None:
    """Memory of a process with each shared page divided by its sharers (PSS).  Slow: it walks the page tables."""
    text = _read(f'/proc/{pid}/smaps_rollup') or b''
    begin = text.find(b'\nPss:')
    return None if begin < 0 else int(text[begin + 5:].split(None, 1)[0]) * 1024


def moved_bytes(pid: int) -> tuple[int, int] | None:
    """Bytes that a process, and those that it has waited for, read from and wrote to storage; None where that is not told."""
    text = _read(f'/proc/{pid}/io') or b''
    read, written = text.find(b'\nread_bytes: '), text.find(b'\nwrite_bytes: ')
    if read < 0 or written < 0:
        return None
    return int(text[read + 13:].split(None, 1)[0]), int(text[written + 14:].split(None, 1)[0])


def _read(path: str) -> bytes | None:
    """A file of /proc, or None if its process is gone or not ours to look into.  Half the price of open().read()."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = [os.read(descriptor, _READ_BYTES)]
        while parts[-1]:
            parts.append(os.read(descriptor, _READ_BYTES))
    except OSError:  # it went between the two calls
        return None
    finally:
        os.close(descriptor)
    return b''.join(parts)


def cpu_seconds(usage: struct_rusage) -> float:
    """User and system time of a process that was waited for, and of all it waited for itself."""
    return usage.ru_utime + usage.ru_stime


def peak_bytes(usage: struct_rusage) -> int:
    """The largest resident size of any one process in there.  Never below that of the process that started it."""
    return usage.ru_maxrss * _MAXRSS_BYTES


def block_bytes(usage: struct_rusage) -> tuple[int, int] | None:
    """Bytes read from and written to storage (not to the page cache); None where the counts have no such unit."""
    if not sys.platform.startswith('linux'):
        return None
    return usage.ru_inblock * BLOCK_BYTES, usage.ru_oublock * BLOCK_BYTES


class Packages:
    """What all processors of this machine have drawn since this was made, by the counters that their makers put in (RAPL);
    where there are none, or only root may read them, None."""

    __slots__ = ('_counters', '_drawn')

    def __init__(self, folder: str = POWERCAP) -> None:
        self._drawn = 0
        self._counters: list[tuple[str, int, int]] = []  # path, where it starts anew, what it said last
        try:
            names = os.listdir(folder)
        except OSError:
            return
        for name in names:
            kind, colon, number = name.partition(':')
            if kind != 'intel-rapl' or not colon or not number.isdigit():  # parts of packages have two numbers
                continue
            path = f'{folder}/{name}'
            said, end = _microjoules(f'{path}/energy_uj'), _microjoules(f'{path}/max_energy_range_uj')
            if said is not None and end and (_read(f'{path}/name') or b'').startswith(b'package'):
                self._counters.append((f'{path}/energy_uj', end, said))

    def joules(self) -> float | None:
        """To be asked at least once a minute: a counter starts anew after some of these."""
        if not self._counters:
            return None
        for at, (path, end, before) in enumerate(self._counters):
            said = _microjoules(path)
            if said is None:
                continue
            self._drawn += said - before if said >= before else said - before + end
            self._counters[at] = path, end, said
        return self._drawn / 1e6


def _microjoules(path: str) -> int | None:
    text = (_read(path) or b'').strip()
    return int(text) if text.isdigit() else None
