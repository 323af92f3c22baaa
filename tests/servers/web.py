"""A web server on the loopback interface: entity tags, ranges, redirects, and whatever else a server may do to a reader."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """``files``: path -> content.  ``leads``: path -> where it redirects to.  ``asked``: (path, headers, status) of each
    request.  ``breaks``: after how many bytes each of the next answers breaks off; ``answers``: statuses of the next ones,
    in place of the file.  ``tags``: whether it sends ETag, ``ranges``: whether it serves parts, ``headers``: more of them."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    tags: bool = True
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f'http://127.0.0.1:{self.port}{path}'

    @property
    def statuses(self) -> list[int]:
        return [status for _, _, status in self.asked]


@contextmanager
def running() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Silent."""

        def answer(self, status: int, headers: dict[str, str], body: bytes = b'', sent: int | None = None) -> None:
            web.asked.append((self.path, dict(self.headers), status))
            self.send_response(status)
            for name, value in {'Content-Length': str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:sent])
            self.close_connection = True

        def do_GET(self) -> None:
            if self.path in web.leads:
                self.answer(302, {'Location': web.leads[self.path]})
                return
            if web.answers:
                self.answer(web.answers.pop(0), {})
                return
            if self.path not in web.files:
                self.answer(404, {})
                return
            content = web.files[self.path]
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            headers = {**({'ETag': tag} if web.tags else {}), **web.headers}
            if web.tags and self.headers.get('If-None-Match') == tag:
                self.answer(304, {'ETag': tag})
                return
            sent = web.breaks.pop(0) if web.breaks else None
            wanted = self.headers.get('Range', '')
            if web.ranges and wanted and self.headers.get('If-Range', tag) == tag:
                start = int(wanted.removeprefix('bytes=').rstrip('-'))
                place = f'bytes {start}-{len(content) - 1}/{len(content)}'
                self.answer(206, {**headers, 'Content-Range': place}, content[start:], sent)
                return
            self.answer(200, headers, content, sent)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A reader that goes away is part of what is tried."""

    server = Server(('127.0.0.1', 0), Handler)
    web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
