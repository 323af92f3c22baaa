"""How the values of columns are distributed: counts in bins, told once for a baseline and counted again later.

By reading rows; mlops_cli/checks/distribution_sql.py has DuckDB count the same."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading
from mlops_cli.core.classes import dataclass, field

BINS = 100  # of numbers; columns with no more different ones keep each
NAMED = 100  # categories that a baseline counts, the most frequent ones
DIFFERENT = 10_000  # values from which on a column of texts has no categories
LONGEST = 200  # characters of the name of a category
SAMPLE = 1 << 16  # rows from which the edges of bins are taken

Step = Callable[[int], object]


@dataclass
class Column:
    """``kind``: number, category, or text, whose values are not compared.  ``nulls``: rows without a value; ``odd``: with one
    that is no number; ``other``: with none of the named categories, or of a text with any value.  ``counts``: of values up to
    each of ``edges``, and beyond the last.  ``exact``: all values are edges."""

    kind: str
    nulls: int = 0
    odd: int = 0
    other: int = 0
    edges: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list)
    exact: bool = False
    categories: dict[str, int] = field(default_factory=dict)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Where another table is counted: also just below values that are all known."""
        if not self.exact:
            return self.edges
        return tuple(cut for edge in self.edges for cut in (math.nextafter(edge, -math.inf), edge))

    def at_cuts(self) -> list[int]:
        if not self.exact:
            return self.counts
        return [count for one in self.counts[:-1] for count in (0, one)] + self.counts[-1:]


@dataclass
class Table:
    rows: int = 0
    columns: dict[str, Column] = field(default_factory=dict)


@dataclass
class Profile:
    """What a baseline is made from.  ``different``: the numbers, in order, if they are few.  ``quantiles``: else, of a sample.
    ``categories``: the most frequent ones, None if there are too many."""

    given: int = 0
    numbers: int = 0
    different: list[float] | None = None
    quantiles: list[float] = field(default_factory=list)
    categories: list[tuple[str, int]] | None = None

    @property
    def kind(self) -> str:
        if self.numbers and self.numbers * 10 >= self.given * 9:
            return 'number'
        return 'category' if self.given and self.categories is not None else 'text'

    def column(self) -> Column:
        if self.kind == 'number':
            few = self.different is not None
            edges = self.different if self.different is not None else sorted(set(self.quantiles))
            return Column('number', edges=tuple(edges), exact=few)
        if self.kind == 'category':
            return Column('category', categories={name: 0 for name, _ in self.categories or () if len(name) <= LONGEST})
        return Column('text')


def stride(rows: int) -> int:
    """Each of which rows a sample has."""
    return 1 << max(0, math.ceil(math.log2(rows / SAMPLE))) if rows > SAMPLE else 1


class _Seen:
    def __init__(self, typed: bool, missed: int) -> None:
        self.typed = typed
        self.given = self.numbers = 0
        self.different: set[float] | None = set()
        self.texts: Counter[str] | None = Counter()
        self.sample: list[float | None] = [None] * missed

    def take(self, cells: Sequence[Any], first: int, step: int) -> None:
        given = values(cells, self.typed)
        self.given += len(given)
        numbers = [number for cell in given if (number := number_of(cell, self.typed)) is not None]
        self.numbers += len(numbers)
        if self.different is not None:
            self.different.update(numbers)
            self.different = self.different if len(self.different) <= BINS else None
        if self.texts is not None and len(self.texts) <= DIFFERENT:
            self.texts.update(map(text_of, given))
        if self.texts is not None and len(self.texts) > DIFFERENT:
            self.texts = None
        at = -first % step
        self.sample += [number_of(cell, self.typed) for cell in cells[at::step]]

    def profile(self) -> Profile:
        found = Profile(self.given, self.numbers)
        found.different = None if self.different is None else sorted(self.different)
        sample = sorted(one for one in self.sample if one is not None)
        found.quantiles = [sample[max(0, math.ceil(len(sample) * at / BINS) - 1)] for at in range(BINS + 1)] if sample else []
        if self.texts is not None:
            found.categories = sorted(self.texts.items(), key=lambda one: (-one[1], one[0]))[:NAMED]
        return found


def values(cells: Iterable[Any], typed: bool) -> list[Any]:
    """Those that are there; NaN is how numbers say that none is."""
    if typed:
        return [cell for cell in cells if cell is not None and cell != '' and cell == cell]
    return [cell for cell in cells if cell]


def number_of(cell: Any, typed: bool) -> float | None:
    if not typed:
        return float(cell) if cell and form.is_written('number', cell) else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        return float(cell) if math.isfinite(cell) else None
    except OverflowError:
        return None


def text_of(cell: Any) -> str:
    return json.dumps(cell, sort_keys=True) if isinstance(cell, list | dict) else form.text_of(cell)


def profiles(path: str, open_file: reading.Open, step: Step) -> dict[str, Profile]:
    found: dict[str, _Seen] = {}
    rows, every, typed = 0, 1, reading.is_typed(path)
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            for name in piece.names:
                if name not in found:
                    found[name] = _Seen(typed, -(-rows // every))
            place = {name: at for at, name in enumerate(piece.names)}
            for name, one in found.items():
                one.take(piece.cells[place[name]] if name in place else (None,) * piece.rows, rows, every)
            rows += piece.rows
            while stride(rows) > every:
                every *= 2
                for one in found.values():
                    one.sample = one.sample[::2]
            step(rows)
    return {name: one.profile() for name, one in found.items()}


def measured(path: str, asked: Mapping[str, Column], open_file: reading.Open, step: Step) -> tuple[Table, list[str]]:
    """The columns that are asked for, of those that are there, each as it is to be counted; and the names of all."""
    found = Table()
    names: dict[str, None] = {}
    typed = reading.is_typed(path)
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            for name in piece.names:
                names[name] = None
                if name in asked and name not in found.columns:
                    found.columns[name] = empty(asked[name], found.rows)
            place = {name: at for at, name in enumerate(piece.names)}
            for name, one in found.columns.items():
                _count(one, values(piece.cells[place[name]], typed) if name in place else [], piece.rows, typed)
            found.rows += piece.rows
            step(found.rows)
    for name in names or dict.fromkeys(reading.columns(path, open_file)):
        names[name] = None
        if name in asked and name not in found.columns:
            found.columns[name] = empty(asked[name], found.rows)
    return found, list(names)


def empty(like: Column, nulls: int = 0) -> Column:
    counts = [0] * (len(like.cuts) + 1) if like.kind == 'number' else []
    return Column(like.kind, nulls, edges=like.cuts, counts=counts, categories=dict.fromkeys(like.categories, 0))


def _count(one: Column, given: list[Any], rows: int, typed: bool) -> None:
    one.nulls += rows - len(given)
    if one.kind == 'number':
        for cell in given:
            number = number_of(cell, typed)
            if number is None:
                one.odd += 1
            else:
                one.counts[bisect_left(one.edges, number)] += 1
        return
    for text, count in Counter(map(text_of, given)).items() if one.kind == 'category' else ():
        if text in one.categories:
            one.categories[text] += count
        else:
            one.other += count
    if one.kind == 'text':
        one.other += len(given)
