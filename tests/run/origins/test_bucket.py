"""Files and folders of a real S3 server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.run.origins import bucket as module
from mlops_cli.run.origins.base import Into
from mlops_cli.run.origins.bucket import BucketOrigin
from mlops_cli.store.tree import walk
from tests.servers.s3 import S3


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project/.mlops/local').mkdir(parents=True)
    with Root(tmp_path / 'project') as opened:
        yield opened


@pytest.fixture
def url(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    s3.use(monkeypatch)
    return s3.make_bucket(f'import-{digest_of(str(tmp_path).encode()).hex[:12]}')


def put(s3: S3, url: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        s3.client('s3').put_object(Bucket=url.removeprefix('s3://'), Key=name, Body=data)


def names(into: Into, ref: object) -> list[str]:
    return [name for name, entry in walk(ref, into.store.read) if entry.kind == 'file']  # type: ignore[arg-type]


def test_a_folder_and_what_changed_in_it(s3: S3, url: str, root: Root, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'SMALL', 1000)
    monkeypatch.setattr(module, 'PIECE', 700)
    large = os.urandom(3000)
    put(s3, url, {'x/a.txt': b'a', 'x/in/b.bin': large, 'x/in/': b'', 'xy': b'beside', 'x/c.txt': b'c'})
    first = BucketOrigin(root, f'{url}/x').bring({}, into)
    assert first is not None and names(into, first.ref) == ['a.txt', 'c.txt', 'in/b.bin'] and into.files == 3
    assert BucketOrigin(root, f'{url}/x/').bring(first.pins, into) is None
    assert BucketOrigin(root, f'{url}/x').look(first.pins).same is True
    put(s3, url, {'x/d.txt': b'd', 'x/a.txt': b'other'})
    assert BucketOrigin(root, f'{url}/x').look(first.pins).same is False
    again = Into(into.store, into._cache)
    second = BucketOrigin(root, f'{url}/x').bring(first.pins, again)
    assert second is not None and names(into, second.ref) == ['a.txt', 'c.txt', 'd.txt', 'in/b.bin']
    assert again.files == 2  # of the other two it is remembered what they are


def test_one_file(s3: S3, url: str, root: Root, into: Into) -> None:
    put(s3, url, {'a.csv': b'1'})
    first = BucketOrigin(root, f'{url}/a.csv').bring({}, into)
    assert first is not None and first.ref.digest == digest_of(b'1') and first.pins['etag']
    assert BucketOrigin(root, f'{url}/a.csv').bring(first.pins, into) is None
    put(s3, url, {'a.csv': b'2'})
    assert BucketOrigin(root, f'{url}/a.csv').look(first.pins).same is False


@pytest.mark.parametrize('key', ['x/../../../.bashrc', 'x/.git/hooks/pre-commit', 'x/a//b', 'x/a\\b', 'x/\x1b[2J'])
def test_names_that_lead_out(s3: S3, url: str, root: Root, into: Into, key: str) -> None:
    put(s3, url, {'x/fine': b'', key: b'!'})
    with pytest.raises(UserError) as caught:
        BucketOrigin(root, f'{url}/x').bring({}, into)
    assert caught.value.exit_code in (ExitCode.REFUSED, ExitCode.UNREACHABLE)


def test_nothing_there(url: str, root: Root, into: Into) -> None:
    with pytest.raises(UserError) as caught:
        BucketOrigin(root, f'{url}/nothing').bring({}, into)
    assert caught.value.exit_code == ExitCode.UNREACHABLE and 'there is nothing' in caught.value.message


def test_a_wrong_key_is_told(s3: S3, url: str, root: Root, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'wrong')
    with pytest.raises(UserError) as caught:
        BucketOrigin(root, f'{url}/x').bring({}, into)
    assert caught.value.exit_code == ExitCode.UNREACHABLE and 'AWS_' in caught.value.hint and 'wrong' not in str(caught.value)
