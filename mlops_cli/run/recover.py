"""What the next command does about commands that were killed: undoes what was in flight, from their journals.

What a killed run left running may go on for as long as a stage may take to end, and writes where it wrote before: nothing is
put back as long as it does.  Every step may itself be killed and repeated.  Knows nothing about plans.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_seconds
from mlops_cli.fsio import ops, patience
from mlops_cli.fsio.journal import SUFFIX, Leftover, leftovers
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside, checkpoint
from mlops_cli.run.inflight import opened

HEALING = {'do': 'heal'}  # appended by who undoes it, as long as that takes
_MARKS = (b'"do":"heal"', b'"heal":true')
_TAIL_BYTES = 1 << 12
_PAUSE = 0.05  # seconds between two looks at what another command undoes


@dataclass(frozen=True, slots=True)
class Undone:
    """A stage of a killed run.  ``outputs``: that were put back as they were before it.  ``kept``: where what stood there is
    now, path -> place, as far as there is anything in it."""

    stage: str
    run: str
    outputs: tuple[str, ...]
    kept: dict[str, str]

    @property
    def short(self) -> str:
        return self.run.partition('-')[2]


@dataclass(frozen=True, slots=True)
class Recovered:
    """``runs``: what the journals of killed runs told, one list of records each."""

    runs: tuple[tuple[dict[str, Any], ...], ...]
    undone: tuple[Undone, ...]


def recover(
    root: Root,
    on_run: Callable[[tuple[dict[str, Any], ...]], None] = lambda _: None,
    allowed: Callable[[], None] = lambda: None,
    waiting: Callable[[str, float], None] | None = lambda _run, _seconds: None,
) -> Recovered:
    """Heals after killed commands; cheap when there is nothing to do.  ``on_run`` sees a killed run's journal before it goes.

    ``allowed``: called before the first journal is believed, to raise if none may be.  ``waiting(run, seconds)``: called again
    and again while what a killed run left running has yet to end, or another command undoes it, and may raise; None: such a run
    is left for later.

    Raises OSError; UserError for a link in place of the journals, for what is none of ours in one, where what a killed run left
    running cannot be ended (exit 6), and where waiting for that took too long (exit 11)."""
    runs: list[tuple[dict[str, Any], ...]] = []
    undone: list[Undone] = []
    for leftover in _claimed(root, waiting):
        if not runs:
            allowed()
        records = _sound(leftover)
        open_attempts = opened(records)
        if not _laid_to_rest(root, leftover, open_attempts, waiting):
            continue
        for record in reversed(open_attempts.values()):  # what was moved last goes back first
            for path in record.get('links', ()):
                checkpoint.drop_link(root, path)
            places: dict[str, str] = {}
            clear = record.get('clear') is True
            aside.put_back(root, record['attempt'], record['run'], record['stage'], record['outputs'], places, clear=clear)
            if clear:  # no folder of it tells that this has been done
                leftover.append({'do': 'end', 'attempt': record['attempt'], 'heal': True})
            kept = {path: place for path, place in places.items() if aside.holds_something(root, place)}
            undone.append(Undone(record['stage'], record['run'], tuple(record['outputs']), kept))
        on_run(tuple(records))
        runs.append(tuple(records))
        leftover.remove()
    return Recovered(tuple(runs), tuple(undone))


def _sound(leftover: Leftover) -> list[dict[str, Any]]:
    """Its records.  Raises UserError (exit 5) where one is not what we write: nothing of such a journal is done."""
    for number, record in enumerate(leftover.records, 1):
        match record:
            case {'do': 'begin', 'attempt': str(), 'run': str(), 'stage': str(), 'outputs': list(outputs)}:
                links = record.get('links', [])
                good = isinstance(links, list) and all(isinstance(path, str) for path in (*outputs, *links))
            case {'do': 'run', 'run': str()}:
                good = isinstance(record.get('started', ''), str) and isinstance(record.get('command', []), list)
            case {'do': 'end', 'attempt': str()}:
                good = True
            case _:
                good = record.get('do') not in ('begin', 'run', 'end')
        if not good or not all(map(_is_name, _texts(record))):
            raise UserError(
                f'{leftover.path} is no journal of ours: record {number} is {str(record)[:80]}',
                hint=f'look at it, then remove it: rm {shlex.quote(leftover.path)}',
                exit_code=ExitCode.REFUSED,
            )
    return leftover.records


def _texts(record: Mapping[str, Any]) -> Iterable[str]:
    for value in record.values():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _is_name(text: str) -> bool:
    """Whether it can be that of a file: half of a character cannot."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _claimed(root: Root, waiting: Callable[[str, float], None] | None) -> Iterable[Leftover]:
    """The journals whose owner is gone; also those that another command was about to undo, should that be killed in turn."""
    begun = time.monotonic()
    while True:
        yield from leftovers(layout.JOURNAL, root=root)
        if waiting is None or not (run := _being_healed(root)):
            return
        _wait(run, time.monotonic() - begun, waiting)
        time.sleep(_PAUSE)


def _laid_to_rest(
    root: Root, leftover: Leftover, attempts: Mapping[str, Any], waiting: Callable[[str, float], None] | None
) -> bool:
    """Whether nothing of these attempts lives any more."""
    names = [name for name, record in attempts.items() if record.get('kind') == 'run']
    if not names:
        return True
    from mlops_cli.executors.local import ALIVE
    from mlops_cli.job.orphans import end_orphans, is_being_ended

    alive = os.path.join(root.path, layout.LOCAL, ALIVE)
    if waiting is None and is_being_ended(alive, names):
        return False
    leftover.append(HEALING)
    run = leftover.name

    def wait(seconds: float) -> None:
        if waiting is not None:
            _wait(run, seconds, waiting)

    if left := end_orphans(alive, names, wait):
        raise UserError(
            f'run {run.partition("-")[2]} was killed here, and {left} of its processes cannot be: what was there before it is '
            'not put back as long as they may write',
            hint='the system waits for a disk or network that does not answer; end that, then do this again',
            exit_code=ExitCode.MACHINE,
        )
    return True


def _wait(run: str, seconds: float, waiting: Callable[[str, float], None]) -> None:
    if patience.limit_seconds is not None and seconds >= patience.limit_seconds:
        raise UserError(
            f'run {run.partition("-")[2]} was killed here, and what it left running goes on after {show_seconds(seconds)}',
            hint='wait for it, or give a longer --lock-timeout',
            exit_code=ExitCode.LOCK_TIMEOUT,
        )
    waiting(run, seconds)


def _being_healed(root: Root) -> str:
    """A run that another command is undoing, '' if there is none."""
    from mlops_cli.fsio import locks

    try:
        names = sorted(entry.name for entry in root.scandir(layout.JOURNAL))
    except (FileNotFoundError, NotADirectoryError):
        return ''
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        try:
            fd = root.open(f'{layout.JOURNAL}/{name}', os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            with ops.Naming(fd):
                facts = os.fstat(fd)
                tail = os.pread(fd, _TAIL_BYTES, max(0, facts.st_size - _TAIL_BYTES))
            last = tail.rstrip(b'\n').rpartition(b'\n')[2]
            if facts.st_nlink and any(mark in last for mark in _MARKS) and locks.is_locked(fd):
                return name.removesuffix(SUFFIX)
        finally:
            os.close(fd)
    return ''
