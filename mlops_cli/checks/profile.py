"""What a table looks like, column by column, in memory that does not grow with its rows: for contracts and pictures."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import holding, reading
from mlops_cli.core.classes import dataclass, field

DIFFERENT = 50  # values counted of a column; where there are more, none
SAMPLE = 2000  # numbers of a column, for pictures
LONGEST = 80  # characters of a value that is counted
KEY = 1000  # characters that a key of YAML may have without a mark of its own
OFFERED = 20  # values that a contract made from data lists
ORDER = ('boolean', 'integer', 'number', 'date', 'datetime', 'string')


@dataclass
class Profile:
    """``types``: those that every value is of.  ``counts``: None where there are too many different values."""

    name: str
    typed: bool
    rows: int = 0
    nulls: int = 0
    types: tuple[str, ...] = ORDER
    counts: Counter[str] | None = field(default_factory=Counter)
    least: float | None = None
    most: float | None = None
    sample: list[float] = field(default_factory=list)
    numbers: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def take(self, cells: Sequence[Any], rows: int) -> None:
        cells = [json.dumps(cell, sort_keys=True) if isinstance(cell, list | dict) else cell for cell in cells]
        given = [cell for cell in cells if cell is not None and cell != '']
        self.rows += rows
        self.nulls += rows - len(given)
        different = {(type(cell), cell) for cell in given}
        self.types = tuple(one for one in self.types if all(holding.is_of(one, cell, self.typed) for _, cell in different))
        if self.counts is not None:
            if len(different) > DIFFERENT or any(isinstance(cell, str) and len(cell) > LONGEST for _, cell in different):
                self.counts = None
            else:
                self.counts.update(map(form.text_of, given))
                self.counts = self.counts if len(self.counts) <= DIFFERENT else None
        self._measure(given)

    def _measure(self, given: list[Any]) -> None:
        if not {'integer', 'number'} & {*self.types}:
            self.sample.clear()
            return
        for number in map(_float, given):
            self.numbers += 1
            if len(self.sample) < SAMPLE:
                self.sample.append(number)
            elif (at := int(self.chance.random() * self.numbers)) < SAMPLE:
                self.sample[at] = number
        numbers = list(map(_float, given))
        if numbers:
            self.least = min(numbers) if self.least is None else min(self.least, *numbers)
            self.most = max(numbers) if self.most is None else max(self.most, *numbers)

    @property
    def type(self) -> str:
        return next((one for one in ORDER if one in self.types), 'mixed') if self.nulls < self.rows else 'empty'


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(1.7976931348623157e308, value)


def of(path: str, open_file: reading.Open, step: Callable[[int], object]) -> tuple[int, dict[str, Profile]]:
    """(rows, the profile of each column).  Raises UserError."""
    found: dict[str, Profile] = {}
    rows, typed = 0, reading.is_typed(path)
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            for name in piece.names:
                if name not in found:
                    found[name] = Profile(name, typed, rows, rows)
            place = {name: at for at, name in enumerate(piece.names)}
            for name, one in found.items():
                one.take(piece.cells[place[name]] if name in place else (), piece.rows)
            rows += piece.rows
            step(rows)
    return rows, found


def as_contract(profiles: dict[str, Profile], rows: int) -> str:
    """A contract that this table holds to, for a person to go through."""
    odd = sum(not name.isprintable() for name in profiles)  # which no YAML holds
    lines = ['version: 1', 'rows: {min: 1}' if rows else 'rows: {min: 0}', f'extra_columns: {"true" if odd else "false"}']
    if odd:
        lines.append(f'# {odd:,} left out, with control characters in the name')
    lines.append('# unique: [id]')
    lines.append('columns:' if len(profiles) > odd else 'columns: {}')
    for name, one in profiles.items():
        if not name.isprintable():
            continue
        said: dict[str, Any] = {}
        if one.type in form.TYPES:
            said['type'] = one.type
        if not one.nulls:
            said['nullable'] = False
        elif one.nulls < rows:
            said['max_null_share'] = min(1.0, math.ceil(one.nulls / rows * 1000) / 1000)
        if one.type in form.NUMBERS and one.least is not None and one.most is not None:
            whole = one.type == 'integer' and max(abs(one.least), abs(one.most)) < 2**53
            said['min'], said['max'] = (int(one.least), int(one.most)) if whole else (one.least, one.most)
        if (
            one.type == 'string'
            and one.counts
            and len(one.counts) <= min(OFFERED, rows / 5)
            and ''.join(one.counts).isprintable()
        ):
            said['values'] = sorted(one.counts)
        # As they are: of an emoji JSON would make two halves, which YAML does not put together.
        key, value = json.dumps(name, ensure_ascii=False), json.dumps(said, ensure_ascii=False)
        lines += [f'  {key}: {value}'] if len(key) < KEY else [f'  ? {key}', f'  : {value}']
    return '\n'.join(lines) + '\n'
