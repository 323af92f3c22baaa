"""Where a remote keeps its bytes: keys and whole values, as S3 has them.  Here the interface, and a folder that is one.

Nothing here knows what the values are.  A value appears whole or not at all, and is replaced whole.
"""
from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import TEMPORARY
from mlops_cli.fsio import ops, pieces
from mlops_cli.fsio.naming import Folders, name_new
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import new_name, sweep_temporaries

if TYPE_CHECKING:  # slow to load
    from concurrent.futures import Future, ThreadPoolExecutor

AT_ONCE = 16  # requests under way
BLOCK = 8 << 20  # bytes of a large value that one request brings or takes

FOLDER_HINT = 'look at the folder: is its disk there and not full, and may you write there?'

_T = TypeVar('_T')
_R = TypeVar('_R')


class Absent(Exception):
    """There is no such key.  ``args[0]``: the key."""


class Unreachable(UserError):
    """A remote that does not answer, or not with what was asked for."""

    def __init__(self, where: str, problem: str, hint: str) -> None:
        super().__init__(f'{where}: {problem}', hint=hint, exit_code=ExitCode.UNREACHABLE)
        self.problem = problem


class Listed(NamedTuple):
    """``size``: bytes.  ``changed``: seconds since 1970 by the remote's own clock; 0.0 where it does not say."""

    key: str
    size: int
    changed: float


Sure = Callable[[], object]


def at_once() -> None:
    """Nothing needs to be waited for before a value has its name."""


class Bucket(Protocol):
    """Keys are relative POSIX paths.  Every method may be called from several threads; each raises Unreachable.

    ``where``: for messages.  The contract is tests/contracts/test_bucket.py."""

    where: str

    def list(self, folder: str) -> Iterator[Listed]:
        """All keys below a folder, '' for all there are, in any order; none where there is no such folder."""

    def size(self, key: str) -> int | None:
        """Bytes of a value; None where there is none."""

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes ``start`` to before ``end`` of a value.  Raises Absent; Unreachable if there are fewer."""

    def put(self, key: str, data: bytes) -> None:
        """Store a value, in place of what was there."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Store a value unless there is one; whether it did.  Of several at once, one does."""

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        """Store what a descriptor holds, read with pread.  ``sent``: told bytes as they are done.

        ``sure``: called before the value has its name, maybe after its bytes were sent; what it raises ends it, and nothing was
        stored."""

    def delete(self, keys: Iterable[str]) -> None:
        """Those that are not there do no harm."""

    def close(self) -> None: ...


@contextmanager
def threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for requests.  After an error what they are at is left to itself, so that Ctrl-C need not wait for a network."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(most, 'remote')
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def side_by_side(work: Callable[[_T], _R], items: Iterable[_T], most: int = AT_ONCE) -> Generator[_R, None, None]:
    """``work`` of each item by threads, ``most`` at once and as many results waiting: in the order of the items.

    What one raises is raised here; no further ones are begun, and those under way are left to themselves."""
    from collections import deque

    waiting: deque[Future[_R]] = deque()
    with threads(most) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class FolderBucket:
    """A folder, perhaps on a shared disk.  ``folder``: absolute; made when something is first put there."""

    def __init__(self, folder: str) -> None:
        self.where = folder
        self._root: Root | None = None
        self._swept = False
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._root is not None:
            self._root.close()
            self._root = None

    def _open(self, create: bool = False) -> Root | None:
        if self._root is None:
            try:
                if create:
                    os.makedirs(self.where, exist_ok=True)
                self._root = Root(self.where)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._failed(error) from error
        return self._root

    def _failed(self, error: OSError) -> Unreachable:
        name = error.filename if isinstance(error.filename, str) else ''
        what = f'{name}: {error.strerror}' if name and name != self.where else str(error.strerror)
        return Unreachable(self.where, what, FOLDER_HINT)

    def _guarded(self, work: Callable[[], _R]) -> _R:
        try:
            return work()
        except OSError as error:
            raise self._failed(error) from error

    def list(self, folder: str) -> Iterator[Listed]:
        root = self._open()
        waiting = [folder] if root is not None else []
        while waiting and root is not None:
            here = waiting.pop()
            try:
                entries = root.scandir(here, stats=True)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._failed(error) from error
            for entry in entries:
                key = f'{here}/{entry.name}' if here else entry.name
                if entry.is_dir():
                    waiting.append(key)
                elif entry.is_file():
                    facts = entry.stat()
                    yield Listed(key, facts.st_size, facts.st_mtime)

    def size(self, key: str) -> int | None:
        root = self._open()
        facts = self._guarded(lambda: root.stat(key)) if root is not None else None
        return facts.st_size if facts is not None and stat.S_ISREG(facts.st_mode) else None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        root = self._open()
        if root is None:
            raise Absent(key)
        try:
            fd = root.open(key)
        except (FileNotFoundError, NotADirectoryError):
            raise Absent(key) from None
        except OSError as error:
            raise self._failed(error) from error
        try:
            facts = ops.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise Absent(key)
            end = facts.st_size if end is None else end
            data = self._guarded(lambda: read_range(fd, start, end))
        finally:
            os.close(fd)
        if len(data) != end - start:
            raise Unreachable(self.where, f'{key} has {facts.st_size} bytes, fewer than it should', 'mlops verify --remote')
        return data

    def put(self, key: str, data: bytes) -> None:
        def work() -> None:
            with self.new(key) as new:
                new.write(data)
                new.take_place()

        self._guarded(work)

    def put_new(self, key: str, data: bytes) -> bool:
        def work() -> bool:
            with self.new(key) as new:
                new.write(data)
                return new.take_free_place()

        return self._guarded(work)

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        def work() -> None:
            with self.new(key) as new:
                for start in range(0, size, BLOCK):
                    new.write(data := read_range(fd, start, min(start + BLOCK, size)))
                    sent(len(data))
                sure()
                new.take_place()

        self._guarded(work)

    def new(self, key: str) -> New:
        """A value that comes piece by piece.  Raises OSError, Unreachable."""
        return New(self.prepared(), key)

    def prepared(self) -> Root:
        """The folder, ready to be written to.  Raises OSError, Unreachable."""
        root = self._open(create=True)
        assert root is not None
        with self._lock:
            if not self._swept:  # what killed commands left
                self._swept = True
                root.makedirs(TEMPORARY)
                with root.sub(TEMPORARY) as folder:
                    sweep_temporaries(folder)
        return root

    def delete(self, keys: Iterable[str]) -> None:
        root = self._open()
        if root is None:
            return
        for key in keys:
            try:
                root.unlink(key)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._failed(error) from error


class New:
    """Within: a file that gets the name of a key when it is whole, and is gone behind if it did not."""

    def __init__(self, root: Root, key: str) -> None:
        self._root, self._key = root, key
        self._folders = Folders()
        self._temporary = new_name()

    def __enter__(self) -> New:
        path, self._name = os.path.split(self._key)
        try:
            self._folder = self._folders.open_made(self._root, path, ops.fsync)
            self._place = self._folders.open(self._root, TEMPORARY)
            self._fd = ops.open_new(self._temporary, 0o644, dir_fd=self._place)
        except BaseException:
            self._folders.close()
            raise
        return self

    def write(self, data: bytes) -> None:
        pieces.write(self._fd, data)

    def take_place(self) -> None:
        """Of whatever has the name."""
        ops.fsync(self._fd)
        ops.rename(self._temporary, self._name, src_dir_fd=self._place, dst_dir_fd=self._folder)
        ops.fsync(self._folder)

    def take_free_place(self) -> bool:
        ops.fsync(self._fd)
        if not name_new(self._place, self._temporary, self._folder, self._name):
            return False
        ops.fsync(self._folder)
        return True

    def __exit__(self, *details: Any) -> None:
        try:
            os.close(self._fd)
            ops.remove_quietly(self._temporary, dir_fd=self._place)
        finally:
            self._folders.close()


def read_range(fd: int, start: int, end: int) -> bytes:
    """Bytes of a descriptor, which has no place of its own that moves; fewer where it ends before.  Raises OSError."""
    parts: list[bytes] = []
    with ops.Naming(fd):
        while start < end and (part := os.pread(fd, min(end - start, BLOCK), start)):
            parts.append(part)
            start += len(part)
    return parts[0] if len(parts) == 1 else b''.join(parts)
