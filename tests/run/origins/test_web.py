"""A file from a web server: conditions, what breaks off, where it may lead."""

from __future__ import annotations

import gzip
import ipaddress
import os
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.run.origins import base
from mlops_cli.run.origins import web as module
from mlops_cli.run.origins.base import Into
from mlops_cli.run.origins.web import WebOrigin, refused_address
from tests.servers.web import Web

LARGE = os.urandom(1000) * 5000  # 5 MB


def brought(web: Web, into: Into, path: str, pins: dict[str, str] | None = None) -> base.Brought | None:
    return WebOrigin(web.url(path)).bring(pins or {}, into)


def test_what_is_as_it_was_is_not_sent_again(web: Web, into: Into) -> None:
    web.files['/a.csv'] = b'a,b\n'
    first = brought(web, into, '/a.csv')
    assert first is not None and first.ref.digest == digest_of(b'a,b\n') and 'etag' in first.pins
    assert brought(web, into, '/a.csv', dict(first.pins)) is None
    assert WebOrigin(web.url('/a.csv')).look(first.pins).same is True
    assert web.statuses == [200, 304, 304]
    web.files['/a.csv'] = b'a,b\n1,2\n'
    assert WebOrigin(web.url('/a.csv')).look(first.pins) == base.Seen(False, size=8)
    second = brought(web, into, '/a.csv', dict(first.pins))
    assert second is not None and into.store.read(second.ref.digest) == b'a,b\n1,2\n'


def test_a_server_that_says_nothing_of_its_state(web: Web, into: Into) -> None:
    web.tags = False
    web.files['/a'] = b'x'
    first = brought(web, into, '/a')
    assert first is not None and first.pins == {}
    assert WebOrigin(web.url('/a')).look({}).same is None
    assert brought(web, into, '/a') == first


@pytest.mark.parametrize('ranges', [True, False])
def test_what_breaks_off_goes_on(web: Web, into: Into, ranges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, 'sleep', lambda _: None)
    web.files['/large'], web.ranges, web.breaks = LARGE, ranges, [2_000_000, 1_500_000]
    found = brought(web, into, '/large')
    assert found is not None and found.ref.digest == digest_of(LARGE) and found.ref.size == len(LARGE)
    assert web.statuses == ([200, 206, 206] if ranges else [200, 200, 200])


class Stopped(BaseException):
    """The command ends here, whatever it would do yet."""


def stopped_at(into: Into, size: int) -> Into:
    def step() -> None:
        if one.size >= size:
            raise Stopped

    one = Into(into.store, into._cache, step)
    return one


@pytest.mark.parametrize('ranges', [True, False])
def test_the_next_command_goes_on(web: Web, into: Into, ranges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.partial, 'LARGE', 1_000_000)
    web.files['/large'], web.ranges = LARGE, ranges
    for size in (2_000_000, 4_000_000):
        with pytest.raises(Stopped):
            brought(web, stopped_at(into, size), '/large')
    found = brought(web, into, '/large')
    assert found is not None and into.store.read(found.ref.digest) == LARGE and into.size == len(LARGE)
    assert web.statuses == ([200, 200, 206, 200, 206] if ranges else [200] * 5)
    rest = web.asked[-1][1]
    assert int(rest['Range'].strip('bytes=-')) >= 4_000_000 and rest['If-Range'] == found.pins['etag']
    assert not [name for name in os.listdir(into.store.root.full('tmp')) if name.startswith('begun-')]


@pytest.mark.parametrize('tags', [True, False])
def test_what_is_another_state_begins_anew(web: Web, into: Into, tags: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.partial, 'LARGE', 1_000_000)
    web.files['/large'], web.tags = LARGE, tags
    with pytest.raises(Stopped):
        brought(web, stopped_at(into, 2_000_000), '/large')
    web.files['/large'] = LARGE[::-1]
    found = brought(web, into, '/large')
    assert found is not None and into.store.read(found.ref.digest) == LARGE[::-1]
    assert web.statuses == [200, 200]


def test_what_changes_meanwhile_is_not_mixed(web: Web, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files['/large'], web.breaks = LARGE, [2_000_000]

    def change(_: float) -> None:
        web.files['/large'] = LARGE[::-1]

    monkeypatch.setattr(module.time, 'sleep', change)
    with pytest.raises(UserError, match='changed while it was read') as caught:
        brought(web, into, '/large')
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert [*into.store.list()] == []


def test_a_busy_server_is_asked_again(web: Web, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(module.time, 'sleep', waited.append)
    web.files['/a'], web.answers = b'x', [503, 429]
    assert brought(web, into, '/a') is not None
    assert web.statuses == [503, 429, 200] and waited == [0.2, 0.4]


@pytest.mark.parametrize(('status', 'said'), [(404, 'address'), (401, 'mlops add'), (403, 'mlops add'), (410, 'gone')])
def test_a_server_that_refuses(web: Web, into: Into, status: int, said: str) -> None:
    web.answers = [status]
    with pytest.raises(UserError, match=f'says {status}') as caught:
        brought(web, into, '/a')
    assert caught.value.exit_code == ExitCode.UNREACHABLE and said in caught.value.hint


def test_nobody_there(into: Into) -> None:
    with pytest.raises(UserError, match='refused') as caught:
        WebOrigin('http://127.0.0.1:9/a').bring({}, into)
    assert caught.value.exit_code == ExitCode.UNREACHABLE


def test_a_redirect_is_followed(web: Web, into: Into) -> None:
    web.files['/b'], web.leads['/a'] = b'x', '/b'
    assert brought(web, into, '/a') is not None
    assert web.statuses == [302, 200]


@pytest.mark.parametrize(
    'to',
    [
        'file:///etc/passwd', 'FILE:///etc/passwd', 'ftp://127.0.0.1/x', 'data:text/plain,x', 'gopher://x/',
        'http://169.254.169.254/latest/meta-data/', 'http://[fe80::1]/', 'http://[::ffff:169.254.169.254]/', 'http://0.0.0.0/',
        'http://[fd00:ec2::254]/', 'http://user:password@127.0.0.1/', '//169.254.169.254/x',
    ],
)  # fmt: skip
def test_a_redirect_that_leads_out(web: Web, into: Into, to: str) -> None:
    web.leads['/a'] = to
    with pytest.raises(UserError) as caught:
        brought(web, into, '/a')
    assert caught.value.exit_code == ExitCode.REFUSED
    assert web.statuses == [302]


def test_redirects_without_end(web: Web, into: Into) -> None:
    web.leads['/a'] = '/a'
    with pytest.raises(UserError, match='says 302'):
        brought(web, into, '/a')
    assert len(web.asked) < 15


@pytest.mark.parametrize(
    ('address', 'refused'),
    [
        ('169.254.169.254', True), ('169.254.0.1', True), ('100.100.100.200', True), ('fe80::1%eth0', True),
        ('::ffff:169.254.169.254', True), ('224.0.0.1', True), ('127.0.0.1', False), ('10.0.0.1', False),
        ('192.168.1.1', False), ('2606:2800:220:1::1', False), ('example.org', False),
    ],
)  # fmt: skip
def test_addresses(address: str, refused: bool) -> None:
    assert refused_address(address) is refused


def test_a_name_that_leads_to_metadata_is_not_asked(web: Web, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is where the connection led: here the loopback address stands for it."""
    monkeypatch.setattr(module, 'METADATA', frozenset({ipaddress.ip_address('127.0.0.1')}))
    with pytest.raises(UserError, match='where clouds keep credentials') as caught:
        WebOrigin(f'http://localhost:{web.port}/a').bring({}, into)
    assert caught.value.exit_code == ExitCode.REFUSED and web.asked == []


def test_what_has_no_room_is_not_begun(web: Web, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files['/a'] = b'x'
    web.headers = {'Content-Length': str(1 << 60)}
    with pytest.raises(UserError, match='the disk of the cache has') as caught:
        brought(web, into, '/a')
    assert caught.value.exit_code == ExitCode.MACHINE


def test_what_does_not_say_its_size_ends_where_the_disk_does(web: Web, into: Into, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, 'EVERY', 1 << 20)
    monkeypatch.setattr(base, 'SPARE', 1 << 60)
    with pytest.raises(UserError, match='the disk of the cache has'):
        into.file(iter([b'x' * 700_000] * 3))
    assert [*into.store.list()] == []


def test_nothing_is_unpacked(web: Web, into: Into) -> None:
    web.files['/a.gz'] = gzip.compress(b'0' * 1_000_000)
    found = brought(web, into, '/a.gz')
    assert found is not None and found.ref.size == len(web.files['/a.gz'])
    web.headers = {'Content-Encoding': 'gzip'}
    with pytest.raises(UserError, match='compressed'):
        brought(web, into, '/a.gz')


def test_credentials_are_not_sent(web: Web, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / '.netrc').write_text('machine 127.0.0.1 login ada password secret\n')
    monkeypatch.setenv('HOME', str(tmp_path))
    web.files['/a'] = b'x'
    brought(web, into, '/a')
    assert 'Authorization' not in web.asked[0][1] and 'Cookie' not in web.asked[0][1]
