"""Requests to S3 as they go over the wire: signed (SigV4), tried again where that may help, each checked on the other side.

Knows HTTP and signatures, and nothing of what the values are.  Several threads may ask at once, each by its own connection.
"""
from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import io
import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mlops_cli.store.s3_settings import Settings

TRIES = 8  # of a request that fails on the way, or because the server is busy
CONNECT_SECONDS = 10
READ_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0  # seconds
STALL_SECONDS, STALL_RATE = 30.0, 1024  # an answer of which fewer bytes a second come for so long is asked for again
PIECE = 256 << 10  # bytes of a request that go out in the time of READ_SECONDS, or nobody takes them
BUSY = (429, 500, 502, 503, 504)
# Said of a request that was damaged on its way, that stood in another's, or that the server had no time for.
PASSING = frozenset((
    'RequestTimeout', 'SlowDown', 'InternalError', 'BadDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch',
    'IncompleteBody', 'OperationAborted', 'ConditionalRequestConflict',
))  # fmt: skip
ERROR_LIMIT = 1 << 20  # bytes of an answer that says what is wrong
CHECKSUM = 'x-amz-checksum-sha256'
_NOTHING = hashlib.sha256(b'').digest()
_MOVED = (301, 307, 400)
_REGION = 'x-amz-bucket-region'


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Refused(Exception):
    """The server's answer is no.  ``code``: its word for it, or the number.  ``text``: its own, '' if it gave none.
    ``tried``: how often it was asked."""

    def __init__(self, status: int, code: str, text: str, tried: int = 1) -> None:
        super().__init__(f'{code}: {text}' if text else code)
        self.status, self.code, self.text, self.tried = status, code, text, tried


class NoAnswer(Exception):
    """Nobody answers there, or only half."""


class Client:
    """Connections to where a bucket is.  ``agent``: what the server is told of who asks.  Thread safe."""

    def __init__(self, settings: Settings, agent: str = 'mlops') -> None:
        self._settings = settings
        self._region = settings.region
        self._host = settings.host
        self._agent = agent
        self._idle: list[http.client.HTTPConnection] = []
        self._context: Any = None
        self.requests = 0

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def ask(self, method: str, key: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
            body: bytes = b'', limit: int | None = None) -> Answer:
        """One request; ``key`` '' is the bucket itself.  ``headers``: a checksum among them is believed, as hashing a part of a
        large value takes as long as sending it.  ``limit``: bytes that an answer has at most.

        Raises Refused, NoAnswer."""
        extra = dict(headers or {})
        if (known := extra.get(CHECKSUM)) is not None:
            digest = base64.b64decode(known)
        else:
            digest = hashlib.sha256(body).digest() if body else _NOTHING
            if body and method == 'PUT':
                extra[CHECKSUM] = base64.b64encode(digest).decode()
        hexed = digest.hex()
        moved = False
        for tried in range(1, TRIES + 1):
            last = tried == TRIES
            try:
                answer = self._once(method, key, query or {}, extra, body, hexed, limit)
            except (OSError, http.client.HTTPException) as error:
                if last or _is_hopeless(error):
                    raise NoAnswer(_said(error)) from error
                _pause(tried, None)
                continue
            if answer.status < 300:
                return answer
            refused = _refusal(answer, tried)
            if not moved and answer.status in _MOVED and self._follow(answer):
                moved = True
            elif not last and (answer.status in BUSY or refused.code in PASSING):
                _pause(tried, answer.headers.get('retry-after'))
            else:
                raise refused
        raise AssertionError('unreachable')

    def _follow(self, answer: Answer) -> bool:
        """Ask in the region where the bucket is, from now on; whether the answer said which."""
        region = answer.headers.get(_REGION) or _between(answer.body, b'<Region>', b'</Region>')
        if not region or region == self._region or not region.replace('-', '').isalnum():
            return False
        self._host = self._host.replace(f'.s3.{self._region}.amazonaws.com', f'.s3.{region}.amazonaws.com')
        self._region = region
        self.close()
        return True

    def _once(self, method: str, key: str, query: Mapping[str, str], extra: Mapping[str, str], body: bytes, digest: str,
              limit: int | None) -> Answer:
        path = f'{self._settings.path}/{quote(key, safe="/~")}'
        words = '&'.join(f'{quote(name, safe="~")}={quote(value, safe="~")}' for name, value in sorted(query.items()))
        headers = self._signed(method, path, words, extra, digest)
        self.requests += 1
        connection, fresh = self._connection()
        try:
            try:
                answer = _send(connection, method, f'{path}?{words}' if words else path, headers, body)
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                connection.close()
                if fresh or 'if-none-match' in extra:  # of which it counts how often it was sent
                    raise
                connection, _ = self._new()  # the server had closed one that was idle
                answer = _send(connection, method, f'{path}?{words}' if words else path, headers, body)
            found = _read(answer, method, limit)
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return found

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """(one, whether it is new)."""
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._new()

    def _new(self) -> tuple[http.client.HTTPConnection, bool]:
        if not self._settings.secure:
            made = http.client.HTTPConnection(self._host, timeout=CONNECT_SECONDS)
        else:
            if self._context is None:
                import ssl

                self._context = ssl.create_default_context(cafile=self._settings.authorities or None)
            made = http.client.HTTPSConnection(self._host, timeout=CONNECT_SECONDS, context=self._context)
        made.response_class = _Response
        made.connect()
        made.sock.settimeout(READ_SECONDS)
        return made, True

    def _signed(self, method: str, path: str, query: str, extra: Mapping[str, str], digest: str) -> dict[str, str]:
        """Headers with a signature of all that matters."""
        now = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        headers = {**extra, 'host': self._host, 'x-amz-content-sha256': digest, 'x-amz-date': now}
        if self._settings.token:
            headers['x-amz-security-token'] = self._settings.token
        names = ';'.join(sorted(headers))
        lines = ''.join(f'{name}:{headers[name]}\n' for name in sorted(headers))
        request = f'{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}'
        scope = f'{now[:8]}/{self._region}/s3/aws4_request'
        text = f'AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}'
        key = f'AWS4{self._settings.secret}'.encode()
        for word in (now[:8], self._region, 's3', 'aws4_request'):
            key = hmac.digest(key, word.encode(), 'sha256')
        signature = hmac.digest(key, text.encode(), 'sha256').hex()
        who = f'AWS4-HMAC-SHA256 Credential={self._settings.key}/{scope}, SignedHeaders={names}, Signature={signature}'
        return {**headers, 'Authorization': who, 'User-Agent': self._agent}


def _send(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str],
          body: bytes) -> http.client.HTTPResponse:
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body or method in ('PUT', 'POST'):
        connection.putheader('Content-Length', str(len(body)))
    connection.endheaders()
    view = memoryview(body)
    for start in range(0, len(body), PIECE):  # a timeout is of one call: many MiB may take long, if only they go on
        connection.send(view[start:start + PIECE])
    return connection.getresponse()


class _Watched(io.RawIOBase):
    """What comes from a socket; an answer that hardly moves is no better than none."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._since = 0.0
        self._came = 0

    def watch(self) -> None:
        """From here on: before, a server may think."""
        self._since, self._came = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        came = int(self._raw.readinto(buffer) or 0)
        if self._since:
            self._came += came
            if (seconds := time.monotonic() - self._since) > STALL_SECONDS:
                if self._came < STALL_RATE * seconds:
                    raise TimeoutError(f'{self._came} bytes came in {seconds:.0f} seconds')
                self.watch()
        return came

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *rest: Any, **more: Any) -> None:
        super().__init__(sock, *rest, **more)
        self.fp.close()
        self.watched = _Watched(sock.makefile('rb', buffering=0))
        self.fp = io.BufferedReader(self.watched, 64 << 10)


def _read(answer: http.client.HTTPResponse, method: str, limit: int | None) -> Answer:
    if method == 'GET' and isinstance(answer, _Response):
        answer.watched.watch()
    if method != 'HEAD' and answer.status >= 300:
        limit = ERROR_LIMIT
    if limit is None or method == 'HEAD':
        body = answer.read()
    else:
        body = answer.read(limit + 1)
        if len(body) > limit or (not answer.isclosed() and answer.read(1)):
            raise http.client.HTTPException(f'more than {limit} bytes came where fewer should have')
        if (said := answer.getheader('content-length', '')).isdigit() and len(body) < int(said):
            raise http.client.IncompleteRead(body, int(said) - len(body))
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def _is_hopeless(error: BaseException) -> bool:
    """Whether trying again cannot help."""
    return type(error).__name__ == 'SSLCertVerificationError'


def _said(error: BaseException) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


def _refusal(answer: Answer, tried: int) -> Refused:
    code = _between(answer.body, b'<Code>', b'</Code>') or str(answer.status)
    return Refused(answer.status, code, _between(answer.body, b'<Message>', b'</Message>'), tried)


def _between(body: bytes, begin: bytes, end: bytes) -> str:
    """A short text of an answer; what is no more than that needs no parser."""
    inner = body.partition(begin)[2].partition(end)[0]
    text = inner.decode('utf-8', 'replace') if len(inner) < 1000 else ''
    if '&' in text:
        from html import unescape

        text = unescape(text)
    return ' '.join(text.split())


def _pause(tried: int, asked: str | None) -> None:
    """Before another try: a random part of twice as long as before, or what the server asks for."""
    most = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tried - 1))
    seconds = random.uniform(0, most)
    if asked is not None and asked.isascii() and asked.isdigit():
        seconds = min(LONGEST_PAUSE, max(seconds, float(asked)))
    time.sleep(seconds)
