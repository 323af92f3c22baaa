"""A folder on another machine as a bucket, through the user's own ssh: one connection, many requests under way in it.

The far end is what this end brings (docs/formats/ssh.md), and is not believed: what it says is capped, and every object is
hashed by who asked for it.
"""
from __future__ import annotations

import itertools
import os
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mlops_cli import ssh
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import INTERPRETER, pattern
from mlops_cli.store import frames
from mlops_cli.store.bucket import BLOCK, Listed, Sure, Unreachable, at_once, read_range
from mlops_cli.store.ssh_line import COMMAND, Failed, Line, Lost, Refusal, rows

FIRST_TRIES = 3  # to have a connection that is begun, and cut off before the far end speaks
TRIES = 8  # to have a request answered, when the connection is lost again and again
SHORTEST, LONGEST = 0.2, 20.0  # seconds: between two of them, at random up to a bound that grows from the one to the other
VALUE_MOST = 64 << 20  # bytes of a value that is asked for whole
LISTING_MOST = 1 << 30  # bytes of a listing
KEYS = 200  # that one request names
NETWORK = 'is the network there? what was sent stays, and is not sent again'
SHELL = '/bin/sh'
STRANGER = 'is that host what you take it for?'
_URL = pattern(r'(?P<scheme>ssh|slurm|ray)://(?P<host>[^/:]*|(?:[^/@]*@)?\[[^/\]]*\])(?::(?P<port>\d{1,5}))?(?P<path>/.*)')
_T = TypeVar('_T')


class FarBucket(ABC):
    """``where``: its address, for errors; ``folder``, ``python``: over there, '' for the newest of the usual names; ``serve``:
    the module that answers there, where :meth:`ask` is used, '' for a bucket alone; ``reach``: what ssh is told, for hints."""

    def __init__(self, where: str, folder: str, python: str, serve: str, reach: str = '') -> None:
        self.where, self._folder, self._python, self._serve, self._reach = where, folder, python, serve, reach
        self._line: Line | None = None
        self._lock = threading.Lock()
        self._closed = self._was_connected = False
        self._first_tries = 0
        self._opening: ssh.Session | None = None
        self.waits_for = ''  # what a connection that is made waits for, where that is known

    def close(self) -> None:
        """Also while another thread connects, for which it would wait otherwise."""
        self._closed = True
        if (opening := self._opening) is not None:
            opening.process.kill()
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None

    # The connection

    def _connected(self) -> Line:
        """Raises Unreachable; Lost where it was connected before, and may soon be again."""
        with self._lock:
            if self._line is None or self._line.lost is not None:
                if self._line is not None:
                    self._line.close()
                try:
                    self._opening = self._session()
                    if self._closed:
                        self._opening.process.kill()
                    self._line = Line(self._opening, self._reach, self._folder, self._python, self._serve)
                except Refusal as refusal:
                    # Cut off in the middle of it, a first connection is tried again, too: hosts do that to many at once.
                    self._first_tries += 1
                    if refusal.passing and (self._was_connected or (refusal.gone and self._first_tries < FIRST_TRIES)):
                        raise Lost(refusal.problem) from refusal
                    raise Unreachable(self.where, refusal.problem, refusal.hint) from refusal
                finally:
                    self._opening = None
                self._was_connected = True
            return self._line

    @abstractmethod
    def _session(self) -> ssh.Session:
        """A new one with a shell over there that has been told COMMAND.  Raises Unreachable, Lost."""

    def _do(self, work: Callable[[Line], _T]) -> _T:
        """``work`` on the connection; again on a new one where it was lost.  Raises Unreachable, Absent."""
        for attempt in itertools.count(1):
            try:
                return work(self._connected())
            except Lost as lost:
                if attempt == TRIES or self._closed:
                    raise Unreachable(self.where, f'{lost}, {attempt} times', NETWORK) from lost
                time.sleep(random.uniform(0, min(LONGEST, SHORTEST * 2 ** (attempt - 1))))
            except frames.Garbled as error:
                if self._line is not None:
                    self._line.fail(Lost('the other end was not understood'))
                raise Unreachable(self.where, f'the other end sent {error}', STRANGER) from error
            except Failed as failed:
                raise Unreachable(self.where, failed.problem, failed.hint) from failed
        raise AssertionError('unreachable')

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a host answers to what a bucket does not know.  It may be asked twice.  Raises Unreachable."""
        return self._do(lambda line: line.answer(asked))

    # A bucket

    def list(self, folder: str) -> Iterator[Listed]:
        def work(line: Line) -> bytes:
            return line.value({'do': 'list', 'folder': folder}, LISTING_MOST)

        data = self._do(work)
        try:
            yield from rows(data, folder)
        except frames.Garbled as error:
            raise Unreachable(self.where, f'the other end sent {error}', STRANGER) from error

    def size(self, key: str) -> int | None:
        def work(line: Line) -> int | None:
            size = line.answer({'do': 'size', 'key': key}).get('size')
            if size is not None and (not isinstance(size, int) or size < 0):
                raise frames.Garbled('a size that is none')
            return size

        return self._do(work)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b''
        if end is not None and end - start > VALUE_MOST:
            return b''.join(self.get(key, at, min(end, at + VALUE_MOST)) for at in range(start, end, VALUE_MOST))

        def work(line: Line) -> bytes:
            most = VALUE_MOST if end is None else end - start
            data = line.value({'do': 'get', 'key': key, 'start': start, 'end': end}, most)
            if end is not None and len(data) != end - start:
                raise frames.Garbled('another number of bytes than was asked for')
            return data

        return self._do(work)

    def put(self, key: str, data: bytes) -> None:
        self._put(key, data, new=False)

    def put_new(self, key: str, data: bytes) -> bool:
        tried = 0

        def work(line: Line) -> bool:
            nonlocal tried
            tried += 1
            return self._put_once(line, key, data, new=True)

        stored = self._do(work)
        return stored or (tried > 1 and self.get(key) == data)  # then the first try came through, and its answer did not

    def _put(self, key: str, data: bytes, *, new: bool) -> None:
        self._do(lambda line: self._put_once(line, key, data, new=new))

    def _put_once(self, line: Line, key: str, data: bytes, *, new: bool) -> bool:
        with line.call({'do': 'put', 'key': key, 'size': len(data), 'new': new}) as call:
            seen = frames.check(line.check)
            seen.update(data)
            call.send_data(memoryview(data))
            call.send(frames.end(call.number, seen))
            return bool(call.facts()['stored'])

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        sure()
        if size <= BLOCK:
            self.put(key, read_range(fd, 0, size))
            sent(size)
            return
        told = 0

        def work(line: Line) -> None:
            nonlocal told
            with line.call({'do': 'put_file', 'key': key, 'size': size}) as call:
                have = call.have(size)
                seen = frames.check(line.check)
                for start in range(0, size, BLOCK):
                    data = read_range(fd, start, min(start + BLOCK, size))
                    seen.update(data)
                    behind = start + len(data)
                    if behind > have:
                        call.send_data(memoryview(data)[max(0, have - start):])
                    if behind > told:
                        sent(behind - told)
                        told = behind
                call.send(frames.end(call.number, seen))
                call.facts()

        for last in (False, True):
            try:
                self._do(work)
                break
            except Unreachable as error:
                # What lay there from before was not the beginning of this: it is gone now.
                if last or not isinstance(error.__cause__, Failed) or error.__cause__.kind != 'damaged':
                    raise

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while group := [*itertools.islice(waiting, KEYS)]:
            self._delete(group)

    def _delete(self, group: Sequence[str]) -> None:
        self._do(lambda line: line.answer({'do': 'delete', 'keys': [*group]}))


class SshBucket(FarBucket):
    """``url``: ``ssh://[user@]host[:port]/folder``, or ``ssh://host/~/folder`` for one below the home; the host may be a name
    that the user's ssh configuration knows.  ``slurm://`` and ``ray://`` are the same, and without a host this machine, with
    no ssh between; a port of ``ray://`` is not that of ssh.  ``python``: the interpreter there; '' for the newest of the usual
    names, on this machine for our own.
    ``serve``: the module that answers there, where :meth:`ask` is used; '' for a bucket alone.

    Raises UserError for a url that is none."""

    def __init__(self, url: str, python: str = '', *, serve: str = '') -> None:
        found = _URL.fullmatch(url)
        folder = found['path'].rstrip('/') if found else ''
        alone = found is not None and not found['host'] and found['scheme'] == 'ssh'
        if found is None or alone or not folder or (python and not INTERPRETER.fullmatch(python)):
            raise UserError(f'{url}: no url of a folder on a host', hint='such as ssh://ada@host/data/store, or ssh://host/~/store')
        self._host = found['host'].replace('[', '').replace(']', '')
        self._port = int(found['port']) if found['port'] and found['scheme'] != 'ray' else None
        folder = folder[1:] if folder == '/~' or folder.startswith('/~/') else folder
        own = sys.executable if INTERPRETER.fullmatch(sys.executable) else ''
        reach = f'-p {self._port} {self._host}' if self._port else self._host
        super().__init__(url, folder, python or ('' if self._host else own), serve, reach)

    def _session(self) -> ssh.Session:
        try:
            if not self._host:
                return ssh.Session([SHELL, '-c', COMMAND], environ=ssh.bare(os.environ))
            return ssh.Session(ssh.argv(self._host, self._port, COMMAND))
        except ssh.Missing:
            hint = 'install OpenSSH, such as with apt install openssh-client'
            raise Unreachable(self.where, 'there is no ssh on this machine', hint) from None
        except ValueError as error:
            raise UserError(f'{self.where}: {error}', hint='mlops remote list', exit_code=ExitCode.WRONG_INPUT) from None
        except OSError as error:
            raise Unreachable(self.where, f'ssh does not start: {error.strerror}', 'does ssh work on this machine?') from error
