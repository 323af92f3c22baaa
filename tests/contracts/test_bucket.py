"""What every bucket must do: a folder, a real S3 server, asked by both ways, and a folder behind a real sshd are poured in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode
from mlops_cli.store import remote, s3_http
from mlops_cli.store import s3 as s3_plain
from mlops_cli.store.bucket import Absent, Bucket, FolderBucket, Unreachable
from mlops_cli.store.fsspec_bucket import FsspecBucket
from mlops_cli.store.ssh import SshBucket
from tests.servers.s3 import S3
from tests.servers.sshd import Sshd

LARGE = bytes(range(256)) * 4096 * 40 + b'end'  # 40 MiB and a bit: several parts


KINDS = ['folder', 's3', 'ssh', 'memory of fsspec', 'folder of fsspec', pytest.param('s3fs', marks=pytest.mark.full)]


@pytest.fixture(params=KINDS)
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    made = new(request, tmp_path)
    yield made
    made.close()


def new(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == 'folder':
        return FolderBucket(str(tmp_path / 'a folder/of ours'))
    if request.param.endswith('fsspec'):
        import fsspec

        kind = 'memory' if request.param.startswith('memory') else 'file'
        base = f'/{abs(hash(str(tmp_path)))}/x' if kind == 'memory' else str(tmp_path / 'a folder')
        return FsspecBucket(f'{kind}://{base}', fsspec.filesystem(kind, skip_instance_cache=True), base)
    if request.param == 'ssh':
        far: Sshd = request.getfixturevalue('sshd')
        far.use(request.getfixturevalue('monkeypatch'))
        return SshBucket(far.url(tmp_path / 'a folder/of ours'))
    server: S3 = request.getfixturevalue('s3')
    server.use(request.getfixturevalue('monkeypatch'))
    name = f'b{os.getpid()}-{abs(hash(str(tmp_path))) % 10**12}'
    url = f'{server.make_bucket(name)}/some/prefix'
    return remote.S3Bucket(url) if request.param == 's3fs' else remote.open_bucket(url)


def keys(bucket: Bucket, folder: str) -> list[str]:
    return sorted(found.key for found in bucket.list(folder))


def test_what_was_put_is_there(bucket: Bucket) -> None:
    for key, data in {'a/1': b'one', 'a/b/2': b'', 'c/3': b'x' * 100_000}.items():
        bucket.put(key, data)
        assert (bucket.get(key), bucket.size(key)) == (data, len(data))
    assert (keys(bucket, 'a'), keys(bucket, 'c'), keys(bucket, 'd')) == (['a/1', 'a/b/2'], ['c/3'], [])
    assert {*keys(bucket, '')} == {'a/1', 'a/b/2', 'c/3'}
    [found] = bucket.list('c')
    assert found.size == 100_000 and found.changed > 1_600_000_000


def test_nothing_is_in_an_empty_one(bucket: Bucket) -> None:
    assert (keys(bucket, 'a'), bucket.size('a/b')) == ([], None)
    bucket.delete(['a/b', 'c'])
    for start, end in ((0, None), (3, 5)):
        with pytest.raises(Absent):
            bucket.get('a/b', start, end)


def test_a_value_is_replaced_whole(bucket: Bucket) -> None:
    bucket.put('a/1', b'long and old')
    bucket.put('a/1', b'new')
    assert bucket.get('a/1') == b'new'


def test_parts(bucket: Bucket) -> None:
    bucket.put('a/1', b'0123456789')
    assert [bucket.get('a/1', *part) for part in ((0, 4), (4, 10), (9, 10), (3, 3), (7, None))] == [
        b'0123', b'456789', b'9', b'', b'789',
    ]  # fmt: skip
    for start, end in ((5, 11), (10, 12), (20, 30)):
        with pytest.raises(Unreachable):
            bucket.get('a/1', start, end)


def test_of_many_at_once_one_is_first(bucket: Bucket) -> None:
    assert bucket.put_new('a/1', b'first')
    assert not bucket.put_new('a/1', b'second')
    assert bucket.get('a/1') == b'first'
    won: list[int] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        if bucket.put_new('a/2', b'%d' % number):
            won.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and bucket.get('a/2') == b'%d' % won[0]


@pytest.mark.parametrize('data', [b'', b'small', LARGE])
def test_a_file(bucket: Bucket, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / 'file'
    path.write_bytes(data)
    sent: list[int] = []
    with path.open('rb') as file:
        bucket.put_file('a/large', file.fileno(), len(data), sent.append)
        assert file.tell() == 0
    assert (bucket.size('a/large'), sum(sent)) == (len(data), len(data))
    assert bucket.get('a/large') == data


@pytest.mark.parametrize('data', [b'small', LARGE], ids=['small', 'large'])
def test_a_file_of_which_nobody_is_sure_in_the_end_is_not_stored(bucket: Bucket, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / 'file'
    path.write_bytes(data)
    bucket.put('a/there', b'before')
    asked = []

    def sure() -> None:
        asked.append(bucket.size('a/new'))
        raise KeyError('not that')

    with path.open('rb') as file:
        for key in ('a/new', 'a/there'):
            with pytest.raises(KeyError, match='not that'):
                bucket.put_file(key, file.fileno(), len(data), lambda _: None, sure)
        assert asked == [None, None] and bucket.get('a/there') == b'before'
        assert keys(bucket, 'a') == ['a/there']
        bucket.put_file('a/new', file.fileno(), len(data), lambda _: None)
    assert bucket.get('a/new') == data


def test_delete(bucket: Bucket) -> None:
    every = [f'a/{number}' for number in range(12)]
    for key in every:
        bucket.put(key, b'x')
    bucket.delete([*every[:10], 'a/none'])
    assert keys(bucket, 'a') == sorted(every[10:])
    assert bucket.put_new('a/1', b'again')


def test_more_than_a_page_is_listed_and_deleted(bucket: Bucket) -> None:
    count = 1100 if bucket.where.startswith('s3://') else 60  # a page of S3 has 1,000
    for number in range(count):
        bucket.put(f'many/{number:04}', b'')
    assert len(keys(bucket, 'many')) == count
    bucket.delete(f'many/{number:04}' for number in range(count - 1))
    assert keys(bucket, 'many') == [f'many/{count - 1:04}']


def test_it_may_be_used_by_many_threads(bucket: Bucket) -> None:
    def work(number: int) -> None:
        bucket.put(f'a/{number}', b'%d' % number * 1000)
        if bucket.get(f'a/{number}') != b'%d' % number * 1000:
            wrong.append(number)

    wrong: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(keys(bucket, 'a')) == 24


def test_both_ways_to_s3_see_the_same(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.use(monkeypatch)
    url = f'{s3.make_bucket("both-ways")}/a prefix & more'
    plain, other = remote.open_bucket(url), remote.S3Bucket(url)
    assert isinstance(plain, s3_plain.PlainBucket)
    for number, bucket in enumerate((plain, other)):
        bucket.put(f'a/{number}', b'%d' % number)
        assert not bucket.put_new('a/0', b'x')
    assert keys(plain, 'a') == keys(other, 'a') == ['a/0', 'a/1']
    assert [(one.get('a/0'), one.get('a/1'), one.size('a/1')) for one in (plain, other)] == [(b'0', b'1', 1)] * 2
    plain.close()


def test_a_large_file_that_was_broken_off_goes_on(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3.use(monkeypatch)
    monkeypatch.setattr(s3_plain, 'RESUMED', 0)
    monkeypatch.setattr(s3_plain, 'PART', 5 << 20)
    monkeypatch.setattr(s3_plain, 'PARTS_AT_ONCE', 1)
    data = LARGE[:17 << 20]
    (tmp_path / 'file').write_bytes(data)
    url = s3.make_bucket('broken-off')
    plain = remote.open_bucket(url)
    assert isinstance(plain, s3_plain.PlainBucket)
    sent: list[str] = []
    ask = s3_http.Client.ask

    def asked(client: s3_http.Client, method: str, key: str, query: Any = None, *more: Any) -> s3_http.Answer:
        if method == 'PUT':
            if len(sent) == 2:
                raise s3_http.NoAnswer('cut')
            sent.append(query['partNumber'])
        return ask(client, method, key, query, *more)

    monkeypatch.setattr(s3_http.Client, 'ask', asked)
    with (tmp_path / 'file').open('rb') as file:
        with pytest.raises(Unreachable, match='cut'):
            plain.put_file('a/large', file.fileno(), len(data), lambda _: None)
        assert plain.size('a/large') is None
        sent[:] = ['', '', '']  # from here on all goes through
        plain.put_file('a/large', file.fileno(), len(data), lambda _: None)
    assert sent[3:] == ['3', '4'] and plain.get('a/large') == data
    plain.close()


# What can be wrong, and is told in a line with what helps.


def fails(bucket: Bucket) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        bucket.put('a/1', b'x')
    assert caught.value.exit_code == ExitCode.UNREACHABLE and '\n' not in caught.value.message
    assert caught.value.message.startswith(bucket.where)
    return caught.value


@pytest.mark.parametrize('way', ['plain', 's3fs'])
@pytest.mark.parametrize(
    ('name', 'value', 'said', 'hint'),
    [
        ('', '', 'NoSuchBucket', 'make the bucket'),
        ('AWS_ENDPOINT_URL', 'http://127.0.0.1:9', 'Could not connect', 'network'),
        ('AWS_ENDPOINT_URL', 'http://nowhere.invalid', 'Could not connect', 'network'),
        ('AWS_ACCESS_KEY_ID', 'NOBODY', 'InvalidAccessKeyId', 'AWS_ACCESS_KEY_ID'),
        ('AWS_SECRET_ACCESS_KEY', 'wrong', 'SignatureDoesNotMatch', 'AWS_SECRET_ACCESS_KEY'),
        ('AWS_ACCESS_KEY_ID', '', 'no credentials', 'AWS_PROFILE'),
    ],
)
def test_what_is_wrong_is_told(
    s3: S3, monkeypatch: pytest.MonkeyPatch, way: str, name: str, value: str, said: str, hint: str
) -> None:
    s3.use(monkeypatch)
    monkeypatch.setattr(remote, 'TRIES', 2)
    monkeypatch.setattr(s3_http, 'TRIES', 2)
    if name and value:
        monkeypatch.setenv(name, value)
    elif name:
        monkeypatch.delenv(name)
        monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    url = 's3://there-is-none/x'
    failed = fails(remote.S3Bucket(url) if way == 's3fs' else remote.open_bucket(url))
    assert said in failed.message and hint in failed.hint


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    assert 'folder' in fails(FolderBucket(str(tmp_path / 'file/below'))).hint


class Says(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.response = {'Error': {'Code': code}, 'ResponseMetadata': {'HTTPStatusCode': status}}


class Answers:
    """In place of s3fs: what a server of AWS may say, and the one here does not."""

    def __init__(self, *errors: Says) -> None:
        self.errors = [*errors]

    def call_s3(self, _method: str, **_: object) -> None:
        if self.errors:
            raise self.errors.pop(0)


def test_a_conflict_is_tried_again_and_what_is_there_is_left_alone() -> None:
    bucket = remote.S3Bucket('s3://b/x')
    busy = Says(409, 'ConditionalRequestConflict')
    for errors, first in (((busy, busy), True), ((busy, Says(412, 'PreconditionFailed')), False)):
        bucket._system = Answers(*errors)
        assert bucket.put_new('a', b'x') is first
    bucket._system = Answers(Says(409, 'OperationAborted'))
    assert 'OperationAborted' in fails(bucket).message
