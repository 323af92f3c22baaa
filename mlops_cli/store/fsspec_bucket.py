"""Buckets of whatever else fsspec knows: gs://, az://, and https:// to read from.

Tries and pauses are those of its libraries.  What they do not promise is not asked of them: a value is never left half written
by us, and nothing is believed before it hashed to its name.
"""
from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.store.bucket import BLOCK, Absent, Listed, Sure, Unreachable, at_once, read_range, side_by_side

# scheme -> (what fsspec needs for it, what we call that)
LIBRARIES: Mapping[str, tuple[str, str]] = {
    'gs': ('gcsfs', 'gs'), 'az': ('adlfs', 'az'), 'https': ('aiohttp', 'remotes'),
}  # fmt: skip
HINTS = {
    'gs': 'is the bucket there, and may you? gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS',
    'az': 'is the container there, and may you? AZURE_STORAGE_ACCOUNT_NAME, with _KEY or _SAS_TOKEN, or _CONNECTION_STRING',
    'https': 'is the network there, and the address right?',
}
_TIMES = ('LastModified', 'last_modified', 'updated', 'mtime', 'modified', 'created')
_T = TypeVar('_T')


def require(url: str) -> None:
    """Raises UserError where the library for a url is not installed, or where there is none."""
    scheme = url.partition('://')[0]
    if scheme not in LIBRARIES:
        raise UserError(f'{url}: there are no remotes with {scheme}://', exit_code=ExitCode.WRONG_INPUT,
                        hint='use s3://, ssh://, gs://, az://, file:// or the path of a folder; https:// only to read')
    library, extra = LIBRARIES[scheme]
    if any(importlib.util.find_spec(name) is None for name in ('fsspec', library)):
        raise UserError(f'{url}: {library} is not installed, which {scheme}:// needs', exit_code=ExitCode.UNREACHABLE,
                        hint=f"pip install 'mlops-cli[{extra}]'")


def open_fsspec(url: str) -> FsspecBucket:
    """Raises UserError where what it needs is not installed."""
    require(url)
    import fsspec

    scheme, _, path = url.partition('://')
    system = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    if scheme == 'https':
        return WebBucket(url, system, url.rstrip('/'))
    return FsspecBucket(url, system, path.strip('/'))


class FsspecBucket:
    """``system``: a file system of fsspec; ``base``: the path in it.  A Bucket."""

    def __init__(self, url: str, system: Any, base: str) -> None:
        self.where = url
        self._system = system
        self._base = base
        self._hint = HINTS.get(url.partition('://')[0], 'is it there, and may you?')
        self._new = threading.Lock()

    def close(self) -> None:
        """Connections end with the process."""

    def _path(self, key: str) -> str:
        return f'{self._base}/{key}'

    def _do(self, work: Callable[[], _T], key: str = '') -> _T:
        """Raises Absent for a key that is not there, FileExistsError, Unreachable."""
        try:
            return work()
        except (Unreachable, Absent, FileExistsError):
            raise
        except FileNotFoundError as error:
            if key:
                raise Absent(key) from error
            raise self._failed(error) from error
        except Exception as error:  # libraries of five companies, each with its own
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> Unreachable:
        text = ' '.join(str(error).split())[:300] or type(error).__name__
        return Unreachable(self.where, text, self._hint)

    def list(self, folder: str) -> Iterator[Listed]:
        try:
            found = self._do(lambda: self._system.find(self._path(folder).rstrip('/'), detail=True), folder or '.')
        except Absent:
            return
        base = self._system._strip_protocol(self._base).rstrip('/') + '/'
        for name, facts in found.items():
            path = self._system._strip_protocol(name)
            if path.startswith(base) and facts.get('type', 'file') == 'file':
                yield Listed(path[len(base):], int(facts.get('size') or 0), _time(facts))

    def size(self, key: str) -> int | None:
        try:
            facts = self._do(lambda: self._system.info(self._path(key)), key)
        except Absent:
            return None
        return int(facts['size']) if facts.get('type', 'file') == 'file' and facts.get('size') is not None else None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b''
        size = -1
        if end is not None:
            if (found := self.size(key)) is None:
                raise Absent(key)
            if (size := found) < end:  # beyond it libraries differ
                raise self._too_short(key)
        data = bytes(self._do(lambda: self._system.cat_file(self._path(key), start=start or None, end=end), key))
        if end is not None and len(data) == size:
            data = data[start:end]  # servers of the web may send all, whatever they are asked for
        if end is not None and len(data) != end - start:
            raise self._too_short(key)
        return data

    def _too_short(self, key: str) -> Unreachable:
        return Unreachable(self.where, f'{key} has fewer bytes than it should', 'mlops push --repair mends it')

    def put(self, key: str, data: bytes) -> None:
        self._write(key, iter([data]), len(data))

    def put_new(self, key: str, data: bytes) -> bool:
        more = {'overwrite': False} if self.where.startswith('az://') else {'mode': 'create'}
        try:
            with self._new:  # where the library looks first and writes then, at least here one comes after the other
                self._folder_of(key)
                self._do(lambda: self._system.pipe_file(self._path(key), data, **more))
        except FileExistsError:
            return False
        return True

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        sure()

        def parts() -> Iterator[bytes]:
            for start in range(0, size, BLOCK):
                yield (data := read_range(fd, start, min(start + BLOCK, size)))
                sent(len(data))

        self._write(key, parts(), size)

    def _folder_of(self, key: str) -> None:
        """Where there are folders; of buckets it is no more than a word."""
        if 'file' in self._system.protocol:
            self._do(lambda: self._system.makedirs(self._path(key).rpartition('/')[0], exist_ok=True))

    def _write(self, key: str, parts: Iterable[bytes], size: int) -> None:
        self._folder_of(key)
        if 'memory' in self._system.protocol or (size <= BLOCK and 'file' not in self._system.protocol):
            data = b''.join(parts)
            self._do(lambda: self._system.pipe_file(self._path(key), data))
            return
        file = self._do(lambda: self._system.open(self._path(key), 'wb', block_size=BLOCK, autocommit=False))
        try:
            for part in parts:
                self._do(lambda part=part: file.write(part))  # type: ignore[misc]
            self._do(file.close)
            self._do(file.commit)
        except BaseException:
            with suppress(AttributeError):
                file.closed = True  # or it would end by itself, with what there is so far
            with suppress(Exception):
                file.discard()
            raise

    def delete(self, keys: Iterable[str]) -> None:
        with closing(side_by_side(self._delete, keys)) as done:
            for _ in done:
                pass

    def _delete(self, key: str) -> None:
        with suppress(Absent):
            self._do(lambda: self._system.rm_file(self._path(key)), key)


class WebBucket(FsspecBucket):
    """What a server of the web has in a folder that it lists.  It is only read."""

    def list(self, folder: str) -> Iterator[Listed]:
        keys = [listed.key for listed in super().list(folder)]
        with closing(side_by_side(lambda key: (key, self.size(key)), keys)) as found:  # a page tells no sizes
            yield from (Listed(key, size, 0.0) for key, size in found if size is not None)

    def _folder_of(self, key: str) -> None:
        """What every write asks for first."""
        raise Unreachable(self.where, f'{key} cannot be written there: https:// can only be read',
                          'push to the same place by s3://, ssh:// or its folder')

    def _delete(self, key: str) -> None:
        self._folder_of(key)


def _time(facts: Mapping[str, Any]) -> float:
    """Seconds since 1970, as the library tells it; 0.0 if it does not."""
    for name in _TIMES:
        value = facts.get(name)
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return 0.0
