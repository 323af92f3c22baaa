"""``mlops`` in forks of this process, which has loaded it already: a tenth of the time of a process of its own.

A fork can be killed just before any change of the disk, and somebody may edit files just before another: what happens to a
command in the middle is tried at a known place, and can be had again."""

from __future__ import annotations

import ctypes
import importlib
import io
import os
import pkgutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from mlops_cli.fsio import ops
from tests.faults.tools import Done

PARTS = ('cli', 'core', 'fsio', 'git', 'fingerprint', 'pipeline', 'plan', 'records', 'run', 'store', 'executors', 'job')
SECONDS = 60
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


@cache
def load() -> None:
    """Everything that a command may import, so that no fork has to."""
    for part in PARTS:
        package = importlib.import_module(f'mlops_cli.{part}')
        for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
            importlib.import_module(module.name)


def do(
    words: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    *,
    kill_before: int = 0,
    edit_before: int = 0,
    edit: Callable[[], object] = lambda: None,
) -> Done:
    """A command line, to its end.  ``kill_before``: SIGKILL just before this change of the disk, counted from 1.  ``edit``:
    called in the fork just before that change.  Whatever a killed command leaves running has ended before this returns."""
    load()
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            _nurse(words, cwd, environ, (out.fileno(), err.fileno()), (kill_before, edit_before, edit))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors='backslashreplace'))
    return Done(('mlops', *words), code - 256 if code > 128 + 64 else code, texts[0], texts[1], time.monotonic() - begun)


def _nurse(
    words: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    streams: tuple[int, int],
    happens: tuple[int, int, Callable[[], object]],
) -> NoReturn:
    """Waits for the command, and for every process that it leaves behind.  Ends as the command did; 256 - n for signal n."""
    code = 99
    try:
        if happens[0] and sys.platform == 'linux':
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        pid = os.fork() if happens[0] else 0
        if not pid:
            _command(words, cwd, environ, streams, happens)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    finally:
        os._exit(code % 256)


def _command(
    words: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    streams: tuple[int, int],
    happens: tuple[int, int, Callable[[], object]],
) -> NoReturn:
    code = 99
    kill_before, edit_before, edit = happens
    count = 0

    def change(_operation: str, _details: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if count == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        if count == edit_before:
            edit()

    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)  # nothing may wait for ever
        for number, fd in enumerate(streams, 1):
            os.dup2(fd, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(cwd)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, 'w', closefd=False), encoding='utf-8', write_through=True)  # type: ignore[arg-type]
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, 'w', closefd=False),
            encoding='utf-8',
            errors='backslashreplace',
            write_through=True,  # type: ignore[arg-type]
        )
        sys.argv = ['mlops', *words]
        with ops.inject(change):
            code = _main()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - told to who asks, whatever it is
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _main() -> int:
    from mlops_cli.__main__ import main

    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
