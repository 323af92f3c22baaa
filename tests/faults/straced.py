"""What any program does to a folder, from a log of strace, in the words of fsio.ops.record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults.medium import Medium, Refused

CALLS = (
    'open,openat,creat,write,pwrite64,lseek,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,'
    'rmdir,ftruncate,fsync,fdatasync,chmod,fchmod,fchmodat,copy_file_range,sendfile,sync,syncfs,chdir,fchdir'
)
_LINE = re.compile(r'(\d+) +(\w+)\((.*)\) += (-?\w+)(<.*>)?')
_UNFINISHED = re.compile(r'(\d+) +(.*) <unfinished \.\.\.>')
_RESUMED = re.compile(r'(\d+) +<\.\.\. \w+ resumed>(.*)')
_FD = re.compile(r'(\w+)<(.*)>')
_PARTS = re.compile(r'"(?:[^"]*)"|\[[^\]]*\](?: => \[[^\]]*\])?|[^,]+')


def words(log: Path) -> list[str]:
    """To put in front of a program."""
    which = ['-e', 'status=successful', '-e', f'trace={CALLS}']
    return ['strace', '-f', '-y', '-xx', '-s', str(1 << 20), *which, '-o', str(log)]


def operations(log: Path, medium: Medium) -> Iterator[tuple[str, dict[str, Any]]]:
    """What changed below the medium's root, each applied to it as it is told."""
    reader = _Reader(medium)
    for line in _whole(log):
        found = _LINE.fullmatch(line.strip())
        if found and found[4] != '?':
            reader.process = found[1]
            for operation, details in reader.told(found[2], _split(found[3]), int(found[4], 0), _text(found[5] or '')):
                medium.apply(operation, details)
                yield operation, details


def _whole(log: Path) -> Iterator[str]:
    """Lines, those that others came in between put together."""
    begun: dict[str, str] = {}
    with log.open(encoding='ascii', errors='replace') as lines:
        for line in lines:
            if found := _UNFINISHED.match(line):
                begun[found[1]] = line[: line.rindex(' <unfinished')]
            elif (found := _RESUMED.match(line)) and found[1] in begun:
                yield begun.pop(found[1]) + found[2]
            else:
                yield line


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.strip('"').replace('\\x', ''))


def _text(part: str) -> str:
    return re.sub(r'(?:\\x[0-9a-f]{2})+', lambda found: os.fsdecode(_bytes(found[0])), part)


def _split(arguments: str) -> list[str]:
    return [part.strip() for part in _PARTS.findall(arguments) if part.strip()]


class _Reader:
    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.process = ''
        self._at: dict[str, int] = {}  # descriptor with path -> where it stands
        self._here: dict[str, str] = {}  # of processes that went elsewhere

    def told(self, call: str, given: Sequence[str], result: int, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if call in ('open', 'openat', 'creat'):
            yield from self._opened(call, given, f'{result}{path}')
        elif call in ('chdir', 'fchdir'):
            where = _text(given[0])
            self._here[self.process] = _path(where) if call == 'fchdir' else self._names(given, 1)[0]
        elif call == 'lseek':
            self._at[_text(given[0])] = result
        elif call in ('write', 'pwrite64'):
            yield from self._written(given[0], _bytes(given[1])[:result], int(given[3]) if call == 'pwrite64' else None)
        elif call in ('sendfile', 'copy_file_range'):
            yield from self._copied(call, given, result)
        elif call in ('ftruncate', 'fsync', 'fdatasync', 'fchmod'):
            yield from self._of_descriptor(call, given)
        elif call in ('sync', 'syncfs'):
            yield 'sync_filesystem', {}
        else:
            yield from self._of_names(call, given)

    def _opened(self, call: str, given: Sequence[str], opened: str) -> Iterator[tuple[str, dict[str, Any]]]:
        flags = 'O_CREAT|O_TRUNC' if call == 'creat' else given[2 if call == 'openat' else 1]
        self._at[opened] = -1 if 'O_APPEND' in flags else 0
        known = sum(getattr(os, name) for name in ('O_CREAT', 'O_TRUNC', 'O_EXCL') if name in flags)
        if known:
            yield 'open', {'path': _path(opened), 'flags': known, 'mode': int(given[-1], 8) if given[-1].isdigit() else 0o666}

    def _written(self, descriptor: str, data: bytes, at: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
        where = _text(descriptor)
        node = self._node(_path(where))
        if node is None:
            return
        place = at if at is not None else self._at.get(where, 0)
        if place < 0:
            place = len(self.medium.nodes[node].data)
        elif at is None:
            self._at[where] = place + len(data)
        yield 'write', {'path': _path(where), 'inode': where, 'offset': place, 'data': data}

    def _copied(self, call: str, given: Sequence[str], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        source, target = (given[1], given[0]) if call == 'sendfile' else (given[0], given[2])
        begun = re.match(r'\[(\d+)', given[2] if call == 'sendfile' else given[1])
        node = self._node(_path(_text(source)))
        where = _text(source)
        start = int(begun[1]) if begun else self._at.get(where, 0)
        if not begun:
            self._at[where] = start + count
        if node is not None and count:
            yield from self._written(target, self.medium.nodes[node].data[start : start + count], None)

    def _of_descriptor(self, call: str, given: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        where = _text(given[0])
        path = {'path': _path(where), 'inode': where}
        if self._node(path['path']) is None:
            return
        if call == 'ftruncate':
            yield 'truncate', {**path, 'size': int(given[1])}
        elif call == 'fchmod':
            yield 'chmod', {**path, 'mode': int(given[1], 8)}
        else:
            yield 'fsync', path

    def _of_names(self, call: str, given: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        base = call.removesuffix('at2').removesuffix('at')
        if base in ('rename', 'link'):
            names = self._names(given, 2)
            yield 'rename' if base == 'rename' else 'link', {'source': names[0], 'target': names[1]}
        elif base == 'symlink':
            yield 'symlink', {'target': _text(given[0]).strip('"'), 'path': self._names(given[1:], 1)[0]}
        elif base == 'unlink':
            yield 'rmdir' if 'AT_REMOVEDIR' in given[-1] else 'unlink', {'path': self._names(given, 1)[0]}
        elif base in ('mkdir', 'fchmod', 'chmod'):
            operation = 'mkdir' if base == 'mkdir' else 'chmod'
            mode = next(int(word, 8) for word in reversed(given) if word.isdigit())
            yield operation, {'path': self._names(given, 1)[0], 'mode': mode}
        elif base == 'rmdir':
            yield 'rmdir', {'path': self._names(given, 1)[0]}

    def _names(self, given: Sequence[str], count: int) -> list[str]:
        """Full paths; a process that never went elsewhere is taken to stand at the root."""
        found: list[str] = []
        here = folder = self._here.get(self.process, self.medium.root)
        for part in given:
            text = _text(part)
            if text.startswith('"'):
                found.append(os.path.normpath(os.path.join(folder, text.strip('"'))))
                folder = here
            elif '<' in text:
                folder = _path(text)
        return found[:count]

    def _node(self, path: str) -> int | None:
        try:
            return self.medium.find(self.medium.rel(path))
        except Refused:
            return None


def _path(descriptor: str) -> str:
    found = _FD.fullmatch(descriptor)
    return found[2] if found else descriptor
