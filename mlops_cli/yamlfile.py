"""The only door to YAML: a strict reader that knows where everything stands, and a careful editor of single values.

Strict means YAML 1.2's core schema and nothing beyond: text is text (``no``, ``1:30``, dates), ``1e-4`` is a number, and what
could surprise is refused with its place: duplicate keys, keys that are no text, tags, merge keys, numbers beyond 64 bits,
several documents.  Built on the parser's events, never on PyYAML's composer or constructors, so that no file can crash it,
exhaust it, or make it build anything but dict, list, str, int, float, bool and None.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from mlops_cli.core import patterns
from mlops_cli.core.classes import dataclass
from mlops_cli.core.document import LINE_END, SHIFT, Document, Marks, Path, place_where
from mlops_cli.core.errors import ExitCode, UserError, UserErrors, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import kind, plain_scalar

if TYPE_CHECKING:
    from yaml.error import Mark, YAMLError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold.  ``size``, ``scalar``: bytes; ``expanded``: nodes that aliases repeat; ``not_finite``: NaN."""

    size: int = 1 << 20
    nodes: int = 100_000
    depth: int = 64
    scalar: int = 256 << 10
    aliases: int = 50
    expanded: int = 100_000
    errors: int = 100
    not_finite: bool = False


ORDINARY: Final = Limits()
PIPELINE: Final = Limits(size=16 << 20, nodes=2_000_000)

_UNPRINTABLE = patterns.pattern('[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]')
_UNPRINTABLE_ASCII = patterns.pattern('[^\t\n\r\x20-\x7e]')  # compiled in no time, as the other is not
_CONTROL = patterns.pattern('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')
_DIRECTIVES = 20  # libyaml compares each with all before it
_LEADING_ZERO = patterns.pattern(r'[-+]?0[0-9]+')
_SAFE = patterns.pattern(r'(?!(?:y|n|yes|no|on|off|true|false|null)\Z)[a-z_][a-z0-9_./-]*', re.IGNORECASE)  # YAML 1.1's, too
_INDENTED_KEY = patterns.pattern(r'^( *)[^\s#-][^\n:]*:(?: *#.*| *)\n( *)[^\s#-][^\n:]*:', re.MULTILINE)
_INDENTED_ITEM = patterns.pattern(r'^( *)[^\s#-][^\n:]*:(?: *#.*| *)\n( *)- ', re.MULTILINE)
_MAYBE_SPECIAL = frozenset('0123456789+-.~ntfNTF')
_UNUSABLE: Final = object()  # the key of an entry that is left out, for its key was refused
_NO_KEY: Final = object()


def read(data: bytes, file: str, *, limits: Limits = ORDINARY) -> Document:
    """A YAML file as plain values with places.  ``file``: its name in messages.

    Raises UserErrors holding every mistake that could be found."""
    document, errors = examine(data, file, limits=limits)
    if errors or document is None:
        raise UserErrors(errors)
    return document


def examine(data: bytes, file: str, *, limits: Limits = ORDINARY) -> tuple[Document | None, list[UserError]]:
    """As :func:`read`, with the mistakes as values, by place: what could be read can then be looked at for more of them.

    The document is None where a mistake left nothing that can be relied on (a syntax error, a limit)."""
    try:
        text = _text(data, file, limits)
        builder = _Builder(file, limits)
        builder.run(data)
    except _Abort as abort:
        return None, abort.errors
    builder.errors.sort(key=lambda error: error.where or Where(file))
    return Document(file, builder.value, text, builder.start, builder.marks), builder.errors


def syntax_error() -> type[Exception]:
    """What :func:`parse_events` raises."""
    return __import__('yaml').YAMLError  # type: ignore[no-any-return]


def parse_events(data: bytes) -> Iterator[Any]:
    """The events of libyaml.  Raises YAMLError."""
    try:
        from yaml._yaml import CParser
    except ImportError:
        raise UserError('PyYAML is installed without its C library', exit_code=ExitCode.MACHINE,
                        hint='install it from a wheel: pip install --force-reinstall --only-binary :all: pyyaml') from None
    parser = CParser(data)
    while (event := parser.get_event()) is not None:
        yield event


class _Abort(Exception):
    """Nothing further can be read."""

    def __init__(self, errors: list[UserError]) -> None:
        super().__init__(errors)
        self.errors = errors


def _text(data: bytes, file: str, limits: Limits) -> str:
    """The characters of a file.  Raises _Abort for what is no text, or too much of it."""
    def refuse(message: str, hint: str, where: Where | None = None) -> _Abort:
        return _Abort([UserError(message, hint=hint, where=where or Where(file))])

    if len(data) > limits.size:
        raise refuse(f'the file has {len(data):,} bytes, the limit is {limits.size:,}', 'split it')
    if data[:2] in (b'\xff\xfe', b'\xfe\xff') or b'\0' in data[:4]:
        raise refuse('the file is in UTF-16 or UTF-32', 'save it as UTF-8', Where(file, 1, 1))
    if data.startswith(b'\xef\xbb\xbf'):
        raise refuse('the file starts with a byte order mark', 'save it as UTF-8 without BOM', Where(file, 1, 1))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[:error.start].decode()
        raise refuse(f'the byte 0x{data[error.start]:02X} is not UTF-8', 'save the file as UTF-8',
                     _place_of(file, before)) from None
    if found := (_UNPRINTABLE_ASCII if text.isascii() else _UNPRINTABLE).search(text):
        code = ord(found[0])
        raise refuse(f'the character U+{code:04X} cannot stand in a YAML file',
                     f'remove it, or write it as "\\u{code:04x}" in double quotes', _place_of(file, text[:found.start()]))
    if data.count(b'\n%') + data.count(b'\r%') > _DIRECTIVES:
        where = _place_of(file, text[:min(at for at in (text.find('\n%'), text.find('\r%')) if at >= 0) + 1])
        raise refuse('too many lines start with "%"', 'directives are not needed: remove them', where)
    return text


def _place_of(file: str, before: str) -> Where:
    """The place after some text."""
    ends = list(LINE_END.finditer(before))
    return Where(file, len(ends) + 1, len(before) - (ends[-1].end() if ends else 0) + 1)


class _Frame:
    """A list or mapping being read.  ``key``: of the entry whose value comes next.  ``height``: of the values inside."""

    __slots__ = ('anchor', 'height', 'key', 'key_place', 'marks', 'nodes', 'place', 'value')

    def __init__(self, value: Any, marks: Marks, place: int, anchor: str | None, nodes: int) -> None:
        self.value = value
        self.marks = marks
        self.place = place
        self.anchor = anchor
        self.nodes = nodes
        self.height = 1
        self.key: Any = _NO_KEY
        self.key_place = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    marks: Marks | None
    nodes: int
    height: int


class _Builder:
    """Values and places from the events of one file."""

    def __init__(self, file: str, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.errors: list[UserError] = []
        self.value: Any = None
        self.start = 0
        self.marks: Marks | None = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored | None] = {}  # None: not closed yet
        self.nodes = self.aliases = self.expanded = self.documents = 0

    def run(self, data: bytes) -> None:
        """Raises _Abort."""
        from yaml import events
        from yaml.error import YAMLError

        handlers: dict[type, Callable[[Any], None]] = {
            events.ScalarEvent: self.scalar, events.AliasEvent: self.alias, events.DocumentStartEvent: self.document,
            events.MappingStartEvent: self.mapping, events.MappingEndEvent: self.end,
            events.SequenceStartEvent: partial(self.mapping, empty=list), events.SequenceEndEvent: self.end,
        }
        try:
            for event in parse_events(data):
                if handler := handlers.get(type(event)):
                    handler(event)
        except YAMLError as error:
            raise self.abort(*_explain(error, self.file, data)) from None

    def fail(self, place: int, message: str, hint: str = '') -> None:
        """Note a mistake and go on, unless there are too many."""
        where = place_where(self.file, place)
        self.errors.append(UserError(message, hint=hint, where=where))
        if len(self.errors) >= self.limits.errors:
            raise self.abort('there are more mistakes than are listed here', '', where)

    def abort(self, message: str, hint: str, where: Where) -> _Abort:
        found = [*self.errors, UserError(message, hint=hint, where=where)]
        return _Abort(sorted(found, key=lambda error: error.where or where))

    def abort_at(self, place: int, message: str, hint: str = '') -> _Abort:
        return self.abort(message, hint, place_where(self.file, place))

    # One event each
    def document(self, event: Any) -> None:
        place = _packed(event.start_mark)
        self.documents += 1
        if self.documents > 1:
            raise self.abort_at(place, 'a second document starts here', 'one file holds one document: remove the "---"')
        if event.tags:
            self.fail(place, 'the directive %TAG is not supported', 'remove it')
        if event.version not in (None, (1, 2)):
            self.fail(place, 'the directive %YAML asks for another version than 1.2', 'remove it')

    def scalar(self, event: Any) -> None:
        mark = event.start_mark
        place = mark.line << SHIFT | mark.column
        text: str = event.value
        if len(text) > self.limits.scalar >> 2 and len(text.encode()) > self.limits.scalar:
            raise self.abort_at(place, f'a text of more than {self.limits.scalar:,} bytes', 'keep it in a file of its own')
        value: Any = text
        if event.tag is not None:
            self.tag(event, place)
        elif event.implicit[0]:
            if not text or text[0] in _MAYBE_SPECIAL:
                value = self.plain(text, place)
            elif text == '<<' and self.stack and self.stack[-1].key is _NO_KEY and isinstance(self.stack[-1].value, dict):
                self.fail(place, 'the merge key << is not part of YAML 1.2',
                          'write the keys out, or share values with vars and ${...}')
                value = _UNUSABLE
        elif event.style == '"' and (found := _CONTROL.search(text)):
            self.fail(place, f'the text holds the control character U+{ord(found[0]):04X}', 'remove it')
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, None, 1, 0)
        self.add(value, place, None, text)

    def plain(self, text: str, place: int) -> Any:
        """What unquoted text means."""
        if _LEADING_ZERO.fullmatch(text):
            sign, digits = text.rstrip('0123456789'), text.lstrip('+-0') or '0'
            octal = f'{sign}{digits} or 0o{digits}' if not sign and digits.strip('89') == digits else sign + digits
            self.fail(place, f'{text[:40]} is a number with a leading zero, which tools read differently',
                      f'write {octal[:60]}, or quote it if it is text')
            return text
        try:
            return plain_scalar(text, self.limits.not_finite)
        except ValueError as error:
            self.fail(place, str(error), 'quote it if it is text')
            return text

    def tag(self, event: Any, place: int) -> None:
        tag = event.tag.replace('tag:yaml.org,2002:', '!!')[:80]
        self.fail(place, f'the tag {tag} is not supported', 'remove it; quotes make text of a value')

    def mapping(self, event: Any, *, empty: Any = dict) -> None:
        self.open(event, empty(), Marks(empty()))

    def open(self, event: Any, value: Any, marks: Marks) -> None:
        place = _packed(event.start_mark)
        if event.tag is not None:
            self.tag(event, place)
        if len(self.stack) >= self.limits.depth:
            raise self.abort_at(place, f'more than {self.limits.depth} lists and mappings inside each other')
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(value, marks, place, event.anchor, self.nodes + self.expanded))

    def end(self, _: Any) -> None:
        frame = self.stack.pop()
        if frame.anchor is not None:
            nodes = self.nodes + self.expanded - frame.nodes + 1
            self.anchors[frame.anchor] = _Anchored(frame.value, frame.marks, nodes, frame.height)
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, frame.height + 1)
        self.add(frame.value, frame.place, frame.marks)

    def alias(self, event: Any) -> None:
        place = _packed(event.start_mark)
        if event.anchor not in self.anchors:
            self.fail(place, f'there is no anchor &{event.anchor} before this', did_you_mean(event.anchor, self.anchors))
            return self.add(None, place, None)
        found = self.anchors[event.anchor]
        if found is None:
            self.fail(place, f'*{event.anchor} stands inside what it names', 'write it out')
            return self.add(None, place, None)
        self.aliases += 1
        self.expanded += found.nodes - 1
        if self.aliases > self.limits.aliases:
            raise self.abort_at(place, f'more than {self.limits.aliases} aliases', 'share values with vars and ${...}')
        if self.expanded > self.limits.expanded:
            raise self.abort_at(place, f'aliases repeat more than {self.limits.expanded:,} values')
        if len(self.stack) + found.height > self.limits.depth:
            raise self.abort_at(place, f'more than {self.limits.depth} lists and mappings inside each other')
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, found.height + 1)
        return self.add(found.value, place, found.marks)

    def add(self, value: Any, place: int, below: Marks | None, text: str = '') -> None:
        """Put a value where the parser stands."""
        self.nodes += 1
        if self.nodes > self.limits.nodes:
            raise self.abort_at(place, f'more than {self.limits.nodes:,} values', 'split the file')
        if not self.stack:
            self.value, self.start, self.marks = value, place, below
            return
        marks = (frame := self.stack[-1]).marks
        if below is not None and marks.below is None:
            marks.below = {}
        if isinstance(frame.value, list):
            if below is not None:
                marks.below[len(frame.value)] = below  # type: ignore[index]
            frame.value.append(value)
            marks.entries.append(place)  # type: ignore[union-attr]
        elif frame.key is _NO_KEY:
            frame.key, frame.key_place = self.key(frame, value, place, text), place
        else:
            key, frame.key = frame.key, _NO_KEY
            if key is not _UNUSABLE:
                frame.value[key] = value
                marks.entries[key] = frame.key_place << Marks.KEY | place
                if below is not None:
                    marks.below[key] = below  # type: ignore[index]

    def key(self, frame: _Frame, value: Any, place: int, text: str) -> Any:
        """The key, or _UNUSABLE."""
        if isinstance(value, str):
            if value not in frame.value:
                return intern(value)  # cmd, deps and outs of ten thousand stages are three texts
            first = frame.marks.key(value) or 0
            self.fail(place, f'the key "{value[:80]}" is there already, in line {(first >> SHIFT) + 1}',
                      'remove one, or give it another name')
        elif value is not _UNUSABLE:
            self.fail(place, f'the key {text[:40]} is no text' if text else f'a key is {kind(value)}, not text',
                      f'quote it: "{text[:40]}":' if text else '')
        return _UNUSABLE


def _packed(mark: Any) -> int:
    return int(mark.line << SHIFT | mark.column)


# Syntax errors: what libyaml says -> (what we say, what to do).  {context} is the line where the thing it was in begins.
_BACKSLASH = 'use single quotes, or write the backslash twice'
_INDENTATION = 'mend the indentation, or quote the text'
_SENTENCES: Final = {
    "could not find expected ':'": ('a ":" is missing after this key', 'write "key: value", with a space after the ":"'),
    'mapping values are not allowed': ('a ":" that cannot stand here', 'quote text that holds ": ", or mend the indentation'),
    'mapping keys are not allowed': ('a "?" that cannot stand here', 'quote the text'),
    'block sequence entries are not allowed': ('a "- " that cannot stand here', 'start the list on a line of its own'),
    'violates indentation': ('a tab is used for indentation', 'indent with spaces'),
    'where an indentation space is expected': ('a tab is used for indentation', 'indent with spaces'),
    'unknown escape character': ('a backslash before a character it means nothing for', _BACKSLASH),
    'hexdecimal number': ('a wrong escape: hexadecimal digits are missing', _BACKSLASH),
    'invalid Unicode character escape code': ('an escape that is no character', _BACKSLASH),
    'expected alphabetic or numeric character': ('unquoted text cannot start with "*" or "&"', 'quote it'),
    'expected comment or line break': ('text after "|" or ">"', 'start the text on the next line'),
    'indentation indicator equal to 0': ('an indentation of 0 after "|" or ">"', 'leave the number out'),
    "expected ',' or ']'": ('the "[" of line {context} is not closed, or a "," is missing before this', ''),
    "expected ',' or '}'": ('the "{{" of line {context} is not closed, or a "," is missing before this', ''),
    "expected '-' indicator": ('this is no item of the list that starts in line {context}', 'mend the indentation'),
    'expected key': ('this does not continue the mapping that starts in line {context}', _INDENTATION),
    'expected node content': ('a value is missing before this', 'quote the text if it starts with a sign of YAML'),
    'undefined tag handle': ('a tag that nothing declares', 'quote the text if it starts with "!"'),
    'expected <document start>': ('this does not continue the document', 'mend the indentation, or quote the text above'),
    'incompatible YAML document': ('the directive %YAML asks for another version than 1.2', 'remove it'),
}


def _explain(error: YAMLError, file: str, data: bytes) -> tuple[str, str, Where]:
    """Message, hint and place of a syntax error."""
    problem = str(getattr(error, 'problem', None) or error)
    mark: Mark | None = getattr(error, 'problem_mark', None)
    context: Mark | None = getattr(error, 'context_mark', None)
    if mark is None:
        return f'not YAML: {problem[:200]}', '', Where(file)
    message, hint = next((said for part, said in _SENTENCES.items() if part in problem), (f'not YAML: {problem[:200]}', ''))
    message = message.format(context=context.line + 1 if context else 1)
    line = data.decode().splitlines()[mark.line:mark.line + 1]
    character = line[0][mark.column:mark.column + 1] if line else ''
    if "expected ','" in problem and line and '${' in line[0]:
        hint = 'quote text that holds ${...} where it stands in brackets'
    if 'cannot start any token' in problem:
        message, hint = (('a tab is used for indentation', 'indent with spaces') if character == '\t'
                         else (f'unquoted text cannot start with "{character}"', 'quote it'))
    elif 'end of stream' in problem and context is not None:
        message, hint, mark = 'a quote that nothing closes', 'close it, or quote text that holds one', context
    elif context is not None and ("expected ':'" in problem or 'alphabetic' in problem):
        mark = context
    return message, hint, Where(file, mark.line + 1, mark.column + 1)


# Editing
def edit_value(data: bytes, path: Path, value: Any, *, file: str = 'params.yaml') -> bytes:
    """The same file with one plain value set.  A value that is there in one piece is replaced and every other byte stays;
    else (a new key, a block) ruamel.yaml writes the file anew and keeps comments, quotes and order.

    Missing mappings on the way are made.  Raises UserErrors if the file is not what :func:`read` accepts, UserError if the
    path leads through something that holds no such key or position, or if no edit gives exactly the wanted values."""
    document = read(data, file)
    wanted = _with(document, document.value, tuple(path), 0, value)
    if (edited := _spliced(document, path, value, wanted)) is None:
        edited = _spliced(read(_with_empty(document, path).encode(), file), path, value, wanted)
    if edited is None:
        raise UserError(f'{".".join(map(str, path))} cannot be set without touching other values', where=document.where(path),
                        hint='edit the file by hand')
    return edited


def _spliced(document: Document, path: Path, value: Any, wanted: Any) -> bytes | None:
    """The file with the text of one value replaced; None if that is not possible, or does not give what is wanted."""
    start = document.index(path)
    end = _end_of(document.text, start)
    if end is None:
        return None
    new = flow(value, quote=document.text[start:start + 1] in ('"', "'") and end - start > 2)
    before = document.text[:start]
    text = f'{before}{" " if before[-1:] == ":" else ""}{new}{document.text[end:]}'.encode()
    found, errors = examine(text, document.file, limits=PIPELINE)
    return text if found and not errors and found.value == wanted else None


def _end_of(text: str, start: int) -> int | None:
    """Where a value ends that is a scalar or in brackets; None for a block."""
    from yaml import events

    depth = 0
    for event in parse_events(text.encode()):
        if not depth and event.start_mark.index != start:
            continue
        if isinstance(event, events.CollectionStartEvent):
            if not event.flow_style:
                return None
            depth += 1
        elif isinstance(event, events.CollectionEndEvent):
            depth -= 1
        if not depth and not isinstance(event, events.AliasEvent | events.DocumentStartEvent | events.StreamStartEvent):
            end: Any = event.end_mark
            return None if getattr(event, 'style', '') in ('|', '>') else int(end.index)
    return None


def flow(value: Any, *, quote: bool = False) -> str:
    """A plain value in one line, as YAML 1.2 and 1.1, which programs may read it with, both understand it."""
    if isinstance(value, str):
        return value if _SAFE.fullmatch(value) and not quote else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return '{' + ', '.join(f'{flow(key)}: {flow(entry)}' for key, entry in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(flow, value)) + ']'
    text = json.dumps(value, allow_nan=False)
    return text.replace('e', '.0e') if isinstance(value, float) and '.' not in text else text


def _with(document: Document, value: Any, path: tuple[str | int, ...], depth: int, new: Any) -> Any:
    """A copy of ``value`` with what ``path[depth:]`` leads to replaced.  Raises UserError."""
    if depth == len(path):
        return new
    step = path[depth]
    if isinstance(step, str) and (value is None or isinstance(value, dict)):
        entries = dict(value or {})
        entries[step] = _with(document, entries.get(step), path, depth + 1, new)
        return entries
    if isinstance(step, int) and isinstance(value, list) and 0 <= step < len(value):
        items = list(value)
        items[step] = _with(document, items[step], path, depth + 1, new)
        return items
    here = '.'.join(map(str, path[:depth])) or 'the file'
    raise UserError(f'{here} is {kind(value)}, there is no {step} in it', where=document.where(path[:depth]))


def _with_empty(document: Document, path: Path) -> str:
    """The file with an empty text at ``path``, whatever was there."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 1 << 20
    editor.explicit_start = document.text.startswith('---')
    mapping, offset = (max((len(found[2]) - len(found[1]) for found in pattern.finditer(document.text)), default=default)
                       for pattern, default in ((_INDENTED_KEY, 2), (_INDENTED_ITEM, 0)))
    editor.indent(mapping=max(mapping, 2), sequence=max(offset, 0) + 2, offset=max(offset, 0))
    root: Any = {'': editor.load(document.text)}
    holder: Any = root
    last: str | int = ''
    for step in path:
        if (holder[last] if isinstance(last, int) else holder.get(last)) is None:
            holder[last] = {}
        holder, last = holder[last], step
    holder[last] = DoubleQuotedScalarString('')
    out = BytesIO()
    editor.dump(root[''], out)
    text = out.getvalue().decode()
    return text.replace('\n', '\r\n') if '\r\n' in document.text else text
