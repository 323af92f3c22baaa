"""Python's search for cycles, put off while a great many values are made that have none."""
from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

alone = False  # whether the process ends with the command that is carried out


@contextmanager
def without_collector() -> Iterator[None]:
    """A fifth of the time of a plan of 10,000 stages went to looking for cycles among values that have none.

    In a process that ends with the command, nothing of what is there by then is ever looked at, not even when it ends."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            collector_again()


def collector_again() -> None:
    """Ends :func:`without_collector` before its time: what begins now may take days."""
    if alone:
        gc.freeze()
    gc.enable()
