"""Buckets of fsspec beside the contract: what is not installed, what is only read, what breaks off."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.store import fsspec_bucket
from mlops_cli.store.bucket import FolderBucket, Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.fsspec_bucket import FsspecBucket, WebBucket
from mlops_cli.store.remote import open_bucket


@pytest.mark.parametrize(
    ('url', 'code', 'said', 'hint'),
    [
        ('gs://b/x', ExitCode.UNREACHABLE, 'gcsfs is not installed', "'mlops-cli[gs]'"),
        ('az://b/x', ExitCode.UNREACHABLE, 'adlfs is not installed', "'mlops-cli[az]'"),
        ('https://h/x', ExitCode.UNREACHABLE, 'aiohttp is not installed', "'mlops-cli[remotes]'"),
        ('ftp://h/x', ExitCode.WRONG_INPUT, 'no remotes with ftp://', 's3://'),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, code: ExitCode, said: str, hint: str
) -> None:
    real = importlib.util.find_spec
    absent = ('gcsfs', 'adlfs', 'aiohttp')
    monkeypatch.setattr(fsspec_bucket.importlib.util, 'find_spec', lambda name: None if name in absent else real(name))
    with pytest.raises(UserError) as caught:
        open_bucket(url)
    assert caught.value.exit_code == code and said in caught.value.message and hint in caught.value.hint


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The url of a folder that a server of the web lists."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    (tmp_path / 'web').mkdir()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(tmp_path / 'web')))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    yield f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_folder_on_the_web_is_read_and_not_written(web: str, tmp_path: Path) -> None:
    contents = {digest_of(data): data for data in (b'', b'small', b'large' * 500_000)}
    there = Depot(FolderBucket(str(tmp_path / 'web/team/store')))
    there.put((digest, [data]) for digest, data in contents.items())
    url = f'{web}/team/store'
    bucket = WebBucket(url, fsspec.filesystem('http', skip_instance_cache=True), url)
    depot = Depot(bucket)
    assert depot.has([*contents, digest_of(b'no')]) == set(contents)
    assert {digest: b''.join(chunks) for digest, chunks in depot.get(contents)} == contents
    writes: list[Callable[[], object]] = [
        lambda: bucket.put('a/1', b'x'), lambda: bucket.put_new('a/1', b'x'), lambda: bucket.delete(['a/1']),
    ]  # fmt: skip
    for write in writes:
        with pytest.raises(Unreachable, match='only be read'):
            write()


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Libraries end a file that is half written, and take it for whole, when it is closed or forgotten."""
    for kind, base in (('memory', '/broken/x'), ('file', str(tmp_path / 'x'))):
        bucket = FsspecBucket(f'{kind}://{base}', fsspec.filesystem(kind, skip_instance_cache=True), base)
        (tmp_path / 'large').write_bytes(bytes(20 << 20))

        def sent(_: int) -> None:
            raise KeyboardInterrupt

        with (tmp_path / 'large').open('rb') as file, pytest.raises(KeyboardInterrupt):
            bucket.put_file('a/1', file.fileno(), 20 << 20, sent)
        assert bucket.size('a/1') is None and [*bucket.list('a')] == []


def test_what_a_library_raises_is_a_line(tmp_path: Path) -> None:
    class Broken:
        protocol = 'x'

        def __getattr__(self, name: str) -> Callable[..., object]:
            def fail(*_: object, **__: object) -> object:
                raise RuntimeError('a\nb')

            return fail

    with pytest.raises(Unreachable) as caught:
        FsspecBucket('gs://b/x', Broken(), 'b/x').get('a')
    assert caught.value.message == 'gs://b/x: a b' and 'gcloud' in caught.value.hint
