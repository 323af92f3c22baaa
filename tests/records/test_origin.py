"""Where tracked data may come from: urls as they are recorded, and those that are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlops_cli.records.origin import Source, check_url, git_place, read_source, split_git


@pytest.mark.parametrize(
    ('url', 'recorded'),
    [
        ('https://example.org/a/b.csv?format=csv', None), ('s3://bucket/a b/c', None),
        ('/data/../data/x/', 'file:///data/x'),
        ('git+ssh://git@host/repo.git@v1#data', None),
        ('git+https://host/repo@feature/x#a/b', None), ('http://[::1]:80/x', None),
        ('file:///x', None), ('hf://datasets/x/y', None),
    ],
)  # fmt: skip
def test_what_is_recorded(url: str, recorded: str | None) -> None:
    if '..' in url:
        with pytest.raises(ValueError, match='PATH'):
            check_url(url)
        url = url.replace('/..', '').replace('/data/data', '/data')
    assert check_url(url) == (recorded or url)


@pytest.mark.parametrize(
    ('url', 'said'),
    [
        ('https://ada:secret@example.org/x', 'user name or password'),
        ('https://ada@example.org/x', 'user name or password'),
        ('https://example.org/x?token=abcdef', 'looks like a secret'),
        ('https://example.org/x?a=1&X-Amz-Credential=x', 'secret'),
        ('https://b.s3.amazonaws.com/x?X-Amz-Signature=0123456789abcdef0123456789abcdef', 'signed URL'),
        ('s3://KEY:secret@bucket/x', 'user name or password'), ('ssh://ada:x@host/x', 'user name or password'),
        ('gopher://example.org/x', 'gopher://'), ('memory://x', 'memory://'), ('simplecache::s3://b/x', '"::"'),
        ('github://o:r@main/x', 'github://'), ('file://host/x', 'PATH'), ('git+ext://sh -c x#x', 'git+ext'),
        ('git+ssh://-oProxyCommand=x/y#x', 'no host'), ('git+https://host/repo@--upload-pack=x#x', 'no name of a branch'),
        ('git+https://host/repo@a..b#x', 'no name of a branch'), ('git+https://host/repo@a:b#x', 'no name of a branch'),
        ('git+https://host/repo', 'what of the repository'), ('https://example.org/a b', 'blank'), ('https:///x', 'no host'),
        ('https://example.org/x\n', 'one line'), ('https://example.org/\x1b[2J', 'one line'), ('x' * 3000, 'one line'),
        ('https://example.org\\@evil/x', 'backslash'), ('https://example.org/x#y', 'no server'), ('', 'one line'),
    ],
)  # fmt: skip
def test_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_url(url)


def test_of_a_repository() -> None:
    assert split_git('git+ssh://git@host/a/repo@v1#x/y') == ('git+ssh://git@host/a/repo', 'v1', 'x/y')
    assert git_place('git+https://host/repo#x').revision == ''
    assert git_place('git+file:///a/repo@feature/x#y').repository == 'file:///a/repo'


@pytest.mark.parametrize(
    ('source', 'place'),
    [
        (Source('https://example.org:8080/a/b?c=d'), 'https://example.org:8080'), (Source('s3://bucket/a/b'), 's3://bucket'),
        (Source('file:///a/b'), 'file:///a/b'), (Source('git+https://host/repo@v1#x'), 'git+https://host/repo'),
        (
            Source(query='q.sql', connection='env:DSN', pins={'text': 'a' * 64}),
            f'the query q.sql over env:DSN, text {"a" * 16}',
        ),
    ],
)  # fmt: skip
def test_what_is_confirmed(source: Source, place: str) -> None:
    assert source.place == place
    assert read_source(source.to_json()) == source


@pytest.mark.parametrize(
    'value',
    [
        None, [], {},
        {'url': 1}, {'url': 'https://a:b@c/x'}, {'url': 'https://c/x', 'etag': 'a\nb'}, {'query': '../q.sql'},
        {'query': 'q.sql', 'connection': 'postgresql://a:b@c'}, {'url': 'https://c/x', 'etag': 'x' * 5000},
    ],
)  # fmt: skip
def test_a_record_that_says_something_else(value: Any) -> None:
    with pytest.raises(ValueError):
        read_source(value)
