"""F13 in small: the very same code on a few trials, whether the judges see what they are there for, and the proxy itself."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_cli.store import remote
from mlops_cli.store.bucket import Bucket, Unreachable
from tests.faults.base import Bad, Setting, Trial
from tests.faults.rows import f13_remote
from tests.faults.rows.f13_remote import Place
from tests.faults.tools import Done, mlops
from tests.servers.fault_proxy import ALL, Proxy, in_front_of
from tests.servers.s3 import S3

SECONDS = 0.01


@pytest.mark.full
@pytest.mark.parametrize('case', ['5xx 0.3 0', 'all 0.05 0'])
def test_a_server_that_fails(tmp_path: Path, case: str) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'own').mkdir()
    verdict = f13_remote.server(Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', full=False), case)
    assert verdict.notes == () and verdict.tried == 1


@pytest.mark.full
def test_a_push_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'own').mkdir()
    verdict = f13_remote.kills(Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', full=False), 'seed 0')
    assert verdict.notes == () and verdict.tried == 1


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with in_front_of(s3.endpoint, seed=1) as made:
        yield made


@pytest.fixture
def bucket(s3: S3, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    s3.use(monkeypatch)
    monkeypatch.setenv('AWS_ENDPOINT_URL', proxy.endpoint)
    monkeypatch.setattr('mlops_cli.store.s3_http.FIRST_PAUSE', SECONDS)
    monkeypatch.setattr('mlops_cli.store.s3_http.LONGEST_PAUSE', SECONDS)
    for name in ('SLOW_SECONDS', 'HANG_SECONDS'):
        monkeypatch.setattr(f'tests.servers.fault_proxy.{name}', SECONDS)
    made = remote.open_bucket(f'{s3.make_bucket(f"faults-{abs(hash(str(tmp_path))) % 10**12}")}/x')
    yield made
    made.close()


@pytest.mark.parametrize('fault', ['500', '503', 'timeout', 'reset', 'slow', 'truncated'])
def test_what_passes_is_tried_again(bucket: Bucket, proxy: Proxy, fault: str) -> None:
    proxy.faults, proxy.rate = (fault,), 0.4
    for number in range(12):
        data = b'%d' % number * 1000
        bucket.put(f'a/{number}', data)
        assert bucket.get(f'a/{number}') == data
    assert len([*bucket.list('a')]) == 12 and proxy.seen[fault] > 3


def test_what_was_damaged_on_the_way_there_is_sent_again(bucket: Bucket, proxy: Proxy) -> None:
    proxy.faults, proxy.rate = ('wrong byte',), 0.4
    for number in range(12):
        bucket.put(f'a/{number}', b'x' * 1000)
    assert proxy.seen['wrong byte'] > 2


def test_a_conflict_passes(bucket: Bucket, proxy: Proxy) -> None:
    proxy.faults, proxy.rate = ('409',), 0.4
    assert all(bucket.put_new(f'a/{number}', b'x') for number in range(12)) and proxy.seen['409'] > 2


def test_the_first_of_two_tries_may_have_come_through(bucket: Bucket, proxy: Proxy) -> None:
    proxy.faults, proxy.rate = ('500', 'reset'), 0.4
    assert all(bucket.put_new(f'a/{number}', b'%d' % number) for number in range(24))
    assert not bucket.put_new('a/1', b'other')


def test_what_is_refused_is_not_asked_again(bucket: Bucket, proxy: Proxy) -> None:
    proxy.faults, proxy.rate = ('403',), 1.0
    before = proxy.requests
    with pytest.raises(Unreachable, match='AccessDenied'):
        bucket.put('a/1', b'x')
    assert proxy.requests == before + 1


def test_the_proxy_does_what_it_says(s3: S3, proxy: Proxy) -> None:
    assert urllib.request.urlopen(f'{proxy.endpoint}/moto-api/', timeout=60).status == 200
    proxy.rate = 1.0
    for fault in ALL:
        proxy.faults = (fault,)
        drawn = proxy.draw('GET', '/b?list-type=2', {'if-none-match': '*'})
        assert drawn == fault
    proxy.faults = ('409',)
    assert proxy.draw('GET', '/b/k', {}) == ''


# Whether the judges would see it


def said(code: int, err: str) -> list[str]:
    trial = Trial()
    f13_remote.judge_said(trial, Done((), code, '', err, 0.0), 'x')
    return [*trial.verdict().bad]


@pytest.mark.parametrize(
    ('code', 'err', 'bad'),
    [
        (0, '', []),
        (4, 'error: s3://b: 403\n  hint: look\n', []),
        (4, '', [Bad.WRONG]),
        (4, 'error: one\nerror: two\n', [Bad.WRONG]),
        (70, 'a bug of mlops\n', [Bad.WRONG]),
        (1, 'Traceback (most recent call last):\n', [Bad.WRONG]),
    ],
)
def test_how_a_command_ended(code: int, err: str, bad: list[str]) -> None:
    assert said(code, err) == bad


@pytest.mark.full
@pytest.mark.parametrize('spoil', ['lost', 'corrupt'])
def test_the_judges_see_it(tmp_path: Path, spoil: str) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'own').mkdir()
    trial = Trial()
    with f13_remote.places(Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', full=False), 1) as [place]:
        assert place.do(place.one, 'push').code == 0 and place.do(place.two, 'pull').code == 0
        f13_remote.judge_bucket(trial, place, 'x', True)
        f13_remote.judge_clone(trial, place, 'x', True)
        assert trial.verdict().bad == {}
        SPOILERS[spoil](place)
        f13_remote.judge_bucket(trial, place, 'x', True)
        f13_remote.judge_clone(trial, place, 'x', True)
    assert spoil in trial.verdict().bad


def _lose(place: Place) -> None:
    place.delete([key for key in sorted(place.keys()) if key.endswith('.index')])


def _damage(place: Place) -> None:
    (place.two.path / 'data/large/1').write_bytes(b'other')


SPOILERS: dict[str, Callable[[Place], None]] = {'lost': _lose, 'corrupt': _damage}
