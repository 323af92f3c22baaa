"""MD5 as DVC uses it: of files as they are, of text with Unix line ends as its second version did, of folders by their list.

Reads only inside the project and DVC's cache, also where the workspace holds links."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from mlops_cli.adopt.dvc.project import is_ignored
from mlops_cli.adopt.dvc.recorded import LEGACY
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root

CHUNK = 1 << 20
BLOCK = 512  # bytes that tell text from the rest
_TEXT = bytes(range(32, 127)) + b'\n\r\t\f\b'
_ALWAYS = ('.git', '.hg', '.dvc')
Seen = Callable[[int], object]


class Md5:
    """An MD5 that is fed in chunks of 1 MiB.  ``name``: md5 or md5-dos2unix."""

    def __init__(self, name: str) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)
        self._legacy = name == LEGACY

    def update(self, chunk: bytes) -> None:
        if self._legacy and is_text(chunk[:BLOCK]):
            chunk = chunk.replace(b'\r\n', b'\n')
        self._hash.update(chunk)

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def is_text(block: bytes) -> bool:
    """Whether the beginning of a file looks like text to DVC."""
    return b'\0' not in block and len(block.translate(None, _TEXT)) <= 0.30 * len(block)


def folder_bytes(rows: Iterable[tuple[str, str]]) -> bytes:
    """The list that names a folder.  ``rows``: (path in it, md5)."""
    return json.dumps([{'md5': md5, 'relpath': rel} for rel, md5 in sorted(rows)], sort_keys=True).encode()


def folder_md5(rows: Iterable[tuple[str, str]]) -> str:
    return f'{hashlib.md5(folder_bytes(rows), usedforsecurity=False).hexdigest()}.dir'


def link_into(root: Root, path: str, cache: str | None) -> str:
    """The first link at or below a path that leads into DVC's cache; empty where there is none."""
    if cache is None:
        return ''
    top, inside = root.full(path), os.path.join(os.path.realpath(cache), '')
    waiting = [top]
    while waiting:
        here = waiting.pop()
        if os.path.islink(here):
            if os.path.realpath(here).startswith(inside):
                return os.path.relpath(here, root.path)
        elif os.path.isdir(here):
            with os.scandir(here) as entries:
                waiting += [entry.path for entry in entries if entry.is_symlink() or entry.is_dir(follow_symlinks=False)]
    return ''


class Hashes:
    """What DVC would record of paths of a workspace, each worked out once.  ``cache``: DVC's, which links may lead to."""

    def __init__(self, root: Root, ignored: list[tuple[str, Ignore]], cache: str, seen: Seen = lambda _bytes: None) -> None:
        self.root, self.ignored, self.seen = root, ignored, seen
        self._within = tuple(os.path.join(os.path.realpath(folder), '') for folder in (root.path, cache))
        self._known: dict[tuple[str, str], str] = {}
        self._rows: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def of(self, path: str, name: str) -> str:
        """Empty where nothing is there.  Raises UserError, OSError."""
        if (path, name) not in self._known:
            self._known[path, name] = self._of(path, name)
        return self._known[path, name]

    def rows(self, path: str, name: str) -> list[tuple[str, str]]:
        """(path in it, md5) of the files of a folder."""
        self.of(path, name)
        return self._rows.get((path, name), [])

    def _of(self, path: str, name: str) -> str:
        facts = self._stat(path)
        if facts is None:
            return ''
        if stat.S_ISDIR(facts.st_mode):
            self._rows[path, name] = rows = [(rel, self._file(f'{path}/{rel}', name)) for rel in self._files(path)]
            return folder_md5(rows)
        return self._file(path, name) if stat.S_ISREG(facts.st_mode) else ''

    def _stat(self, path: str) -> os.stat_result | None:
        """What lies there, links followed."""
        try:
            facts = self.root.stat(path)
        except UserError:
            facts = None  # a folder above is a link
        if facts is not None and not stat.S_ISLNK(facts.st_mode):
            return facts
        try:
            return os.stat(self._target(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _target(self, path: str) -> str:
        """Raises UserError for what leads out of the project and of DVC's cache."""
        target = os.path.realpath(self.root.full(path))
        if not f'{target}/'.startswith(self._within):
            raise UserError(f'{path} is a link out of the project', exit_code=ExitCode.REFUSED,
                            hint="only links into DVC's cache are followed")
        return target

    def _files(self, path: str) -> list[str]:
        found: list[str] = []
        top = self._target(path)
        for folder, folders, files in os.walk(top):
            below = os.path.relpath(folder, top).replace(os.sep, '/')
            prefix = '' if below == '.' else f'{below}/'
            folders[:] = sorted(one for one in folders if not self._is_ignored(f'{path}/{prefix}{one}', True))
            found += [f'{prefix}{one}' for one in files if not self._is_ignored(f'{path}/{prefix}{one}', False)]
        return sorted(found)

    def _is_ignored(self, path: str, is_dir: bool) -> bool:
        return path.rpartition('/')[2] in _ALWAYS or is_ignored(self.ignored, path, is_dir)

    def _file(self, path: str, name: str) -> str:
        fd = os.open(self._target(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            facts = ops.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise UserError(f'{path} is neither a file nor a folder', exit_code=ExitCode.REFUSED)
            found = Md5(name)
            for chunk in chunks(fd, facts.st_size):
                found.update(chunk)
                self.seen(len(chunk))
            return found.hex
        finally:
            os.close(fd)


def chunks(fd: int, size: int) -> Iterator[bytes]:
    """A file of about that size in pieces of a MiB, each whole as long as there is as much: what is text is decided for each.
    A buffer of a MiB costs more than most files, so that of a small one is small."""
    while True:
        wanted = min(CHUNK, max(size, 0) + 1)
        data = os.read(fd, wanted)
        while data and len(data) < wanted and size - len(data) > 0 and (more := os.read(fd, wanted - len(data))):
            data += more
        if not data:
            return
        yield data
        size -= len(data)
        if size <= 0 and len(data) < wanted:
            return  # all that there was, and one byte more was asked for
