"""Reads what strace writes, line by line: names in its escapes, folders that names are relative to, calls in two pieces.

It is told the folder of every descriptor (``-y``), so where a process is and what its descriptors are need not be followed; but
for the oldest calls, which name no descriptor, the last folder that was told of the process (or its parent) counts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping

from mlops_cli.checks.audit.access import Access, Did, Ended, Unseen

CALLS = (
    'open', 'openat', 'openat2', 'open_by_handle_at', 'creat', 'truncate', 'execve', 'execveat',
    'rename', 'renameat', 'renameat2',
    'link', 'linkat', 'symlink', 'symlinkat', 'unlink', 'unlinkat', 'getdents', 'getdents64', 'chdir', 'fchdir',
    'clone', 'clone3', 'fork', 'vfork', 'io_uring_setup',
)  # fmt: skip
LINE_LIMIT = 1 << 20  # bytes; paths end at 4,096, each at most four times as long in escapes
_LINE = re.compile(rb'(\d+) +(.*)', re.DOTALL)
_CALL = re.compile(rb'([a-z0-9_]+)\((.*)', re.DOTALL)
_RESUMED = re.compile(rb'<\.\.\. [a-z0-9_]+ resumed>(.*)', re.DOTALL)
_UNFINISHED = b' <unfinished ...>'
_FOLDER = re.compile(rb'(?:AT_FDCWD|\d+)(?:<((?:[^\\>]|\\.)*)>)?(?:\(deleted\))?', re.DOTALL)
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_RESULT = re.compile(rb'\) += (-?\d+)(?:<((?:[^\\>]|\\.)*)>)?(?:\(deleted\))?[^"]*$', re.DOTALL)
_ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)', re.DOTALL)
_SIMPLE = {b'n': b'\n', b't': b'\t', b'r': b'\r', b'v': b'\v', b'f': b'\f', b'a': b'\a', b'b': b'\b', b'e': b'\x1b'}


def options(output: str) -> tuple[str, ...]:
    """What strace is called with, before the command.  ``output``: the file that it writes to."""
    calls = ','.join(f'?{name}' for name in CALLS)
    return ('-f', '--seccomp-bpf', '-q', '-y', '-s', '0', '-e', f'trace={calls}', '-e', 'signal=none', '-o', output, '--')


def plain(text: bytes) -> str:
    """Without strace's escapes."""
    return os.fsdecode(_ESCAPE.sub(_unescaped, text) if b'\\' in text else text)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] == b'x' and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit():
        return bytes([int(code, 8) & 0xFF])
    return _SIMPLE.get(code, code)


class Parser:
    """``folder``: where the first process starts."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._cwd: dict[int, str] = {}
        self._seen: set[int] = set()
        self._begun: dict[int, bytes] = {}
        self.unclear = 0  # lines that could not be read
        self._calls: Mapping[bytes, Callable[[int, bytes, str], Iterator[Access | Unseen]]] = {
            b'openat': self._openat, b'open': self._open, b'creat': self._open, b'openat2': self._openat, b'execve': self._run,
            b'execveat': self._run_at, b'truncate': self._truncate, b'open_by_handle_at': self._by_handle,
            b'getdents': self._list, b'getdents64': self._list, b'io_uring_setup': self._ring,
        }  # fmt: skip

    def line(self, line: bytes) -> Iterator[Access | Ended | Unseen]:
        """What a line tells, if anything."""
        found = _LINE.fullmatch(line)
        if found is None:
            self.unclear += bool(line.strip())
            return
        pid, text = int(found[1]), found[2]
        if pid not in self._seen:
            self._seen.add(pid)
            yield Ended(pid, begun=True)
        if text.startswith(b'+++ '):
            self._seen.discard(pid)
            self._cwd.pop(pid, None)
            self._begun.pop(pid, None)
            yield Ended(pid)
            return
        if text.startswith((b'--- ', b'strace: ')):
            return
        if text.endswith(_UNFINISHED):
            self._begun[pid] = text[: -len(_UNFINISHED)]
            return
        if resumed := _RESUMED.fullmatch(text):
            text = self._begun.pop(pid, b'') + resumed[1]
        if (call := _CALL.fullmatch(text)) is None:
            self.unclear += 1
            return
        yield from self._call(pid, call[1], call[2])

    def _call(self, pid: int, name: bytes, rest: bytes) -> Iterator[Access | Ended | Unseen]:
        ended = _RESULT.search(rest)
        if (folder := _FOLDER.match(rest)) and rest.startswith(b'AT_FDCWD') and folder[1]:
            self._cwd[pid] = plain(folder[1])
        if ended is None or ended[1].startswith(b'-'):  # it failed, or ended with its process
            return
        if name in self._calls:
            yield from self._calls[name](pid, rest, plain(ended[2] or b''))
        elif name in (b'chdir', b'fchdir'):
            self._cwd[pid] = self._at(pid, rest)[0] if name == b'chdir' else plain((folder and folder[1]) or b'')
        elif name in (b'clone', b'clone3', b'fork', b'vfork'):
            self._cwd.setdefault(int(ended[1]), self._cwd.get(pid, self._folder))
        elif name.startswith((b'rename', b'link', b'symlink', b'unlink')):
            yield from self._two(pid, name, rest)

    def _at(self, pid: int, rest: bytes) -> tuple[str, bytes]:
        """The first name in the arguments, absolute, and what follows it."""
        base = self._cwd.get(pid, self._folder)
        if (folder := _FOLDER.match(rest)) is not None:
            base = plain(folder[1]) if folder[1] else base
            rest = rest[folder.end() :].lstrip(b', ')
        if (text := _TEXT.match(rest)) is None:
            return '', rest
        return os.path.join(base, plain(text[1])), rest[text.end() :].lstrip(b', ')

    def _openat(self, pid: int, rest: bytes, real: str) -> Iterator[Access]:
        name, flags = self._at(pid, rest)
        yield from _opened(name or real, real, flags)

    def _open(self, pid: int, rest: bytes, real: str) -> Iterator[Access]:
        name, flags = self._at(pid, rest)
        yield from _opened(name, real, flags if b'O_' in flags else b'O_WRONLY|O_CREAT|O_TRUNC')

    def _by_handle(self, _pid: int, rest: bytes, real: str) -> Iterator[Access]:
        yield from _opened(real, real, rest)

    def _run(self, pid: int, rest: bytes, _real: str) -> Iterator[Access]:
        yield Access('run', self._at(pid, rest)[0])

    def _run_at(self, pid: int, rest: bytes, _real: str) -> Iterator[Access]:
        yield Access('run', self._at(pid, rest)[0].rstrip('/'))  # an empty name is the descriptor itself

    def _truncate(self, pid: int, rest: bytes, _real: str) -> Iterator[Access]:
        yield Access('update', self._at(pid, rest)[0])

    def _list(self, _pid: int, rest: bytes, _real: str) -> Iterator[Access]:
        if (folder := _FOLDER.match(rest)) is not None and folder[1]:
            yield Access('list', plain(folder[1]), plain(folder[1]))

    def _ring(self, _pid: int, _rest: bytes, _real: str) -> Iterator[Unseen]:
        yield Unseen('io_uring')

    def _two(self, pid: int, name: bytes, rest: bytes) -> Iterator[Access]:
        if name.startswith(b'symlink'):  # what it points to is a text
            target = _TEXT.match(rest)
            if target is not None:
                yield Access('point', self._at(pid, rest[target.end() :].lstrip(b', '))[0])
            return
        first, rest = self._at(pid, rest)
        if name.startswith(b'unlink'):
            yield Access('remove', first)
            return
        did: Did = 'rename' if name.startswith(b'rename') else 'link'
        yield Access(did, first, other=self._at(pid, rest)[0])
        if b'RENAME_EXCHANGE' in rest:
            yield Access('update', first)


def _opened(name: str, real: str, flags: bytes) -> Iterator[Access]:
    flags = flags.partition(b')')[0]
    if b'O_PATH' in flags or b'O_TMPFILE' in flags or b'O_DIRECTORY' in flags or not real.startswith('/'):
        return
    fresh = b'O_TRUNC' in flags or (b'O_EXCL' in flags and b'O_CREAT' in flags)
    did: Did = 'read'
    if b'O_WRONLY' in flags or b'O_RDWR' in flags:
        did = 'make' if fresh else 'write' if b'O_WRONLY' in flags else 'maybe' if b'O_CREAT' in flags else 'update'
    yield Access(did, name, real)
