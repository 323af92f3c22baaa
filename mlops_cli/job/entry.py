"""The supervisor's program: makes this process what the supervisor needs it to be, then hands over.

Started by client.py as ``python -I -S -c`` (so that the compiled code of these modules is used, which a script's own is not).
"""
from __future__ import annotations

import os
import sys

from mlops_cli.job.signals import SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, signal
from mlops_cli.job.supervisor import Supervisor
from mlops_cli.job.wire import ALIVE, EVENTS, REQUESTS, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _process_control(option: int, value: int) -> None:
    """prctl(2).  The public ctypes module takes 3 ms to import; this is what it calls.  Raises OSError."""
    from _ctypes import call_function, dlopen, dlsym

    if call_function(dlsym(dlopen(None, 0), 'prctl'), (option, value)) != 0:  # type: ignore[arg-type]
        raise OSError(f'this kernel refuses prctl {option}')


def _close_inherited(last: int) -> None:
    """What the runner's parents left open (a make's job server, a CI's pipes) must not reach the stages."""
    for name in os.listdir('/proc/self/fd'):  # raises OSError where /proc is not mounted; nothing here works without it
        if int(name) > last:
            try:
                os.close(int(name))
            except OSError:  # the one that listed them
                continue
    for descriptor in range(REQUESTS, last + 1):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:  # the runner could not open the alive lock; what for, is told when it is held
            continue


def _hold(path: str) -> None:
    """Keeps a shared lock on a file until this process is no more.  Raises OSError."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        raise OSError(f'{path}: {error.strerror}') from error


def _tell_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug of ours: the client learns of it, and kills what we had started."""
    import traceback

    os.set_blocking(EVENTS, True)
    os.write(EVENTS, encode(('crashed', ''.join(traceback.format_exception(kind, error, trace)))))


def main(runner: int, leftover_seconds: float, alive_lock: str) -> None:
    """The whole program.  ``alive_lock``: path of a file to keep locked while anything of the run lives, or empty."""
    sys.excepthook = _tell_crash
    os.chdir('/')
    os.set_blocking(EVENTS, False)
    for number in (SIGINT, SIGHUP, SIGQUIT):
        signal(number, SIG_IGN)
    # TERM comes when the runner's thread that started us ends; only the end of the whole runner counts (see wait).
    for number in (SIGTERM, SIGCHLD):
        signal(number, lambda *_: None)
    try:
        _close_inherited(ALIVE if alive_lock else EVENTS)
        _process_control(PR_SET_CHILD_SUBREAPER, 1)
        _process_control(PR_SET_PDEATHSIG, SIGTERM)
        if alive_lock:
            _hold(alive_lock)
    except OSError as error:
        os.write(EVENTS, encode(('refused', str(error))))
        return
    if os.getppid() == runner:
        Supervisor(runner, leftover_seconds).run()
