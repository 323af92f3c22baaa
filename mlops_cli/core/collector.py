"""Python's search for cycles, put off while a great many values are made that have none."""
from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """A fifth of the time of a plan of 10,000 stages went to looking for cycles among values that have none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def collector_again() -> None:
    """Ends :func:`without_collector` before its time: what begins now may take days."""
    gc.enable()
