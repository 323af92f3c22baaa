"""The far end of an ssh connection: serves one folder as a bucket to whoever is at standard input (docs/formats/ssh.md).

It runs as the user who connected, and does what that user may do, in that folder and by the names that keys may have.
"""
from __future__ import annotations

import json
import os
import re
import stat
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO

from mlops_cli.core.digest import Hasher, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import TEMPORARY
from mlops_cli.fsio import ops
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.naming import Folders
from mlops_cli.store import frames
from mlops_cli.store.bucket import BLOCK, FOLDER_HINT, Absent, FolderBucket, New, Unreachable, read_range

WORKERS = 4
VALUE_MOST = 64 << 20  # bytes of a value that is asked for whole
OPEN_MOST = 64  # values that are on their way at once
KEYS_MOST = 1000  # that one request names
BACK = 'back'  # waits until this end wants something of the other: has a thread of its own, as all others may wait for it
PARTIAL = 'partial-'  # in tmp/: a large value of which some bytes came, and its sender was cut off
PARTIAL_SECONDS = 7 * 86400.0
_LISTED = 4000  # rows of a listing that go in one frame
_KEY = re.compile(r'[\w.@=+,:~%-]+(?:/[\w.@=+,:~%-]+)*', re.ASCII)


class Refused(Exception):
    """What was asked cannot be meant."""


More = Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]


def serve(source: BinaryIO, target: BinaryIO, folder: str, more: More | None = None) -> int:
    """Until there is nothing more to read.  ``folder``: absolute, or below the home as ``~/...``.  ``more``: what else can be
    asked, by its name.  The exit code."""
    name = frames.CHECKS[getattr(sys.modules['blake3'], 'PLAIN', False)]
    target.write(json.dumps({'ready': True, 'check': name}).encode() + b'\n')
    target.flush()
    server = _Server(target, os.path.expanduser(folder), name, more or {})
    try:
        while (frame := frames.read(source)) is not None:
            server.take(frame)
    except (EOFError, BrokenPipeError):
        return 0  # the connection was cut
    except frames.Garbled as error:
        print(f'mlops: this side was sent {error}', file=sys.stderr)
        return 1
    finally:
        server.close()
    return 0


def made(target: BinaryIO, folder: str) -> str:
    """The folder that is to be served, absolute and there; '' where it cannot be, which is told."""
    folder = os.path.expanduser(folder)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        hint = 'may you write there? the url can name another folder'
        told = {'failed': f'its folder {folder} cannot be made: {error.strerror}', 'hint': hint}
        target.write(json.dumps(told).encode() + b'\n')
        target.flush()
        return ''
    return folder


class _Server:
    def __init__(self, target: BinaryIO, folder: str, check: str, more: More) -> None:
        self._target, self._more = target, more
        self._bucket = FolderBucket(folder)
        self._check = check
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(WORKERS, 'far')
        self._coming: dict[int, _Coming] = {}
        self._swept = False

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for coming in self._coming.values():
            coming.abandon()
        self._bucket.close()

    def take(self, frame: frames.Frame) -> None:
        """One frame; what takes long is done beside.  Raises Garbled, BrokenPipeError."""
        if frame.kind == frames.ASK:
            self._ask(frame.number, frames.facts_of(frame.data))
            return
        coming = self._coming.get(frame.number)
        if coming is None:
            return  # the rest of what has been refused
        if frame.kind == frames.DATA:
            try:
                coming.take(bytes(frame.data))
            except (OSError, Refused, UserError) as error:
                self._coming.pop(frame.number).abandon()
                self._fail(frame.number, error)
        elif frame.kind == frames.END:
            del self._coming[frame.number]
            self._beside(frame.number, lambda: self._end(coming, frame))
        else:
            raise frames.Garbled(f'a frame of kind {frame.kind!r}')

    def _ask(self, number: int, asked: Mapping[str, Any]) -> None:
        if number in self._coming:
            raise frames.Garbled('a number twice')
        work = {'list': self._list, 'size': self._size, 'get': self._get, 'put': self._put, 'put_file': self._put_file,
                'delete': self._delete}.get(str(asked.get('do')))
        other = self._more.get(str(asked.get('do')))
        if other is not None and asked['do'] == BACK:
            threading.Thread(target=self._answer, args=(number, lambda: other(asked)), name='back', daemon=True).start()
        elif other is not None:
            self._beside(number, lambda: other(asked))
        elif work is None:
            self._fail(number, Refused(f'{frames.text_of(asked.get("do"), 40)!r} is nothing that can be asked'))
        elif work == self._put:  # in its turn: its bytes come next
            self._answer(number, lambda: self._put(number, asked))
        else:
            self._beside(number, lambda: work(number, asked))

    # Answers

    def _beside(self, number: int, work: Callable[[], Mapping[str, Any] | None]) -> None:
        self._pool.submit(self._answer, number, work).add_done_callback(_end_of_a_bug)

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._target.write(data)
            self._target.flush()

    def _answer(self, number: int, work: Callable[[], Mapping[str, Any] | None]) -> None:
        """``work``: its answer; None where it sends that itself."""
        try:
            found = work()
            if found is not None:
                self._send(frames.document(frames.DONE, number, found))
        except BrokenPipeError:
            pass  # nobody is there any more: reading ends, too
        except (OSError, UserError, Refused, Absent, Damaged) as error:
            with suppress(BrokenPipeError):
                self._fail(number, error)

    def _fail(self, number: int, error: Exception) -> None:
        kind, problem, hint = 'failed', str(error), ''
        if isinstance(error, Absent):
            kind, problem = 'absent', ''
        elif isinstance(error, Unreachable):
            problem, hint = error.problem, error.hint
        elif isinstance(error, OSError):
            problem, hint = f'{error.filename}: {error.strerror}', FOLDER_HINT
        elif isinstance(error, Damaged):
            kind = 'damaged'
        self._send(frames.document(frames.FAILED, number, {'kind': kind, 'problem': problem[:500], 'hint': hint[:500]}))

    def _send_value(self, number: int, data: bytes) -> None:
        seen = frames.check(self._check)
        seen.update(data)
        view = memoryview(data)
        for start in range(0, len(data), frames.MOST):
            self._send(frames.encode(frames.DATA, number, view[start:start + frames.MOST]))
        self._send(frames.end(number, seen))

    # What can be asked

    def _list(self, number: int, asked: Mapping[str, Any]) -> None:
        seen = frames.check(self._check)
        rows: list[tuple[str, int, float]] = []

        def flush() -> None:
            data = json.dumps(rows).encode()
            for start in range(0, len(data), frames.MOST):
                self._send(frames.encode(frames.DATA, number, data[start:start + frames.MOST]))
            seen.update(data)
            rows.clear()

        folder = asked.get('folder')
        for row in self._bucket.list('' if folder == '' else _key(folder)):
            rows.append(row)
            if len(rows) == _LISTED:
                flush()
        if rows:
            flush()
        self._send(frames.end(number, seen))

    def _size(self, _number: int, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {'size': self._bucket.size(_key(asked.get('key')))}

    def _get(self, number: int, asked: Mapping[str, Any]) -> None:
        key, start, end = _key(asked.get('key')), _count(asked.get('start')), asked.get('end')
        if end is None:
            size = self._bucket.size(key)
            if size is not None and size - start > VALUE_MOST:
                raise Refused(f'{key} has {size:,} bytes, too many for one answer')
        elif not 0 <= _count(end) - start <= VALUE_MOST:
            raise Refused('so many bytes are too many for one answer')
        self._send_value(number, self._bucket.get(key, start, end))

    def _put(self, number: int, asked: Mapping[str, Any]) -> None:
        if len(self._coming) >= OPEN_MOST:
            raise Refused('too many values at once')
        key, size = _key(asked.get('key')), _count(asked.get('size'))
        self._coming[number] = _Whole(self._bucket.new(key), size, bool(asked.get('new')), frames.check(self._check))

    def _put_file(self, number: int, asked: Mapping[str, Any]) -> None:
        key, size = _key(asked.get('key')), _count(asked.get('size'))
        if not self._swept:
            self._swept = True
            self._sweep()
        coming = _Partial(self._bucket, key, size, frames.check(self._check))
        self._coming[number] = coming
        self._send(frames.encode(frames.DATA, number, json.dumps({'have': coming.have}).encode()))

    def _end(self, coming: _Coming, frame: frames.Frame) -> Mapping[str, Any]:
        return {'stored': coming.end(bytes(frame.data))}

    def _delete(self, _number: int, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        keys = asked.get('keys')
        if not isinstance(keys, list) or len(keys) > KEYS_MOST:
            raise Refused('keys that are none')
        self._bucket.delete([_key(key) for key in keys])
        return {}

    def _sweep(self) -> None:
        """Parts of large values that nobody goes on sending."""
        root = self._bucket.prepared()
        for entry in root.scandir(TEMPORARY, stats=True):
            if entry.name.startswith(PARTIAL) and entry.stat().st_mtime < time.time() - PARTIAL_SECONDS:
                with suppress(FileNotFoundError):
                    root.unlink(f'{TEMPORARY}/{entry.name}')


def _end_of_a_bug(done: Future[None]) -> None:
    """What nobody expected ends all of this, so that the other end need not wait for an answer."""
    if not done.cancelled() and (error := done.exception()) is not None:
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(ExitCode.BUG)


class Damaged(Exception):
    """What came is not what was sent."""

    def __init__(self) -> None:
        super().__init__('what came is not what was sent')


class _Coming(ABC):
    """A value that is on its way here."""

    def __init__(self, size: int, seen: Hasher) -> None:
        self._size, self._seen = size, seen
        self._came = 0

    def _count(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > self._size:
            raise Refused('more bytes than were announced')
        self._seen.update(data)

    def _sound(self, check: bytes) -> bool:
        return self._came == self._size and frames.fits(check, self._seen)

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Raises OSError, Refused."""

    @abstractmethod
    def end(self, check: bytes) -> bool:
        """Give it its name; False if it was to be a new one, and is not.  Raises Damaged, OSError."""

    @abstractmethod
    def abandon(self) -> None:
        """Nothing of it is left."""


class _Whole(_Coming):
    """One that is gone if its end does not come."""

    def __init__(self, new: New, size: int, first: bool, seen: Hasher) -> None:
        super().__init__(size, seen)
        self._first = first
        self._new = new.__enter__()

    def take(self, data: bytes) -> None:
        self._count(data)
        self._new.write(data)

    def end(self, check: bytes) -> bool:
        try:
            if not self._sound(check):
                raise Damaged
            if self._first:
                return self._new.take_free_place()
            self._new.take_place()
            return True
        finally:
            self.abandon()

    def abandon(self) -> None:
        self._new.__exit__()


class _Partial(_Coming):
    """One whose bytes stay, for who goes on.  ``have``: how many are there.  Raises OSError, Unreachable."""

    def __init__(self, bucket: FolderBucket, key: str, size: int, seen: Hasher) -> None:
        super().__init__(size, seen)
        self._root, self._key = bucket.prepared(), key
        self._name = f'{PARTIAL}{digest_of(f"{size} {key}".encode()).hex[:32]}'
        self._fd = self._open()
        self.have = min(ops.fstat(self._fd).st_size, size)
        ops.truncate(self._fd, self.have)
        for start in range(0, self.have, BLOCK):
            self._count(read_range(self._fd, start, min(self.have, start + BLOCK)))

    def _open(self) -> int:
        """Somebody else may be sending the same just now: then ours is another file, which nobody goes on with."""
        fd = self._root.open(f'{TEMPORARY}/{self._name}', os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if stat.S_ISREG(ops.fstat(fd).st_mode) and try_lock(fd, exclusive=True):
                return fd
        except OSError:
            pass  # a file system without locks
        os.close(fd)
        self._name = f'{self._name}-{os.getpid()}-{time.monotonic_ns()}'
        return self._root.open(f'{TEMPORARY}/{self._name}', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)

    def take(self, data: bytes) -> None:
        at = self._came
        self._count(data)
        ops.pwrite(self._fd, data, at)

    def end(self, check: bytes) -> bool:
        try:
            if not self._sound(check):
                self._root.unlink(f'{TEMPORARY}/{self._name}')
                raise Damaged
            ops.fsync(self._fd)
            folder, name = os.path.split(self._key)
            with Folders() as folders:
                into = folders.open_made(self._root, folder, ops.fsync)
                ops.rename(self._name, name, src_dir_fd=folders.open(self._root, TEMPORARY), dst_dir_fd=into)
                ops.fsync(into)
            return True
        finally:
            self.abandon()

    def abandon(self) -> None:
        os.close(self._fd)


def _key(value: object) -> str:
    """Raises Refused for what can be no key."""
    if not isinstance(value, str) or len(value) > 512 or not _KEY.fullmatch(value):
        raise Refused('a key that is none')
    if not {'.', '..'}.isdisjoint(value.split('/')) or value.split('/')[0] == TEMPORARY:
        raise Refused('a key that is none')
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 50:
        raise Refused('a number that is none')
    return value
