"""The processes of a trial: found by a mark in their environment, and ended with it, whatever happens."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

MARK = 'FAULTS_TRIAL'
TRACES = (b'Traceback', b'\nKeyboardInterrupt', b'bug of mlops')


class Band:
    """Use as a context manager: at its end every process with the mark is killed, and those that were started here are waited
    for."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(12)
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Band:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def start(self, argv: Sequence[str], cwd: Path, environ: Mapping[str, str], out: IO[bytes] | None = None,
              **options: Any) -> subprocess.Popen[bytes]:
        """In a session of its own, both streams into ``out``."""
        given = {'stdin': subprocess.DEVNULL, 'stdout': out or subprocess.DEVNULL, 'stderr': subprocess.STDOUT,
                 'start_new_session': True}
        process = subprocess.Popen(argv, cwd=cwd, env={**environ, MARK: self.mark}, **{**given, **options})
        self.started.append(process)
        return process

    def alive(self) -> dict[int, str]:
        """pid -> command line of every process with the mark that lives, those started here too."""
        wanted = f'{MARK}={self.mark}'.encode()
        found = {}
        for name in os.listdir('/proc'):
            if name.isdigit() and wanted in _read(name, 'environ').split(b'\0') and _state(name) not in 'ZX':
                found[int(name)] = _read(name, 'cmdline').replace(b'\0', b' ').decode(errors='replace')
        return found

    def left(self) -> dict[int, str]:
        """Those of them that were not started here, or were but have been waited for."""
        running = {process.pid for process in self.started if process.returncode is None}
        return {pid: line for pid, line in self.alive().items() if pid not in running}

    def left_after(self, seconds: float) -> dict[int, str]:
        """What is still left when so long has passed, asked until nothing is; one look may miss who forks just then."""
        until = time.monotonic() + seconds
        while (left := {**self.left(), **self.left()}) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def end(self) -> None:
        """Kill all, and wait for those that were started here."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for process in self.started:
                process.poll()
            if not (found := self.alive()):
                break
            for pid in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()


def supervisor_of(band: Band) -> int | None:
    """The process of mlops that owns the stages' processes."""
    return next((pid for pid, line in band.alive().items() if 'mlops-supervisor' in line), None)


def traces(text: bytes) -> str:
    """The last line of a traceback in what was printed, '' without one."""
    if not any(trace in text for trace in TRACES):
        return ''
    return text.decode(errors='replace').strip().splitlines()[-1][-200:]


def _read(pid: str, name: str) -> bytes:
    try:
        with open(f'/proc/{pid}/{name}', 'rb') as file:
            return file.read()
    except OSError:
        return b''


def _state(pid: str) -> str:
    return _read(pid, 'stat').rpartition(b')')[2].split()[:1][0].decode() if _read(pid, 'stat') else 'X'


def wait_for(what: Any, seconds: float = 30) -> bool:
    """Whether it came about in time."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
