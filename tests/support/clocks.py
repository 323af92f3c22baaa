"""Time that other work on this machine lengthens little."""

from __future__ import annotations

import resource


def processor_seconds() -> float:
    """That the processes had which this one has waited for; of two calls the difference counts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
