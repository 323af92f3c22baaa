"""The door to fsspec: buckets of S3 and of whatever else it knows.  Connects when it is first asked for something."""
from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.store.bucket import (
    AT_ONCE,
    Absent,
    Bucket,
    FolderBucket,
    Listed,
    Sure,
    Unreachable,
    at_once,
    read_range,
    side_by_side,
)
from mlops_cli.store.s3 import HINTS, MOST_PARTS, NETWORK, PART, PlainBucket
from mlops_cli.store.s3_settings import plain_settings

TRIES = 8  # of a request that fails on the way, or because the server is busy
CONNECT_SECONDS = 10
READ_SECONDS = 60


def open_bucket(url: str, python: str = '') -> Bucket:
    """What a remote's url names.  ``python``: with ssh, the interpreter there.  Raises UserError where the library for it is
    missing."""
    scheme, colon, path = url.partition('://')
    if not colon or scheme == 'file':
        return FolderBucket(path if colon else url)
    if scheme == 's3':
        settings = plain_settings(path.partition('/')[0], os.environ)
        return S3Bucket(url) if settings is None else PlainBucket(url, settings)
    if scheme == 'ssh':
        from mlops_cli.store.ssh import SshBucket

        return SshBucket(url, python)
    from mlops_cli.store.fsspec_bucket import open_fsspec

    return open_fsspec(url)


def reading(url: str) -> tuple[Any, str]:
    """(fsspec's file system for a url that is only read, the path in it).  Raises UserError where its library is missing."""
    if url.startswith(('s3://', 's3a://')):
        url = f's3://{url.partition("://")[2]}'
        return S3Bucket(url)._fs(), url.removeprefix('s3://').rstrip('/')
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise _lacks(url, 'fsspec', "pip install 'mlops-cli[remotes]'") from None
    try:
        system, path = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        raise _lacks(url, 'what reads it', str(error)[:200]) from None
    except (ValueError, OSError) as error:
        raise failure(url, error) from error
    return system, str(path).rstrip('/')


def _lacks(url: str, what: str, hint: str) -> UserError:
    return UserError(f'{url}: {what} is not installed', hint=hint, exit_code=ExitCode.MACHINE)


def failure(url: str, error: BaseException) -> Unreachable:
    """What a file system of :func:`reading` raised, in words."""
    code = _said(error)[0]
    if url.startswith(('s3://', 's3a://')):
        return S3Bucket(url)._failed(error, code)
    return Unreachable(url, ' '.join(str(error).split())[:300] or type(error).__name__, 'look at the address and credentials')


class S3Bucket:
    """``url``: ``s3://bucket/prefix``.  Credentials, region and endpoint are found as by every program that knows AWS:
    variables, ``~/.aws``, the machine's role."""

    def __init__(self, url: str) -> None:
        self.where = url
        self._name, _, prefix = url.removeprefix('s3://').partition('/')
        self._prefix = f'{prefix.strip("/")}/' if prefix.strip('/') else ''
        self._system: Any = None

    def close(self) -> None:
        """Connections end with the process: fsspec keeps them in a loop of its own."""

    def _fs(self) -> Any:
        if self._system is None:
            try:
                import s3fs
            except ImportError:
                raise _lacks(self.where, 's3fs', "pip install 'mlops-cli[remotes]'") from None
            self._system = s3fs.S3FileSystem(
                use_listings_cache=False, default_cache_type='none', skip_instance_cache=True,
                config_kwargs={
                    'retries': {'max_attempts': TRIES, 'mode': 'standard'}, 'connect_timeout': CONNECT_SECONDS,
                    'read_timeout': READ_SECONDS, 'max_pool_connections': 2 * AT_ONCE,
                    'request_checksum_calculation': 'when_required', 'response_checksum_validation': 'when_required',
                })  # fmt: skip
        return self._system

    def _call(self, method: str, **arguments: Any) -> Any:
        """One request.  Raises Absent for a key that is not there, _Refused for a condition that does not hold, Unreachable."""
        key = arguments.get('Key')
        system = self._fs()
        try:
            return system.call_s3(method, Bucket=self._name, **arguments)
        except Exception as error:
            code, status = _said(error)
            if 'IfNoneMatch' in arguments and (code == 'ConditionalRequestConflict' or status in (409, 412)):
                raise _Refused(code) from error
            if key is not None and code in ('NoSuchKey', '404', 'NotFound') and method in ('get_object', 'head_object'):
                raise Absent(key) from error
            raise self._failed(error, code) from error

    def _failed(self, error: BaseException, code: str) -> Unreachable:
        from botocore.exceptions import NoCredentialsError

        cause = error.__cause__ if error.__cause__ is not None else error
        if isinstance(error, NoCredentialsError) or isinstance(cause, NoCredentialsError):
            hint = 'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
            return Unreachable(self.where, 'there are no credentials', hint)
        text = ' '.join(str(error).split())[:300] or type(error).__name__
        if code and code not in text:
            text = f'{code}: {text}'
        return Unreachable(self.where, text, HINTS.get(code, NETWORK))

    def list(self, folder: str) -> Iterator[Listed]:
        more: dict[str, str] = {}
        while True:
            page = self._call('list_objects_v2', Prefix=self._prefix + (folder and f'{folder}/'), **more)
            for row in page.get('Contents', ()):
                yield Listed(row['Key'][len(self._prefix):], row['Size'], row['LastModified'].timestamp())
            if not page.get('IsTruncated'):
                return
            more = {'ContinuationToken': page['NextContinuationToken']}

    def size(self, key: str) -> int | None:
        try:
            return int(self._call('head_object', Key=self._prefix + key)['ContentLength'])
        except Absent:
            return None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b''
        part = {} if not start and end is None else {'Range': f'bytes={start}-{"" if end is None else end - 1}'}
        data = self._body(key, part)
        if end is not None and len(data) != end - start:
            raise Unreachable(self.where, f'{key} has fewer bytes than it should', 'mlops push --repair mends it')
        return data

    def _body(self, key: str, part: Mapping[str, str]) -> bytes:
        """The bytes that a request brings; asked for again where the answer breaks off."""
        from fsspec.asyn import sync

        system = self._fs()
        found = self._call('get_object', Key=self._prefix + key, **part)

        async def read() -> bytes:
            async with found['Body'] as body:
                return bytes(await body.read())

        for left in reversed(range(TRIES)):
            try:
                return bytes(sync(system.loop, read))
            except Exception as error:
                if not left:
                    raise self._failed(error, '') from error
                found = self._call('get_object', Key=self._prefix + key, **part)
        raise AssertionError('unreachable')

    def put(self, key: str, data: bytes) -> None:
        self._call('put_object', Key=self._prefix + key, Body=data, **_checksum(data))

    def put_new(self, key: str, data: bytes) -> bool:
        for _ in range(TRIES):
            try:
                self._call('put_object', Key=self._prefix + key, Body=data, IfNoneMatch='*', **_checksum(data))
                return True
            except _Refused as refused:
                if refused.code not in ('ConditionalRequestConflict', 'OperationAborted'):  # else another is at it just now
                    return False
        return False

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        if size <= PART:
            sure()
            data = read_range(fd, 0, size)
            self.put(key, data)
            sent(size)
            return
        length = max(PART, -(-size // MOST_PARTS))
        where = {'Key': self._prefix + key}
        upload = self._call('create_multipart_upload', ChecksumAlgorithm='SHA256', **where)['UploadId']

        def part(number: int) -> dict[str, Any]:
            data = read_range(fd, number * length, min(size, (number + 1) * length))
            sum_ = _checksum(data)
            done = self._call('upload_part', UploadId=upload, PartNumber=number + 1, Body=data, **where, **sum_)
            sent(len(data))
            return {'ETag': done['ETag'], 'PartNumber': number + 1, **sum_}

        try:
            with closing(side_by_side(part, range(-(-size // length)), 4)) as parts:
                every = [*parts]
            sure()
            self._call('complete_multipart_upload', UploadId=upload, MultipartUpload={'Parts': every}, **where)
        except BaseException:
            with suppress(Unreachable):  # what went wrong first is told
                self._call('abort_multipart_upload', UploadId=upload, **where)
            raise

    def delete(self, keys: Iterable[str]) -> None:
        group: list[dict[str, str]] = []
        for key in keys:
            group.append({'Key': self._prefix + key})
            if len(group) == 1000:
                self._delete(group)
                group = []
        if group:
            self._delete(group)

    def _delete(self, group: Sequence[Mapping[str, str]]) -> None:
        done = self._call('delete_objects', Delete={'Objects': group, 'Quiet': True})
        for error in done.get('Errors', ()):
            raise Unreachable(self.where, f'{error.get("Key")}: {error.get("Message")}', HINTS.get(error.get('Code'), NETWORK))


class _Refused(Exception):
    """The condition of a request did not hold."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _said(error: BaseException) -> tuple[str, int]:
    """(code, HTTP status) of the server's answer behind an exception; ('', 0) if it gave none.  s3fs's own exception types do
    not tell them apart."""
    seen: BaseException | None = error
    while seen is not None:
        answer = getattr(seen, 'response', None)
        if isinstance(answer, dict):
            return (str(answer.get('Error', {}).get('Code', '')),
                    int(answer.get('ResponseMetadata', {}).get('HTTPStatusCode', 0)))
        seen = seen.__cause__
    return '', 0


def _checksum(data: bytes) -> dict[str, str]:
    """With which the server refuses what was damaged on the way."""
    return {'ChecksumSHA256': base64.b64encode(hashlib.sha256(data).digest()).decode()}
