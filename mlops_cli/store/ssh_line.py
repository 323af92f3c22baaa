"""One ssh connection with our far end at work behind it: how it is begun, and many requests under way in it at once.

Nothing that comes out of it is believed but what fits its cap and its check (docs/formats/ssh.md)."""
from __future__ import annotations

import json
import os
import queue
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mlops_cli import ssh
from mlops_cli.store import bundle, frames
from mlops_cli.store.bucket import Absent, Listed

HELLO_SECONDS = 60.0
STALL_SECONDS = 120.0  # in which nothing moves, though something is to come
GREETING_MOST = 64 << 10  # bytes that a shell may print before the far end speaks
LINE_MOST = 16 << 10
SHORT = 4096  # bytes
NO_PYTHON = 78
STRANGER = 'is that host what you take it for?'

# Standard input of this begins with a line: which Python, or nothing.  Then comes what far_start.py reads.
COMMAND = (
    "exec sh -c '"
    'IFS= read -r wanted; for python in ${wanted:-python3.14 python3.13 python3.12 python3.11 python3}; do '
    'case $python in "~/"*) python=$HOME/${python#??} ;; esac; '
    'if "$python" -I -S -c "import sys; sys.exit(sys.version_info < (3, 11))" </dev/null >/dev/null 2>&1; then '
    'exec "$python" -I -S -c "import sys; r = sys.stdin.buffer; exec(r.read(int(r.readline())))"; fi; done; '
    f"exit {NO_PYTHON}'"
)


class Lost(Exception):
    """The connection ended before the answer was whole."""


class Refusal(Exception):
    """No connection came about.  ``passing``: it may, a little later; ``gone``: it had begun."""

    def __init__(self, problem: str, hint: str, passing: bool = False, gone: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.hint, self.passing, self.gone = problem, hint, passing, gone


class Failed(Exception):
    """The far end could not do it, and says why."""

    def __init__(self, kind: str, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.kind, self.problem, self.hint = kind, problem, hint


class Line:
    """``reach``: what ssh was told, for hints.  ``folder``, ``python``: over there.  ``serve``: the module that answers there,
    '' for that of a bucket.  Raises Refusal.

    ``check``: with which hash both ends check values; ``lost``: why it is no more."""

    def __init__(self, session: ssh.Session, reach: str, folder: str, python: str, serve: str = '') -> None:
        self._session, self._serve = session, serve
        self.lost: Exception | None = None
        self._calls: dict[int, Call] = {}
        self._last = 0  # number of a request
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._moved = time.monotonic()
        os.set_blocking(session.target, False)
        self._source = _Source(session.source)
        try:
            self.check = self._begin(reach, folder, python)
        except BaseException:
            session.kill()
            self._session.wait(5)
            self._session.close()
            raise
        self._reader = threading.Thread(target=self._read, name='ssh', daemon=True)
        self._reader.start()

    def close(self) -> None:
        self.fail(Lost('the connection was closed'))
        with suppress(OSError):
            self._session.end_input()
        self._session.wait(5)
        self._reader.join(5)
        self._session.close()

    # Its beginning

    def _begin(self, reach: str, folder: str, python: str) -> str:
        start = bundle.source(bundle.START)
        asked = {
            'version': frames.VERSION, 'folder': folder, 'suffix': bundle.SUFFIX,
            'compiled': bundle.name(True), 'plain': bundle.name(False), **({'serve': self._serve} if self._serve else {}),
        }  # fmt: skip
        until = time.monotonic() + HELLO_SECONDS
        try:
            self._write(b'%s\n%d\n%s%s\n' % (python.encode(), len(start), start, json.dumps(asked).encode()))
            self._source.skip_behind(frames.MAGIC, GREETING_MOST, until)
            facts = frames.facts_of(self._source.line(until))
            if facts.get('bundle'):
                data = bundle.packed(facts['bundle'] == bundle.name(True))
                self._write(b'%d\n%s' % (len(data), data))
                until = time.monotonic() + HELLO_SECONDS
            if 'failed' not in facts:
                facts = frames.facts_of(self._source.line(until))
        except TimeoutError:
            raise Refusal('it does not answer', 'are the host and the network up?', passing=True) from None
        except (Lost, EOFError) as error:
            raise self._why(reach) from error
        except frames.Garbled as error:
            raise Refusal(f'the other end sent {error}', STRANGER) from error
        if 'failed' in facts:
            raise Refusal(frames.text_of(facts['failed']), frames.text_of(facts.get('hint')))
        if facts.get('check') not in frames.CHECKS:
            raise Refusal('the other end speaks another version', STRANGER)
        return str(facts['check'])

    def _why(self, reach: str) -> Refusal:
        with suppress(OSError):
            self._session.end_input()
        code = self._session.wait(5)
        if code == NO_PYTHON:
            hint = 'install one there, or say where it is: python: /path/to/python3, beside the url in .mlops/config.yaml'
            return Refusal('there is no Python from 3.11 on', hint)
        return Refusal(*self._session.explained(reach, code))

    # What goes out

    def _write(self, data: bytes | memoryview) -> None:
        """Raises Lost."""
        view = memoryview(data)
        fd = self._session.target
        while view:
            try:
                done = os.write(fd, view[:1 << 16])
            except BlockingIOError:
                if not select.select([], [fd], [], STALL_SECONDS)[1]:
                    self.fail(Lost('nothing moves any more'))
                    self._session.kill()
                    raise self._gone() from None
                continue
            except (OSError, ValueError) as error:
                raise self._gone() from error
            self._moved = time.monotonic()
            view = view[done:]

    def send(self, frame: bytes, data: memoryview | None = None) -> None:
        """Raises Lost."""
        with self._writing:
            if self.lost is not None:
                raise self._gone()
            self._write(frame)
            if data is not None:
                self._write(data)

    def _gone(self) -> Exception:
        return self.lost if self.lost is not None else Lost('the connection was lost')

    # What comes in

    def _read(self) -> None:
        why: Exception = Lost('the connection was lost')
        try:
            while (frame := self._next()) is not None:
                call = self._calls.get(frame.number)
                if call is None:
                    if 0 < frame.number <= self._last:
                        continue  # nobody waits for that any more
                    raise frames.Garbled('an answer to nothing')
                call.take(frame)
        except TimeoutError:
            why = Lost('nothing moves any more')
        except frames.Garbled as error:
            why = error
        except (EOFError, OSError, ValueError):
            pass
        self.fail(why)
        self._session.kill()

    def _next(self) -> frames.Frame | None:
        while not self._source.ready(STALL_SECONDS / 4):
            with self._lock:
                waiting = bool(self._calls)
            if waiting and time.monotonic() - self._moved > STALL_SECONDS:
                raise TimeoutError
            if not waiting:
                self._moved = time.monotonic()
        frame = frames.read(self._source)
        self._moved = time.monotonic()
        return frame

    def fail(self, why: Exception) -> None:
        with self._lock:
            self.lost = self.lost or why
            calls = [*self._calls.values()]
        for call in calls:
            call.fail(self.lost)

    # Requests

    @contextmanager
    def call(self, asked: Mapping[str, Any], most: int = frames.FACTS_MOST) -> Iterator[Call]:
        """A request; within, its answer is waited for.  ``most``: bytes that the answer may have.  Raises Lost, Garbled."""
        with self._lock:
            if self.lost is not None:
                raise self.lost
            number = self._last = self._last + 1
            call = self._calls[number] = Call(self, number, most)
        try:
            self.send(frames.document(frames.ASK, number, asked))
            yield call
        finally:
            with self._lock:
                self._calls.pop(number, None)

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Of a request that is answered by a document.  Raises Lost, Garbled, Failed, Absent."""
        with self.call(asked) as call:
            return call.facts()

    def value(self, asked: Mapping[str, Any], most: int) -> bytes:
        """Of a request that is answered by bytes, whose check is right.  Raises Lost, Garbled, Failed, Absent."""
        with self.call(asked, most) as call:
            return call.value()


class Call:
    """A request that is under way."""

    def __init__(self, line: Line, number: int, most: int) -> None:
        self._line, self.number, self._left = line, number, most
        self._came: queue.SimpleQueue[frames.Frame | Exception] = queue.SimpleQueue()
        self._failed: Exception | None = None

    # From the thread that reads

    def take(self, frame: frames.Frame) -> None:
        """Raises Garbled."""
        self._left -= len(frame.data)
        if self._left < -frames.FACTS_MOST:
            raise frames.Garbled('more than was asked for')
        if frame.kind == frames.FAILED:
            self.fail(_failed(frames.facts_of(frame.data)))
        else:
            self._came.put(frame)

    def fail(self, why: Exception) -> None:
        self._failed = self._failed or why
        self._came.put(why)

    # From the one that asks

    def _next(self) -> frames.Frame:
        found = self._came.get()
        if isinstance(found, Exception):
            raise found
        return found

    def facts(self) -> dict[str, Any]:
        frame = self._next()
        if frame.kind != frames.DONE:
            raise frames.Garbled('no answer')
        return frames.facts_of(frame.data)

    def value(self) -> bytes:
        seen = frames.check(self._line.check)
        parts: list[bytes | bytearray] = []
        while (frame := self._next()).kind == frames.DATA:
            seen.update(frame.data)
            parts.append(frame.data)
        if frame.kind != frames.END or not frames.fits(frame.data, seen):
            raise frames.Garbled('bytes whose check is wrong')
        return bytes(parts[0]) if len(parts) == 1 else b''.join(parts)

    def have(self, size: int) -> int:
        """How many bytes of a value are there already."""
        frame = self._next()
        have = frames.facts_of(frame.data).get('have') if frame.kind == frames.DATA else None
        if not isinstance(have, int) or not 0 <= have <= size:
            raise frames.Garbled('a number that is none')
        return have

    def send(self, frame: bytes) -> None:
        """Raises what this request has failed of; Lost."""
        if self._failed is not None:
            raise self._failed
        self._line.send(frame)

    def send_data(self, data: memoryview) -> None:
        """As :meth:`send`."""
        for start in range(0, len(data), frames.MOST):
            part = data[start:start + frames.MOST]
            if self._failed is not None:
                raise self._failed
            self._line.send(frames.head(frames.DATA, self.number, len(part)), part)


def _failed(facts: Mapping[str, Any]) -> Exception:
    if facts.get('kind') == 'absent':
        return Absent(frames.text_of(facts.get('problem')))
    kind = 'damaged' if facts.get('kind') == 'damaged' else 'failed'
    return Failed(kind, frames.text_of(facts.get('problem')) or 'it failed', frames.text_of(facts.get('hint')))


class _Source:
    """What comes in, with a limit in time.  Raises TimeoutError, EOFError."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b''

    def ready(self, seconds: float) -> bool:
        return bool(self._rest) or bool(select.select([self._fd], [], [], seconds)[0])

    def _more(self, until: float) -> None:
        if not select.select([self._fd], [], [], max(0, until - time.monotonic()))[0]:
            raise TimeoutError
        data = os.read(self._fd, 1 << 16)
        if not data:
            raise EOFError
        self._rest += data

    def skip_behind(self, mark: bytes, most: int, until: float) -> None:
        """Raises Garbled where it does not come within so many bytes."""
        while (at := self._rest.find(mark)) < 0:
            if len(self._rest) > most:
                raise frames.Garbled('nothing that we understand')
            self._more(until)
        self._rest = self._rest[at + len(mark):]

    def line(self, until: float) -> bytes:
        while (at := self._rest.find(b'\n')) < 0:
            if len(self._rest) > LINE_MOST:
                raise frames.Garbled('a line without an end')
            self._more(until)
        found, self._rest = self._rest[:at], self._rest[at + 1:]
        return found

    def read(self, size: int) -> bytes | bytearray:
        """So many bytes; fewer at the end of all.  What is long goes to its place without another copy."""
        if len(self._rest) >= size:
            found, self._rest = self._rest[:size], self._rest[size:]
            return found
        if size < SHORT:
            while len(self._rest) < size and (data := self._some(1 << 16)):
                self._rest += data
            found, self._rest = self._rest[:size], self._rest[size:]
            return found
        whole = bytearray(size)
        view = memoryview(whole)
        at = len(self._rest)
        view[:at] = self._rest
        self._rest = b''
        while at < size:
            self._wait()
            if not (came := os.readv(self._fd, [view[at:]])):
                return whole[:at]
            at += came
        return whole

    def _some(self, most: int) -> bytes:
        self._wait()
        return os.read(self._fd, most)

    def _wait(self) -> None:
        if not select.select([self._fd], [], [], STALL_SECONDS)[0]:
            raise TimeoutError


def rows(data: bytes, folder: str) -> Iterator[Listed]:
    """Of a listing: JSON arrays, one behind the other.  Raises Garbled for a key that is not below the folder."""
    text = data.decode(errors='replace')
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise frames.Garbled('a listing that is none') from None
        if not isinstance(found, list):
            raise frames.Garbled('a listing that is none')
        for row in found:
            yield _row(row, folder)


def _row(row: Any, folder: str) -> Listed:
    if isinstance(row, list) and len(row) == 3:
        key, size, changed = row
        right = type(size) is int and 0 <= size < 1 << 62 and type(changed) in (int, float) and 0 <= changed < 1 << 62
        if right and _is_below(key, folder):
            return Listed(key, size, float(changed))
    raise frames.Garbled('a listing that is none')


def _is_below(key: Any, folder: str) -> bool:
    if not isinstance(key, str) or len(key) > 2048 or not key.isprintable():
        return False
    return key.startswith(f'{folder}/' if folder else '') and not {'', '.', '..'}.intersection(key.split('/'))
