"""A proxy in front of a real S3 server that lets some requests go wrong, by a seeded chance: what networks and servers do.

It speaks plain HTTP on loopback and forwards what it got with its signature, which covers the Host header: so clients must be
told the proxy's address and the server must not look at it (moto does not)."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

BUSY = ('500', '503')
NETWORK = ('timeout', 'reset', 'slow', 'truncated')
CONTENT = ('wrong byte', 'stale list')
CONDITION = ('409', '412')
REFUSED = ('403',)
ALL = (*BUSY, *NETWORK, *CONTENT, *CONDITION, *REFUSED)
SLOW_SECONDS = 1.0  # in which fewer than 1 KiB a second come
HANG_SECONDS = 1.0
_STATUS = {
    '500': (500, 'InternalError', 'We encountered an internal error. Please try again.'),
    '503': (503, 'SlowDown', 'Please reduce your request rate.'),
    '409': (409, 'ConditionalRequestConflict', 'A conflicting conditional operation is in progress.'),
    '412': (412, 'PreconditionFailed', 'At least one of the preconditions you specified did not hold.'),
    '403': (403, 'AccessDenied', 'Access Denied'),
    'skewed': (403, 'RequestTimeTooSkewed', 'The difference between the request time and the current time is too large.'),
    'damaged': (400, 'XAmzContentSHA256Mismatch', 'The provided x-amz-content-sha256 does not match what came.'),
}
Policy = Callable[[str, str, Mapping[str, str]], str]  # method, key, headers -> '' or what is answered, a word of _STATUS


class Answer:
    """What the server says.  ``headers`` without those of a connection."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Proxy:
    """``rate``: of requests that go wrong, ``faults``: in which ways, of the words above.  All may be changed while it runs.

    ``seen``: how often which fault was; ``requests``: how many there were.  ``policy``: asked first, of
    each request."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.rate = 0.0
        self.faults: Sequence[str] = ALL
        self.policy: Policy | None = None
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.requests = 0
        self.lists: dict[str, Answer] = {}
        self.lock = threading.Lock()
        self.endpoint = ''

    def draw(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """What goes wrong with this one; '' for nothing."""
        with self.lock:
            self.requests += 1
            if self.chance.random() >= self.rate:
                return ''
            fitting = [fault for fault in self.faults if _fits(fault, method, path, headers)]
            fault = self.chance.choice(fitting) if fitting else ''
            self.seen[fault] += bool(fault)
            return fault

    def sometimes(self) -> bool:
        with self.lock:
            return self.chance.random() < 0.5

    def place(self, size: int) -> int:
        with self.lock:
            return self.chance.randrange(size)


def _fits(fault: str, method: str, path: str, headers: Mapping[str, str]) -> bool:
    if fault == 'stale list':
        return method == 'GET' and 'list-type=2' in path
    if fault in CONDITION:
        return 'if-none-match' in headers or 'if-match' in headers
    if fault == 'truncated':
        return method == 'GET'
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    proxy: Proxy
    server: Any

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(*self.proxy.upstream, timeout=60)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self._upstream.close()

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._relay()

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def _relay(self) -> None:
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.proxy.policy is not None:
            word = self.proxy.policy(self.command, unquote(urlsplit(self.path).path), headers)
            if word:
                return self._say(_error(word))
        fault = self.proxy.draw(self.command, self.path, headers)
        if fault in _STATUS:
            if fault in BUSY and self.proxy.sometimes():
                self._forward(body, headers)  # it was done, and the answer is lost
            return self._say(_error(fault))
        if fault in ('timeout', 'reset'):
            if self.proxy.sometimes():
                self._forward(body, headers)
            return self._hang() if fault == 'timeout' else self._reset()
        if fault == 'wrong byte' and body:
            return self._say(_error('damaged'))  # damaged on the way there: a server of S3 notices
        answer = self._forward(body, headers)
        if fault == 'wrong byte' and answer.body and answer.status < 300 and self.command == 'GET':
            at = self.proxy.place(len(answer.body))
            damaged = bytearray(answer.body)
            damaged[at] ^= 1 << self.proxy.place(8)
            return self._say(Answer(answer.status, answer.headers, bytes(damaged)))
        if fault == 'stale list':
            return self._say(self.proxy.lists.get(self.path, _empty(answer)))
        if self.command == 'GET' and 'list-type=2' in self.path:
            self.proxy.lists.setdefault(self.path, answer)  # as it was the first time
        if fault in ('truncated', 'slow'):
            return self._piece(answer, fault)
        return self._say(answer)

    def _body(self) -> bytes:
        if self.headers.get('Expect', '').lower() == '100-continue':
            self.send_response_only(100)
            self.end_headers()
        if 'chunked' in self.headers.get('Transfer-Encoding', ''):
            parts = []
            while size := int(self.rfile.readline().split(b';')[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b''.join(parts)
        size = int(self.headers.get('Content-Length') or 0)
        data = self.rfile.read(size)
        if len(data) < size:  # its sender is gone: no server takes half a request
            raise ConnectionResetError
        return data

    def _forward(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        kept = {name: value for name, value in headers.items() if name not in ('connection', 'transfer-encoding', 'expect')}
        if 'content-length' in kept or body:
            kept['content-length'] = str(len(body))
        for last in (False, True):
            try:
                self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in kept.items():
                    self._upstream.putheader(name, value)
                self._upstream.endheaders(body or None)
                said = self._upstream.getresponse()
                data = said.read()
                break
            except (OSError, http.client.HTTPException):
                self._upstream.close()
                if last:
                    raise
        usual = ('connection', 'transfer-encoding', 'server', 'date', 'keep-alive')
        return Answer(said.status, [(name, value) for name, value in said.getheaders() if name.lower() not in usual], data)

    def _head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        names = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            if name.lower() != 'content-length' or self.command == 'HEAD':
                self.send_header(name, value)
        if self.command != 'HEAD' or 'content-length' not in names:
            self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()

    def _say(self, answer: Answer) -> None:
        with suppress(OSError):
            self._head(answer)
            if self.command != 'HEAD':
                self.wfile.write(answer.body)

    def _piece(self, answer: Answer, fault: str) -> None:
        with suppress(OSError):
            self._head(answer)
            body = b'' if self.command == 'HEAD' else answer.body
            if fault == 'truncated':
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                return
            until = time.monotonic() + SLOW_SECONDS
            at = 0
            while at < len(body) and time.monotonic() < until:
                self.wfile.write(body[at : at + 50])
                at += 50
                time.sleep(0.1)
            self.wfile.write(body[at:])

    def _hang(self) -> None:
        time.sleep(HANG_SECONDS)
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close_connection = True
        self.connection.close()


def _error(word: str) -> Answer:
    status, code, text = _STATUS[word]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'.encode()
    return Answer(status, [('Content-Type', 'application/xml'), *([('Retry-After', '0')] if status == 503 else [])], body)


def _empty(answer: Answer) -> Answer:
    """A listing in which there is nothing yet."""
    if answer.status != 200:
        return answer
    body = re.sub(rb'<Contents>.*</Contents>', b'', answer.body, flags=re.DOTALL)
    body = re.sub(rb'<KeyCount>\d+</KeyCount>', b'<KeyCount>0</KeyCount>', body)
    body = re.sub(rb'<IsTruncated>true</IsTruncated>', b'<IsTruncated>false</IsTruncated>', body)
    return Answer(200, answer.headers, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that has gone away is none."""


@contextmanager
def in_front_of(upstream: str, seed: int = 0) -> Iterator[Proxy]:
    """A proxy until the end of the block; it lets all pass until it is told otherwise."""
    proxy = Proxy(upstream, seed)
    handler = type('Handler', (_Handler,), {'proxy': proxy})
    server = _Server(('127.0.0.1', 0), handler)
    proxy.endpoint = f'http://127.0.0.1:{server.server_address[1]}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
