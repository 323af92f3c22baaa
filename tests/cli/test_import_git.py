"""``import`` from other repositories: what git has there, and what mlops tracks there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.project import Project


@pytest.fixture
def other(tmp_path: Path) -> Project:
    """A repository with a tag and a branch."""
    other = Project(tmp_path / 'other')
    other.init_git()
    other.write('data/x.csv', 'a\n1\n')
    other.write('data/in/y.sh', 'echo\n')
    (other.path / 'data/in/y.sh').chmod(0o755)
    (other.path / 'data/link').symlink_to('x.csv')
    other.commit('one')
    other.git('tag', '-a', 'v1', '-m', 'one')
    other.write('data/x.csv', 'a\n1\n2\n')
    other.commit('two')
    other.git('branch', 'feature/x')
    return other


@pytest.fixture
def one(project: Project) -> Project:
    project.write('pipeline.yaml', 'stages: {}\n')
    return project


def pinned(project: Project, path: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(project.read(f'.mlops/data/{path}.json'))['source']
    return found


def test_a_revision(one: Project, other: Project) -> None:
    url = f'git+file://{other.path}'
    one.mlops('import', f'{url}@v1#data/x.csv', 'x.csv')
    assert one.read('x.csv') == 'a\n1\n'
    assert pinned(one, 'x.csv') == {'url': f'{url}@v1#data/x.csv', 'commit': other.git('rev-parse', 'v1^{commit}').strip()}
    one.mlops('import', f'{url}#data/x.csv', 'y.csv', '--rev', 'feature/x')
    assert one.read('y.csv') == 'a\n1\n2\n'
    commit = other.git('rev-parse', 'HEAD~1').strip()
    for number, revision in enumerate((commit, commit[:10])):
        one.mlops('import', f'{url}@{revision}#data/x.csv', f'z{number}.csv')
        assert one.read(f'z{number}.csv') == 'a\n1\n'
    assert one.mlops('update').out.count('same ') == 4


def test_a_branch_moves(one: Project, other: Project) -> None:
    one.mlops('import', f'git+file://{other.path}@main#data')
    assert one.read('data/link') == 'a\n1\n2\n' and os.access(one.path / 'data/in/y.sh', os.X_OK)
    assert 'same' in one.mlops('update', '--dry-run').out
    other.write('data/z.csv', 'z')
    commit = other.commit('three')
    assert 'changed   data' in one.mlops('update', '--dry-run').out
    assert '1 new, +1 B' in one.mlops('update').out and pinned(one, 'data')['commit'] == commit
    assert [path.name for path in (one.path / '.mlops/local').iterdir() if 'tmp' in path.name] == []


@pytest.mark.parametrize(
    ('url', 'code', 'said'),
    [
        ('git+file://{other}@nothing#data', 4, 'no branch or tag'),
        ('git+file://{other}@v1#nothing', 4, 'mlops tracks none there'),
        ('git+file://{other}', 2, 'what of the repository'),
        ('git+file://{other}@-x#data', 2, 'no name of a branch'),
        ('git+file://{other}@v1#../x', 2, ''),
        ('git+file:///nowhere/x@v1#data', 4, 'nowhere'),
        ('git+ext://sh -c touch% /tmp/pwned#x', 2, 'git+ext'),
        ('git+ssh://-oProxyCommand=touch/x#x', 2, 'no host'),
        ('git+https://ada:secret@host/x#x', 2, 'user name or password'),
    ],
)
def test_refused(one: Project, other: Project, url: str, code: int, said: str) -> None:
    assert said in one.mlops('import', url.format(other=other.path), 'x', code=code).err


def test_nothing_of_the_other_repository_runs(one: Project, other: Project, tmp_path: Path) -> None:
    hook = other.write('.git/hooks/post-checkout', f'#!/bin/sh\ntouch {tmp_path}/ran\n')
    hook.chmod(0o755)
    other.write('.gitattributes', '* filter=evil\n')
    other.write('.lfsconfig', '[lfs]\nurl = https://example.org\n')
    other.write('.gitmodules', f'[submodule "s"]\npath = s\nurl = {tmp_path}/other\n')
    other.write('data/big.bin', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')
    other.commit('more')
    assert 'kept by Git LFS' in one.mlops('import', f'git+file://{other.path}#data', 'x', code=5).err
    one.mlops('import', f'git+file://{other.path}#data/x.csv', 'x.csv')
    assert not (tmp_path / 'ran').exists()


def test_a_link_that_leads_out(one: Project, other: Project) -> None:
    (other.path / 'data/out').symlink_to('/etc/passwd')
    other.commit('link')
    assert 'out' in one.mlops('import', f'git+file://{other.path}#data', 'x', code=5).err and not one.exists('x')


def test_what_mlops_tracks_there(one: Project, other: Project, tmp_path: Path) -> None:
    other.write('pipeline.yaml', 'stages: {}\n')
    other.write('images/a/1.png', '1')
    other.write('images/2.png', '2')
    other.mlops('add', 'images')
    other.commit('tracked')
    url = f'git+file://{other.path}#images'
    assert 'names no remote' in one.mlops('import', url, 'images', code=4).err
    other.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    other.commit('remote')
    assert 'nobody here has confirmed' in one.mlops('import', url, 'images', code=5).err
    assert 'lacks' in one.mlops('--yes', 'import', url, 'images', code=4).err
    other.mlops('push')
    one.mlops('import', url, 'images')
    assert one.read('images/a/1.png') == '1'
    one.mlops('import', f'{url}/a', 'some')
    assert sorted(path.name for path in (one.path / 'some').iterdir()) == ['1.png']
    assert 'holds no b' in one.mlops('import', f'{url}/b', 'more', code=4).err
