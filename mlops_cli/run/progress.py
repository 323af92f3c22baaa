"""How far a running stage is, by the file that it appends to: one JSON object, or one row of CSV, a line; and, where somebody
else starts it, whether it runs already.

Reads the file's end and changes nothing; what cannot be understood yet (half a line, a file that is not there) says nothing."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core import delimited
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import Figure, StageProgress, StageQueued
from mlops_cli.core.scalars import is_finite
from mlops_cli.fsio.paths import Root

if TYPE_CHECKING:
    from mlops_cli.executors.base import Executor, Handle

Redact = Callable[[str], str]  # text without secrets
Waiting = Callable[[], Mapping['Handle', tuple[str, float]]]  # handle -> for what, and seconds so far

TAIL_BYTES = 1 << 16
HEAD_BYTES = 1 << 13  # in which the names of a table's columns are looked for
FIGURES = 8  # that are kept of a line
TEXT = 60  # characters of a text among them
LONGEST = 1 << 13  # in which secrets are looked for
WORD = 20  # characters
DEPTH = 3  # of mappings in mappings
COARSE = 0.02  # seconds by which the times of files may lag behind the clock
PERIOD = 1.0  # seconds between two looks at one file
QUEUE_PERIOD = 0.5  # seconds between two looks at what waits
SOON = 1.0  # seconds of waiting that are worth no word
# What counts, the coarsest first, and what may say how far that goes.
COUNTERS: Mapping[str, tuple[str, ...]] = {
    'epoch': ('epochs', 'total_epochs', 'max_epochs', 'num_epochs', 'n_epochs'),
    'round': ('rounds', 'total_rounds', 'num_boost_round', 'n_rounds'),
    'fold': ('folds', 'n_folds'),
    'trial': ('trials', 'n_trials'),
    'step': ('steps', 'total_steps', 'max_steps', 'num_steps', 'n_steps'),
    'global_step': ('steps', 'total_steps', 'max_steps'),
    'iteration': ('iterations', 'total_iterations', 'max_iterations', 'n_iter'),
    'iter': ('iters', 'total_iters', 'max_iters', 'n_iter'),
    'batch': ('batches', 'total_batches', 'num_batches'),
    'done': (),
}
ANY_TOTAL = ('total', 'of')
CLOCKS = frozenset(('time', 'timestamp', 'at', 'ts', 'date', 'datetime', 'wall_time', 'created', '_timestamp', '_runtime'))


def read(root: Root, stage: str, path: str, since: float, redact: Redact) -> StageProgress | None:
    """What the last whole line of the file says, if it was written ``since`` (seconds since 1970), without secrets.  Raises
    nothing: a file that is no file, or cannot be read, says nothing."""
    try:
        fd = root.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, UserError):
        return None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or not facts.st_size or facts.st_mtime < since - COARSE:
            return None
        begin = max(0, facts.st_size - TAIL_BYTES)
        end = os.pread(fd, TAIL_BYTES, begin)
        head = os.pread(fd, HEAD_BYTES, 0)
    except OSError:
        return None
    finally:
        os.close(fd)
    values = last_values(path, head, end, whole=not begin)
    return None if values is None else progress_of(stage, values, redact)


def last_values(path: str, head: bytes, end: bytes, *, whole: bool) -> Mapping[str, Any] | None:
    """Name -> value of the last line that can be understood.  ``head``, ``end``: of the file; ``whole``: the end is all of it.
    """
    lines = end.split(b'\n')
    torn = lines.pop()
    lines = lines if whole else lines[1:]
    if path.endswith(('.csv', '.tsv')):
        return _row(path, head, lines)
    for line in (torn, *reversed(lines)):
        if line.strip():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                return found
    return None


def _row(path: str, head: bytes, lines: list[bytes]) -> Mapping[str, Any] | None:
    """The last row of a table whose first line names its columns; only whole lines, for half a number is a number too."""
    first, ended, _ = head.partition(b'\n')
    if not ended:
        return None
    separator = delimited.separator(path, _text(first))
    names = delimited.cells(_text(first), separator)
    for line in reversed(lines):
        cells = delimited.cells(_text(line), separator)
        if line != first and len(cells) == len(names) and any(cells):
            values = [_number(cell, comma=separator == ';') for cell in cells]
            return {name or str(place): value for place, (name, value) in enumerate(zip(names, values, strict=True), 1)}
    return None


def _text(line: bytes) -> str:
    return line.decode('utf-8', 'replace').strip('\r\ufeff')


def _number(cell: str, *, comma: bool) -> Figure:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    number = delimited.decimal(cell) if comma else None
    return cell if number is None else number


def progress_of(stage: str, values: Mapping[str, Any], redact: Redact) -> StageProgress | None:
    """The figures of a line: what counts first, the others as they come; clocks and totals left out."""
    found = {
        _name(name, redact): redact(value)[:TEXT] if isinstance(value, str) else value for name, value in _flat(values)
    }
    lower = {name.casefold(): name for name in reversed(found)}
    counters = [lower[name] for name in COUNTERS if name in lower and _is_count(found[lower[name]])]
    done = total = None
    used: set[str] = set()
    for counter in counters:
        names = (*COUNTERS[counter.casefold()], *(ANY_TOTAL if counter == counters[0] else ()))
        known = [lower[name] for name in names if name in lower and _is_count(found[lower[name]])]
        used.update(known)
        if known and total is None:
            done, total = float(found[counter]), float(found[known[0]])
    rest = [name for name in found if name not in counters and name not in used and name.casefold() not in CLOCKS]
    # what the total belongs to comes first, so that "of 40" stands behind it
    counters.sort(key=lambda name: not (total is not None and found[name] == done))
    figures = tuple((name, found[name]) for name in (*counters, *rest) if found[name] != '')
    return StageProgress(stage, figures[:FIGURES], done, total) if figures else None


def _flat(values: Mapping[str, Any], prefix: str = '', depth: int = DEPTH) -> Iterator[tuple[str, Figure]]:
    for name, value in list(values.items())[:200]:
        text = f'{prefix}{name}'
        if isinstance(value, Mapping) and depth > 1:
            yield from _flat(value, f'{text}.', depth - 1)
        elif isinstance(value, str):
            yield text, value[:LONGEST]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield text, value if isinstance(value, float) or abs(value) < 1 << 63 else math.inf


def _name(name: str, redact: Redact) -> str:
    """Names are mostly words, and to look for secrets takes 30 ms the first time."""
    return name if len(name) < WORD and name.replace('.', '_').isidentifier() else redact(name)


def _is_count(value: object) -> bool:
    return is_finite(value) and value >= 0  # type: ignore[operator]


@dataclass
class Watch:
    """Looks at the files of running stages, at each once a second at most, and tells what changed.

    ``since``: stage -> (path, when its attempt began, in seconds since 1970)."""

    root: Root
    redact: Redact
    since: dict[str, tuple[str, float]] = field(default_factory=dict)
    _seen: dict[str, StageProgress] = field(default_factory=dict)
    _next: float = 0.0

    def begin(self, stage: str, path: str, at: float) -> None:
        if path:
            self.since[stage] = (path, at)

    def end(self, stage: str) -> None:
        if self.since.pop(stage, None):
            self._seen.pop(stage, None)

    def look(self, now: float) -> Iterable[StageProgress]:
        """What is new.  ``now``: seconds on any clock that only goes forward."""
        if not self.since or now < self._next:
            return ()
        self._next = now + PERIOD
        found = []
        for stage, (path, at) in self.since.items():
            one = read(self.root, stage, path, at, self.redact)
            if one is not None and one != self._seen.get(stage):
                self._seen[stage] = one
                found.append(one)
        return found


def asked_of(executor: Executor) -> Waiting | None:
    """How an executor is asked what waits; None for one that begins everything at once, or cannot tell."""
    found: Waiting | None = getattr(executor, 'waiting', None)
    return found


class Queue:
    """What waits, told when it changes.  ``waiting``: of the executor."""

    def __init__(self, waiting: Waiting | None) -> None:
        self._waiting = waiting
        self._stages: dict[Handle, str] = {}
        self._told: dict[Handle, tuple[str, float]] = {}
        self._next = 0.0

    def begin(self, handle: Handle, stage: str) -> None:
        if self._waiting is not None:
            self._stages[handle] = stage

    def end(self, handle: Handle) -> None:
        self._stages.pop(handle, None)
        self._told.pop(handle, None)

    def look(self, now: float) -> Iterator[StageQueued]:
        """What is new.  ``now``: seconds on any clock that only goes forward."""
        if self._waiting is None or not self._stages or now < self._next:
            return
        self._next = now + QUEUE_PERIOD
        found = self._waiting()
        for handle, stage in self._stages.items():
            told = self._told.get(handle)
            if handle in found:
                reason, seconds = found[handle]
                if seconds >= SOON and (told is None or told[0] != reason):
                    yield StageQueued(stage, reason, seconds)
                    told = found[handle]
                if told is not None:
                    self._told[handle] = told[0], seconds
            elif told is not None:
                del self._told[handle]
                yield StageQueued(stage, '', told[1])


class Watched:
    """Both, of the stages of a run."""

    def __init__(self, root: Root, redact: Redact, executor: Executor) -> None:
        self._watch = Watch(root, redact)
        self._queue = Queue(asked_of(executor))

    def begin(self, handle: Handle, stage: str, path: str, at: float) -> None:
        """``path``: of the file in which it says how far it is, '' if there is none; ``at``: seconds since 1970."""
        self._watch.begin(stage, path, at)
        self._queue.begin(handle, stage)

    def end(self, handle: Handle, stage: str) -> None:
        self._watch.end(stage)
        self._queue.end(handle)

    def look(self, now: float) -> Iterator[StageProgress | StageQueued]:
        yield from self._queue.look(now)
        yield from self._watch.look(now)
