"""Changes one setting in a config file; everything else in it stays, comments too.  Bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_cli.core.document import LINE_END, Document
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import plain_scalar
from mlops_cli.records.config import HOSTS, KNOWN, MODELS, NAMED, PRICES, REMOTES
from mlops_cli.yamlfile import edit_value, read

LINES = 50_000


def path_of(name: str) -> tuple[str, ...]:
    """The keys that lead to a setting: ``cache.dir``, ``tokens.licence``, ``remotes.origin`` or ``remotes.origin.url``.

    Raises UserError with the near name."""
    path = tuple(name.split('.'))
    outer = path[0]
    if outer in (PRICES, MODELS) and len(path) > 1:  # of a machine or model, which may have dots in its name
        path = (outer, name.partition('.')[2])
    if name in KNOWN and outer not in NAMED:
        return path
    if outer in NAMED and all(path):
        if len(path) == 2 or (len(path) == 3 and outer in (REMOTES, HOSTS)):
            return path
        if len(path) == 1:
            raise UserError(f'{name} are set one by one', hint=f'such as {name}.NAME')
    known = [*(one for one in KNOWN if one not in NAMED), *(f'{one}.NAME' for one in NAMED)]
    raise UserError(f'unknown setting {name[:80]!r}', hint=did_you_mean(name, known, what='settings are'))


def value_of(text: str) -> Any:
    """What a word of the command line is as a value: YAML in brackets, else a plain scalar.  Raises UserError."""
    if text[:1] in ('[', '{'):
        return read(text.encode('utf-8', 'surrogateescape'), 'VALUE').value
    try:
        return plain_scalar(text)
    except ValueError as error:
        raise UserError(str(error), hint='name another value') from error


def with_value(data: bytes, file: str, path: tuple[str, ...], value: Any) -> bytes:
    """Raises UserErrors if the file is no YAML, UserError if the value has no place there, or is no text of a file."""
    for text in _texts([*path, value]):
        try:
            text.encode()
        except UnicodeEncodeError:  # a word of the command line may hold any bytes
            raise UserError(f'{text[:80]!a} is not UTF-8, which {file} is', hint='name what has another name') from None
    if data.count(b'\n') > LINES:  # each is known apart while something is changed between them
        raise UserError(f'{file} has more than {LINES:,} lines', hint='change it by hand')
    return edit_value(data, path, value, file=file)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def without(data: bytes, file: str, path: tuple[str, ...]) -> bytes:
    """The file without a setting, and without what then holds nothing.  Raises UserError if it is not set there."""
    document = read(data, file)
    holders: list[Any] = [document.value]
    for step in path:
        inner = holders[-1].get(step) if isinstance(holders[-1], dict) else None
        if inner is None:
            raise UserError(f'{".".join(path)} is not set in {file}', hint='mlops config list -v shows what is set where')
        holders.append(inner)
    cut = path
    while len(cut) > 1 and len(holders[len(cut) - 1]) == 1:
        cut = cut[:-1]
    if len(cut) == 1 and len(document.value) == 1:
        return _comments(document)
    wanted = _removed(document.value, cut)
    edited = _line_removed(document, cut)
    if edited is not None and read(edited, file).value == wanted:
        return edited
    edited = edit_value(data, cut[:-1], _at(wanted, cut[:-1]), file=file) if len(cut) > 1 else b''
    if edited and read(edited, file).value == wanted:
        return edited
    raise UserError(
        f'{".".join(path)} cannot be taken out without touching other lines',
        where=document.where(cut, key=True),
        hint='edit the file by hand',
    )


def _removed(value: Any, path: tuple[str, ...]) -> Any:
    if len(path) == 1:
        return {key: inner for key, inner in value.items() if key != path[0]}
    return {key: _removed(inner, path[1:]) if key == path[0] else inner for key, inner in value.items()}


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _line_removed(document: Document, path: tuple[str, ...]) -> bytes | None:
    """The text without the lines of one entry of a block; None if it does not begin its line."""
    where = document.where(path, key=True)
    lines = document.text.splitlines(keepends=True)
    indent = where.column - 1
    if lines[where.line - 1][:indent].strip():
        return None
    end = where.line
    while end < len(lines) and _indent(lines[end]) > indent:
        end += 1
    return ''.join(lines[: where.line - 1] + lines[end:]).encode()


def _indent(line: str) -> int:
    """Blanks in front; of an empty line 0, so that it ends a block."""
    return len(line) - len(line.lstrip(' ')) if line.strip() else 0


def _comments(document: Document) -> bytes:
    """What is left of a file whose one setting goes: its comments in front."""
    kept = []
    for line in LINE_END.split(document.text):
        if line.strip() and not line.lstrip().startswith('#'):
            break
        kept.append(line)
    return ('\n'.join(kept) + '\n').encode() if any(line.strip() for line in kept) else b''
