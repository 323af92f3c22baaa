"""YAML as DVC reads it: the 1.2 scalars of its library, merge keys, keys of any scalar, dates; with the place of each value.

The project's own reader (yamlfile) refuses what could surprise.  Here a file was written for another program, and has to mean
what it means there.  What that program refuses, this refuses too."""

from __future__ import annotations

import datetime
import re
from bisect import bisect_right
from collections.abc import Callable, Hashable
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError, Where
from mlops_cli.yamlfile import parse_events, syntax_error

SIZE_LIMIT = 64 << 20  # bytes; a lock of a folder tracked in the cloud lists each of its files
NODES_LIMIT = 4_000_000
EXPANDED_LIMIT = 1_000_000  # values that aliases repeat
DEPTH_LIMIT = 64
_SHIFT = Where.SHIFT
_TAG = 'tag:yaml.org,2002:'
_MERGE = object()
_END = (1 << 62, 0)

_BOOL = re.compile(r'true|True|TRUE|false|False|FALSE')
_NULL = re.compile(r'~|null|Null|NULL|')
_INT = re.compile(r'[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+')
_FLOAT = re.compile(
    r'[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+'
    r'|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)')
_DATE = re.compile(r'([0-9]{4})-([0-9]{2})-([0-9]{2})')
_TIME = re.compile(
    r'([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?'
    r'(?:[ \t]*(Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?')


@dataclass(frozen=True)
class Loaded:
    """``places``: keys and positions that lead to a value -> where its key stands, or the value of a list.  ``text``: all."""

    file: str
    value: Any
    text: str
    places: dict[tuple[Hashable, ...], int] = field(default_factory=dict)

    def where(self, *path: Hashable) -> Where:
        """The place of what ``path`` leads to, or of the nearest thing above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return Where.at(self.file, self.places[path[:length]])
        return Where(self.file)


def read(data: bytes, file: str, *, places: bool = True) -> Loaded:
    """The values of a file; an empty one has the value None.  Raises UserError with the place of the first mistake."""
    if len(data) > SIZE_LIMIT:
        raise UserError(f'the file has {len(data):,} bytes, the limit is {SIZE_LIMIT:,}', where=Where(file))
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise UserError('the file is not UTF-8', where=Where(file, line, 1), hint='save it as UTF-8') from None
    reader = _Reader(file, places)
    try:
        value = reader.document(text.encode())
        reader.check_tabs(text)
    except RecursionError:
        raise UserError(f'more than {DEPTH_LIMIT} lists and mappings inside each other', where=Where(file)) from None
    return Loaded(file, value, text, reader.places)


@dataclass(frozen=True)
class _Anchored:
    value: Any
    nodes: int


class _Reader:
    """One file, value by value, from the parser's events."""

    def __init__(self, file: str, places: bool) -> None:
        self.file = file
        self.keeps = places
        self.places: dict[tuple[Hashable, ...], int] = {}
        self.anchors: dict[str, _Anchored | None] = {}
        self.nodes = self.expanded = 0
        self.broken = syntax_error()
        self.nested: list[bool] = []  # of the lists and mappings that are open: whether they stand in brackets
        self.opened = (0, 0)
        self.free: list[tuple[tuple[int, int], tuple[int, int]]] = []  # where a tab may stand: from, to

    def fail(self, event: Any, message: str, hint: str = '') -> UserError:
        mark = event.start_mark
        return UserError(message, where=Where(self.file, mark.line + 1, mark.column + 1), hint=hint)

    def document(self, data: bytes) -> Any:
        self.events = parse_events(data)
        value: Any = None
        documents = 0
        while (event := self.next()) is not None:
            name = type(event).__name__
            if name == 'DocumentStartEvent':
                documents += 1
                if documents > 1:
                    raise self.fail(event, 'a second document starts here, and DVC reads one')
                if event.version == (1, 1):
                    raise self.fail(event, 'DVC reads what follows by the rules of YAML 1.1, where yes and 012 are no text',
                                    'remove the line %YAML 1.1, and write true, false and numbers as YAML 1.2 does')
                value = self.value(self.next(), (), 0)
        return value

    def next(self) -> Any:
        try:
            event = next(self.events, None)
            self.note_free(event, type(event).__name__)
            return event
        except self.broken as error:
            mark = getattr(error, 'problem_mark', None) or getattr(error, 'context_mark', None)
            where = Where(self.file, mark.line + 1, mark.column + 1) if mark else Where(self.file)
            raise UserError(f'not YAML: {getattr(error, "problem", None) or error}'[:300], where=where) from None

    def note_free(self, event: Any, name: str) -> None:
        if name == 'ScalarEvent':
            if event.style and not any(self.nested):
                self.free.append((_at(event.start_mark), _at(event.end_mark)))
        elif name in ('SequenceStartEvent', 'MappingStartEvent'):
            if event.flow_style and not any(self.nested):
                self.opened = _at(event.start_mark)
            self.nested.append(bool(event.flow_style))
        elif name in ('SequenceEndEvent', 'MappingEndEvent') and self.nested.pop() and not any(self.nested):
            self.free.append((self.opened, _at(event.end_mark)))

    def check_tabs(self, text: str) -> None:
        """DVC's library takes no tab between words: only in quotes, in brackets, in blocks of text and in comments."""
        for number, line in enumerate(text.split('\n') if '\t' in text else ()):
            for column, sign in enumerate(line if '\t' in line else ''):
                before = bisect_right(self.free, ((number, column), _END)) - 1
                if sign not in '\t#' or (before >= 0 and (number, column) < self.free[before][1]):
                    continue
                if sign == '\t':
                    where = Where(self.file, number + 1, column + 1)
                    raise UserError('a tab between words, which DVC does not read', where=where,
                                    hint='write spaces, or nothing at the end of a line')
                if not column or line[column - 1] == ' ':
                    break

    def value(self, event: Any, path: tuple[Hashable, ...], depth: int) -> Any:
        self.nodes += 1
        if self.nodes > NODES_LIMIT:
            raise self.fail(event, f'more than {NODES_LIMIT:,} values')
        if depth > DEPTH_LIMIT:
            raise self.fail(event, f'more than {DEPTH_LIMIT} lists and mappings inside each other')
        name = type(event).__name__
        if name == 'AliasEvent':
            return self.alias(event)
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        before = self.nodes + self.expanded
        if name == 'ScalarEvent':
            found = self.scalar(event)
        elif name == 'SequenceStartEvent':
            found = self.sequence(event, path, depth)
        else:
            found = self.mapping(event, path, depth)
        if anchor is not None:
            self.anchors[anchor] = _Anchored(found, self.nodes + self.expanded - before + 1)
        return found

    def alias(self, event: Any) -> Any:
        found = self.anchors.get(event.anchor, self)
        if found is self:
            raise self.fail(event, f'there is no anchor &{event.anchor} before this')
        if not isinstance(found, _Anchored):
            raise self.fail(event, f'*{event.anchor} stands inside what it names')
        self.expanded += found.nodes
        if self.expanded > EXPANDED_LIMIT:
            raise self.fail(event, f'aliases repeat more than {EXPANDED_LIMIT:,} values')
        return found.value

    def place(self, path: tuple[Hashable, ...], event: Any) -> None:
        if self.keeps:
            self.places.setdefault(path, event.start_mark.line << _SHIFT | event.start_mark.column)

    def sequence(self, event: Any, path: tuple[Hashable, ...], depth: int) -> list[Any]:
        self.tagged(event, 'seq')
        found: list[Any] = []
        while type(item := self.next()).__name__ != 'SequenceEndEvent':
            here = (*path, len(found))
            self.place(here, item)
            found.append(self.value(item, here, depth + 1))
        return found

    def mapping(self, event: Any, path: tuple[Hashable, ...], depth: int) -> Any:
        tag = self.tagged(event, 'map', 'set')
        found: dict[Hashable, Any] = {}
        merged: dict[Hashable, Any] | None = None
        while type(item := self.next()).__name__ != 'MappingEndEvent':
            key = self.key(item, depth)
            if key is _MERGE:
                if merged is not None:
                    raise self.fail(item, 'a second "<<" in one mapping')
                merged = self.merged(self.next(), depth)
                continue
            if key in found:
                raise self.fail(item, f'the key {key!r} is there already', 'remove one')
            here = (*path, key)
            self.place(here, item)
            found[key] = self.value(self.next(), here, depth + 1)
        if merged is not None:
            found = {**{key: below for key, below in merged.items() if key not in found}, **found}
        return set(found) if tag == 'set' else found

    def key(self, event: Any, depth: int) -> Any:
        if type(event).__name__ == 'ScalarEvent' and event.tag is None and event.implicit[0] and event.value == '<<':
            return _MERGE
        found = self.value(event, ('?',), depth + 1)
        if isinstance(found, list):
            found = tuple(found)
        try:
            hash(found)
        except TypeError:
            raise self.fail(event, 'a mapping cannot be a key') from None
        return found

    def merged(self, event: Any, depth: int) -> dict[Hashable, Any]:
        found = self.value(event, ('<<',), depth + 1)
        several = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in several):
            raise self.fail(event, 'what "<<" names has to be a mapping, or a list of mappings')
        together: dict[Hashable, Any] = {}
        for one in several:
            together = {**one, **together}
        return together

    def tagged(self, event: Any, *known: str) -> str:
        tag = event.tag
        if tag is None or tag == '!':
            return known[0]
        short = tag.removeprefix(_TAG)
        if tag.startswith(_TAG) and short in known:
            return str(short)
        raise self.fail(event, f'the tag {tag.replace(_TAG, "!!")[:80]} is not one that DVC takes', 'remove it')

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None and event.implicit[0]:
            return self.checked(event, plain, text)
        short = self.tagged(event, 'str', 'int', 'float', 'bool', 'null', 'timestamp')
        if event.tag is None or event.tag == '!' or short == 'str':
            return text
        if short == 'null':
            return None
        found = self.checked(event, plain, text)
        if short == 'float' and isinstance(found, int) and not isinstance(found, bool):
            return float(found)
        if type(found).__name__ != short and not (short == 'timestamp' and isinstance(found, datetime.date)):
            raise self.fail(event, f'{text[:40]!r} is no !!{short}')
        return found

    def checked(self, event: Any, work: Callable[[str], Any], text: str) -> Any:
        try:
            return work(text)
        except (ValueError, OverflowError) as error:
            raise self.fail(event, f'{text[:40]!r}: {error}') from None


def plain(text: str) -> Any:
    """What unquoted text means.  Raises ValueError for a date or number that is none."""
    first = text[:1]
    if _NULL.fullmatch(text):
        return None
    if first in 'tTfF' and _BOOL.fullmatch(text):
        return text[0] in 'tT'
    if first not in '-+.0123456789':
        return text
    if _FLOAT.fullmatch(text):
        return _float(text)
    if first != '.' and _INT.fullmatch(text):
        return _int(text)
    if found := _DATE.fullmatch(text):
        return datetime.date(*map(int, found.groups()))
    if (found := _TIME.fullmatch(text)) and len(found[1]) == 4:
        return _time(found)
    return text


def _float(text: str) -> float:
    lowered = text.replace('_', '').lower()
    sign = -1.0 if lowered[0] == '-' else 1.0
    bare = lowered.lstrip('+-')
    if bare == '.inf':
        return sign * float('inf')
    if bare == '.nan':
        return float('nan')
    return sign * float(bare)


def _int(text: str) -> int:
    digits = text.replace('_', '')
    sign = -1 if digits[:1] == '-' else 1
    digits = digits.lstrip('+-')
    for prefix, base in (('0b', 2), ('0x', 16), ('0o', 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits)


def _time(found: re.Match[str]) -> datetime.datetime:
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction = (found[7] or '').ljust(6, '0')[:6]
    made = datetime.datetime(year, month, day, hour, minute, second, int(fraction or 0))
    zone = found[8]
    if zone is None or zone == 'Z':
        return made
    hours, _, minutes = zone[1:].partition(':')
    shift = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
    return made - shift if zone[0] == '+' else made + shift


def _at(mark: Any) -> tuple[int, int]:
    return mark.line, mark.column
