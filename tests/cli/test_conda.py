"""``environment: {conda: FILE}``: a host makes it with micromamba or conda, and here a ``.conda`` beside the file is used.

With the real conda where ``MLOPS_TEST_CONDA`` names one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.servers import conda
from tests.servers.sshd import Sshd
from tests.support.project import Project, Result

PIPELINE = """\
stages:
  train:
    cmd: fartool > out.txt
    outs: [out.txt]
    host: gpu1
    environment: {conda: environment.yml}
"""


class Stand:
    """A project, a channel, and a host.  ``made``: its environments, ``asked``: with which words stand-ins were called."""

    def __init__(self, project: Project, folder: Path, home: Path) -> None:
        self.project, self.home, self._folder = project, home, folder
        self.channel = conda.channel(folder / 'channel', '1.0', '2.0')
        self.log = folder / 'asked'

    @property
    def made(self) -> list[Path]:
        return sorted((self._folder / 'far/environments-v1').glob('*.json'))

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def has(self, name: str, where: str = '.local/bin') -> None:
        conda.stand_in(self.home / where, name, self.log)


@pytest.fixture
def stand(tmp_path: Path, sshd: Sshd) -> Stand:
    project = Project(tmp_path / 'one')
    project.init_git()
    project.environ.update(sshd.environ)
    for name in ('.local', 'miniforge3'):  # of another test: the home is that of all
        shutil.rmtree(sshd.home / name, ignore_errors=True)
    found = Stand(project, tmp_path, sshd.home)
    project.write('environment.yml', conda.listed(found.channel, '1.0'))
    project.write('pipeline.yaml', PIPELINE)
    project.mlops('hosts', 'add', 'gpu1', sshd.url(tmp_path / 'far'))
    return found


def said(result: Result) -> str:
    return ' '.join(f'{result.out} {result.err}'.split())


def lives_by_itself(stand: Stand) -> None:
    """Made once for each content, by what is there; its program is first on PATH."""
    project = stand.project
    project.mlops('run')
    version, prefix = project.read('out.txt').split()
    (first,) = stand.made
    assert version == '1.0' and Path(prefix) == first.with_suffix('')
    assert json.loads(first.read_text())['kind'] == 'conda'
    project.mlops('run', '--force')
    assert stand.made == [first]
    project.write('conda-linux-64.lock', conda.explicit(stand.channel, '2.0'))
    project.write('pipeline.yaml', PIPELINE.replace('environment.yml', 'conda-linux-64.lock'))
    assert project.mlops('plan', '--json').json['stages'][0]['reasons'][0]['kind'] == 'environment'
    project.mlops('run')
    assert project.read('out.txt').split()[0] == '2.0' and len(stand.made) == 2
    project.write('environment.yml', conda.listed(stand.channel, '3.0'))
    project.write('pipeline.yaml', PIPELINE)
    told = ' '.join(project.mlops('run', code=4).out.split())
    assert 'its environment cannot be made: ' in told and 'fartool' in told.partition('ended with 1: ')[2], told
    assert 'FAILED train' in told and 'the network failed' not in told
    assert 'does it reach the channels that the file names?' in told and len(stand.made) == 2


@pytest.mark.parametrize('name', ['micromamba', 'conda'])
def test_it_is_made_once_for_each_file(stand: Stand, name: str) -> None:
    stand.has(name)
    lives_by_itself(stand)
    first = 'create --yes' if name == 'micromamba' else 'env create'
    begins = [f'{name} {first}', f'{name} create --yes', f'{name} {first}']
    assert len(stand.asked) == 3
    assert all(one.startswith(f'{begin} --quiet --prefix ') for one, begin in zip(stand.asked, begins, strict=True))


@pytest.mark.full
@pytest.mark.skipif(not conda.REAL, reason='MLOPS_TEST_CONDA names no conda')
def test_the_real_one(stand: Stand) -> None:
    program = stand.home / 'miniforge3/bin/conda'
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {conda.REAL} "$@"\n')
    program.chmod(0o755)
    lives_by_itself(stand)


def test_micromamba_is_taken_before_conda_and_none_of_them_is_told(stand: Stand) -> None:
    told = ' '.join(stand.project.mlops('run', code=4).out.split())
    assert 'there is neither micromamba nor conda there' in told and 'mlops hosts add --path' in told
    stand.has('conda')
    stand.has('micromamba', 'miniforge3/bin')
    stand.project.mlops('run')
    assert [one.split()[0] for one in stand.asked] == ['micromamba']


def test_setup_makes_it_ahead_and_sends_nothing(stand: Stand) -> None:
    stand.project.write('environment.yml', conda.listed(stand.channel, '3.0'))
    told = said(stand.project.mlops('hosts', 'setup', 'gpu1', '--yes', code=None))
    assert 'there is neither micromamba nor conda there' in told
    stand.has('conda')
    told = said(stand.project.mlops('hosts', 'setup', 'gpu1', '--yes', '--send', code=None))
    assert 'nothing provides fartool 3.0' in told and 'wheel' not in told
    stand.project.write('environment.yml', conda.listed(stand.channel, '1.0'))
    stand.project.mlops('hosts', 'setup', 'gpu1', '--yes')
    assert len(stand.made) == 1
    stand.project.mlops('run')
    assert len(stand.made) == 1 and stand.project.read('out.txt').startswith('1.0 ')


def test_here_it_is_the_one_beside_the_file(stand: Stand) -> None:
    project = stand.project
    project.write('env/environment.yml', conda.listed(stand.channel, '1.0'))
    project.write('pipeline.yaml', PIPELINE.replace('    host: gpu1\n', '').replace('environment.yml', 'env/environment.yml'))
    told = said(project.mlops('doctor', code=None))
    assert 'there is no env/.conda' in told and 'conda env create -p env/.conda -f env/environment.yml' in told
    program = project.path / 'env/.conda/bin/fartool'
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho here "$CONDA_PREFIX"\n')
    program.chmod(0o755)
    (project.path / 'env/.conda/conda-meta').mkdir()
    project.write('.gitignore', '.conda/\n')
    project.mlops('run')
    assert project.read('out.txt').split() == ['here', str(project.path / 'env/.conda')]
    assert 'no env/.conda' not in said(project.mlops('doctor', code=None))


@pytest.mark.full
@pytest.mark.skipif(not conda.REAL, reason='MLOPS_TEST_CONDA names no conda')
@pytest.mark.parametrize('engine', ['slurm', 'ray'])
def test_the_real_one_on_a_cluster(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    """Once for all nodes, in the folder that they share."""
    cluster = request.getfixturevalue(engine)
    project = Project(tmp_path / 'one')
    project.init_git()
    project.environ.update(getattr(cluster, 'environ', {}))
    program = tmp_path / 'bin/conda'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {conda.REAL} "$@"\n')
    program.chmod(0o755)
    channel = conda.channel(tmp_path / 'channel', '1.0')
    url = cluster.url(tmp_path / 'far') if engine == 'ray' else f'slurm://{tmp_path}/far'
    project.write('pipeline.yaml', 'stages: {}\n')
    project.mlops('hosts', 'add', 'gpu1', url, '--path', str(program.parent))
    project.write('environment.yml', conda.listed(channel, '1.0'))
    rest = 'host: gpu1, environment: {conda: environment.yml}'
    stages = [f'  {name}: {{cmd: fartool > {name}.txt, outs: [{name}.txt], {rest}}}' for name in ('one', 'two', 'three')]
    project.write('pipeline.yaml', '\n'.join(['stages:', *stages, '']))
    project.mlops('run', '-j', '3', timeout=300)
    (made,) = (tmp_path / 'far/environments-v1').glob('*.json')
    assert {project.read(f'{name}.txt') for name in ('one', 'two', 'three')} == {f'1.0 {made.with_suffix("")}\n'}
    project.mlops('run', '--force', timeout=300)
    assert [made] == list((tmp_path / 'far/environments-v1').glob('*.json'))
