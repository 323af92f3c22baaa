"""A push with nothing to do asks once, and is not misled by what changed meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_cli.run.nothing_new import NothingNew
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.depot import Depot
from tests.support.project import Project

PIPELINE = '''\
stages:
  one: {cmd: echo one > one.txt, outs: [{one.txt: {push: PUSH}}]}
  two: {cmd: echo 2 > two.txt, outs: [two.txt]}
'''


class Counting(FolderBucket):
    asked = 0

    def list(self, folder: str):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().list(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'one')
    made.init_git()
    made.write('pipeline.yaml', PIPELINE.replace('PUSH', 'true'))
    made.mlops('run')
    made.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    made.environ['MLOPS_CACHE_TIER'] = 'trusted'
    made.commit('all')
    made.mlops('push')
    return made


def known(project: Project, remote: Path) -> object:
    bench = project.open()
    bucket = Counting(str(remote))
    try:
        return NothingNew(bench, str(remote), 'trusted').known(Depot(bucket))
    finally:
        assert bucket.asked <= 1
        bench.close()


def test_before_the_first_commit_the_next_push_has_to_say_whose_it_is(project: Project, tmp_path: Path) -> None:
    project.git('update-ref', '-d', 'HEAD')
    project.mlops('remote', 'remove', 'origin')
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'other'))
    project.mlops('push')
    assert not known(project, tmp_path / 'other')
    project.commit('all')
    project.mlops('push')
    assert known(project, tmp_path / 'other')


def test_it_is_known_until_something_is_recorded_or_goes_there(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / 'remote'
    assert known(project, remote)
    for pack in (remote / 'packs-v1').glob('*.index'):
        pack.rename(tmp_path / pack.name)
        assert not known(project, remote)
        (tmp_path / pack.name).rename(pack)
    assert known(project, remote)
    project.write('pipeline.yaml', PIPELINE.replace('PUSH', 'false'))
    assert not known(project, remote)
    project.write('pipeline.yaml', PIPELINE.replace('PUSH', 'true'))
    assert known(project, remote)
    project.write('more.txt', 'more')
    project.mlops('add', 'more.txt')
    assert not known(project, remote)
    assert project.mlops('push', '--json').json['moved'] > 0
    shutil.rmtree(remote)
    assert project.mlops('push', '--json').json['moved'] > 0
    assert project.mlops('push', '--json').json['moved'] == 0


def test_a_large_object_that_is_gone_there_is_sent_again(project: Project, tmp_path: Path) -> None:
    project.write('large.bin', 'x' * 3_000_000)
    project.mlops('add', 'large.bin')
    assert project.mlops('push', '--json').json['moved'] > 0
    assert project.mlops('push', '--json').json['moved'] == 0
    [large] = (tmp_path / 'remote/objects-v1').glob('*/*')
    large.unlink()
    assert project.mlops('push', '--json').json['moved'] == 1 and large.stat().st_size == 3_000_000
