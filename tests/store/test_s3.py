"""Requests to S3 of our own: who is asked, how it is signed, and what happens when the answer is not what one hopes for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.store import s3_http
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.s3 import PlainBucket
from mlops_cli.store.s3_http import Client
from mlops_cli.store.s3_settings import Settings, plain_settings

KEYS = {'AWS_ACCESS_KEY_ID': 'AKIAIOSFODNN7EXAMPLE', 'AWS_SECRET_ACCESS_KEY': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'}


def settings(bucket: str = 'team-data', **environ: str) -> Settings | None:
    return plain_settings(bucket, {'HOME': '/nowhere', 'AWS_CONFIG_FILE': '/nowhere', **KEYS, **environ})


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))


# Who is asked, and as whom


def test_of_aws_a_bucket_has_its_own_host() -> None:
    found = settings(AWS_DEFAULT_REGION='eu-central-1', AWS_SESSION_TOKEN='token', AWS_CA_BUNDLE='/some/file')
    assert found is not None
    assert (found.secure, found.host, found.path, found.region, found.token) == (
        True, 'team-data.s3.eu-central-1.amazonaws.com', '', 'eu-central-1', 'token',
    )  # fmt: skip


@pytest.mark.parametrize(
    ('endpoint', 'secure', 'host', 'path'),
    [
        ('http://127.0.0.1:9000', False, '127.0.0.1:9000', '/team-data'),
        ('https://minio.example/s3/', True, 'minio.example', '/s3/team-data'),
        ('https://minio.example:443', True, 'minio.example', '/team-data'),
        ('http://[::1]:9000', False, '[::1]:9000', '/team-data'),
    ],
)
def test_elsewhere_it_is_a_part_of_the_path(endpoint: str, secure: bool, host: str, path: str) -> None:
    found = settings(AWS_ENDPOINT_URL=endpoint, AWS_CA_BUNDLE='/some/file')
    assert found is not None and (found.secure, found.host, found.path) == (secure, host, path)


def test_profiles(tmp_path: Path) -> None:
    (tmp_path / 'config').write_text('[default]\nregion = us-west-2\n[profile team]\nregion = eu-west-1\noutput = json\n')
    (tmp_path / 'keys').write_text('[team]\naws_access_key_id = A\naws_secret_access_key = B\n')
    environ = {
        'AWS_CONFIG_FILE': str(tmp_path / 'config'), 'AWS_SHARED_CREDENTIALS_FILE': str(tmp_path / 'keys'),
        'AWS_PROFILE': 'team', 'AWS_CA_BUNDLE': '/some/file',
    }  # fmt: skip
    found = plain_settings('team-data', environ)
    assert found is not None and (found.key, found.secret, found.region) == ('A', 'B', 'eu-west-1')
    assert plain_settings('team-data', {**environ, 'AWS_PROFILE': 'default'}) is None  # which has no keys


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('AWS_ROLE_ARN', 'arn:aws:iam::1:role/x'),
        ('AWS_USE_FIPS_ENDPOINT', 'true'),
        ('HTTPS_PROXY', 'http://proxy:3128'),
        ('AWS_ACCESS_KEY_ID', ''),
        ('AWS_ENDPOINT_URL', 'ftp://somewhere'),
        ('AWS_ENDPOINT_URL', 'http://host:99999'),
        ('AWS_ENDPOINT_URL', 'http://user:secret@host'),
        ('AWS_DEFAULT_REGION', 'cn-north-1'),
        ('bucket', 'name.with.dots'),
        ('bucket', 'fast--use1-az4--x-s3'),
        ('config', '[default]\nrole_arn = x\n'),
        ('config', '[default]\ns3 =\n  addressing_style = path\n'),
        ('config', 'no section'),
    ],
)
def test_what_is_not_plain_is_left_to_who_knows_it(name: str, value: str, tmp_path: Path) -> None:
    environ = {'AWS_CA_BUNDLE': '/some/file', **KEYS}
    assert plain_settings('team-data', environ) is not None
    if name == 'config':
        (tmp_path / 'config').write_text(value)
        environ['AWS_CONFIG_FILE'] = str(tmp_path / 'config')
    elif name != 'bucket':
        environ[name] = value
    assert plain_settings(value if name == 'bucket' else 'team-data', environ) is None


# How it is signed


def test_the_signature_of_the_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example GET Object of AWS's page about Signature Version 4."""
    monkeypatch.setattr(s3_http.time, 'strftime', lambda *_: '20130524T000000Z')
    made = Settings(True, 'examplebucket.s3.amazonaws.com', '', 'us-east-1', *KEYS.values(), '')
    headers = Client(made)._signed('GET', '/test.txt', '', {'range': 'bytes=0-9'}, s3_http._NOTHING.hex())
    assert headers['Authorization'].endswith('Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41')


# What may happen on the way

Answers = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Gives one prepared answer after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answers] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                outer.answers.pop(0)(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f'http://127.0.0.1:{self._server.server_port}'
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def says(status: int, body: bytes = b'', length: int | None = None, **headers: str) -> Answers:
    def answer(to: Any) -> None:
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name.replace('_', '-'), value)
        to.send_header('Content-Length', str(len(body) if length is None else length))
        to.end_headers()
        to.wfile.write(body)
        to.close_connection = length is not None

    return answer


def hangs_up(to: Any) -> None:
    to.close_connection = True


def error(status: int, code: str, **headers: str) -> Answers:
    return says(status, f'<Error><Code>{code}</Code><Message>It &amp; more</Message></Error>'.encode(), **headers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(s3_http, 'FIRST_PAUSE', 0.001)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def bucket(server: Server) -> Iterator[PlainBucket]:
    found = settings(AWS_ENDPOINT_URL=server.endpoint)
    assert found is not None
    made = PlainBucket('s3://team-data/some prefix', found)
    yield made
    made.close()


@pytest.mark.parametrize(
    'first',
    [
        error(503, 'SlowDown'), error(500, 'InternalError'), error(400, 'RequestTimeout'),
        error(503, 'SlowDown', Retry_After='0'), hangs_up, says(200, b'dat', length=4), says(200, b'data and more'),
    ],
)  # fmt: skip
def test_what_may_go_better_is_asked_again(server: Server, bucket: PlainBucket, first: Answers) -> None:
    server.answers = [first, first, says(200, b'data')]
    assert bucket.get('a/1', 0, 4) == b'data'
    assert len(server.asked) == 3
    assert {(method, path, headers['range']) for method, path, headers, _ in server.asked} == {
        ('GET', '/team-data/some%20prefix/a/1', 'bytes=0-3')
    }


@pytest.mark.parametrize(('status', 'code'), [(403, 'AccessDenied'), (400, 'InvalidArgument'), (404, 'NoSuchBucket')])
def test_a_no_is_not_asked_again(server: Server, bucket: PlainBucket, status: int, code: str) -> None:
    server.answers = [error(status, code)]
    with pytest.raises(Unreachable, match=f'{code}: It & more'):
        bucket.put('a/1', b'data')
    assert len(server.asked) == 1


def test_it_gives_up_in_the_end(server: Server, bucket: PlainBucket) -> None:
    server.answers = [error(503, 'SlowDown')] * 20
    with pytest.raises(Unreachable, match=r'SlowDown: It & more \(8 times\)'):
        bucket.get('a/1')
    assert len(server.asked) == s3_http.TRIES


def test_a_connection_that_was_closed_while_idle_costs_no_try(
    server: Server, bucket: PlainBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_http, 'TRIES', 1)

    def closes(to: Any) -> None:
        says(200, b'data')(to)  # without saying so
        to.close_connection = True

    server.answers = [closes, says(200, b'data')]
    assert bucket.get('a/1') == bucket.get('a/2') == b'data'


def test_a_bucket_in_another_region_is_asked_there(server: Server, bucket: PlainBucket) -> None:
    wrong = b'<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>'
    server.answers = [says(400, wrong), says(200, b'data'), says(200, b'data')]
    assert bucket.get('a/1') == bucket.get('a/2') == b'data'
    regions = [headers['authorization'].split('/')[2] for _, _, headers, _ in server.asked]
    assert regions == ['us-east-1', 'eu-west-3', 'eu-west-3']


def test_what_is_sent_has_its_sum_with_it(server: Server, bucket: PlainBucket) -> None:
    server.answers = [says(200)]
    bucket.put('a/1', b'data')
    [(_, _, headers, body)] = server.asked
    assert (headers['x-amz-checksum-sha256'], body) == ('Om6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc=', b'data')
    assert headers['x-amz-content-sha256'] == '3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7'


def test_an_error_that_comes_with_200(
    server: Server, bucket: PlainBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mlops_cli.store.s3.PART', 4)
    started = says(200, b'<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>')
    parts = [says(200, ETag='"x"')] * 2
    server.answers = [started, *parts, error(200, 'InternalError'), says(204)]
    (tmp_path / 'file').write_bytes(b'12345678')
    with (tmp_path / 'file').open('rb') as file, pytest.raises(Unreachable, match='InternalError'):
        bucket.put_file('a/1', file.fileno(), 8, lambda _: None)


# What is slow


class Slow(BaseHTTPRequestHandler):
    """Gives a little at a time to the first that ask, for as long as they take it."""

    protocol_version = 'HTTP/1.1'
    pause = 0.02
    asked = 2

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header('Content-Length', '3000')
        self.end_headers()
        type(self).asked -= 1
        with suppress(OSError):
            for _ in range(3000 if type(self).asked >= 0 else 0):
                self.wfile.write(b'x')
                time.sleep(self.pause)
            self.wfile.write(b'x' * 3000)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainBucket]:
    server = ThreadingHTTPServer(('127.0.0.1', 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    found = settings(AWS_ENDPOINT_URL=f'http://127.0.0.1:{server.server_address[1]}')
    assert found is not None
    made = PlainBucket('s3://team-data/x', found)
    monkeypatch.setattr(s3_http, 'FIRST_PAUSE', 0.01)
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_sent_may_take_long_if_it_goes_on() -> None:
    """A timeout is of one call, however much it is given: so it is given little."""
    sent: list[int] = []

    class Connection:
        def __getattr__(self, name: str) -> Callable[..., object]:
            return lambda *given, **_: sent.append(len(given[0])) if name == 'send' else None

    s3_http._send(Connection(), 'PUT', '/a', {}, bytes(3 * s3_http.PIECE + 1))  # type: ignore[arg-type]
    assert sent == [s3_http.PIECE] * 3 + [1]


def test_what_hardly_comes_is_asked_for_again(slow: PlainBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_http, 'STALL_SECONDS', 0.1)
    monkeypatch.setattr(Slow, 'asked', 2)
    assert slow.get('a') == b'x' * 3000
    assert slow.client.requests > 2
