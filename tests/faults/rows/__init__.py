"""The rows of the table: each module here has ``ROWS``, and is named after them, as f01_kill."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from tests.faults.base import Row


@cache
def modules() -> tuple[str, ...]:
    return tuple(sorted(one.name for one in iter_modules(__path__)))


def _number(row: str) -> str:
    """F1 and F1-random are both in a module f01_..."""
    number = row.partition('-')[0]
    return f'{number[0].lower()}{int(number[1:]):02}_'


def module_of(row: str) -> str:
    """The dotted name of the module that has this row.  Raises StopIteration if none has."""
    return next(f'{__name__}.{name}' for name in modules() if name.startswith(_number(row)))


def all_rows(named: Collection[str] = ()) -> tuple[Row, ...]:
    """Those named, as F1 (F1-random, too) or F1-random; all if none is."""
    wanted = {module_of(name) for name in named} or {f'{__name__}.{name}' for name in modules()}
    rows = [row for name in sorted(wanted) for row in import_module(name).ROWS]
    return tuple(row for row in rows if not named or {row.name, row.name.partition('-')[0]} & set(named))
