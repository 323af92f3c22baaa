"""A bucket of S3, asked by requests of our own: nothing heavy is loaded, and an answer goes where it belongs in one copy.

Where settings are not plain, remote.py has another one that asks through s3fs (docs/decisions/0031).
"""
from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from mlops_cli.store.bucket import Absent, Listed, Sure, Unreachable, at_once, read_range, side_by_side
from mlops_cli.store.s3_http import CHECKSUM, Answer, Client, NoAnswer, Refused
from mlops_cli.store.s3_settings import Settings

PART = 16 << 20  # bytes of a part of a large value, at least: S3 takes 10,000 of them
PARTS_AT_ONCE = 4
RESUMED = 64 << 20  # bytes of a value from which it is asked whether a part of it was sent before
MOST_PARTS = 10_000
PAGE_LIMIT = 16 << 20  # bytes of a page of a listing
DELETED_AT_ONCE = 1000

# What a server says, and what helps.
HINTS = {
    'InvalidAccessKeyId': 'the access key is not known there: AWS_ACCESS_KEY_ID, or the profile in ~/.aws/credentials',
    'SignatureDoesNotMatch': 'the secret does not fit the access key: AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials',
    'AccessDenied': 'these credentials may not do that there: look at the policy of the bucket, or take others (AWS_PROFILE)',
    'ExpiredToken': 'the session has expired: log in again (aws sso login)',
    'RequestTimeTooSkewed': 'the clock of this machine is off: set it, then try again',
    'NoSuchBucket': 'make the bucket, or mend the url: mlops remote list',
    '403': 'these credentials may not do that there, or are wrong (AWS_PROFILE, AWS_ACCESS_KEY_ID)',
    '404': 'make the bucket, or mend the url: mlops remote list',
    'PermanentRedirect': 'the bucket is in another region: AWS_DEFAULT_REGION',
    'AuthorizationHeaderMalformed': 'the bucket is in another region: AWS_DEFAULT_REGION',
}
NETWORK = 'is the network there, and the address right (AWS_ENDPOINT_URL)? what was sent stays, and is not sent again'


class PlainBucket:
    """``url``: ``s3://bucket/prefix``.  A Bucket."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.where = url
        prefix = url.removeprefix('s3://').partition('/')[2].strip('/')
        self._prefix = f'{prefix}/' if prefix else ''
        self._settings = settings
        self.client = Client(settings)

    def close(self) -> None:
        self.client.close()

    def _ask(self, method: str, key: str | None, query: Mapping[str, str] | None = None,
             headers: Mapping[str, str] | None = None, body: bytes = b'', limit: int | None = None) -> Answer:
        """``key`` None: the bucket.  Raises Refused, Unreachable."""
        try:
            return self.client.ask(method, '' if key is None else self._prefix + key, query, headers, body, limit)
        except NoAnswer as error:
            place = f'{"https" if self._settings.secure else "http"}://{self._settings.host}'
            raise Unreachable(self.where, f'Could not connect to {place}: {error}', NETWORK) from error

    def _asked(self, method: str, key: str | None, query: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """As _ask.  Raises Absent for a key that is not there, Unreachable."""
        try:
            return self._ask(method, key, query, **more)
        except Refused as refused:
            if key is not None and method in ('GET', 'HEAD') and refused.code in ('NoSuchKey', '404', 'NotFound'):
                raise Absent(key) from refused
            raise self._failed(refused) from refused

    def _failed(self, refused: Refused) -> Unreachable:
        tried = f' ({refused.tried} times)' if refused.tried > 1 else ''
        return Unreachable(self.where, f'{refused}'[:300] + tried, HINTS.get(refused.code, NETWORK))

    # A value

    def size(self, key: str) -> int | None:
        try:
            return int(self._asked('HEAD', key).headers.get('content-length', '0'))
        except Absent:
            return None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b''
        part = {} if not start and end is None else {'range': f'bytes={start}-{"" if end is None else end - 1}'}
        try:
            data = self._asked('GET', key, headers=part, limit=None if end is None else end - start).body
        except Unreachable as error:
            if isinstance(error.__cause__, Refused) and error.__cause__.status == 416:
                raise self._too_short(key) from error
            raise
        if end is not None and len(data) != end - start:
            raise self._too_short(key)
        return data

    def _too_short(self, key: str) -> Unreachable:
        return Unreachable(self.where, f'{key} has fewer bytes than it should', 'mlops push --repair mends it')

    def put(self, key: str, data: bytes) -> None:
        self._asked('PUT', key, body=data)

    def put_new(self, key: str, data: bytes) -> bool:
        try:
            self._ask('PUT', key, headers={'if-none-match': '*'}, body=data)
            return True
        except Refused as refused:
            if refused.status != 412:
                raise self._failed(refused) from refused
            tried = refused.tried
        if tried == 1:
            return False
        try:  # an earlier try may have come through, and its answer not
            return self.get(key) == data
        except Absent:
            return False

    # A large one

    def put_file(self, key: str, fd: int, size: int, sent: Callable[[int], object], sure: Sure = at_once) -> None:
        if size <= PART:
            sure()
            self.put(key, read_range(fd, 0, size))
            sent(size)
            return
        length = max(PART, -(-size // MOST_PARTS))
        upload, there = self._begun(key) if size >= RESUMED else ('', {})
        if not upload:
            begun = self._asked('POST', key, {'uploads': ''}, headers={'x-amz-checksum-algorithm': 'SHA256'})
            upload = _text(_xml(begun.body), 'UploadId')

        def part(number: int) -> str:
            data = read_range(fd, number * length, min(size, (number + 1) * length))
            sum_ = base64.b64encode(hashlib.sha256(data).digest()).decode()
            tag = there.get(number + 1, '')
            if not tag or tag.strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
                query = {'partNumber': str(number + 1), 'uploadId': upload}
                tag = self._asked('PUT', key, query, headers={CHECKSUM: sum_}, body=data).headers.get('etag', '')
            sent(len(data))
            return (f'<Part><PartNumber>{number + 1}</PartNumber><ETag>{_escaped(tag)}</ETag>'
                    f'<ChecksumSHA256>{sum_}</ChecksumSHA256></Part>')

        try:
            with closing(side_by_side(part, range(-(-size // length)), PARTS_AT_ONCE)) as parts:
                every = ''.join(parts)
            try:
                sure()
            except Exception:
                self._abort(key, upload)
                raise
            self._complete(key, upload, every, size)
        except Unreachable as error:
            if isinstance(error.__cause__, NoAnswer):
                raise  # what is there is used by the next try
            gone = isinstance(error.__cause__, Refused) and error.__cause__.code == 'NoSuchUpload'
            if gone and self.size(key) == size:
                return  # somebody else went on with the same upload, and was faster
            self._abort(key, upload)
            raise

    def _begun(self, key: str) -> tuple[str, dict[int, str]]:
        """(name of an upload of this value that was broken off, number of a part that is there -> its tag); ('', {}) if there
        is none.  A part counts only where its tag is the MD5 of what belongs there."""
        try:
            page = _xml(self._ask('GET', None, {'uploads': '', 'prefix': self._prefix + key}, limit=PAGE_LIMIT).body)
            found = [_text(one, 'UploadId') for one in page.iterfind('{*}Upload') if _text(one, 'Key') == self._prefix + key]
            if not found:
                return '', {}
            parts: dict[int, str] = {}
            query = {'uploadId': found[-1]}
            while True:
                page = _xml(self._ask('GET', key, query, limit=PAGE_LIMIT).body)
                parts |= {int(_text(one, 'PartNumber')): _text(one, 'ETag') for one in page.iterfind('{*}Part')}
                if _text(page, 'IsTruncated') != 'true':
                    return found[-1], parts
                query['part-number-marker'] = _text(page, 'NextPartNumberMarker')
        except (Refused, ValueError):  # who may not ask, or a server that cannot say: all is sent
            return '', {}

    def _complete(self, key: str, upload: str, parts: str, size: int) -> None:
        body = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'
        try:
            answer = self._ask('POST', key, {'uploadId': upload}, body=body.encode())
        except Refused as refused:
            if refused.code == 'NoSuchUpload' and self.size(key) == size:
                return  # an answer got lost: it was done at the first try
            raise self._failed(refused) from refused
        if b'<Error>' in answer.body:  # which S3 says with 200, when it took long
            raise Unreachable(self.where, ' '.join(answer.body[:300].decode('utf-8', 'replace').split()), NETWORK)

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._ask('DELETE', key, {'uploadId': upload})
        except (Refused, Unreachable):
            return  # what went wrong first is told

    # All of them

    def list(self, folder: str) -> Iterator[Listed]:
        query = {'list-type': '2', 'prefix': self._prefix + (folder and f'{folder}/'), 'encoding-type': 'url'}
        while True:
            page = _xml(self._asked('GET', None, query, limit=PAGE_LIMIT).body)
            coded = _text(page, 'EncodingType') == 'url'
            for row in page.iterfind('{*}Contents'):
                key = unquote(_text(row, 'Key')) if coded else _text(row, 'Key')
                changed = datetime.fromisoformat(_text(row, 'LastModified')).timestamp()
                yield Listed(key[len(self._prefix):], int(_text(row, 'Size')), changed)
            if _text(page, 'IsTruncated') != 'true':
                return
            query['continuation-token'] = _text(page, 'NextContinuationToken')

    def delete(self, keys: Iterable[str]) -> None:
        group: list[str] = []
        for key in keys:
            group.append(self._prefix + key)
            if len(group) == DELETED_AT_ONCE:
                self._delete(group)
                group = []
        if group:
            self._delete(group)

    def _delete(self, group: Sequence[str]) -> None:
        rows = ''.join(f'<Object><Key>{_escaped(key)}</Key></Object>' for key in group)
        body = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}<Quiet>true</Quiet></Delete>'.encode()
        sums = {
            'content-md5': base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            CHECKSUM: base64.b64encode(hashlib.sha256(body).digest()).decode(),
        }
        done = _xml(self._asked('POST', None, {'delete': ''}, headers=sums, body=body).body)
        for error in done.iterfind('{*}Error'):
            code = _text(error, 'Code')
            raise Unreachable(self.where, f'{_text(error, "Key")}: {code} {_text(error, "Message")}', HINTS.get(code, NETWORK))


def _xml(data: bytes) -> Any:
    from xml.etree import ElementTree

    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise Unreachable('the remote', f'its answer is not what S3 says: {error}', NETWORK) from None


def _text(element: Any, name: str) -> str:
    return element.findtext(f'{{*}}{name}') or ''


def _escaped(text: str) -> str:
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
