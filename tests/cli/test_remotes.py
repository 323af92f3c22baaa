"""``remote``, ``push``, ``fetch``, ``pull``: from one clone through a folder, a real S3 server or a real sshd into another."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import bucket
from tests.servers.s3 import S3
from tests.servers.sshd import Sshd
from tests.support.project import Project

PIPELINE = """\
stages:
  prepare: {cmd: mkdir -p table; cat raw/*.txt > table/all.txt; wc -l < table/all.txt > table/n.txt, deps: [raw], outs: [table]}
  train: {cmd: cat table/all.txt table/all.txt > model.bin, deps: [table], params: [seed], outs: [model.bin]}
"""


def made(folder: Path) -> Project:
    project = Project(folder)
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'seed: 1\n')
    for number in range(20):
        project.write(f'raw/{number:02}.txt', f'line {number}\n' * (number + 1))
    project.write('raw/large.txt', 'x' * 79 + '\n' * 30_000)
    project.mlops('add', 'raw')
    project.mlops('run')
    return project


def clone(project: Project, folder: Path) -> Project:
    project.commit('all')
    project.git('clone', '-q', str(project.path), str(folder))
    return Project(folder)


@pytest.fixture(params=['folder', 's3', 'ssh'])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty remote that commands reach."""
    if request.param == 'folder':
        return str(tmp_path / 'a remote [of] "ours"')
    if request.param == 'ssh':
        far: Sshd = request.getfixturevalue('sshd')
        return far.url(tmp_path / 'far/store')
    server: S3 = request.getfixturevalue('s3')
    return f'{server.make_bucket(f"commands-{abs(hash(str(tmp_path))) % 10**12}")}/team/x'


@pytest.fixture
def environ(request: pytest.FixtureRequest, url: str) -> dict[str, str]:
    if url.startswith('ssh://'):
        return request.getfixturevalue('sshd').environ
    return request.getfixturevalue('s3').environ if url.startswith('s3://') else {}


def test_from_one_clone_to_another(tmp_path: Path, url: str, environ: dict[str, str]) -> None:
    one = made(tmp_path / 'one')
    one.environ.update(environ)
    one.mlops('remote', 'add', 'origin', url)
    assert one.mlops('remote', 'list', '--json').json['rows'] == [
        {'name': 'origin', 'url': url, 'desc': '', 'file': '.mlops/config.yaml', 'confirmed': True}
    ]
    sent = one.mlops('push', '--json').json
    assert sent['missing'] == [] and sent['moved'] == sent['objects'] > 20
    assert one.mlops('push', '--json').json['moved'] == 0
    two = clone(one, tmp_path / 'two')
    two.environ.update(environ)
    refused = two.mlops('pull', code=5)
    assert 'came with git and nobody here has confirmed' in refused.err
    two.mlops('config', 'confirm', 'remotes.origin', '--yes')
    brought = two.mlops('fetch', '--json').json
    # Logs and sources of the two stages come by the way.
    assert brought['missing'] == [] and brought['moved'] == sent['objects'] - 4
    assert not (two.path / 'raw').exists()
    pulled = two.mlops('pull', '--json').json
    assert pulled['moved'] == 0 and sorted(pulled['checkout']['placed']) == ['model.bin', 'raw', 'table']
    for path in ('model.bin', 'table/all.txt', 'raw/07.txt', 'raw/large.txt'):
        assert (two.path / path).read_bytes() == (one.path / path).read_bytes()
    assert two.mlops('status', '--exit-code', '--strict').code == 0
    assert 'Nothing to do' in two.mlops('pull').out


def test_only_what_is_named(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    assert one.mlops('push', 'train', '--json').json['objects'] == 5  # with its log, and its sources
    assert one.mlops('push', 'raw', '--json').json['moved'] == 22
    one.write('pipeline.yaml', PIPELINE + '  check: {cmd: test -s model.bin, deps: [model.bin]}\n')
    assert one.mlops('push', 'check', '--json').json['objects'] == 0  # it has no outputs: that is not all there are
    assert one.mlops('push', '../model.bin', '--json', cwd='raw').json['objects'] == 5
    one.write('pipeline.yaml', PIPELINE)
    two = clone(one, tmp_path / 'two')
    two.mlops('--yes', 'pull', 'model.bin')
    assert (two.path / 'model.bin').exists() and not (two.path / 'raw').exists()
    lacking = two.mlops('fetch', '--json', code=1).json
    assert lacking['missing'] == [{'path': 'table', 'objects': 1}] and lacking['moved'] > 0
    said = two.mlops('pull', code=1)
    assert 'missing   table: 1 object neither here nor in origin' in said.out
    assert (two.path / 'raw').exists() and not (two.path / 'table').exists()
    one.mlops('push')
    two.mlops('pull')
    assert (two.path / 'table/all.txt').exists()


def test_earlier_states_come_when_they_are_asked_for(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    first = (one.path / 'model.bin').read_bytes()
    one.write('raw/00.txt', 'another\n')
    one.mlops('add', 'raw')
    one.mlops('run')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push')
    two = clone(one, tmp_path / 'two')
    now = two.mlops('--yes', 'fetch', '--json').json
    every = two.mlops('fetch', '--all', '--json').json
    assert 0 < every['moved'] < now['moved']
    assert any(path.read_bytes() == first for path in (two.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file())


def test_what_is_damaged_there_is_not_believed(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push')
    [pack] = (tmp_path / 'remote/packs-v1').glob('*.pack')
    data = bytearray(pack.read_bytes())
    data[data.index(b'line 3\n')] ^= 1
    pack.write_bytes(data)
    two = clone(one, tmp_path / 'two')
    said = two.mlops('--yes', 'pull', code=1)
    assert 'missing   raw: 1 object neither here nor in origin, or damaged' in said.out
    assert two.mlops('verify').out.endswith('all sound.\n') and not (two.path / 'raw').exists()


def spoil(folder: Path, content: bytes) -> None:
    """Flip a bit of it wherever a remote holds it."""
    [path] = [path for path in folder.rglob('*') if path.is_file() and content in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[data.index(content)] ^= 1
    path.write_bytes(data)


def test_a_damaged_remote_is_found_and_mended(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.write('big.bin', 'big' * 700_000)
    one.mlops('add', 'big.bin')
    remote = tmp_path / 'remote'
    one.mlops('remote', 'add', 'origin', str(remote))
    assert 'all sound' in one.mlops('push', '--verify').out
    assert one.mlops('verify', '--remote', 'origin').out.endswith(' of origin read, all sound.\n')
    spoil(remote, b'line 3\n')
    spoil(remote, b'bigbigbig')
    found = one.mlops('verify', '-r', 'origin', '--json', code=1).json
    assert len(found['damaged']) == 2 and found['checked'] > 20
    assert one.mlops('push', '--verify', '--json', code=1).json['damaged'] == [row['digest'] for row in found['damaged']]
    said = one.mlops('push', '--repair', '--verify').out
    assert 'mended    1 object' in said and 'pushed    1 object, 2.1 MB' in said and 'all sound' in said
    one.mlops('verify', '--remote', 'origin')
    assert len([*(remote / 'packs-v1').glob('*.pack')]) == 1


def test_what_nobody_here_has_is_taken_out_of_its_pack(tmp_path: Path) -> None:
    """So that whoever has it sends it."""
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push')
    spoil(tmp_path / 'remote', b'line 3\n')
    two = clone(one, tmp_path / 'two')
    assert two.mlops('--yes', 'push', '--repair', '--json').json['mended'] == 0
    found = one.mlops('verify', '--remote', 'origin', code=1).out
    assert 'names it, and it is not there' in found
    one.mlops('push')
    one.mlops('verify', '--remote', 'origin')


def test_a_run_may_pull_first(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push', 'raw', 'train')
    two = clone(one, tmp_path / 'two')
    assert 'mlops pull raw' in two.mlops('run', code=2).err
    ended = two.mlops('--yes', 'run', '--pull', '--json').json
    assert {row['name']: row['state'] for row in ended['stages']} == {'prepare': 'done', 'train': 'restored'}
    assert (two.path / 'raw/03.txt').exists() and two.read('model.bin') == one.read('model.bin')
    two.write('raw/03.txt', 'mine\n')
    two.mlops('run', '--pull')
    assert two.read('raw/03.txt') == 'mine\n'
    three = clone(one, tmp_path / 'three')
    shutil.rmtree(tmp_path / 'remote')
    (tmp_path / 'remote').write_text('a file')
    assert 'is its disk there' in three.mlops('--yes', 'run', '--pull', code=4).err
    assert 'Nothing to do' in two.mlops('run', '--pull').out, 'all is here: nobody is asked'


def test_the_same_push_makes_the_same_packs(tmp_path: Path) -> None:
    """So one that was broken off writes again what it had written; whatever the order of sets."""
    one = made(tmp_path / 'one')
    keys = []
    for seed in ('1', '2'):
        one.mlops('remote', 'add', f'r{seed}', str(tmp_path / seed), '--local')
        one.mlops('push', '-r', f'r{seed}', environ={'PYTHONHASHSEED': seed})
        keys.append(sorted(path.name for path in (tmp_path / seed).glob('packs-v1/*')))
    assert keys[0] == keys[1] and keys[0]


def test_pull_destroys_nothing(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push')
    two = clone(one, tmp_path / 'two')
    two.write('model.bin', 'by hand')
    assert 'not saved anywhere' in two.mlops('--yes', 'pull', code=5).err
    assert two.read('model.bin') == 'by hand'
    two.mlops('pull', '--force')
    assert [path.read_text() for path in (two.path / '.mlops/local/rescue').rglob('model.bin')] == ['by hand']


@pytest.mark.parametrize(
    ('arguments', 'said', 'hint'),
    [
        (('push',), 'this project has no remote', 'mlops remote add origin'),
        (('push', '--remote', 'there'), "there is no remote 'there'", 'mlops remote add there URL'),
        (('remote', 'add', '-x', 's3://b'), '', ''),
        (('remote', 'add', 'a b', 's3://b'), 'is no name', 'such as'),
        (('remote', 'add', 'o', 'ftp://host/x'), 'ftp://', 'such as'),
        (('remote', 'add', 'o', 's3://key:aSecretOf40CharactersAsAwsGivesThemOut00@b/x'), '', 'such as'),
        (('remote', 'add', 'o', 'file:///my store'), 'no spaces', 'such as'),
        (('remote', 'add', 'o', 'file:///my%20store'), 'no %-signs are read', 'by its path alone'),
        (('remote', 'remove', 'o'), 'there is no remote', 'mlops remote list'),
    ],
)
def test_wrong_words(tmp_path: Path, arguments: tuple[str, ...], said: str, hint: str) -> None:
    one = Project(tmp_path / 'one')
    one.init_git()
    one.write('pipeline.yaml', 'stages: {}\n')
    result = one.mlops(*arguments, code=2)
    assert said in result.err and hint in result.err


def test_which_remote_is_meant(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'near', str(tmp_path / 'near'))
    one.mlops('remote', 'add', 'mine', str(tmp_path / 'mine'), '--local')
    assert 'there are several remotes' in one.mlops('push', code=2).err
    assert one.mlops('push', '-r', 'mine', '--json').json['remote'] == 'mine'
    assert 'remotes.mine' not in (one.path / '.mlops/config.yaml').read_text()
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'origin'))
    assert one.mlops('push', '--json').json['remote'] == 'origin'
    assert 'leads to' in one.mlops('remote', 'add', 'origin', str(tmp_path / 'other'), code=5).err
    one.mlops('remote', 'remove', 'near')
    assert [row['name'] for row in one.mlops('remote', 'list', '--json').json['rows']] == ['mine', 'origin']


def test_a_server_that_does_not_let_us_in(tmp_path: Path, s3: S3) -> None:
    one = made(tmp_path / 'one')
    one.environ.update({**s3.environ, 'AWS_SECRET_ACCESS_KEY': 'wrong'})
    one.mlops('remote', 'add', 'origin', f'{s3.make_bucket(f"closed-{abs(hash(str(tmp_path))) % 10**12}")}/x')
    said = one.mlops('push', code=4)
    assert 'SignatureDoesNotMatch' in said.err and 'AWS_SECRET_ACCESS_KEY' in said.err and 'wrong' not in said.err
    document = json.loads(one.mlops('push', '--json', code=4).out)
    assert document['schema'] == 'mlops/error/v1' and document['code'] == 4


def test_a_disk_that_is_gone(tmp_path: Path) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    one.mlops('push')
    shutil.rmtree(tmp_path / 'remote')
    (tmp_path / 'remote').write_text('a file')
    assert 'is its disk there' in one.mlops('push', code=4).err


# Over ssh


def test_a_host_that_is_not_known_is_told_in_a_line(tmp_path: Path, sshd: Sshd) -> None:
    one = made(tmp_path / 'one')
    one.mlops('remote', 'add', 'origin', sshd.url(tmp_path / 'far'))
    mine = sshd.configure('UserKnownHostsFile /dev/null')
    said = one.mlops('push', code=4, environ={'PATH': f'{mine}{os.pathsep}{sshd.environ["PATH"]}'})
    assert [line.partition(':')[0].strip() for line in said.err.splitlines()] == ['error', 'hint']
    assert 'its host key is not known here' in said.err and 'ssh farhost once' in said.err


@pytest.mark.full
def test_pushes_over_ssh_that_are_killed(tmp_path: Path, sshd: Sshd) -> None:
    """Whenever that is: the remote is whole, as far as it goes, and the next push ends it."""
    one = made(tmp_path / 'one')
    one.environ.update(sshd.environ)
    chance = random.Random(1)
    for number in range(120):
        one.write(f'raw/{number:03}.bin', chance.randbytes(30_000).hex())
    one.write('raw/larger.bin', chance.randbytes(12 << 20).hex())
    one.mlops('add', 'raw')
    far = tmp_path / 'far'
    one.mlops('remote', 'add', 'origin', sshd.url(far))
    partial = 0
    for _ in range(40):
        argv = [sys.executable, '-m', 'mlops_cli', 'push']
        process = subprocess.Popen(argv, cwd=one.path, env=one.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1.5))
        process.kill()
        process.wait()
        assert bucket.problems(far) == []
        partial += bool([*far.glob('tmp/partial-*')])
        if chance.random() < 0.5:
            shutil.rmtree(far / 'packs-v1', ignore_errors=True)
            shutil.rmtree(far / 'objects-v1', ignore_errors=True)
    one.mlops('push')
    assert bucket.problems(far) == [] and partial > 0
    assert len(bucket.objects(far)[0]) >= 120 and bucket.left(far) == []
