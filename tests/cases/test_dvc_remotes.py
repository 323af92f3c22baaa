"""What DVC's remotes have lost, tried here: tests named after its issues (docs/explanation/losses.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import bucket
from tests.support.project import Project

PIPELINE = 'stages: {count: {cmd: cat data/* > all.txt, deps: [data], outs: [all.txt]}}\n'


@pytest.fixture
def pushed(project: Project, tmp_path: Path) -> Project:
    """With a remote in ``remote`` beside it that has all of it."""
    project.write('pipeline.yaml', PIPELINE)
    for number in range(12):
        project.write(f'data/{number:02}', f'text {number}\n')
    project.mlops('add', 'data')
    project.mlops('run')
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    project.mlops('push')
    project.commit('all')
    return project


def clone(project: Project, folder: Path) -> Project:
    project.git('clone', '-q', str(project.path), str(folder))
    return Project(folder)


def flip(remote: Path, content: bytes) -> None:
    [pack] = [path for path in remote.glob('packs-v1/*.pack') if content in path.read_bytes()]
    data = bytearray(pack.read_bytes())
    data[data.index(content)] ^= 1
    pack.write_bytes(data)


def test_dvc_5502_10525_damaged_objects_of_a_remote_are_not_believed(pushed: Project, tmp_path: Path) -> None:
    flip(tmp_path / 'remote', b'text 7\n')
    two = clone(pushed, tmp_path / 'two')
    assert 'data: 1 object neither here nor in origin, or damaged' in two.mlops('--yes', 'pull', code=1).out
    assert not (two.path / 'data').exists()
    assert two.mlops('verify').out.endswith('all sound.\n')


def test_dvc_10498_7268_7269_a_damaged_remote_is_seen_and_mended(pushed: Project, tmp_path: Path) -> None:
    remote = tmp_path / 'remote'
    flip(remote, b'text 7\n')
    assert bucket.problems(remote)
    assert '1 damaged' in pushed.mlops('verify', '--remote', 'origin', code=1).out
    assert 'mended    1 object' in pushed.mlops('push', '--repair').out
    assert not bucket.problems(remote)
    two = clone(pushed, tmp_path / 'two')
    two.mlops('--yes', 'pull')
    assert two.read('data/07') == 'text 7\n'


def test_dvc_4343_4164_7532_a_remote_has_no_lists_without_their_files(pushed: Project, tmp_path: Path) -> None:
    """A file that is not here is told, and its folder is not sent; what somebody deleted there is sent again."""
    pushed.write('data/12', 'more\n')
    pushed.mlops('add', 'data')
    cache = pushed.path / '.mlops/cache/objects-v1'
    [more] = [path for path in cache.rglob('*') if path.is_file() and path.read_bytes() == b'more\n']
    content = more.read_bytes()
    more.unlink()
    assert 'data: 1 object neither here nor in origin' in pushed.mlops('push', code=1).out
    assert not bucket.problems(tmp_path / 'remote')
    more.write_bytes(content)
    pushed.mlops('push')
    there, wrong = bucket.objects(tmp_path / 'remote')
    assert content in there.values() and not wrong
    next((tmp_path / 'remote/packs-v1').glob('*.pack')).unlink()
    pushed.mlops('push')
    assert not bucket.problems(tmp_path / 'remote')
