"""The signals of this machine, without the enum classes of the signal module: importing those takes 5 ms, which is half of
what the supervisor needs to start."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import (
        SIG_DFL,
        SIG_IGN,
        SIGCHLD,
        SIGCONT,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGQUIT,
        SIGSTOP,
        SIGTERM,
        getsignal,
        set_wakeup_fd,
        signal,
        valid_signals,
    )
else:
    from _signal import (
        SIG_DFL,
        SIG_IGN,
        SIGCHLD,
        SIGCONT,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGQUIT,
        SIGSTOP,
        SIGTERM,
        getsignal,
        set_wakeup_fd,
        signal,
        valid_signals,
    )

__all__ = ['SIGCHLD', 'SIGCONT', 'SIGHUP', 'SIGINT', 'SIGKILL', 'SIGQUIT', 'SIGSTOP', 'SIGTERM', 'SIG_DFL',
           'SIG_IGN', 'getsignal', 'set_wakeup_fd', 'signal', 'valid_signals']
