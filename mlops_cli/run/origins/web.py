"""A file that a web server serves.  Certificates are checked, redirects go to the web alone and never from https to http, no
address of a cloud's metadata service is asked, no credentials are sent; what breaks off goes on where it was, in the next
command too where the file is large and the server names its state."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mlops_cli import __version__
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.records.origin import HTTP, SAID
from mlops_cli.run.origins.base import Brought, Into, Seen, Unreached
from mlops_cli.store import partial

TRIES = 5
CHUNK = 1 << 20
SECONDS = 60  # without a byte
BUSY = (408, 425, 429, 500, 502, 503, 504)
# Addresses at which clouds tell machines their credentials; link-local ones are refused altogether.
METADATA = frozenset(map(ipaddress.ip_address, ('100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254')))
_HINTS = {
    401: 'it asks who you are, and mlops sends no credentials: fetch it with a program that has them, then mlops add',
    403: 'it refuses: fetch it with a program that may, then mlops add',
    404: 'look at the address',
    410: 'it says that this is gone for good',
}


class WebOrigin:
    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = _opener(url)

    def look(self, pins: Mapping[str, str]) -> Seen:
        answer = self._ask(_conditions(pins))
        if answer is None:
            return Seen(True)
        with answer:
            return Seen(False if pins else None, size=_length(answer))

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought | None:
        answer = self._ask(_conditions(pins))
        if answer is None:
            return None
        said = _said(answer)
        if (length := _length(answer)) > 0:
            into.expect(length)
        tag = said.get('etag', '')
        if length < partial.LARGE or not tag or tag.startswith('W/'):  # nothing would tell another state of it from this one
            return Brought(into.file(self._body(answer, said, length)), said)
        return Brought(into.large(f'{self.url}\n{tag}', length, lambda done: self._from(answer, said, length, done)), said)

    def _from(self, answer: Any, said: Mapping[str, str], length: int, done: int) -> Generator[bytes, None, None]:
        """What follows on so many bytes that an earlier command brought.  ``answer``: with all of it."""
        if done:
            answer.close()
        if done < length:
            yield from self._body(self._rest(done, length, said) if done else answer, said, length, done)

    def _body(self, answer: Any, said: Mapping[str, str], length: int, done: int = 0) -> Iterator[bytes]:
        """All of it; asked for again from where it broke off, as long as it is the same."""
        left = TRIES
        while True:
            problem = 'it broke off'
            try:
                with answer:
                    while part := answer.read(CHUNK):
                        done += len(part)
                        left = TRIES
                        yield part
            except (OSError, http.client.HTTPException) as error:
                problem = _words(error)
            else:
                if length < 0 or done == length:
                    return
                if done > length:
                    raise self._failed('it sent more than it said', '')
            left -= 1
            if not left or not said:
                raise self._failed(f'{problem} after {done:,} bytes', 'try again')
            time.sleep(0.2 * 2 ** (TRIES - left - 1))
            answer = self._rest(done, length, said)

    def _rest(self, done: int, length: int, said: Mapping[str, str]) -> Any:
        validator = said.get('etag', '')
        validator = said.get('modified', '') if not validator or validator.startswith('W/') else validator
        answer = self._ask({'Range': f'bytes={done}-', **({'If-Range': validator} if validator else {})})
        assert answer is not None
        begins = answer.headers.get('Content-Range', '').startswith(f'bytes {done}-')
        same = all(said.get(name) == text for name, text in _said(answer).items())
        if not same or (answer.status == 206 and not begins) or answer.status not in (200, 206):
            answer.close()
            raise self._failed('it changed while it was read', 'try again')
        if answer.status == 200:  # the server sends no parts
            skipped = 0
            while skipped < done and (part := answer.read(min(CHUNK, done - skipped))):
                skipped += len(part)
        elif length >= 0 and _length(answer) != length - done:
            answer.close()
            raise self._failed('it changed while it was read', 'try again')
        return answer

    def _ask(self, headers: Mapping[str, str]) -> Any:
        """The answer, None for one that it is as it was.  Raises Unreached."""
        own = {'User-Agent': f'mlops/{__version__}', 'Accept': '*/*', 'Accept-Encoding': 'identity'}
        for left in reversed(range(TRIES)):
            request = urllib.request.Request(self.url, headers={**own, **headers})
            try:
                answer = self._opener.open(request, timeout=SECONDS)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 304:
                    return None
                if left and error.code in BUSY:
                    time.sleep(0.2 * 2 ** (TRIES - left - 1))
                    continue
                hint = _HINTS.get(error.code, 'try again later' if error.code >= 500 else 'look at the address')
                raise self._failed(f'the server says {error.code} {error.reason}', hint) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                cause = error.reason if isinstance(error, urllib.error.URLError) else error
                raise self._failed(_words(cause), _hint(cause)) from error
            if answer.headers.get('Content-Encoding', 'identity').lower() != 'identity':
                answer.close()
                raise self._failed('it sends this compressed, though that was not asked for', 'fetch it, then mlops add')
            return answer
        raise AssertionError('unreachable')

    def _failed(self, problem: str, hint: str) -> Unreached:
        return Unreached(self.url, problem, hint or 'is the network there, and the address right?')


def _conditions(pins: Mapping[str, str]) -> dict[str, str]:
    names = {'etag': 'If-None-Match', 'modified': 'If-Modified-Since'}
    return {names[name]: text for name, text in pins.items() if name in names}


def _said(answer: Any) -> dict[str, str]:
    """What the server says of the state of the file, as far as it can be given back to it."""
    found = {'etag': answer.headers.get('ETag', ''), 'modified': answer.headers.get('Last-Modified', '')}
    return {name: text for name, text in found.items() if text and len(text) <= SAID and text.isprintable()}


def _length(answer: Any) -> int:
    text = answer.headers.get('Content-Length', '')
    return int(text) if text.isdecimal() else -1


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f'nothing came for {SECONDS} s'
    if isinstance(error, ssl.SSLCertVerificationError):
        return f'its certificate is not trusted: {error.verify_message}'
    return ' '.join(str(getattr(error, 'strerror', None) or error).split())[:200] or type(error).__name__


def _hint(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return 'if it is one of your own company: SSL_CERT_FILE=ITS_CERTIFICATES'
    return ''


# Where it may lead


def refused_address(text: str) -> bool:
    """Whether an IP address is one that no data comes from."""
    try:
        address = ipaddress.ip_address(text.strip('[]').partition('%')[0])
    except ValueError:
        return False
    address = getattr(address, 'ipv4_mapped', None) or address
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA


def _refuse(url: str, why: str) -> UserError:
    return UserError(f'{url} {why}', exit_code=ExitCode.REFUSED, hint='nothing was fetched from there')


def _check(url: str) -> None:
    place = urlsplit(url)
    if place.scheme not in HTTP or not place.hostname:
        raise _refuse(url, 'is no place on the web')
    if place.username is not None or place.password is not None:
        raise _refuse(url, 'holds a user name or password')
    if refused_address(place.hostname):
        raise _refuse(url, "is an address of this machine's own network, where clouds keep credentials")


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 10

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.isprintable():
            raise _refuse(req.full_url, 'leads to an address with control characters')
        try:
            _check(newurl)
        except UserError as error:
            raise _refuse(req.full_url, f'leads to {error.message}') from None
        if req.type == 'https' and not newurl.startswith('https:'):
            raise _refuse(req.full_url, f'leads from https to {newurl}')
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """The library refuses other schemes too, but not in our words."""
        newurl = headers.get('location') or headers.get('uri') or ''
        if ':' in newurl.partition('/')[0] and newurl.partition(':')[0].lower() not in HTTP:
            raise _refuse(req.full_url, f'leads to {newurl[:200]!r}, which is not on the web')
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _checked(sock: socket.socket | None) -> None:
    """Before anything is asked of it: a name may lead anywhere."""
    peer = str(sock.getpeername()[0]) if sock is not None else ''
    if refused_address(peer):
        raise _refuse(peer, "is an address of this machine's own network, where clouds keep credentials")


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _checked(self.sock)


class _Secure(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _checked(self.sock)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_Plain, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._own = context

    def https_open(self, req: Any) -> Any:
        return self.do_open(_Secure, req, context=self._own)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """One that knows the web and proxies of the environment, and nothing else: no files, no ftp, no data."""
    _check(url)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Http(), _Https(ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(), _Redirects(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
