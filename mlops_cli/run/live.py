"""The runs that go on in this project, as their own folders tell (docs/formats/live.md).

That one goes on is certain: the kernel says that its journal is locked.  Who it is, the run itself wrote down; before anything
is done to that process, stopping.py makes sure of it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.clock import check_moment
from mlops_cli.core.errors import UserError
from mlops_cli.core.patterns import pattern

if TYPE_CHECKING:  # and what reads a run is loaded where there is one
    from mlops_cli.fsio.paths import Root
    from mlops_cli.run.workbench import Workbench

FIRST_BYTES = 1 << 16  # of a run's file, for its first line
MOST_BYTES = 256 << 20  # of a run's file that are read to tell what runs in it
_STAGE = pattern(rb'^\{"event":"stage-(started|ended|retried|queued)","at":([0-9.]+),"stage":("(?:[^"\\]|\\.)*")', re.MULTILINE)
_TOTAL = pattern(rb'"total":([0-9]+)')


@dataclass(frozen=True, slots=True)
class Doing:
    """A stage that runs now.  ``since``: seconds since 1970.  ``waits``: for what, where it was handed over and does not run
    yet; ``since`` is when that began then."""

    stage: str
    since: float
    attempt: int = 1
    log: str = ''
    progress: str = ''
    typical: float | None = None
    waits: str = ''


@dataclass(frozen=True, slots=True)
class Live:
    """A run that goes on, or went on, here.  ``since``: seconds since 1970.  ``owner``: boot, pid and start of its process.
    ``who``: its user.  ``ended`` of ``total``: stages that were not fresh when it began.  ``stages``: those that run."""

    run: str
    pid: int
    since: float
    host: str
    who: str = ''
    owner: str = ''
    command: tuple[str, ...] = ()
    detached: bool = False
    ended: int = 0
    total: int = 0
    stages: tuple[Doing, ...] = ()

    @property
    def short(self) -> str:
        return self.run.partition('-')[2]


def running(bench: Workbench) -> tuple[Live, ...]:
    """The runs that go on in this project, oldest first, with what they are doing; those of other terminals, other users and
    other hosts too.  Cheap where there is none.  Raises OSError where the records cannot be read."""
    return tuple(running_in(bench.root))


def running_in(root: Root) -> Iterator[Live]:
    try:
        names = sorted(entry.name for entry in root.scandir(layout.JOURNAL))
    except (FileNotFoundError, NotADirectoryError):
        return
    if names:
        yield from _going_on(root, names)


def _going_on(root: Root, names: Iterable[str]) -> Iterator[Live]:
    from mlops_cli.fsio.journal import SUFFIX
    from mlops_cli.run.logs import is_going_on

    for name in names:
        run = name.removesuffix(SUFFIX)
        if name.endswith(SUFFIX) and is_going_on(root, run) and (found := read(root, run)) is not None:
            yield found


def known(root: Root) -> tuple[str, ...]:
    """The runs that have a folder here, newest first, going on or not."""
    try:
        return tuple(sorted((entry.name for entry in root.scandir(layout.LIVE) if entry.is_dir()), reverse=True))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def read(root: Root, run: str) -> Live | None:
    """What a run's folder tells; None if it has none, or it is not one that a run wrote."""
    fd = open_events(root, run)
    if fd is None:
        return None
    with open(fd, 'rb') as file:
        first = file.readline(FIRST_BYTES)
        rest = file.read(MOST_BYTES)
    try:
        header = json.loads(first)
        return _live(run, header, rest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def open_events(root: Root, run: str) -> int | None:
    """A run's file of events, open; None if there is none that can be read."""
    from mlops_cli.fsio import ops
    from mlops_cli.run.recorder import EVENTS, folder_of

    try:
        fd = root.open(f'{folder_of(run)}/{EVENTS}', os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError, UserError):
        return None
    if not stat.S_ISREG(ops.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd


def stat_events(root: Root, run: str) -> os.stat_result | None:
    """The facts of a run's file of events, None if it has none."""
    from mlops_cli.run.recorder import EVENTS, folder_of

    return root.stat(f'{folder_of(run)}/{EVENTS}')


def _live(run: str, header: Mapping[str, Any], rest: bytes) -> Live | None:
    from mlops_cli.run.recorder import SCHEMA

    if header['event'] != 'live' or header['schema'] != SCHEMA or header['run'] != run:
        return None
    doing: dict[str, Doing] = {}
    ended = 0
    for found in _STAGE.finditer(rest):
        stage = json.loads(found[3])
        if found[1] == b'started':
            doing[stage] = _doing(rest, found)
        elif found[1] == b'queued':
            if stage in doing:
                doing[stage] = _queued(doing[stage], rest, found)
        else:
            doing.pop(stage, None)
            ended += found[1] == b'ended'
    total = _TOTAL.search(rest, 0, FIRST_BYTES)
    return Live(
        run,
        int(header['pid']),
        check_moment(header['at']),
        str(header['host']),
        str(header['who']),
        str(header['owner']),
        tuple(map(str, header['command'])),
        bool(header['detached']),
        ended,
        int(total[1]) if total else 0,
        tuple(doing.values()),
    )


def _queued(one: Doing, data: bytes, found: re.Match[bytes]) -> Doing:
    """As it is after it was said that it waits, or does so no more."""
    from mlops_cli.core.events import StageQueued, event_of

    line = data[found.start() : data.find(b'\n', found.start()) + 1]
    event = event_of(json.loads(line)) if line else None
    if not isinstance(event, StageQueued):
        return one
    return replace(one, waits=event.reason, since=check_moment(float(found[2]) - (event.seconds if event.reason else 0.0)))


def _doing(data: bytes, found: re.Match[bytes]) -> Doing:
    from mlops_cli.core.events import StageStarted, event_of

    line = data[found.start() : data.find(b'\n', found.start()) + 1]
    event = event_of(json.loads(line)) if line else None
    since = check_moment(float(found[2]))
    if not isinstance(event, StageStarted):
        return Doing(json.loads(found[3]), since)
    return Doing(event.stage, since, event.attempt, event.log, event.progress, event.typical_seconds)
