"""What the next command does about commands that were killed: undoes what was in flight, from their journals.

Every step may itself be killed and repeated.  Knows nothing about plans.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.journal import Leftover, leftovers
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside, checkpoint


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
) -> Recovered:
    """Heals after killed commands; cheap when there is nothing to do.  ``on_run`` sees a killed run's journal before it goes.

    ``allowed``: called before the first journal is believed, to raise if none may be.

    Raises OSError; UserError for a link in place of the journals, and for what is none of ours in one."""
    runs: list[tuple[dict[str, Any], ...]] = []
    undone: list[Undone] = []
    for leftover in leftovers(layout.JOURNAL, root=root):
        if not runs:
            allowed()
        records = _sound(leftover)
        open_attempts: dict[str, dict[str, Any]] = {}
        for record in records:
            if record.get('do') == 'begin':
                open_attempts[record['attempt']] = record
            elif record.get('do') == 'end':
                open_attempts.pop(record['attempt'], None)
        for record in reversed(open_attempts.values()):  # what was moved last goes back first
            for path in record.get('links', ()):
                checkpoint.drop_link(root, path)
            places: dict[str, str] = {}
            clear = record.get('clear') is True
            aside.put_back(root, record['attempt'], record['run'], record['stage'], record['outputs'], places, clear=clear)
            if clear:  # no folder of it tells that this has been done
                leftover.append({'do': 'end', 'attempt': record['attempt']})
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
        if not good:
            raise UserError(
                f'{leftover.path} is no journal of ours: record {number} is {str(record)[:80]}',
                hint=f'look at it, then remove it: rm {shlex.quote(leftover.path)}',
                exit_code=ExitCode.REFUSED,
            )
    return leftover.records
