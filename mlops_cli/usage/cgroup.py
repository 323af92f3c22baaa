"""What a control group of Linux has consumed: for processes that a daemon starts, and that are nobody's children here.

Of both kinds of hierarchy (https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/).  Keeps no state."""
from __future__ import annotations

import os

from mlops_cli.core.classes import dataclass

PROC, MOUNT = '/proc', '/sys/fs/cgroup'
OLD = {'Read': 'rbytes', 'Write': 'wbytes'}


@dataclass(frozen=True)
class Group:
    """Absolute paths of what tells its processor time, and its reads and writes.  ``scale``: of the former, to a second."""

    cpu: str
    io: str
    scale: float

    def cpu_seconds(self) -> float | None:
        """Of all that was ever in it; None once it is gone."""
        text = _read(self.cpu)
        for line in text.splitlines():
            name, _, value = line.rpartition(' ')
            if name in ('', 'usage_usec') and value.isdigit():
                return int(value) / self.scale
        return None

    def moved_bytes(self) -> tuple[int, int] | None:
        """Read from and written to storage; None where that is not told."""
        found = {'rbytes': 0, 'wbytes': 0}
        told = False
        for line in _read(self.io).splitlines():
            words = line.split()[1:]
            if len(words) == 2 and words[0] in OLD:  # v1: 8:0 Read 4096
                words = [f'{OLD[words[0]]}={words[1]}']
            for word in words:  # v2: 8:0 rbytes=4096 wbytes=0 ...
                name, _, value = word.partition('=')
                if name in found and value.isdigit():
                    told = True
                    found[name] += int(value)
        return (found['rbytes'], found['wbytes']) if told else None


def group_of(pid: int, proc: str = PROC, mount: str = MOUNT) -> Group | None:
    """That of a process, where this machine tells of it."""
    unified, separate = '', {}
    for line in _read(f'{proc}/{pid}/cgroup').splitlines():
        _, controllers, path = [*line.split(':', 2), '', ''][:3]
        if not controllers:
            unified = path
        for name in controllers.split(','):
            separate[name] = f'{mount}/{controllers}{path}', f'{mount}/{name}{path}'
    cpu = _file(separate.get('cpuacct', ()), 'cpuacct.usage')
    if cpu:
        return Group(cpu, _file(separate.get('blkio', ()), 'blkio.throttle.io_service_bytes'), 1e9)
    cpu = _file((f'{mount}{unified}',), 'cpu.stat') if unified else ''
    return Group(cpu, _file((f'{mount}{unified}',), 'io.stat'), 1e6) if cpu else None


def _file(folders: tuple[str, ...], name: str) -> str:
    return next((f'{folder}/{name}' for folder in folders if os.path.isfile(f'{folder}/{name}')), '')


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(1 << 20)
    except (OSError, ValueError):
        return ''
