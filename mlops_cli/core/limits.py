"""How many processors and how much memory this process may use, within the control groups (containers, Slurm) that it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator

CGROUPS = '/sys/fs/cgroup'
MEMBERSHIP = '/proc/self/cgroup'
_NO_LIMIT = 1 << 60  # bytes: version 1 of cgroups says "none" with a number near 2**63


def cpus() -> float:
    try:
        count = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS has none
        count = float(os.cpu_count() or 1)
    return min([count, *_cpu_limits()])


def memory_bytes() -> int | None:
    """None where it is not known."""
    try:
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (ValueError, OSError):
        memory = 0
    limits = [limit for limit in _memory_limits() if 0 < limit < _NO_LIMIT]
    return min([*limits, memory] if memory else limits, default=None)


def _groups(controller: str) -> Iterator[str]:
    """The folders of the control groups that bind this process, innermost first."""
    for line in _read(MEMBERSHIP).splitlines():
        _, controllers, path = (*line.split(':', 2), '', '', '')[:3]
        if controllers and controller not in controllers.split(','):
            continue
        top = os.path.join(CGROUPS, controller) if controllers else CGROUPS
        parts = [part for part in path.split('/') if part and part != '..']
        for length in range(len(parts), -1, -1):
            yield os.path.join(top, *parts[:length])


def _memory_limits() -> Iterator[int]:
    for group in _groups('memory'):
        for file in ('memory.max', 'memory.limit_in_bytes'):
            text = _read(os.path.join(group, file)).strip()
            if text.isdigit():
                yield int(text)


def _cpu_limits() -> Iterator[float]:
    for group in _groups('cpu'):
        words = _read(os.path.join(group, 'cpu.max')).split() or [
            _read(os.path.join(group, f'cpu.cfs_{what}_us')).strip() for what in ('quota', 'period')
        ]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[0]) > 0 and int(words[1]) > 0:
            yield int(words[0]) / int(words[1])


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(1 << 16)
    except OSError:
        return ''
