"""Stages that may run on any host: behind real sshds, the cheapest that has what they ask for, and why it is that one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.sshd import HOST, Sshd, running
from tests.support.project import Project

PRICES = 'currency: EUR\nprices:\n  small: {hour: 0.40}\n  large: {hour: 1.10}\n  dear: {hour: 2.10}\n'
NEEDS = 'resources: {gpu_memory: 20GiB}'


def stage(name: str, needs: str = NEEDS, host: str = 'any') -> str:
    return f'  {name}: {{cmd: "pwd -P > {name}.txt", outs: [{name}.txt], host: {host}, {needs}}}\n'


def joined(folder: Path, servers: dict[str, Sshd]) -> dict[str, str]:
    """An ``ssh`` that knows several servers, each by its name."""
    folder.mkdir()
    texts = {name: (server.bin / 'config').read_text() for name, server in servers.items()}
    (folder / 'config').write_text(''.join(text.replace(f'Host {HOST}\n', f'Host {name}\n') for name, text in texts.items()))
    (folder / 'config').chmod(0o600)
    (folder / 'ssh').write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(folder / "config"))} "$@"\n')
    (folder / 'ssh').chmod(0o755)
    return {'PATH': f'{folder}{os.pathsep}{os.environ.get("PATH", os.defpath)}'}


@pytest.fixture(scope='module')
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that reaches ``small``, with a card of 16 GiB, and ``large``, with two of 40."""
    cards = {'small': ['GPU-s, T4, 16384, 16000'], 'large': ['GPU-a, A100, 40960, 40000', 'GPU-b, A100, 40960, 30000']}
    with ExitStack() as stack:
        servers = {}
        for name, lines in cards.items():
            folder = tmp_path_factory.mktemp(name)
            driver = folder / 'driver'
            driver.mkdir()
            (driver / 'nvidia-smi').write_text('#!/bin/sh\n' + ''.join(f'echo "{line}"\n' for line in lines))
            (driver / 'nvidia-smi').chmod(0o755)
            path = f'PATH={driver}:{os.environ.get("PATH", os.defpath)}'
            servers[name] = stack.enter_context(running(folder, f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME= {path}'))
        yield joined(tmp_path_factory.mktemp('both') / 'bin', servers)


@pytest.fixture
def project(tmp_path: Path, far: dict[str, str]) -> Project:
    found = Project(tmp_path / 'one')
    found.init_git()
    found.environ.update(far)
    found.write('.mlops/config.yaml', PRICES)
    found.write('pipeline.yaml', 'stages: {}\n')
    for name, host in (('dear', 'large'), ('large', 'large'), ('small', 'small')):
        found.mlops('hosts', 'add', name, f'ssh://{host}{tmp_path}/{name}')
    return found


def test_the_cheapest_that_fits_is_taken_and_told(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages:\n' + stage('train') + stage('tiny', 'resources: {gpus: 1}'))
    said = ' '.join(project.mlops('plan').out.split())
    assert 'Which host for train, tiny is decided when it runs: dear is unknown: nobody has looked at it from here' in said
    project.mlops('hosts', 'check')
    plan = ' '.join(project.mlops('plan').out.split())
    assert 'large for train: 1 × A100 (40 GiB), 1.10 EUR an hour; dear is dearer (2.10 EUR an hour); ' in plan
    assert '; small has no GPU of 20 GiB.' in plan
    assert 'small for tiny: 1 × T4 (16 GiB), 0.40 EUR an hour; large is dearer' in plan
    found = project.mlops('plan', '--json').json
    assert found['hosts'] == {'large': ['train'], 'small': ['tiny']}
    assert found['choices'][0] == {
        'stages': ['train'], 'host': 'large', 'why': '1 × A100 (40 GiB), 1.10 EUR an hour',
        'others': [{'host': 'dear', 'why': 'is dearer (2.10 EUR an hour)'}, {'host': 'small', 'why': 'has no GPU of 20 GiB'}],
    }  # fmt: skip
    said = project.mlops('run')
    assert 'large was chosen: 1 × A100' in ' '.join((said.out + said.err).split())
    assert project.read('train.txt').startswith(f'{tmp_path}/large/jobs-v1/')
    assert project.read('tiny.txt').startswith(f'{tmp_path}/small/jobs-v1/')
    (file,) = (project.path / '.mlops/runs').rglob('*.json')
    places = {place[0] for place in json.loads(file.read_text())['places']}
    assert places == {'large', 'small'}, 'the record says where it was, so that it can be told what it cost'
    project.write('.mlops/config.yaml', (project.path / '.mlops/config.yaml').read_text().replace('1.10', '3.10'))
    assert 'Nothing to do' in project.mlops('run').out, 'which host it was is no part of the key'
    assert project.mlops('plan', '--force', '--json').json['hosts'] == {'dear': ['train'], 'small': ['tiny']}


def test_what_no_host_has_is_refused_with_a_word_on_each(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n' + stage('train', 'resources: {gpus: 3}'))
    project.mlops('hosts', 'check')
    for words in (['plan'], ['plan', '--json'], ['run', '-n'], ['run']):
        told = project.mlops(*words, code=2)
        why = 'asks for 3 GPUs, and no host has that: dear has 2 GPUs; large has 2 GPUs; small has 1 GPU'
        assert why in told.out + told.err
    project.write('pipeline.yaml', 'stages:\n' + stage('train', 'resources: {memory: 900TiB}') + '  other: {cmd: "true"}\n')
    assert 'small has ' in project.mlops('run', code=2).err
    told = project.mlops('run', '--keep-going', code=2).out
    assert 'no host has that' in ' '.join(told.split())
    bare = Project(project.path.parent / 'bare')
    bare.init_git()
    bare.write('pipeline.yaml', 'stages:\n' + stage('train'))
    assert 'there are none' in bare.mlops('plan', code=2).err


@pytest.mark.full
def test_a_run_asks_hosts_of_which_nothing_is_known_and_goes_past_those_that_are_gone(project: Project, tmp_path: Path) -> None:
    project.mlops('hosts', 'add', 'gone', 'ssh://nowhere.invalid/x')
    project.mlops('config', 'set', 'prices.gone', '{hour: 0.01}')
    project.write('pipeline.yaml', 'stages:\n' + stage('train'))
    project.mlops('run', '--json')
    assert project.read('train.txt').startswith(f'{tmp_path}/large/jobs-v1/')
    # Once it was seen it is cheapest, so it is tried first; as it does not answer now, the next one is taken.
    seen = project.path / '.mlops/local/hosts'
    found = json.loads((seen / 'large.json').read_text())
    (seen / 'gone.json').write_text(json.dumps(found | {'url': 'ssh://nowhere.invalid/x'}))
    assert project.mlops('plan', '--force', '--json').json['hosts'] == {'gone': ['train']}
    told = project.mlops('run', '--force')
    assert 'gone does not answer' in ' '.join((told.out + told.err).split())
    assert project.read('train.txt').startswith(f'{tmp_path}/large/jobs-v1/')
    project.mlops('run', '--force', '--host', 'gone', code=4)
    for name in ('large', 'dear'):
        project.mlops('hosts', 'remove', name)
    told = project.mlops('run', '--force', code=4)
    assert 'gone does not answer' in told.err and 'small has no GPU of 20 GiB' in told.err


@pytest.mark.full
def test_a_run_can_send_all_stages_to_any(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages:\n' + ''.join(stage(f's{n}', 'resources: {cpus: 1}', 'local') for n in range(2)))
    project.mlops('run', '--host', 'any')
    assert all(project.read(f's{n}.txt').startswith(f'{tmp_path}/small/') for n in range(2)), 'the cheapest'


@pytest.mark.full
def test_hosts_that_cost_the_same_share_the_stages(project: Project) -> None:
    for name in ('large', 'dear', 'small'):
        project.mlops('config', 'set', f'prices.{name}', '{hour: 2}')
    project.mlops('hosts', 'check')
    project.write('pipeline.yaml', 'stages:\n' + ''.join(stage(f's{n}') for n in range(4)))
    hosts = project.mlops('plan', '--json').json['hosts']
    assert hosts == {'dear': ['s0', 's2'], 'large': ['s1', 's3']}


def test_what_is_known_of_hosts_is_shown_without_asking_them(project: Project) -> None:
    project.mlops('hosts', 'check')
    project.environ['PATH'] = os.environ.get('PATH', os.defpath)  # none of them can be reached
    said = ' '.join(project.mlops('hosts', 'list').out.split())
    assert '2 × A100 (40 GiB, 39.1 GiB and 29.3 GiB free), ' in said
    assert '; 1.1 EUR an hour; seen just now' in said
    row = next(one for one in project.mlops('hosts', 'list', '--json').json['rows'] if one['name'] == 'small')
    assert row['price'] == [{'item': 'hour', 'amount': 0.4, 'currency': 'EUR'}]
    assert row['facts']['gpus'][0]['free_bytes'] == 16000 << 20 and row['seen']
    project.mlops('hosts', 'remove', 'small')
    assert not (project.path / '.mlops/local/hosts/small.json').exists()


@pytest.mark.full
@pytest.mark.parametrize('text', ['{', '[]', '{"schema": "mlops/host-seen/v1"}', '{"schema": "mlops/host-seen/v1", "gpus": 5}'])
def test_a_damaged_record_of_a_host_is_none(project: Project, text: str) -> None:
    project.mlops('hosts', 'check')
    project.write('.mlops/local/hosts/large.json', text)
    project.write('pipeline.yaml', 'stages:\n' + stage('train'))
    assert project.mlops('plan', '--json').json['hosts'] == {'dear': ['train']}


@pytest.mark.full
def test_a_host_that_nobody_confirmed_is_not_taken(project: Project) -> None:
    project.mlops('hosts', 'check')
    project.write('pipeline.yaml', 'stages:\n' + stage('train'))
    (project.path / '.mlops/local/trust.json').unlink()
    told = project.mlops('run', code=5).err
    assert 'large came with git and nobody here has confirmed it' in told
    project.mlops('config', 'confirm', 'hosts.dear', '--yes')
    assert project.mlops('plan', '--json').json['hosts'] == {'dear': ['train']}


def test_nothing_is_called_any(project: Project) -> None:
    assert 'means any host' in project.mlops('hosts', 'add', 'any', 'ssh://there', code=2).err
