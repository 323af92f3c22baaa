"""Asks the process of a run to stop, as Ctrl-C would, once it is certain that it is that process.

A pid says little: numbers are used again, other hosts have the same ones.  Here a process is the one meant if its boot, pid and
start time are those that the run wrote down, if it belongs to this user, and if it holds the run's journal open; and from then
on it is addressed by a descriptor, which is never given to another process."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import temporaries
from mlops_cli.fsio.journal import SUFFIX
from mlops_cli.fsio.paths import Root
from mlops_cli.run.live import Live


class Target:
    """The process of a run.  Within ``with``; raises UserError where it is none that may be asked."""

    def __init__(self, root: Root, live: Live) -> None:
        self.live = live
        alive = _alive(live)
        if alive is None:
            raise UserError(
                f'run {live.short} goes on elsewhere: on {live.host or "another host"}, as process {live.pid}',
                hint=f'stop it there: mlops runs cancel {live.short}',
                exit_code=ExitCode.REFUSED,
            )
        self._fd = _open(live.pid) if alive else -1
        if not alive or not _alive(live):  # asked again: the descriptor is of the process that had the number just now
            self.close()
            raise _gone(live)
        try:
            self._check(root)
        except BaseException:
            self.close()
            raise

    def _check(self, root: Root) -> None:
        live = self.live
        user = os.stat(f'/proc/{live.pid}').st_uid if sys.platform == 'linux' else os.getuid()
        if user != os.getuid():
            raise UserError(
                f'run {live.short} belongs to {live.who or f"user {user}"}: only they can stop it',
                hint=f'ask them: mlops runs cancel {live.short}',
                exit_code=ExitCode.REFUSED,
            )
        if sys.platform == 'linux' and not _holds(live.pid, root, f'{layout.JOURNAL}/{live.run}{SUFFIX}'):
            raise _gone(live)

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def ask(self) -> bool:
        """Sends it what Ctrl-C sends; TERM where it was started deaf to that.  One that was suspended, as by Ctrl-Z, is woken
        to hear it.  False if it has just ended.  Raises OSError."""
        number = signal.SIGTERM if _ignores(self.live.pid, signal.SIGINT) else signal.SIGINT
        try:
            self._send(number)
            if _is_suspended(self.live.pid):
                self._send(signal.SIGCONT)
        except ProcessLookupError:
            return False
        return True

    def _send(self, number: int) -> None:
        if self._fd >= 0:
            signal.pidfd_send_signal(self._fd, number)
        else:
            os.kill(self.live.pid, number)

    def wait(self, seconds: float) -> bool:
        """Until it has ended, so long at most; whether it has."""
        if self._fd < 0:
            end = time.monotonic() + seconds
            while (there := bool(_alive(self.live))) and time.monotonic() < end:
                time.sleep(0.05)
            return not there
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))


def _gone(live: Live) -> UserError:
    return UserError(
        f'the process of run {live.short} ({live.pid}) is not there any more; nothing was sent to whatever has its number now',
        hint='the next command that writes puts back what it left: mlops run',
    )


def _alive(live: Live) -> bool | None:
    """Whether its process runs; None where that cannot be seen from here."""
    boot, _, rest = live.owner.partition('-')
    pid, _, start = rest.partition('-')
    if not boot or not pid.isdigit() or not start or int(pid) != live.pid:
        return False
    return temporaries.process_alive(live.owner)


def _open(pid: int) -> int:
    """A descriptor of a process; -1 where the system has none."""
    if not hasattr(os, 'pidfd_open') or not hasattr(signal, 'pidfd_send_signal'):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:  # gone, or a kernel without them
        return -1


def _holds(pid: int, root: Root, path: str) -> bool:
    """Whether a process has a file of the project open.  Of what cannot be looked at, nothing is believed."""
    wanted = root.stat(path)
    folder = f'/proc/{pid}/fd'
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            facts = os.stat(f'{folder}/{name}')
        except OSError:  # closed meanwhile
            continue
        if wanted is not None and (facts.st_dev, facts.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _ignores(pid: int, number: int) -> bool:
    return bool(int(_status(pid, 'SigIgn') or '0', 16) >> (number - 1) & 1)


def _is_suspended(pid: int) -> bool:
    return _status(pid, 'State') == 'T'


def _status(pid: int, name: str) -> str:
    """The first word that the system says of a process; '' where it says nothing."""
    try:
        with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as file:
            return next((line.split()[1] for line in file if line.startswith(f'{name}:')), '')
    except OSError:
        return ''
