"""Which start of this machine is the present one, and when it was.  What an earlier one wrote and never synced may have been
lost in part when the power was cut, without a trace in its size and times."""
from __future__ import annotations

import sys
import time

_identity: str | None = None  # kept by hand: functools takes longer to load than what a status has to do


def identity() -> str:
    """Differs from start to start, the same in all containers of a machine; empty where the system does not say."""
    global _identity
    if _identity is None:
        _identity = _asked()
    return _identity


def _asked() -> str:
    if sys.platform == 'darwin':
        from mlops_cli.fsio import native
        return native.boot_session()
    try:
        with open('/proc/sys/kernel/random/boot_id', 'rb') as file:
            return file.read().decode().strip()
    except OSError:
        return ''


def began() -> float:
    """When the machine was started, in seconds since 1970 by its present clock."""
    return time.time() - time.clock_gettime(getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))
