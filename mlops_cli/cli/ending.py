"""TERM and HUP end a command as Ctrl-C does: what it has in hand is put right first, and the exit code tells which it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlops_cli.core.errors import ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_DFL, SIGHUP, SIGTERM, getsignal, signal
else:  # the other makes enum classes, for 5 ms
    from _signal import SIG_DFL, SIGHUP, SIGTERM, getsignal, signal

WORDS = {0: 'interrupted', SIGTERM: 'terminated', SIGHUP: 'the terminal went away'}
asked_by = 0  # the first of these signals that came


@contextmanager
def obeying() -> Iterator[None]:
    """While it lasts both raise KeyboardInterrupt.  What was ignored, as nohup has it, stays so; so does what somebody else
    handles, and all in a thread that is not the first one."""
    taken = [number for number in (SIGTERM, SIGHUP) if getsignal(number) == SIG_DFL]
    try:
        for number in taken:
            signal(number, _take)
    except ValueError:
        taken = []
    try:
        yield
    finally:
        for number in taken:
            signal(number, SIG_DFL)


def _take(number: int, _frame: object) -> None:
    global asked_by
    asked_by = asked_by or number
    raise KeyboardInterrupt


def code(found: int) -> int:
    """The exit code of a command that ended with ``found``."""
    return 128 + asked_by if asked_by and found == ExitCode.INTERRUPTED else found
