"""The records that cannot be read, among those looked at in the time there is: newest runs first, then what was
accepted, then pins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.records.accepted import Acceptances
from mlops_cli.records.kept import Kept
from mlops_cli.records.pins import Pins, decode, is_pin
from mlops_cli.records.runs import Runs

SECONDS = 2.0  # for all of it
MOST = 50  # that are told


def look(root: Root) -> tuple[UserError, ...]:
    deadline = time.monotonic() + SECONDS
    found: list[UserError] = []
    for read in _readers(root):
        if time.monotonic() > deadline or len(found) >= MOST:
            break
        try:
            read()
        except UserError as error:
            found.append(error)
        except FileNotFoundError:
            continue  # git has taken it away since the listing
        except OSError as error:
            found.append(machine_error(error, 'read a record'))
    return tuple(found)


def _readers(root: Root) -> Iterator[Callable[[], object]]:
    """One call for each record, which raises where it is damaged."""
    runs, pins, acceptances, kept = Runs(root), Pins(root), Acceptances(root), Kept(root)
    yield lambda: data.tracked(root)
    yield from _each(runs.ids, runs.get)
    yield from _each(acceptances.names, acceptances.open)
    yield from _each(lambda: filter(is_pin, pins.names()), lambda name: _pin(pins, name))
    yield from _each(kept.files, kept.of)


def _each(names: Callable[[], Iterable[str]], read: Callable[[str], object]) -> Iterator[Callable[[], object]]:
    """A call for each name; where they cannot be listed, such as in a folder that is a link, one that says so."""
    try:
        for name in names():
            yield lambda name=name: read(name)  # type: ignore[misc]
    except (OSError, UserError) as error:
        problem = error if isinstance(error, UserError) else machine_error(error, 'list the records')
        yield lambda: _raise(problem)


def _pin(pins: Pins, name: str) -> None:
    found = pins.bytes_of(name)
    if found is not None:
        decode(found, f'{layout.STAGES}/{name}')


def _raise(error: UserError) -> None:
    raise error
