"""What of a notebook counts where it is run: its code cells, in their order (docs/formats/notebook.md).

Outputs, execution counts, Markdown, ids and the kernel's version do not.  Reads no file, runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint import pyast
from mlops_cli.fingerprint.parsing import SOURCE_LIMIT

PREFIX = b'mlops notebook-v1\n'
LIMIT = 64 << 20  # bytes of a notebook, its pictures among them
CELLS = 10_000
# What tells the programs that run notebooks to do something else with a cell.
TAGS = ('injected-parameters', 'parameters', 'raises-exception', 'skip-execution')
_MAGIC = pattern(r'[ \t]*(?:%|!|\?|[\w.]+\?)')
_RUNS = pattern(r'[ \t]*(?:%run|%load|%%(?:bash|sh|script|!)|(?:.*=[ \t]*)?!.*python|%%writefile)')


@dataclass(frozen=True, slots=True)
class Cell:
    """``text``: with LF.  ``tags``: those of TAGS that it has."""

    text: str
    tags: tuple[str, ...] = ()


def meaning(data: bytes, *, docstrings: bool = True) -> Digest | None:
    """The digest of what a notebook does when it is run; None where it is no notebook of format 4, and its bytes count."""
    read = _read(data)
    if read is None:
        return None
    language, _ = read
    return digest_of(PREFIX + canonical_bytes([language, [row for row in _rows(read, docstrings) if row[1] or row[3:]]]))


def changed_cells(before: bytes, after: bytes) -> tuple[str, ...]:
    """Phrases such as ``code cell 3 changed``; cells are counted as they stand in the later one, code cells only."""
    old, new = _read(before), _read(after)
    if old is None or new is None:
        return ()
    was, now = _rows(old, True), _rows(new, True)
    if len(was) != len(now):
        return (f'{len(now)} code cells, were {len(was)}',)
    return tuple(f'code cell {number} changed' for number, (one, two) in enumerate(zip_longest(was, now), 1) if one != two)


def _rows(read: tuple[str, Sequence[Cell]], docstrings: bool) -> list[list[Any]]:
    language, cells = read
    parsed = language == 'python' and sum(len(cell.text) for cell in cells) <= SOURCE_LIMIT
    return [[*_meant(cell.text, parsed, docstrings), *cell.tags] for cell in cells]


def python_of(data: bytes) -> tuple[str, tuple[tuple[int, str], ...]]:
    """(the Python of all cells one after the other, (line, what) of that which cannot be followed).  Raises ValueError where it
    is no notebook."""
    read = _read(data)
    if read is None:
        raise ValueError('it is no notebook of format 4')
    language, cells = read
    if sum(len(cell.text) for cell in cells) > SOURCE_LIMIT:
        raise ValueError(f'its code is larger than {SOURCE_LIMIT >> 20} MiB')
    lines: list[str] = []
    unseen: list[tuple[int, str]] = []
    for number, cell in enumerate(cells if language == 'python' else (), 1):
        for line in _plain(cell.text):
            if _RUNS.match(line):
                unseen.append((len(lines) + 1, f'(code cell {number}) runs something that is not followed'))
            lines.append('pass' if _MAGIC.match(line) and not line[:1].isspace() else _without_magic(line))
        if _parsed('\n'.join(lines[-len(cell.text.split('\n')) :])) is None:
            unseen.append((len(lines), f'(code cell {number}) is no Python that this interpreter can parse'))
            del lines[-len(cell.text.split('\n')) :]
    if language != 'python':
        unseen.append((1, f'is in {language}, which is not followed'))
    return '\n'.join(lines), tuple(unseen)


def _plain(text: str) -> Iterator[str]:
    """The lines of a cell; of one that is handed to another program as a whole none but the first."""
    lines = text.split('\n')
    if lines[0].startswith('%%') and not lines[0].startswith(('%%time', '%%capture', '%%prun')):
        yield lines[0]
        yield from ('' for _ in lines[1:])
    else:
        yield from lines


def _without_magic(line: str) -> str:
    """``    !ls`` in a block, and ``files = !ls``, as something that Python can parse."""
    bare = line.lstrip()
    if bare.startswith(('!', '%')) and _MAGIC.match(line):
        return line[: len(line) - len(bare)] + 'pass'
    name, equals, value = line.partition('=')
    return f'{name}= None' if equals and value.lstrip().startswith(('!', '%')) else line


def _parsed(text: str) -> Any:
    from mlops_cli.fingerprint.parsing import parse

    try:
        return parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _meant(text: str, parsed: bool, docstrings: bool) -> list[Any]:
    """[kind, digest or text, whether a ``;`` keeps its value from being shown]."""
    quiet = text.rstrip().endswith(';')
    if not text.strip():
        return ['', '', False]
    found = pyast.serialise(text.encode(), docstrings=docstrings) if parsed else None
    if found is None:
        return ['text', str(digest_of(text.strip('\n').encode())), quiet]
    return ['python', str(digest_of(found)), quiet] if found != _EMPTY else ['', '', False]


_EMPTY = b'Module\n'  # as pyast-v1 writes what holds comments alone


def _read(data: bytes) -> tuple[str, Sequence[Cell]] | None:
    """(language, code cells).  Whatever is not as nbformat 4 has it is no notebook."""
    if len(data) > LIMIT:
        return None
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or found.get('nbformat') != 4 or not isinstance(found.get('cells'), list):
            return None
        cells = [_cell(cell) for cell in found['cells'] if cell['cell_type'] == 'code']
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (_language(found.get('metadata')), cells) if len(cells) <= CELLS else None


def _cell(cell: Any) -> Cell:
    """Raises KeyError, TypeError, ValueError."""
    source = cell['source']
    text = source if isinstance(source, str) else ''.join(source)
    text.encode()  # half of a character is refused here
    tags = (cell.get('metadata') or {}).get('tags') or ()
    return Cell(text.replace('\r\n', '\n'), tuple(tag for tag in TAGS if tag in tags))


def _language(metadata: Any) -> str:
    """Of its kernel; most say Python, and those that say nothing mean it."""
    for place, name in (('kernelspec', 'language'), ('language_info', 'name')):
        held = metadata.get(place) if isinstance(metadata, dict) else None
        if isinstance(held, dict) and isinstance(held.get(name), str) and held[name]:
            return str(held[name]).lower()[:40]
    return 'python'
