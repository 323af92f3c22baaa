"""Ctrl-C, TERM and HUP end a command: what it has in hand is put right first, and the exit code tells which it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlops_cli.core.errors import ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import (
        ITIMER_REAL,
        SIG_DFL,
        SIGALRM,
        SIGHUP,
        SIGINT,
        SIGTERM,
        default_int_handler,
        getsignal,
        setitimer,
        signal,
    )
    from types import FrameType
else:  # the other makes enum classes, for 5 ms
    from _signal import (
        ITIMER_REAL,
        SIG_DFL,
        SIGALRM,
        SIGHUP,
        SIGINT,
        SIGTERM,
        default_int_handler,
        getsignal,
        setitimer,
        signal,
    )

WORDS = {0: 'interrupted', SIGTERM: 'terminated', SIGHUP: 'the terminal went away'}
USUAL: dict[int, Any] = {SIGINT: default_int_handler, SIGTERM: SIG_DFL, SIGHUP: SIG_DFL}
# Where one would be raised too late or too early, or be swallowed: between two steps that belong together.
LIBRARY = frozenset((
    'contextlib', 'threading', 'queue', 'subprocess', 'concurrent.futures._base', 'concurrent.futures.thread',
    'weakref', '_weakrefset', '_frozen_importlib', '_frozen_importlib_external',
))  # fmt: skip
BETWEEN = frozenset(('__enter__', '__exit__', 'enter_context', '__del__', '_take', '_again'))
LATER_SECONDS = 0.001
LATER = 64  # times that one is put off, lest what waits in such a place never hear of it
asked_by = 0  # the first of the signals but Ctrl-C that came
_put_off, _times = 0, 0  # the one that comes again


@contextmanager
def obeying() -> Iterator[None]:
    """While it lasts all of them raise KeyboardInterrupt.  What was ignored, as nohup has it, stays so; so does what somebody
    else handles, and all in a thread that is not the first one."""
    taken = [number for number, usual in USUAL.items() if getsignal(number) == usual]
    try:
        for number in taken:
            signal(number, _take)
    except ValueError:
        taken = []
    try:
        yield
    finally:
        for number in taken:
            signal(number, USUAL[number])


def _take(number: int, frame: FrameType | None) -> None:
    """Python lets a signal in at the very end of ``__enter__``, at the very beginning of ``__exit__`` and, in its own library,
    where a lock was let go of and is not taken again yet.  Were it raised there, what the with statement is to put right would
    never be, or a lock be let go of twice: so it comes again a little later."""
    global asked_by, _put_off, _times
    if _times < LATER and frame is not None and _is_between(frame):
        _put_off, _times = number, _times + 1
        signal(SIGALRM, _again)
        setitimer(ITIMER_REAL, LATER_SECONDS)
        return
    _put_off = _times = 0
    asked_by = asked_by or (number if number != SIGINT else 0)
    raise KeyboardInterrupt


def _is_between(frame: FrameType) -> bool:
    return frame.f_code.co_name in BETWEEN or frame.f_globals.get('__name__') in LIBRARY


def _again(_alarm: int, frame: FrameType | None) -> None:
    if _put_off:
        _take(_put_off, frame)


def code(found: int) -> int:
    """The exit code of a command that ended with ``found``."""
    return 128 + asked_by if asked_by and found == ExitCode.INTERRUPTED else found
