"""``doctor --remotes``: what is wrong with a remote, each time with the real thing, in one line with what mends it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_cli.cli.commands import doctor
from tests.servers.fault_proxy import Proxy, in_front_of
from tests.servers.s3 import S3
from tests.servers.sshd import Sshd
from tests.support.project import Project

SKEW_SECONDS = 15 * 60  # that S3 puts up with


def told(project: Project, environ: Mapping[str, str], code: int) -> tuple[str, str, str]:
    """(level, text, fix) of the remote."""
    done = project.mlops('doctor', '--remotes', '--json', environ=environ, code=code)
    [row] = [row for row in done.json['rows'] if row['check'] == 'remotes']
    assert '\n' not in row['text'] + row['fix'] and row['fix']
    return row['level'], row['text'], row['fix']


def with_remote(project: Project, url: str) -> Project:
    project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true"}\n')
    project.mlops('remote', 'add', 'origin', url)
    project.commit('all')
    return project


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with in_front_of(s3.endpoint) as made:
        yield made


def a_bucket(s3: S3, tmp_path: Path) -> str:
    return f'{s3.make_bucket(f"doctor-{abs(hash(str(tmp_path))) % 10**12}")}/x'


def test_one_that_is_right(project: Project, s3: S3, tmp_path: Path) -> None:
    with_remote(project, a_bucket(s3, tmp_path))
    done = project.mlops('doctor', '--remotes', '--json', environ=s3.environ, code=None)
    assert 'remotes' in done.json['right']
    assert s3.client('s3').list_objects_v2(Bucket=f'doctor-{abs(hash(str(tmp_path))) % 10**12}')['KeyCount'] == 0
    assert 'remotes' not in project.mlops('doctor', '--json', code=None).json['right']  # nobody asked


@pytest.mark.parametrize(
    ('changed', 'said', 'fix'),
    [
        ({'AWS_ACCESS_KEY_ID': 'NOBODY'}, 'InvalidAccessKeyId', 'AWS_ACCESS_KEY_ID'),
        ({'AWS_SECRET_ACCESS_KEY': 'wrong'}, 'SignatureDoesNotMatch', 'AWS_SECRET_ACCESS_KEY'),
        ({'AWS_ENDPOINT_URL': 'http://nowhere.invalid'}, 'Could not connect', 'is the network there'),
        ({'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': ''}, 'no credentials', 'AWS_PROFILE'),
    ],
)
@pytest.mark.full
def test_what_is_wrong(project: Project, s3: S3, tmp_path: Path, changed: dict[str, str], said: str, fix: str) -> None:
    with_remote(project, a_bucket(s3, tmp_path))
    environ = {name: value for name, value in {**s3.environ, **changed}.items() if value}
    level, text, helps = told(project, environ, 1)
    assert level == 'wrong' and said in text and fix in helps


@pytest.mark.full
def test_no_such_bucket(project: Project, s3: S3) -> None:
    with_remote(project, 's3://there-is-none/x')
    level, text, fix = told(project, s3.environ, 1)
    assert level == 'wrong' and 'NoSuchBucket' in text and 'make the bucket' in fix


def test_one_that_may_only_be_read(project: Project, s3: S3, proxy: Proxy, tmp_path: Path) -> None:
    proxy.policy = lambda method, key, headers: '403' if method in ('PUT', 'POST', 'DELETE') else ''
    with_remote(project, a_bucket(s3, tmp_path))
    level, text, fix = told(project, {**s3.environ, 'AWS_ENDPOINT_URL': proxy.endpoint}, 0)
    assert level == 'note' and 'can be read, and not written: AccessDenied' in text and 'policy' in fix


def test_a_clock_that_is_off(project: Project, s3: S3, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked by the clock of this process, which is an hour behind."""
    now = time.time()

    def policy(method: str, key: str, headers: Mapping[str, str]) -> str:
        signed = datetime.strptime(headers['x-amz-date'], '%Y%m%dT%H%M%SZ').replace(tzinfo=UTC).timestamp()
        return 'skewed' if abs(signed - now) > SKEW_SECONDS else ''

    proxy.policy = policy
    with_remote(project, a_bucket(s3, tmp_path))
    for name, value in {**s3.environ, 'AWS_ENDPOINT_URL': proxy.endpoint}.items():
        monkeypatch.setenv(name, value)
    real = time.gmtime
    monkeypatch.setattr('mlops_cli.store.s3_http.time.gmtime', lambda seconds=None: real((seconds or now) - 3600))
    found = doctor.look(str(project.path), str(project.path), os.environ, now, remotes=True)
    [one] = found.remotes or ()
    assert 'RequestTimeTooSkewed' in one.problem and 'the clock of this machine is off' in one.hint and not one.reads


def test_a_host(project: Project, sshd: Sshd, tmp_path: Path) -> None:
    with_remote(project, sshd.url(tmp_path / 'far'))
    path = f'{sshd.configure("UserKnownHostsFile /dev/null")}{os.pathsep}{sshd.environ["PATH"]}'
    level, text, fix = told(project, {'PATH': path}, 1)
    assert level == 'wrong' and 'host key is not known' in text and 'compare the fingerprint' in fix


@pytest.mark.skipif(os.getuid() == 0, reason='root may write everywhere')
def test_a_folder_that_may_only_be_read(project: Project, tmp_path: Path) -> None:
    (tmp_path / 'far').mkdir(mode=0o555)
    with_remote(project, str(tmp_path / 'far'))
    assert 'not written' in told(project, {}, 0)[1]
