"""What stages printed, attempt by attempt, with how each attempt ended, as far as this machine still knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import RunStarted, StageEnded, StageRetried, StageStarted
from mlops_cli.records.runs import Run
from mlops_cli.run.logs import is_going_on, logs_of, newest_log, runs_with_logs
from mlops_cli.run.replay import Follower
from mlops_cli.run.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Attempt:
    """``began``: seconds since 1970.  ``state``: as a stage's in a run, 'running', or '' where nobody knows."""

    number: int = 1
    began: float | None = None
    state: str = ''
    exit_code: int | None = None
    seconds: float | None = None
    progress: str = ''
    message: str = ''


@dataclass(frozen=True, slots=True)
class Log:
    """What one attempt of a stage printed.  ``run``: its id.  ``place``: where it is, for people; ``open``: its bytes."""

    stage: str
    run: str
    place: str
    open: Callable[[], IO[bytes]] = field(repr=False)
    attempt: Attempt = Attempt()

    @property
    def short(self) -> str:
        return self.run.partition('-')[2]


class Story:
    """What happened in a run so far, by its events; ``look`` reads on.  ``stages``: those that were not fresh when it began.
    ``ended``: stage -> its last event."""

    def __init__(self, bench: Workbench, run: str) -> None:
        self.bench, self.run = bench, run
        self.stages: frozenset[str] = frozenset()
        self.attempts: dict[str, dict[int, Attempt]] = {}
        self.ended: dict[str, StageEnded] = {}
        self.going_on = True
        self._follower = Follower(bench.root, run)

    def __enter__(self) -> Story:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.__exit__()

    @property
    def told(self) -> bool:
        """Whether the run wrote its events here."""
        return self._follower.found

    def look(self) -> None:
        self.going_on = is_going_on(self.bench.root, self.run)  # asked before it is read, so that the last lines count
        for at, event in self._follower.poll():
            match event:
                case RunStarted():
                    self.stages = frozenset(event.stages)
                case StageStarted():
                    one = Attempt(event.attempt, at, 'running', progress=event.progress)
                    self.attempts.setdefault(event.stage, {})[event.attempt] = one
                case StageRetried():
                    self._close(event.stage, event.attempt, 'failed', event.exit_code, event.seconds, event.message)
                case StageEnded():
                    self.ended[event.stage] = event
                    last = max(self.attempts.get(event.stage, {}), default=0)
                    self._close(event.stage, last, event.state, event.exit_code, event.seconds, event.message)
                case _:
                    pass

    def _close(self, stage: str, number: int, state: str, code: int | None, seconds: float, message: str) -> None:
        found = self.attempts.get(stage, {})
        if number in found:
            found[number] = replace(found[number], state=state, exit_code=code, seconds=seconds, message=message)

    def of(self, stage: str, number: int) -> Attempt:
        """An attempt; one that a killed run left behind did not end by itself."""
        found = self.attempts.get(stage, {}).get(number, Attempt(number))
        return replace(found, state='killed') if found.state == 'running' and not self.going_on else found

    def has_log(self, stage: str, number: int) -> bool:
        """Whether what an attempt prints has its file here; it comes a moment after the event that the attempt began."""
        return number in self.attempts.get(stage, {}) and len(logs_of(self.bench.root, self.run, stage)) >= number

    def is_over(self, stage: str) -> bool:
        """Whether nothing more comes of a stage in this run."""
        return stage in self.ended or not self.going_on


class Stories:
    """The stories of several runs, each read once.  Within ``with``."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._known: dict[str, Story] = {}

    def __enter__(self) -> Stories:
        return self

    def __exit__(self, *_: object) -> None:
        for story in self._known.values():
            story.__exit__()

    def of(self, run: str) -> Story:
        if run not in self._known:
            self._known[run] = Story(self._bench, run).__enter__()
        return self._known[run]


def find_logs(bench: Workbench, stories: Stories, stage: str, run: str = '') -> list[Log]:
    """The files of this machine, an attempt each; else the copy in the store.  Without ``run``: the last attempt of all, with
    it every attempt in that run.  Raises UserError for an unknown run."""
    wanted = run_id(bench, run) if run else ''
    if not run and (newest := newest_log(bench.root, stage)):
        wanted = newest[0]
    here = logs_of(bench.root, wanted, stage) if wanted else ()
    if here:
        found = [log_file(bench, stories.of(wanted), stage, number) for number in range(1, len(here) + 1)]
        if found[-1].attempt.state == '':
            found[-1] = replace(found[-1], attempt=_recorded(bench, wanted, stage, len(here)))
        return found if run else found[-1:]
    runs: Iterable[Run] = [bench.runs.find(run)] if run else bench.runs.newest()
    stored = (log for one in runs if (log := _stored(bench, stage, one)) is not None)
    return list(islice(stored, 1))


def run_id(bench: Workbench, text: str) -> str:
    """A run with logs here may not have a record yet: it still goes on.  Raises UserError."""
    known = [one for one in runs_with_logs(bench.root) if text in (one, one.partition('-')[2])]
    known = known or [one for one in runs_with_logs(bench.root) if one.partition('-')[2].startswith(text.lower())]
    return known[0] if len(known) == 1 else bench.runs.find(text).id


def log_file(bench: Workbench, story: Story, stage: str, number: int) -> Log:
    """The log of an attempt that has one here."""
    path = logs_of(bench.root, story.run, stage)[number - 1]
    return Log(stage, story.run, path, lambda: open(bench.root.open(path, os.O_RDONLY), 'rb'), story.of(stage, number))


def _recorded(bench: Workbench, run: str, stage: str, number: int) -> Attempt:
    """What the run's record tells, where its events are gone."""
    try:
        found = bench.runs.find(run)
    except UserError:  # killed before it was recorded, or by an older version
        return Attempt(number)
    return next(_of_row(found, stage, number), Attempt(number))


def _of_row(run: Run, stage: str, number: int) -> Iterator[Attempt]:
    for row in run.stages:
        if row.name == stage:
            yield Attempt(number, from_iso(run.started), row.state, row.exit_code, row.seconds)


def _stored(bench: Workbench, stage: str, run: Run) -> Log | None:
    row = next((row for row in run.stages if row.name == stage and row.key and row.state == 'done'), None)
    if row is None or row.key is None:
        return None
    for entry in bench.results.lookup(row.key):
        if entry.entry8 == row.outs8 and entry.log is not None and not bench.store.missing([entry.log]):
            return _object(bench, stage, run, entry.log.digest)
    return None


def _object(bench: Workbench, stage: str, run: Run, digest: Digest) -> Log:
    attempt = next(_of_row(run, stage, 1), Attempt())
    return Log(stage, run.id, str(digest), lambda: open(bench.store.open(digest)[0], 'rb'), attempt)


def awaited(stories: Stories, runs: Iterable[str], stage: str) -> str | None:
    """The newest of the runs that is still to come to the stage."""
    for run in sorted(runs, reverse=True):
        story = stories.of(run)
        if stage in story.stages and not story.has_log(stage, 1) and not story.is_over(stage):
            return run
    return None
