"""Writes what happens in a run into the run's own folder, so that it can be followed from elsewhere (docs/formats/live.md).

What cannot be written ends no run: it goes on, and that is told once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from threading import Lock
from types import TracebackType
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import text_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import (
    Event,
    Note,
    RunFailed,
    StageProgress,
    event_document,
)
from mlops_cli.fsio import ops, temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.run.logs import is_going_on

SCHEMA = 'mlops/live/v1'
EVENTS = 'events.jsonl'
PRINTED = 'output.txt'
KEPT = 50  # runs whose folders stay
_encode = text_of(json.JSONEncoder(separators=(',', ':'), default=str))


def folder_of(run: str) -> str:
    return f'{layout.LIVE}/{run}'


class Recorder:
    """The events of one run on their way to its file and to whoever listens.  ``about``: what its first line tells beside
    the process.  ``now``: seconds since 1970.  Thread safe."""

    def __init__(
        self, root: Root, run: str, about: Mapping[str, Any], listen: Callable[[Event], None], now: Callable[[], float]
    ) -> None:
        self._root, self._run, self._listen, self._now = root, run, listen, now
        self._lock = Lock()
        self._fd = -1
        self._problem = ''
        try:
            root.makedirs(folder_of(run), mode=0o700)
            with root.parent(f'{folder_of(run)}/{EVENTS}') as (folder, name):
                self._fd = ops.open_append(name, dir_fd=folder)
        except (OSError, UserError) as error:  # a full disk, or a link in its place, which is not followed
            self._problem = getattr(error, 'strerror', '') or str(error)
        process = {'pid': os.getpid(), 'owner': temporaries.owner()}
        self._put({'event': 'live', 'at': round(now(), 3), 'schema': SCHEMA, 'run': run, **process, **about})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, UserError):
            self.emit(RunFailed(self._run, str(error), error.hint, int(error.exit_code)))
        elif isinstance(error, OSError):
            self.emit(RunFailed(self._run, f'{error.strerror or error}: {error.filename or ""}', '', int(ExitCode.MACHINE)))
        elif error is not None:
            self.emit(RunFailed(self._run, f'a bug of mlops: {type(error).__name__}', '', int(ExitCode.BUG)))
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def emit(self, event: Event) -> None:
        """Takes an event.  How far stages are is not kept: who follows reads that where the stages write it."""
        if not isinstance(event, StageProgress):
            with self._lock:
                self._put(event_document(event, self._now()))
        self._listen(event)
        self._tell_problem()

    def report(self, document: Mapping[str, Any]) -> None:
        """What the run came to, as replay.py makes it."""
        with self._lock:
            self._put({'event': 'report', 'at': round(self._now(), 3), **document})

    def _put(self, document: Mapping[str, Any]) -> None:
        """A line at a time: whoever sees what a stage does must find it among those that run.  One takes microseconds."""
        if self._fd < 0:
            return
        try:
            ops.write(self._fd, (_encode(document) + '\n').encode('ascii'))
        except OSError as error:
            self._problem = error.strerror or str(error)
            os.close(self._fd)
            self._fd = -1

    def _tell_problem(self) -> None:
        if self._problem:
            problem, self._problem = self._problem, ''
            self._listen(Note(f'this run cannot be followed from elsewhere: {problem}'))


def printed_file(root: Root, run: str) -> int:
    """A new descriptor of the file that takes what a detached run prints.  Raises OSError."""
    with root.parent(f'{folder_of(run)}/{PRINTED}', create=True, mode=0o700) as (folder, name):
        return ops.open_append(name, dir_fd=folder)


def prune(root: Root, most: int = KEPT) -> None:
    """Removes the folders of runs that are long over.  Raises OSError."""
    if root.stat(layout.LIVE) is None:
        return
    names = sorted(entry.name for entry in root.scandir(layout.LIVE) if entry.is_dir())
    for name in names[: max(0, len(names) - most)]:
        if not is_going_on(root, name):
            root.remove_tree(folder_of(name))
