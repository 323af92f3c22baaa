"""The door to Kubernetes: the user's own kubectl, with its contexts, logins and proxies.  Knows nothing of stages.

One ``kubectl proxy`` behind a socket that only this user can open answers as long as we live; ``kubectl exec`` carries
bytes."""
from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from mlops_cli import ssh
from mlops_cli.fsio.programs import find_program
from mlops_cli.store.bucket import Unreachable

ANSWER_MOST = 64 << 20  # bytes
SECONDS = 30.0  # for an answer; a login may have to be renewed first
START_SECONDS = 20.0  # for kubectl to begin
PASSING = (429, 500, 502, 503, 504)
# kubectl may not outlive us, however we end: then the pipe that this reads is at its end.
KEEPER = '"$@" </dev/null & child=$!; exec >/dev/null 2>&1; read -r _; kill $child'
KUBECTL_HINT = 'install kubectl, and put it on the PATH: https://kubernetes.io/docs/tasks/tools'
SOCKET_MOST = 100  # bytes of a path: 104 are what macOS has
ERROR_MOST = 300  # characters of what a server says


class Silent(Exception):
    """It does not answer; it may a little later."""


class Status(Exception):
    """It answers that it will not.  ``code``: of HTTP."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def kubectl(where: str, context: str, *words: str) -> list[str]:
    """Its words.  Raises Unreachable where there is none."""
    program = find_program('kubectl')
    if program is None:
        raise Unreachable(where, 'there is no kubectl on this machine', KUBECTL_HINT)
    return [program, *([f'--context={context}'] if context else []), *words]


def explained(said: str) -> tuple[str, str]:
    """What kubectl itself says, and what helps."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = printable(lines[-1]) if lines else 'it ends at once'
    for prefix in ('error: ', 'Error: '):
        last = last.removeprefix(prefix)
    if 'does not exist' in last and 'context' in last:
        return f'kubectl knows no such context: {last}', 'kubectl config get-contexts shows those there are'
    if 'executable' in last or 'getting credentials' in last:
        return f'kubectl cannot log in: {last}', 'the program that logs in is missing or fails: kubectl get pods says the same'
    return f'kubectl says: {last}', 'does kubectl get pods work, with the same --context and --namespace?'


def printable(text: str) -> str:
    return ''.join(character if character.isprintable() else ' ' for character in text)[:ERROR_MOST]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__('localhost', timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _folder() -> str:
    """For a socket, whose path may be no longer than some hundred bytes."""
    found = tempfile.mkdtemp(prefix='mlops-')
    if len(os.fsencode(f'{found}/api')) > SOCKET_MOST:
        os.rmdir(found)
        found = tempfile.mkdtemp(prefix='mlops-', dir='/tmp')
    return found


class Api:
    """``where``: the host's address, for errors.  Any thread may ask."""

    def __init__(self, where: str, context: str) -> None:
        self.where, self.context = where, context
        self._lock = threading.Lock()
        self._session: ssh.Session | None = None
        self._folder = ''

    def close(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._session is not None:
            with suppress(OSError):
                self._session.end_input()
            self._session.wait(5)
            self._session.close()
            self._session = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ''

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """The answer.  Raises Silent, Status, Unreachable."""
        target = path + (f'?{urlencode(query)}' if query else '')
        data = None if body is None else json.dumps(body).encode()
        connection = _Connection(self._socket())
        try:
            connection.request(method, target, data, {'Content-Type': 'application/json', 'Accept': 'application/json'})
            answer = connection.getresponse()
            text = answer.read(ANSWER_MOST)
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f'kubectl does not answer ({error or type(error).__name__})') from error
        finally:
            connection.close()
        return self._read(answer.status, text)

    def _read(self, code: int, text: bytes) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        said = found.get('message') if isinstance(found, dict) else text.decode(errors='replace').strip()
        message = printable(str(said or f'status {code}'))
        if 200 <= code < 300:
            if not isinstance(found, dict):
                raise Silent('its answer cannot be read')
            return found
        if code == 401:
            words = ['kubectl', *([f'--context={self.context}'] if self.context else []), 'get pods']
            hint = f'log in again: {" ".join(words)}'
            raise Unreachable(self.where, f'it does not know who you are: {message}', hint)
        if code in PASSING:
            raise Silent(message)
        raise Status(code, message)

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """None where there is no such thing.  Raises as :meth:`ask`."""
        try:
            return self.ask('GET', path, None, **query)
        except Status as status:
            if status.code == 404:
                return None
            raise

    # The kubectl that answers

    def _socket(self) -> str:
        """The path of its socket.  Raises Unreachable."""
        with self._lock:
            if self._session is not None and self._session.process.poll() is None and os.path.exists(f'{self._folder}/api'):
                return f'{self._folder}/api'
            self._end()
            self._folder = _folder()
            words = kubectl(self.where, self.context, 'proxy', f'--unix-socket={self._folder}/api')
            self._session = ssh.Session(['/bin/sh', '-c', KEEPER, 'sh', *words])
            until = time.monotonic() + START_SECONDS
            try:
                while not self._listens():
                    source = self._session.source
                    ended = bool(select.select([source], [], [], 0.02)[0]) and not os.read(source, 1 << 12)
                    if ended or time.monotonic() > until:
                        said = self._session.said
                        raise Unreachable(self.where, *explained(said if ended or said else 'it does not begin'))
            except OSError as error:
                self._end()
                hint = 'does kubectl proxy work here?'
                raise Unreachable(self.where, f'kubectl proxy cannot be asked: {error}', hint) from error
            except BaseException:
                self._end()
                raise
            return f'{self._folder}/api'

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            return one.connect_ex(f'{self._folder}/api') == 0
