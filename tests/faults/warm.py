"""Commands of mlops forked from a process that has loaded all of it: each begins at once, and any of its changes of the disk
can be made to fail.  The commands are the real ones, down to their exit code and to what they print."""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.tools import Done, Tool

INTERRUPTED_IN_A_ROW = 2  # calls, before one goes through: a storm of signals ends, too
NO_EXIT = -1000  # the code of a command that had to be ended


def load() -> None:
    """All of mlops, and of the standard library what it loads late, so that children share it."""
    import ctypes  # noqa: F401 -- for the children
    import platform  # noqa: F401
    import sqlite3  # noqa: F401
    import subprocess  # noqa: F401

    import mlops_cli

    for one in pkgutil.walk_packages(mlops_cli.__path__, 'mlops_cli.'):
        if one.name not in ('mlops_cli.__main__', 'mlops_cli.job.supervisor', 'mlops_cli.job.entry'):
            importlib.import_module(one.name)
    import mlops_cli.__main__

    gc.freeze()


class Fault:
    """Fails the ``number``-th change of the disk from 0, or -1 for none, and with ``sticky`` all after it.

    A sticky EINTR is one that interrupts each change twice before it goes through.  ``notes``: a descriptor that takes a line
    of JSON, [operation, path, ...], for each change that failed, of ``number`` -1 for all of them."""

    def __init__(self, number: int, error: int, sticky: bool, notes: int) -> None:
        self.number, self.error, self.sticky, self.notes = number, error, sticky, notes
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, operation: str, details: dict[str, Any]) -> None:
        with self._lock:
            position, self._count = self._count, self._count + 1
        fails = self._fails(position)
        if fails or self.number < 0:
            paths = [details[key] for key in ('path', 'source', 'target') if isinstance(details.get(key), str)]
            os.write(self.notes, json.dumps([operation, *paths]).encode() + b'\n')
        if fails:
            raise OSError(self.error, os.strerror(self.error))

    def _fails(self, position: int) -> bool:
        if self.number < 0 or position < self.number:
            return False
        if self.sticky and self.error == errno.EINTR:
            return (position - self.number) % (INTERRUPTED_IN_A_ROW + 1) < INTERRUPTED_IN_A_ROW
        return self.sticky or position == self.number


class Killed(Fault):
    """The process is gone before its ``number``-th change."""

    def __init__(self, number: int) -> None:
        super().__init__(number, 0, False, -1)

    def __call__(self, operation: str, details: dict[str, Any]) -> None:
        with self._lock:
            position, self._count = self._count, self._count + 1
        if position == self.number:
            os.kill(os.getpid(), signal.SIGKILL)


class Notes:
    """A file in memory that children append to."""

    def __init__(self) -> None:
        self.fd = os.memfd_create('notes')

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def text(self) -> str:
        return os.pread(self.fd, 1 << 26, 0).decode(errors='replace')

    def lines(self) -> list[list[str]]:
        return [json.loads(line) for line in self.text().splitlines()]


def do(
    tool: Tool,
    cwd: Path,
    *words: str,
    hook: Callable[[str, dict[str, Any]], None] | None = None,
    attach: Callable[[int], None] | None = None,
    environ: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Done:
    """A command of mlops, to its end, in a child of this process.  ``hook``: told each change of the disk before it is made.
    ``attach``: called with the child's id before it begins."""
    variables = tool.environment(Path(f'{cwd}-home'), environ)
    begun = time.monotonic()
    with Notes() as out, Notes() as err:
        hold, let_go = os.pipe()
        pid = os.fork()
        if not pid:
            _become(cwd, words, variables, out.fd, err.fd, hold, let_go, hook)
        os.close(hold)
        try:
            if attach:
                attach(pid)
                begun = time.monotonic()
        finally:
            os.close(let_go)
        code = _wait(pid, timeout)
        return Done(('mlops', *words), code, out.text(), err.text(), time.monotonic() - begun)


def _become(
    cwd: Path,
    words: Sequence[str],
    variables: Mapping[str, str],
    out: int,
    err: int,
    hold: int,
    let_go: int,
    hook: Callable[[str, dict[str, Any]], None] | None,
) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        os.close(let_go)
        select.select([hold], [], [])  # no read: those are counted
        os.close(hold)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.close(null)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv[:] = ['mlops', *words]
        from mlops_cli.__main__ import start
        from mlops_cli.fsio import ops

        if hook:
            with ops.inject(hook):
                start()
        start()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- the child of a fork may not go on in the code of its parent
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _wait(pid: int, timeout: float) -> int:
    """Its exit code, negative for a signal.  What takes too long is ended, with all it started."""
    ended = os.pidfd_open(pid)
    try:
        in_time = bool(select.select([ended], [], [], timeout)[0])
    finally:
        os.close(ended)
    if not in_time:
        for one in [*descendants(pid), pid]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if in_time else NO_EXIT


def descendants(pid: int) -> Iterator[int]:
    """Of a process, as far as they are still linked to it."""
    for thread in Path(f'/proc/{pid}/task').glob('*'):
        with suppress(OSError):
            for child in (thread / 'children').read_text().split():
                yield from descendants(int(child))
                yield int(child)
