"""What this machine has to give: processors, memory, GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlops_cli.run.capacity import Machine

NVIDIA = '/proc/driver/nvidia/gpus'


def machine(tokens: Mapping[str, int]) -> Machine:
    """Processors this process may use, physical memory, NVIDIA cards the driver lists, and the config's tokens."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        cpus = os.cpu_count() or 1
    try:
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (ValueError, OSError):
        memory = 0
    try:
        gpus = len(os.listdir(NVIDIA))
    except OSError:
        gpus = 0
    return Machine(float(cpus), memory or None, gpus, dict(tokens))
