"""How long this process waits for what others hold.  Apart from the locks, so that a command that takes none loads none."""

from __future__ import annotations

limit_seconds: float | None = None


def limit_waiting(seconds: float | None) -> None:
    """From now on no lock of this process is waited for longer than that; None: as long as each call says."""
    global limit_seconds
    limit_seconds = seconds
