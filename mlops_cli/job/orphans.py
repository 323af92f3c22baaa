"""What runs that were killed left running: whether it is being ended, and its end where nobody sees to that any more.

A supervisor outlives its run for as long as it takes to end the attempts of it (docs/formats/supervisor.md).  Meanwhile they
write where they wrote before, so whoever puts back what was there waits for them."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection

from mlops_cli.fsio import locks
from mlops_cli.job.family import kill_marked

_SHORTEST, _LONGEST = 0.01, 0.1  # seconds between two looks
_CALM_ROUNDS = 2  # a process in the middle of an exec shows no environment for a moment
KILL_SECONDS = 30.0  # how long what has no supervisor is killed again and again


def is_being_ended(alive_lock: str, attempts: Collection[str]) -> bool:
    """Whether the supervisor of one of these attempts lives, and has yet to see the last of its processes gone.
    ``alive_lock``: absolute path.  Takes nothing.  Raises OSError."""
    try:
        fd = os.open(alive_lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return any(locks.is_locked(fd, start=locks.byte_of(attempt), length=1) for attempt in attempts)
    finally:
        os.close(fd)


def end_orphans(alive_lock: str, attempts: Collection[str], waiting: Callable[[float], None]) -> int:
    """Waits until supervisors have ended these attempts, then kills what carries their mark all the same: that is so where the
    supervisor was killed as well.  Returns how many live on because they could not be killed.

    ``waiting(seconds)``: called again and again while there is something to wait for; may raise.  Raises OSError."""
    begun = time.monotonic()
    pause = _SHORTEST
    while is_being_ended(alive_lock, attempts):
        waiting(time.monotonic() - begun)
        time.sleep(pause)
        pause = min(_LONGEST, pause * 1.3)
    until = time.monotonic() + KILL_SECONDS
    calm = left = 0
    while calm < _CALM_ROUNDS and time.monotonic() < until:
        if calm or left:
            time.sleep(_SHORTEST)
        left = kill_marked(attempts)
        calm = 0 if left else calm + 1
        if left:
            waiting(time.monotonic() - begun)
    return left
