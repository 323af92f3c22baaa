"""The records that cannot be read, among those looked at in the time there is: newest runs first, then pins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.ops import machine_error
from mlops_cli.fsio.paths import Root
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
    runs, pins = Runs(root), Pins(root)
    try:
        for run_id in runs.ids():
            yield lambda run_id=run_id: runs.get(run_id)  # type: ignore[misc]
        names = [name for name in pins.names() if is_pin(name)]
    except (OSError, UserError) as error:
        problem = error if isinstance(error, UserError) else machine_error(error, 'list the records')
        yield lambda: _raise(problem)
        return
    for name in names:
        yield lambda name=name: _pin(pins, name)  # type: ignore[misc]


def _pin(pins: Pins, name: str) -> None:
    data = pins.bytes_of(name)
    if data is not None:
        decode(data, f'{layout.STAGES}/{name}')


def _raise(error: UserError) -> None:
    raise error
