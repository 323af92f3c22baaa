"""What a name in a gate stands for where that is not one file: several files that a pattern matches, or a file of elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError


class NobodyYet(UserError):
    """Nobody holds an alias that a gate compares with."""


@dataclass(frozen=True)
class Source:
    """One of several files.  ``name``: what tells it apart from the others: what the stars stand for.  ``shown``: for
    messages."""

    name: str
    shown: str
    document: Any


@dataclass(frozen=True)
class Sources:
    """``many``: of a pattern, whose values are a list; else there is one."""

    all: tuple[Source, ...]
    many: bool


Beyond = Callable[[str, bool], Sources | None]


def matched(file: str, names: Iterable[str], read: Callable[[str], Any], shown: str = '') -> Sources:
    """Those of the names that a pattern matches, in their natural order.  ``read``: a name -> its values.  ``shown``: what to
    put in front of a name in messages.  Raises UserError."""
    if '**' in file:
        raise UserError(f'{shown}{file}: ** stands for no more than *', hint='a * for each folder, as runs/*/*/metrics.json')
    apart = re.compile('([^/]*)'.join(map(re.escape, file.split('*'))))
    found = [(match, name) for name in names if (match := apart.fullmatch(name))]
    found.sort(key=lambda one: _natural(one[1]))
    return Sources(tuple(Source('/'.join(match.groups()), f'{shown}{name}', read(name)) for match, name in found), '*' in file)


def of_metrics(file: str, metrics: Mapping[str, Any], shown: str) -> Sources:
    """Of what was recorded: file -> its values."""
    return matched(file, metrics, metrics.__getitem__, shown)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """seed=2 before seed=10."""
    parts = re.split(r'([0-9]{1,18})', name)
    return [(0, int(part), '') if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]
