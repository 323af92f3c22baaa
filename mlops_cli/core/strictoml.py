"""TOML, read by the standard library with what that lacks: limits, and a place for every mistake."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops_cli.core.patterns import pattern

DEPTH_LIMIT = 64
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
# The library takes memory by the square of the length of a dotted key.
_DEEP = pattern(rf'(?:^|[{{,\[])[ \t]*{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{DEPTH_LIMIT}}}', 8)  # 8: re.MULTILINE
_PLACE = pattern(r' \(at line (\d+), column (\d+)\)$')
_LONG = pattern(r'[0-9][0-9_]{4299}')  # the first that int refuses
_END = ' (at end of document)'


class TomlError(ValueError):
    """``line`` and ``column`` from 1; 0 where nobody knows."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def loads(data: bytes, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The value of a document.  ``parse_float`` may raise what it likes.  Raises TomlError."""
    import tomllib  # few files are

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise TomlError('not UTF-8', line, error.start - data.rfind(b'\n', 0, error.start)) from None
    if deep := _DEEP.search(text):
        raise TomlError(f'a key of more than {DEPTH_LIMIT} parts', text.count('\n', 0, deep.end()) + 1, 1)
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        if found:
            raise TomlError(str(error)[:found.start()], int(found[1]), int(found[2])) from None
        last = text.rstrip('\n')
        raise TomlError(str(error).removesuffix(_END) + ', and there the file ends', last.count('\n') + 1,
                        len(last) - last.rfind('\n')) from None
    except RecursionError:
        raise TomlError('too deeply nested') from None
    except ValueError as error:
        if type(error) is ValueError:  # int's refusal of very long numbers
            digits = _LONG.search(text)
            start = digits.start() if digits else 0
            line = text.count('\n', 0, start) + 1
            raise TomlError(str(error).partition(';')[0], line, start - text.rfind('\n', 0, start)) from None
        raise
