r"""The grammar of ``${...}``: text in, pieces of literal text and references out.  Knows no values.

::

    reference = '${' ( 'env:' NAME | path ) [ ':-' default ] '}'
    path      = segment ( '.' segment | '[' segment ']' )*
    segment   = "quoted" or 'quoted' (in brackets only), or a run of characters without blanks and without
                . [ ] { } ( ) : ; , " ' ` $ \ % # * ? ! = < > & | ^ ~ +
    default   = quoted text | text up to '}', which may hold references

``\${`` is a literal ``${``; an even number of backslashes before ``${`` stay as they are.
"""
from __future__ import annotations

import json
import re
from functools import lru_cache

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.patterns import pattern

DEPTH_LIMIT = 16  # references inside defaults of references
_SEGMENT = pattern(r'[^\s.\[\]{}():;,"\'`$\\%#*?!=<>&|^~+]+')
_ENVIRONMENT = pattern(r'env:([A-Za-z_][A-Za-z0-9_]*)')
_QUOTED = pattern(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', re.DOTALL)
_STOP = pattern(r'\$\{|\}')
_BLANK = pattern(r'\s*')
SHELL_HINT = "for the shell's own ${...} write \\${...}"


class TemplateError(UserError):
    """A mistake in a template.

    ``offset``: characters from the start of the string it stands in (None: the whole string).  ``path``: the keys and
    indices that lead to that string in the value that was resolved."""

    def __init__(self, message: str, *, hint: str = '', offset: int | None = None, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset
        self.path = path


@dataclass(frozen=True, slots=True)
class Reference:
    """One ``${...}``.  ``path``: names and positions, all as text; for an environment variable its name alone.
    ``default``: None, quoted text, or pieces.  ``start``: offset of its ``$``.  ``text``: as it was written."""

    path: tuple[str, ...]
    environment: bool
    default: str | tuple[Piece, ...] | None
    start: int
    text: str

    @property
    def name(self) -> str:
        """As in messages: ``train.lr``."""
        return ('env:' if self.environment else '') + '.'.join(self.path)


Piece = str | Reference


@lru_cache(maxsize=4096)
def pieces(text: str) -> tuple[Piece, ...]:
    """A string as literal text and references, in order; no empty text.  Raises TemplateError with the offset."""
    found, end = _pieces(text, 0, nested=0)
    assert end == len(text)
    return found


def _pieces(text: str, start: int, nested: int) -> tuple[tuple[Piece, ...], int]:
    """The pieces from ``start`` to the end, or where ``nested``, to the brace that closes the default (offset of it)."""
    found: list[Piece] = []
    literal: list[str] = []
    position = base = start  # base: a backslash before it belongs to something else
    while stop := _STOP.search(text, position):
        literal.append(text[position:stop.start()])
        position = stop.start()
        backslashes = position - base - len(text[base:position].rstrip('\\'))
        if stop[0] == '}':
            if nested:
                break
            literal.append('}')
            position += 1
        elif backslashes % 2:
            literal[-1] = literal[-1][:-1] + '${'
            position += 2
        else:
            reference, position = _reference(text, position, nested)
            found += [''.join(literal), reference]
            literal = []
        base = position
    else:
        literal.append(text[position:])
        position = len(text)
    found.append(''.join(literal))
    return tuple(piece for piece in found if piece), position


def _reference(text: str, start: int, nested: int) -> tuple[Reference, int]:
    """The reference whose ``$`` is at ``start``, and the offset after its brace."""
    if nested >= DEPTH_LIMIT:
        raise TemplateError(f'more than {DEPTH_LIMIT} ${{...}} inside each other', offset=start)
    position = _blank(text, start + 2)
    if text.startswith('}', position):
        raise TemplateError('empty ${}', offset=start, hint=r'name a parameter, or write \${} for the text itself')
    path: tuple[str, ...]
    if environment := _ENVIRONMENT.match(text, position):
        path, position = (environment[1],), environment.end()
    else:
        path, position = _path(text, start, position)
    position = _blank(text, position)
    default: str | tuple[Piece, ...] | None = None
    if text.startswith(':-', position):
        default, position = _default(text, position + 2, nested + 1)
    if position >= len(text):
        raise _unclosed(start)
    if text[position] != '}':
        raise TemplateError(f'unexpected {text[position]!r} in ${{...}}', offset=position, hint=SHELL_HINT)
    position += 1
    return Reference(path, environment is not None, default, start, text[start:position]), position


def _path(text: str, start: int, position: int) -> tuple[tuple[str, ...], int]:
    segments: list[str] = []
    if not text.startswith('[', position):
        segment, position = _bare(text, start, position)
        segments.append(segment)
    while position < len(text):
        after = _blank(text, position)
        if text.startswith('.', after):
            segment, position = _bare(text, start, _blank(text, after + 1))
        elif text.startswith('[', after):
            segment, position = _bracket(text, start, _blank(text, after + 1))
        else:
            break
        segments.append(segment)
    return tuple(segments), position


def _bare(text: str, start: int, position: int) -> tuple[str, int]:
    if found := _SEGMENT.match(text, position):
        return found[0], found.end()
    if position >= len(text):
        raise _unclosed(start)
    raise TemplateError(f'a name is missing before {text[position]!r} in ${{...}}', offset=position, hint=SHELL_HINT)


def _bracket(text: str, start: int, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        segment, position = _unquote(quoted[0], position), quoted.end()
    else:
        segment, position = _bare(text, start, position)
    position = _blank(text, position)
    if position >= len(text):
        raise _unclosed(start)
    if text[position] != ']':
        raise TemplateError("'[' without its ']' in ${...}", offset=position, hint='as in ${layers[0]} or ${a["b c"]}')
    return segment, position + 1


def _default(text: str, position: int, nested: int) -> tuple[str | tuple[Piece, ...], int]:
    begin = _blank(text, position)
    if quoted := _QUOTED.match(text, begin):
        return _unquote(quoted[0], begin), _blank(text, quoted.end())
    return _pieces(text, position, nested)


def _unquote(quoted: str, offset: int) -> str:
    if quoted[0] == "'":
        return quoted[1:-1].replace("''", "'")
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        raise TemplateError('a wrong backslash in double quotes', offset=offset, hint="as in JSON, or use '...'") from None


def _blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _unclosed(start: int) -> TemplateError:
    return TemplateError("'${' without its '}'", offset=start, hint=r'close it, or write \${ for the text itself')
