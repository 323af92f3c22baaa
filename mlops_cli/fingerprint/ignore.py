"""Which paths do not count: ``.mlopsignore`` in git's syntax, after our defaults.  Pure but for :meth:`Ignore.load`.

As git does: the last pattern that matches decides, ``!`` takes back, and nothing below an ignored folder can be taken back.
``.git`` and ``.mlops`` are ignored whatever the file says.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import groupby

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.layout import IGNORE_FILE
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX

DEFAULTS = ('__pycache__', '*.pyc', '.ipynb_checkpoints', '.DS_Store', '*~', '.*.sw?')
ALWAYS = frozenset({'.git', '.mlops'})
SIZE_LIMIT = 1 << 20  # bytes of an ignore file
PATTERN_LIMIT = 4096  # bytes of a line
LINE_LIMIT = 10_000  # of them; all are made one expression, each time a command begins

_SPECIAL = frozenset('*?[\\')
_CLASSES = {
    'alnum': '0-9A-Za-z', 'alpha': 'A-Za-z', 'blank': ' \\t', 'cntrl': '\\x00-\\x1f\\x7f', 'digit': '0-9', 'graph': '!-~',
    'lower': 'a-z', 'print': ' -~', 'punct': '!-/:-@\\[-`{-~', 'space': ' \\t\\n\\r\\f\\v', 'upper': 'A-Z',
    'xdigit': '0-9A-Fa-f',
}

_NAMED_CLASS = re.compile(r'\[:([^]]*):]')


def _as_bytes(text: str) -> str:
    """git matches bytes: one character for each byte of the UTF-8."""
    return text if text.isascii() else text.encode('utf-8', 'surrogateescape').decode('latin-1')


def _bracket(pattern: str, at: int) -> tuple[str, int] | None:
    """The regular expression for the ``[...]`` that opens at ``at`` and the index after it; None: it never matches."""
    end, found, before = at + 1, '', ''
    negated = pattern[end:end + 1] in ('!', '^') and end < len(pattern)
    end += negated
    first = True
    while first or pattern[end:end + 1] != ']':
        first = False
        if end >= len(pattern):
            return None
        char = pattern[end]
        if named := _NAMED_CLASS.match(pattern, end):
            if named[1] not in _CLASSES:
                return None
            found, before, end = found + _CLASSES[named[1]], '', named.end()
            continue
        if char == '-' and before and pattern[end + 1:end + 2] not in ('', ']'):
            end += 1
            if pattern[end] == '\\':
                end += 1
            if end >= len(pattern):
                return None
            if before <= pattern[end]:
                found += f'{_code(before)}-{_code(pattern[end])}'
            before = ''
        else:
            if char == '\\':
                end += 1
                if end >= len(pattern):
                    return None
            before = pattern[end]
            found += _code(before)
        end += 1
    if negated:
        return f'[^/{found}]', end + 1
    return (f'(?!/)[{found}]' if found else '(?!)'), end + 1


def _code(char: str) -> str:
    return f'\\x{ord(char):02x}'


_STAR, _FOLDERS, _REST = object(), object(), object()  # `*` within a name, `**/`, and `**` at the end


def translate(pattern: str) -> str | None:
    """The regular expression for a whole path (or name) of a pattern without its `!`, leading and trailing slash.

    Works on text with one character a byte.  None: it never matches.

    What stands between two wildcards is looked for once, where it comes first: what is left over is for the second.  Else a
    line of some stars would take hours for a single name."""
    literal = next((at for at, char in enumerate(pattern) if char in _SPECIAL), len(pattern))
    out, at = [re.escape(pattern[:literal])], literal
    blocks: list[list[str | object]] = [[]]  # between them any folders
    while at < len(pattern):
        char = pattern[at]
        if char == '*':
            end = at
            while pattern[end:end + 1] == '*':
                end += 1
            # git counts the end of the literal beginning as a boundary too
            bounded = end == len(pattern) or pattern.startswith(('/', '\\/'), end)
            whole = end - at > 1 and bounded and (at == literal or pattern[at - 1] == '/')
            blocks[-1] += [''.join(out), _REST if whole else _STAR]
            out = []
            if whole and pattern[end:end + 1] == '/':
                blocks[-1].pop()
                blocks.append([])
                end += 1
            at = end
        elif char == '?':
            out.append('[^/]')
            at += 1
        elif char == '[':
            found = _bracket(pattern, at)
            if found is None:
                return None
            out.append(found[0])
            at = found[1]
        elif char == '\\':
            if at + 1 == len(pattern):
                return None
            out.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            out.append(re.escape(char))
            at += 1
    blocks[-1].append(''.join(out))
    first, *more = [_block(block, last=block is blocks[-1]) for block in blocks]
    inner = [f'(?>(?:[^/]*/)*?{block})' for block in more[:-1]]
    return ''.join((first, *inner, *(f'(?:.*/)?{block}' for block in more[-1:])))


def _block(parts: list[str | object], *, last: bool) -> str:
    """``parts``: expressions of a fixed length, and what stands between them.  ``last``: its end is that of the path."""
    out, stars = [], parts.count(_STAR)
    for part, before in zip(parts, [None, *parts], strict=False):
        if isinstance(part, str):
            if before is _STAR:
                stars -= 1
            out.append(part if before is not _STAR else f'[^/]*{part}' if last and not stars else f'(?>[^/]*?{part})')
        elif part is _REST:
            out.append('.*')
    return ''.join(out)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line.  ``takes_back``: it began with `!`.  ``folders_only``: it ended in a slash.  ``by_name``: it has no other
    slash and so is matched against the last part of a path, at any depth.  ``last``: matches at least the last names of all
    paths that ``expression`` matches."""

    expression: str
    last: str
    takes_back: bool
    folders_only: bool
    by_name: bool


def parse_line(line: str) -> Pattern | None:
    """The pattern a line stands for; None for comments, empty lines and what can never match."""
    if line.startswith('#'):
        return None
    line = _as_bytes(_without_trailing_spaces(line))
    takes_back = line.startswith('!')
    line = line[takes_back:]
    folders_only = line.endswith('/')
    line = line.removesuffix('/')
    by_name = '/' not in line
    line = line.removeprefix('/')
    expression = translate(line) if line else None
    if expression is None:
        return None
    if by_name:
        return Pattern(expression, expression, takes_back, folders_only, by_name)
    last = translate(line.rpartition('/')[2]) if '[' not in line and '**' not in line and not line.endswith('/') else None
    return Pattern(expression, last or '.*', takes_back, folders_only, by_name)


def _without_trailing_spaces(line: str) -> str:
    """Spaces at the end do not count unless a backslash stands before them."""
    end, at = None, 0
    while at < len(line):
        if line[at] == ' ':
            end = at if end is None else end
        else:
            end = None
            if line[at] == '\\':
                at += 1
                if at >= len(line):
                    return line
        at += 1
    return line if end is None else line[:end]


@dataclass(frozen=True)
class Ignore:
    """``lines``: the patterns, later ones stronger."""

    lines: tuple[str, ...] = DEFAULTS

    @classmethod
    def of(cls, text: str) -> Ignore:
        """The defaults and then the lines of an ignore file."""
        found = text.removeprefix('\ufeff').split('\n')
        return cls((*DEFAULTS, *(line.removesuffix('\r') for line in found)))

    @classmethod
    def load(cls, root: Root) -> Ignore:
        """From the project's ``.mlopsignore``, or the defaults alone.  Raises UserError if it is no file, or too long."""
        if root.stat(IGNORE_FILE) is None:
            return cls()
        data = read_file(root, IGNORE_FILE, SIZE_LIMIT)
        if (count := data.count(b'\n')) > LINE_LIMIT:
            raise UserError(f'{count:,} lines, more than {LINE_LIMIT:,}', where=Where(IGNORE_FILE, LINE_LIMIT + 1, 1),
                            hint='patterns: images/*.tmp stands for all such names, and a folder for all that is in it')
        long = next((number for number, line in enumerate(data.split(b'\n'), 1) if len(line) > PATTERN_LIMIT), 0)
        if long:
            raise UserError(f'a pattern of more than {PATTERN_LIMIT:,} bytes', where=Where(IGNORE_FILE, long, 1),
                            hint='no path is as long; is this file what it should be?')
        return cls.of(data.decode('utf-8', 'surrogateescape'))

    @cached_property
    def digest(self) -> Digest:
        """Equal for equal rules."""
        return digest_of('\n'.join(self.lines).encode('utf-8', 'surrogateescape'))

    @cached_property
    def _patterns(self) -> tuple[Pattern, ...]:
        return tuple(pattern for line in self.lines if (pattern := parse_line(line)))

    @cached_property
    def _rules(self) -> tuple[tuple[re.Pattern[str], bool, bool, bool], ...]:
        """Strongest first, neighbours of one sort as one expression: (expression, takes back, folders only, by name)."""
        rules = [
            (_either(pattern.expression for pattern in group), *sort)
            for sort, group in groupby(self._patterns, key=lambda p: (p.takes_back, p.folders_only, p.by_name))
        ]
        return tuple(reversed(rules))

    def entry_ignored(self, folder: str, name: str, is_dir: bool) -> bool:
        """Whether a name in a folder (relative path, '' for the root) that itself is not ignored is ignored."""
        if name in ALWAYS:
            return True
        name = _as_bytes(name)
        path = ''
        for expression, takes_back, folders_only, by_name in self._rules:
            if folders_only and not is_dir:
                continue
            if not by_name and not path:
                path = f'{_as_bytes(folder)}/{name}' if folder else name
            if expression.fullmatch(name if by_name else path):
                return not takes_back
        return False

    @cached_property
    def may_ignore(self) -> Callable[[str], object]:
        """Truthy for every name that any pattern can mean, in any folder: for most names one look that settles it."""
        return _either([*map(re.escape, ALWAYS), f'{re.escape(PREFIX)}.*'] + [
            pattern.last for pattern in self._patterns if not pattern.takes_back
        ] + ['[\\x00-\\x7f]*[^\\x00-\\x7f].*']).fullmatch

    def matches(self, rel: str, is_dir: bool) -> bool:
        """Whether a path relative to the root is ignored, itself or by one of the folders above it."""
        folder = ''
        parts = rel.split('/')
        for part in parts[:-1]:
            if self.entry_ignored(folder, part, True):
                return True
            folder = f'{folder}/{part}' if folder else part
        return self.entry_ignored(folder, parts[-1], is_dir)


def _either(expressions: Iterable[str]) -> re.Pattern[str]:
    return re.compile('|'.join(f'(?:{expression})' for expression in expressions), re.DOTALL)
