"""A file that a person wrote, as plain values, and where each of them stands.  Knows no format and reads nothing."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import Where
from mlops_cli.core.patterns import pattern

Path = Sequence[str | int]

# A place is one integer, line << SHIFT | column, both from 0: two million of them must fit into memory.
SHIFT = Where.SHIFT
_COLUMN = (1 << SHIFT) - 1
_VALUE = (1 << 64) - 1
LINE_END = pattern(r'\r\n?|\n')


def place_where(file: str, place: int) -> Where:
    return Where.at(file, place)


class Marks:
    """Places of the entries of one list or mapping, beside its value.

    ``entries``: of each item of a list its place, by position; of each of a mapping, by key, that of the key in the bits from
    ``KEY`` up, and below them that of the value.  ``below``: the same, one level down; None where there is nothing."""

    __slots__ = ('below', 'entries')
    KEY = 64

    def __init__(self, entries: dict[str, int] | list[int]) -> None:
        self.entries = entries
        self.below: dict[str | int, Marks] | None = None

    def place(self, step: str | int) -> int:
        """Of a value.  Raises LookupError, TypeError."""
        found: int = self.entries[step]  # type: ignore[index]
        return found & _VALUE if isinstance(self.entries, dict) else found

    def key(self, step: str | int) -> int | None:
        """The place of the key of an entry; None in a list.  Raises LookupError."""
        return self.entries[step] >> self.KEY if isinstance(self.entries, dict) else None  # type: ignore[index]

    def under(self, step: str | int) -> Marks | None:
        return self.below.get(step) if self.below is not None else None


class Places(Mapping[str, Where]):
    """The places of the keys of one mapping, each made when it is asked for.  ``numbers``: what Where.at takes of each."""

    __slots__ = ('file', 'numbers')

    def __init__(self, file: str, numbers: Mapping[str, int]) -> None:
        self.file, self.numbers = file, numbers

    def __getitem__(self, key: str) -> Where:
        return Where.at(self.file, self.numbers[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain values, and where each of them stands.  ``value``: None if the file is empty."""

    file: str
    value: Any
    text: str
    start: int
    marks: Marks | None

    def where(self, path: Path = (), *, key: bool = False) -> Where:
        """The place of a value by the keys and positions that lead to it; with ``key``, of its key.

        What is not in the file (a default, the result of a template) has the place of the nearest thing above it."""
        return place_where(self.file, self._find(path, key))

    def places(self, path: Path) -> Places:
        """Where the keys of the mapping stand that these keys and positions lead to."""
        marks = self.marks
        for step in path:
            marks = marks.under(step) if marks is not None else None
        entries = marks.entries if marks is not None and isinstance(marks.entries, dict) else {}
        return Places(self.file, {key: entry >> Marks.KEY for key, entry in entries.items()})

    def where_in(self, path: Path, offset: int, *, key: bool = False) -> Where:
        """The place of a ``${`` inside a text, by its offset in the value: in a long script, the line it is on."""
        value: Any = self.value
        for step in path[:-1] if key else path:
            value = value[step]
        text = path[-1] if key else value
        packed = self._find(path, key)
        if not isinstance(text, str):
            return place_where(self.file, packed)
        starts, position = self._starts(), self.index(path, key=key)
        templates = text.count('${', 0, offset + 2)
        for _ in range(templates):
            position = self.text.find('${', position) + 2
            if position < 2:
                break
        if not templates or position < 2:
            return place_where(self.file, packed)
        line = bisect_right(starts, position - 2)
        return Where(self.file, line, position - 1 - starts[line - 1])

    def index(self, path: Path = (), *, key: bool = False) -> int:
        """As :meth:`where`, in characters from the start of the text."""
        packed = self._find(path, key)
        return self._starts()[packed >> SHIFT] + (packed & _COLUMN)

    def _starts(self) -> Sequence[int]:
        return line_starts(self.text)

    def _find(self, path: Path, key: bool) -> int:
        marks, place, left = self.marks, self.start, len(path)
        for step in path:
            if marks is None:
                break
            try:
                place = marks.place(step)
            except (KeyError, IndexError, TypeError):
                break
            left -= 1
            if key and not left and (found := marks.key(step)) is not None:
                return found
            marks = marks.under(step)
        return place


@lru_cache(maxsize=2)
def line_starts(text: str) -> Sequence[int]:
    """Of each line of a text, where it begins in it; kept, as a text with one mistake often has many."""
    return (0, *(found.end() for found in LINE_END.finditer(text)))
