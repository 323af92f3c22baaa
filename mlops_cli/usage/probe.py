"""Adds up what one attempt consumed: samples of its living processes, and what the kernel says of each that ended.

Short attempts are never sampled; for them the kernel's own high-water mark stands."""
from __future__ import annotations

import time

from mlops_cli.usage import cpu
from mlops_cli.usage.series import Series

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from resource import struct_rusage

    from mlops_cli.usage.network import Connections, Traffic

FIRST_SAMPLE_SECONDS = 0.5
SAMPLE_SECONDS = 1.0
REST_FACTOR = 50  # a costly measurement may take 1/50 of the time

Figures = tuple[float, float, 'int | None', 'int | None', 'int | None', 'float | None', 'int | None', 'int | None']


class Probe:
    """Feed it with :meth:`sample` and :meth:`ended`; ask :meth:`figures` at the end.  ``series``: what the samples saw."""

    __slots__ = ('_io', '_packages', '_peak', '_rest_until', '_share', '_system', 'cpu_seconds', 'series', 'traffic')

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self._peak = 0
        self._system = 0
        self._io: tuple[int, int] | None = None
        self._share = 1.0
        self._rest_until = 0.0
        self._packages = cpu.Packages()
        self.series = Series()
        self.traffic: Traffic | None = None  # none was looked at yet

    def sample(self, pids: Iterable[int], table: Mapping[int, cpu.Row], seconds: float = 0.0, *,
               moved: Callable[[int], tuple[int, int] | None] = cpu.moved_bytes,
               proportional: Callable[[int], int | None] = cpu.proportional_bytes,
               clock: Callable[[], float] = time.monotonic, connections: Connections | None = None) -> None:
        """Looks at the living processes of the attempt, ``seconds`` after it began."""
        self._packages.joules()
        rows = {pid: table[pid] for pid in pids if pid in table}
        if connections is not None:
            self.traffic = connections.look(self.traffic, rows)
        resident = self.memory(rows, proportional=proportional, clock=clock)
        known = [both for pid in rows if (both := moved(pid)) is not None]
        read, written = self._io or (0, 0)
        self.series.add(seconds, self.cpu_seconds + sum(row.ticks for row in rows.values()) / cpu.TICKS_PER_SECOND, resident,
                        read + sum(one for one, _ in known) if known else None,
                        written + sum(one for _, one in known) if known else None, self.moved())

    def memory(self, rows: Mapping[int, cpu.Row], *, proportional: Callable[[int], int | None] = cpu.proportional_bytes,
               clock: Callable[[], float] = time.monotonic) -> int:
        """Bytes that these processes hold now, noted for the peak.

        Resident sizes count a page once for each process that shares it (workers forked from a loader share nearly all), so
        where their sum would be a new peak, the proportional sizes are read; that is slow for large processes, so it is
        done rarely enough and in between their last ratio is used."""
        resident = sum(row.rss for row in rows.values())
        if len(rows) > 1 and resident > self._peak:
            begin = clock()
            if begin >= self._rest_until:
                exact = sum(row.rss if (found := proportional(pid)) is None else found for pid, row in rows.items())
                self._share = min(1.0, exact / resident) if resident else 1.0
                now = clock()
                self._rest_until = now + REST_FACTOR * (now - begin)
        if len(rows) > 1:
            resident = round(resident * self._share)
        self._peak = max(self._peak, resident)
        return resident

    def ended(self, usage: struct_rusage) -> None:
        """Adds a process of the attempt that was waited for; it includes those that it waited for itself."""
        self.cpu_seconds += cpu.cpu_seconds(usage)
        self._system = max(self._system, cpu.peak_bytes(usage))
        moved = cpu.block_bytes(usage)
        if moved is not None:
            before = self._io or (0, 0)
            self._io = before[0] + moved[0], before[1] + moved[1]

    def moved(self) -> tuple[int, int] | None:
        """Bytes that came from other machines and went there; None where none did, as far as can be told."""
        found = self.traffic
        return None if found is None or not (found.received or found.sent) else (found.received, found.sent)

    def figures(self, wall_seconds: float) -> Figures:
        """The fields of core.job.Usage, in their order: seconds, seconds, bytes, bytes read, bytes written, joules, and
        bytes received and sent."""
        read, written = self._io or (None, None)
        peak = max(self._peak, self._system) or None
        return wall_seconds, self.cpu_seconds, peak, read, written, self._packages.joules(), *(self.moved() or (None, None))
