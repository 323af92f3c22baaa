"""Which start of this machine is the present one, and when it was.  What an earlier one wrote and never synced may have been
lost in part when the power was cut, without a trace in its size and times."""
from __future__ import annotations

import sys
import time
from functools import cache


@cache
def identity() -> str:
    """Differs from start to start, the same in all containers of a machine; empty where the system does not say."""
    if sys.platform == 'darwin':
        from mlops_cli.fsio import native
        return native.boot_session()
    try:
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return ''


@cache
def began() -> float:
    """When the machine was started, in seconds since 1970 by its present clock."""
    return time.time() - time.clock_gettime(getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))
