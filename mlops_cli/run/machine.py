"""What this machine has to give: processors, memory, GPUs, as far as this process may use them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import takewhile

from mlops_cli.run.capacity import Machine

NVIDIA = '/proc/driver/nvidia/gpus'
CGROUPS = '/sys/fs/cgroup'
MEMBERSHIP = '/proc/self/cgroup'
_NO_LIMIT = 1 << 60  # bytes: version 1 of cgroups says "none" with a number near 2**63


def machine(tokens: Mapping[str, int], environ: Mapping[str, str] = os.environ) -> Machine:
    """Processors and memory, within the limits of the control groups (containers, Slurm) this process is in; NVIDIA cards
    that the driver lists and CUDA_VISIBLE_DEVICES, if set, leaves; the config's tokens."""
    try:
        cpus = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS has none
        cpus = float(os.cpu_count() or 1)
    try:
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (ValueError, OSError):
        memory = 0
    limits = [limit for limit in _memory_limits() if 0 < limit < _NO_LIMIT]
    names = _visible(_cards(), environ.get('CUDA_VISIBLE_DEVICES'))
    return Machine(
        min([cpus, *_cpu_limits()]),
        min([*limits, memory] if memory else limits, default=None),
        len(names),
        dict(tokens),
        names,
    )


def card_models() -> list[str]:
    """What each card calls itself, as its driver says; none where it does not."""
    try:
        texts = [_read(os.path.join(NVIDIA, name, 'information')) for name in sorted(os.listdir(NVIDIA))]
    except OSError:
        return []
    lines = [line.partition(':') for text in texts for line in text.splitlines()]
    return [value.strip() for name, _, value in lines if name.strip() == 'Model' and value.strip()]


def _cards() -> int:
    try:
        return len(os.listdir(NVIDIA))
    except OSError:
        return 0


def _visible(cards: int, chosen: str | None) -> tuple[str, ...]:
    """The names of the cards; as CUDA does, up to the first that is none."""
    if chosen is None:
        return tuple(map(str, range(cards)))
    names = [name.strip() for name in chosen.split(',')] if cards else []
    return tuple(dict.fromkeys(takewhile(lambda name: _is_card(name, cards), names)))


def _is_card(name: str, cards: int) -> bool:
    if name.isascii() and name.isdigit():
        return int(name) < cards
    return name.startswith(('GPU-', 'MIG-'))


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
