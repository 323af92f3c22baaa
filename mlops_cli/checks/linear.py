"""Regular expressions that take time in proportion to the text, whoever wrote them: no backtracking, no back references.

The dialect is what DuckDB's own expressions mean by the same words: characters, ``.``, classes, groups, ``|`` and
``* + ? {m,n}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

STATES = 500  # places in a pattern once its repetitions are written out
KEPT = 1_000_000  # places in the transitions remembered, which are at most 50,000
PARTS = 20_000  # of a pattern, however little is in each, once its repetitions are written out
LONGEST = 200  # characters of a pattern
_CLASSES = {'d': '0-9', 'w': '0-9A-Za-z_', 's': '\t\n\f\r '}
_PLAIN = {'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f'}

Test = Callable[[str], bool]
Part = tuple[bool, set[int], set[int]]  # may be empty, places it may begin with, end with


class Linear:
    """``text``: matched against whole values.  ``portable``: the same for DuckDB.  Raises ValueError, which says why."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f'longer than {LONGEST} characters')
        self._text, self._at = text, 0
        self._tests: list[Test] = []
        self._follow: list[set[int]] = []
        self._parts = 0
        tree = self._alternatives(0)
        if self._at < len(text):
            raise ValueError(f'")" at {self._at + 1} closes nothing')
        self.portable = _portable(text)
        empty, first, last = self._built(tree)
        self._last = frozenset(last)
        self._empty = empty
        self._first = frozenset(first)
        self._known: dict[tuple[frozenset[int] | None, str], frozenset[int]] = {}
        self._kept = 0

    def matches(self, value: str) -> bool:
        state: frozenset[int] | None = None
        for character in value:
            key = (state, character)
            found = self._known.get(key)
            if found is None:
                found = self._step(state, character)
                if self._kept >= KEPT:
                    self._known.clear()
                    self._kept = 0
                self._known[key] = found
                self._kept += 20 + len(found)
            if not found:
                return False
            state = found
        return self._empty if state is None else not self._last.isdisjoint(state)

    def _step(self, state: frozenset[int] | None, character: str) -> frozenset[int]:
        places = self._first if state is None else frozenset().union(*(self._follow[place] for place in state))
        return frozenset(place for place in places if self._tests[place](character))

    # Reading

    def _alternatives(self, depth: int) -> Any:
        if depth > 20:
            raise ValueError('groups in groups more than 20 deep')
        found = [self._sequence(depth)]
        while self._peek() == '|':
            self._at += 1
            found.append(self._sequence(depth))
        return ('or', found)

    def _sequence(self, depth: int) -> Any:
        found: list[Any] = []
        while (character := self._peek()) and character not in '|)':
            found.append(self._repeated(self._atom(depth)))
        return ('then', found)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _atom(self, depth: int) -> Any:
        start = self._at
        character = self._text[start]
        self._at += 1
        if character == '(':
            if self._text.startswith('?:', self._at):
                self._at += 2
            elif self._peek() == '?':
                raise ValueError(f'"(?" at {start + 1}: only (?:...) is known')
            inside = self._alternatives(depth + 1)
            if self._peek() != ')':
                raise ValueError(f'"(" at {start + 1} is not closed')
            self._at += 1
            return inside
        if character == '[':
            return ('one', self._class(start))
        if character == '.':
            return ('one', lambda one: one != '\n')
        if character == '\\':
            return ('one', self._escape())
        if character in '*+?{':
            raise ValueError(f'{character!r} at {start + 1} repeats nothing')
        if character in '^$':
            raise ValueError(f'{character!r} at {start + 1} is not needed: whole values are matched')
        if character in ']}':
            raise ValueError(f'{character!r} at {start + 1}: write \\{character}')
        return ('one', lambda one: one == character)

    def _escape(self) -> Test:
        letter = self._peek()
        self._at += 1
        if letter.lower() in _CLASSES and letter:
            ranges = _ranges(_CLASSES[letter.lower()])
            return (lambda one: not _within(one, ranges)) if letter.isupper() else (lambda one: _within(one, ranges))
        plain = self._plain(letter)
        return lambda one: one == plain

    def _plain(self, letter: str) -> str:
        if letter in _PLAIN and letter:
            return _PLAIN[letter]
        if not letter or letter.isalnum() or not letter.isascii() or not letter.isprintable():
            raise ValueError(f'"\\{letter}" at {self._at - 1} means nothing here')
        return letter

    def _class(self, start: int) -> Test:
        negated = self._peek() == '^'
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while (character := self._peek()) != ']' or not ranges:
            if not character or character in '[]':
                raise ValueError(f'the class at {start + 1} is not closed, or has a bracket in it: write \\[')
            self._at += 1
            if character == '\\':
                letter = self._peek()
                self._at += 1
                if letter in _CLASSES and letter:
                    ranges += _ranges(_CLASSES[letter])
                    continue
                character = self._plain(letter)
            last = character
            if self._peek() == '-' and self._text[self._at + 1 : self._at + 2] not in (']', ''):
                last = self._text[self._at + 1]
                self._at += 2
                if last == '\\':
                    last = self._plain(self._peek())
                    self._at += 1
            if last < character:
                raise ValueError(f'the range {character}-{last} is upside down')
            ranges.append((character, last))
        self._at += 1
        return lambda one: _within(one, ranges) is not negated

    def _repeated(self, atom: Any) -> Any:
        character = self._peek()
        if not character or character not in '*+?{':
            return atom
        self._at += 1
        least, most = {'*': (0, None), '+': (1, None), '?': (0, 1)}.get(character) or self._counts()
        if (after := self._peek()) and after in '*+?{':
            raise ValueError(f'{after!r} at {self._at + 1} repeats a repetition: put it into a group')
        return ('times', atom, least, most)

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, _ = self._text[self._at :].partition('}')
        least, comma, most = inside.partition(',')
        numbers = [one for one in (least, most) if one]
        if not closed or not least or not all(one.isascii() and one.isdigit() and len(one) <= 3 for one in numbers):
            raise ValueError(f'"{{" at {self._at}: write {{2}}, {{2,}} or {{2,5}}')
        self._at += len(inside) + 1
        low, high = int(least), int(most) if most else None if comma else int(least)
        if high is not None and high < low:
            raise ValueError(f'{{{inside}}} is upside down')
        return low, high

    # Building: places, and what may follow each

    def _built(self, tree: Any) -> Part:
        self._parts += 1
        if self._parts > PARTS:
            raise ValueError('its repetitions, written out, are too many')
        kind = tree[0]
        if kind == 'one':
            if len(self._tests) >= STATES:
                raise ValueError(f'it has more than {STATES} places once its repetitions are written out')
            self._tests.append(tree[1])
            self._follow.append(set())
            here = {len(self._tests) - 1}
            return False, here, set(here)
        if kind == 'or':
            parts = [self._built(one) for one in tree[1]]
            return any(part[0] for part in parts), set().union(*(p[1] for p in parts)), set().union(*(p[2] for p in parts))
        if kind == 'then':
            return self._joined([self._built(one) for one in tree[1]])
        _, inside, least, most = tree
        made = [self._built(inside) for _ in range(least)]
        if most is None:
            more = self._built(inside)
            for place in more[2]:
                self._follow[place] |= more[1]
            made.append((True, more[1], more[2]))
            return self._joined(made)
        optional: Part = (True, set(), set())
        for _ in range(most - least):
            one = self._built(inside)
            optional = (True, *self._joined([one, optional])[1:])
        return self._joined([*made, optional])

    def _joined(self, parts: list[Part]) -> Part:
        whole: Part = (True, set(), set())
        for empty, first, last in parts:
            for place in whole[2]:
                self._follow[place] |= first
            whole = (
                whole[0] and empty,
                whole[1] | first if whole[0] else whole[1],
                whole[2] | last if empty else set(last),
            )
        return whole


def _ranges(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        wide = text[at + 1 : at + 2] == '-'
        found.append((text[at], text[at + 2] if wide else text[at]))
        at += 3 if wide else 1
    return found


def _within(one: str, ranges: list[tuple[str, str]]) -> bool:
    return any(low <= one <= high for low, high in ranges)


def _portable(text: str) -> str:
    """With what ``.`` means here: any character but the end of a line."""
    found, inside, at = [], False, 0
    while at < len(text):
        one = text[at]
        if one == '\\':
            found.append(text[at : at + 2])
            at += 2
            continue
        inside = (one == '[' or inside) and not (one == ']' and inside)
        found.append('[^\n]' if one == '.' and not inside else one)
        at += 1
    return ''.join(found)
