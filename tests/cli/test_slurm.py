"""Stages on a cluster, with a real Slurm: the same results as here, each once, and clear words where that cannot be."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_hosts import TRAIN, cut_often, made, pins, started, wait_for
from tests.servers.slurm import Slurm
from tests.servers.sshd import Sshd
from tests.support.files import contents
from tests.support.gpus import two_at_a_time
from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path, slurm: Slurm) -> Iterator[Project]:
    found = made(tmp_path / 'one')
    found.environ.update(slurm.environ)
    found.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far')
    yield found
    slurm.asked('scancel', '-u', 'root')


def jobs(tmp_path: Path) -> list[Path]:
    return [*(tmp_path / 'far/jobs-v1').glob('*')]


def add(project: Project, tmp_path: Path, *submit: str) -> None:
    """The same host, with other words for sbatch."""
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', *(('--submit', ' '.join(submit)) if submit else ()))


def test_what_is_made_there_is_what_is_made_here(project: Project, tmp_path: Path) -> None:
    here = made(tmp_path / 'two')
    here.mlops('run')
    said = project.mlops('run', '--host', 'cluster')
    assert 'on cluster (' in said.err + said.out and 'Slurm, 1 node, 16 CPUs, 2 GPUs' in said.err + said.out
    assert pins(project) == pins(here)
    assert project.read('model.bin') == here.read('model.bin') and project.read('table/all.txt') == here.read('table/all.txt')
    assert 'trained at 0.5' in project.mlops('logs', 'train').out
    assert 'Nothing to do' in project.mlops('run').out
    assert not list((tmp_path / 'far/jobs-v1').glob('*/project'))


def test_behind_ssh(project: Project, tmp_path: Path, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.servers.sshd import running

    folder = tmp_path_factory.mktemp('sshd')
    with running(folder, f'SetEnv HOME={folder}/home XDG_CACHE_HOME= SLURM_CONF={slurm.environ["SLURM_CONF"]}') as login:
        assert isinstance(login, Sshd)
        project.environ.update(login.environ)
        del project.environ['SLURM_CONF']
        project.mlops('hosts', 'add', 'behind', login.url(tmp_path / 'behind').replace('ssh://', 'slurm://'))
        project.mlops('run', '--host', 'behind')
    assert project.read('m.json') == '{"rows": 3}\n' and (tmp_path / 'behind/jobs-v1').is_dir()


def test_what_slurm_is_told_of_a_stage(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    add(project, tmp_path, '--partition=urgent', '--time=9')
    look = 'scontrol show job $SLURM_JOB_ID > job.txt; env > env.txt; ls > found.txt'
    project.environ.update({'NOT_DECLARED': 'leaked-leaked', 'DECLARED': 'a "b" $c'})
    project.write('pipeline.yaml', (
        f"stages:\n  l@ok:\n    cmd: '{look}'\n    deps: [raw]\n    env: [DECLARED]\n    outs: [job.txt, env.txt, found.txt]\n"
        '    host: cluster\n    timeout: 90s\n    resources: {gpus: 2, cpus: 3, memory: 300MiB}\n'
    ).replace('l@ok', 'look'))
    project.mlops('run')
    told = project.read('job.txt')
    assert 'JobName=look.' in told and 'Partition=urgent' in told and 'NumCPUs=3' in told and 'MinMemoryNode=428M' in told
    assert 'TresPerNode=gres:gpu:2' in told and 'Requeue=1' in told
    assert 'TimeLimit=00:17:00' in told  # 90 s, the grace, and a quarter of an hour for contents
    there = dict(line.split('=', 1) for line in project.read('env.txt').splitlines() if '=' in line)
    assert there['CUDA_VISIBLE_DEVICES'] == '0,1' and there['DECLARED'] == 'a "b" $c' and 'NOT_DECLARED' not in there
    assert project.read('found.txt').split() == ['env.txt', 'found.txt', 'job.txt', 'raw']


def test_each_stage_gets_gpus_of_its_own(project: Project, tmp_path: Path) -> None:
    two_at_a_time(project, tmp_path)
    project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cluster, resources: {gpus: 3}}\n')
    refused = project.mlops('run', code=2)
    assert 'Slurm does not take it: Requested node configuration is not available' in ' '.join(refused.out.split())


def test_a_secret_is_in_no_file_once_the_stage_has_begun(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    secret = 'hunter2-hunter2-hunter2'
    project.environ['API_TOKEN'] = secret
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    project.write('pipeline.yaml', (
        f'stages:\n  ask: {{cmd: \'touch {begun}; while ! test -e {gate}; do sleep 0.05; done; echo "token $API_TOKEN"; '
        'echo "$API_TOKEN" | wc -c > size.txt\', secrets: [API_TOKEN], outs: [size.txt], host: cluster}\n'
    ))
    run = started(project, 'run')
    wait_for(begun.exists)
    try:
        for path, data in contents(tmp_path / 'far', project.path / '.mlops', slurm.folder):
            assert secret.encode() not in data, path
    finally:
        gate.touch()
    assert run.wait(60) == 0
    assert project.read('size.txt').strip() == str(len(secret) + 1)
    assert project.mlops('logs', 'ask').out == 'token [secret: API_TOKEN]\n'


def test_a_failure_there_is_a_failure_here(project: Project, tmp_path: Path) -> None:
    counted = tmp_path / 'counted'
    project.write('train.sh', f'echo x >> {counted}; echo what went wrong >&2; test -e {tmp_path}/mended || exit 7; {TRAIN}')
    failed = project.mlops('run', '--host', 'cluster', code=1)
    assert 'exit 7' in failed.out and 'what went wrong' in failed.out
    (tmp_path / 'mended').touch()
    project.mlops('run', '--host', 'cluster')
    assert counted.read_text() == 'x\nx\n'


@pytest.mark.parametrize('when', ['it waits', 'it runs', 'it is over'])
def test_a_run_that_was_killed_finds_its_jobs_again(project: Project, tmp_path: Path, slurm: Slurm, when: str) -> None:
    counted, gate = tmp_path / 'counted', tmp_path / 'gate'
    project.write('pipeline.yaml', 'stages:\n  train: {cmd: sh train.sh, deps: [train.sh], outs: [m.json], host: cluster}\n')
    project.write('train.sh', f'echo x >> {counted}; while ! test -e {gate}; do sleep 0.05; done; echo 1 > m.json')
    if when == 'it waits':
        slurm.asked('scontrol', 'update', 'partition=usual', 'state=down')
    run = started(project, 'run')
    try:
        wait_for(counted.exists if when != 'it waits' else lambda: any((tmp_path / 'far').glob('jobs-v1/*/handed')))
        run.kill()
        run.wait()
        if when == 'it is over':
            gate.touch()
            wait_for(lambda: any((tmp_path / 'far').glob('jobs-v1/*/outcome.json')))
        again = started(project, 'run')
        gate.touch()
        slurm.asked('scontrol', 'update', 'partition=usual', 'state=up')
        assert again.wait(60) == 0, again.stdout and again.stdout.read().decode()
    finally:
        slurm.asked('scontrol', 'update', 'partition=usual', 'state=up')
        gate.touch()
    assert counted.read_text() == 'x\n' and project.read('m.json') == '1\n'


def test_ctrl_c_ends_it_there(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    begun, ended = tmp_path / 'begun', tmp_path / 'ended'
    project.write('train.sh', f'trap "touch {ended}; exit 9" TERM; touch {begun}; while :; do sleep 0.05; done\n')
    run = started(project, 'run', '--host', 'cluster')
    wait_for(begun.exists)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert ended.exists()
    wait_for(lambda: not any(state in ('RUNNING', 'PENDING') for _, state, _ in slurm.jobs()))
    project.write('train.sh', TRAIN)
    project.mlops('run', '--host', 'cluster')


def test_what_waits_is_taken_out_of_the_queue(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    project.write('pipeline.yaml', f'stages:\n  one: {{cmd: "touch {tmp_path}/ran", host: cluster}}\n')
    slurm.asked('scontrol', 'update', 'partition=usual', 'state=down')
    try:
        run = started(project, 'run')
        wait_for(lambda: any((tmp_path / 'far').glob('jobs-v1/*/handed')))
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
        assert not any(state == 'PENDING' for _, state, _ in slurm.jobs())
    finally:
        slurm.asked('scontrol', 'update', 'partition=usual', 'state=up')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.full
def test_what_somebody_cancels_in_slurm_is_not_the_stages_failure(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    begun = tmp_path / 'begun'
    project.write('train.sh', f'touch {begun}; test -e {begun}.2 || sleep 60; {TRAIN}')
    run = started(project, 'run', '--host', 'cluster')
    wait_for(begun.exists)
    (number,) = [number for number, state, name in slurm.jobs() if state == 'RUNNING' and name.startswith('train.')]
    slurm.asked('scancel', number)
    said = run.communicate(timeout=60)[0].decode()
    assert run.returncode == 4 and 'it was cancelled in Slurm' in said, said
    Path(f'{begun}.2').touch()
    project.mlops('run', '--host', 'cluster')
    assert project.read('m.json') == '{"rows": 3}\n'


def test_what_came_with_git_is_confirmed_with_its_words(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    add(project, tmp_path, '--partition=urgent')
    project.commit('all')
    project.git('clone', '-q', str(project.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two', slurm.environ)
    refused = two.mlops('run', '--host', 'cluster', code=5)
    assert 'far, with --partition=urgent there, which came with git and nobody here has confirmed' in refused.err
    two.mlops('config', 'confirm', 'hosts.cluster', '--yes')
    two.mlops('run', '-n', '--host', 'cluster')
    config = two.path / '.mlops/config.yaml'
    config.write_text(config.read_text().replace('urgent', 'usual'))
    assert 'nobody here has confirmed' in two.mlops('hosts', 'check', 'cluster', code=5).out


def test_python_of_the_tests_is_not_needed(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages:\n  one: {cmd: "echo 1 > o", outs: [o], host: cluster}\n')
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--python', sys.executable)
    project.mlops('run')
    assert project.read('o') == '1\n' and os.path.isdir(tmp_path / 'far/bundles-v1')


@pytest.mark.parametrize(('submit', 'problem', 'hint'), [
    ('--partition=nowhere', 'it has no partition nowhere', 'there are: closed, urgent, usual'),
    ('--partition=urgnt', 'it has no partition urgnt', 'did you mean urgent?'),
    ('--partition=closed', 'its partition closed is closed', 'names another one'),
    ('--mem=900G', 'it would not take a job: Requested node configuration is not available', 'sbatch --test-only --mem=900G'),
])  # fmt: skip
def test_what_hosts_check_finds(project: Project, tmp_path: Path, submit: str, problem: str, hint: str) -> None:
    (row,) = project.mlops('hosts', 'check', '--json').json['rows']
    assert row['usable'] and row['facts']['slurm'] == {'partitions': ['usual'], 'nodes': 1, 'usable': 1, 'gpus': 2}
    assert 'Slurm, 1 node, 16 CPUs, 2 GPUs' in project.mlops('hosts', 'check').out
    add(project, tmp_path, submit)
    checked = project.mlops('hosts', 'check', code=4)
    assert problem in checked.out and hint in checked.out
    if problem.startswith('it has no'):
        refused = project.mlops('run', '--host', 'cluster', code=4)
        assert problem in refused.err and not project.exists('table')


def test_a_machine_without_slurm(project: Project, tmp_path: Path) -> None:
    few = tmp_path / 'few'
    few.mkdir()
    for program in ('git', 'sh'):
        (few / program).symlink_to(str(shutil.which(program)))
    project.environ['PATH'] = str(few)
    add(project, tmp_path, '--partition=usual')
    for words in (('hosts', 'check'), ('run', '--host', 'cluster')):
        refused = project.mlops(*words, code=4)
        assert 'there is no sinfo' in refused.out + refused.err and 'mlops hosts add --path' in refused.out + refused.err
    assert not project.exists('table')


@pytest.mark.full
def test_cuts_and_kills_leave_one_job_each_behind_ssh(
    project: Project, tmp_path: Path, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.servers.sshd import running

    folder = tmp_path_factory.mktemp('sshd')
    with running(folder, f'SetEnv HOME={folder}/home XDG_CACHE_HOME= SLURM_CONF={slurm.environ["SLURM_CONF"]}') as login:
        project.environ.update(login.environ)
        del project.environ['SLURM_CONF']
        project.mlops('hosts', 'add', 'behind', login.url(tmp_path / 'behind').replace('ssh://', 'slurm://'))
        cuts = cut_often(project, tmp_path, 'behind', 5, 8)
    assert min(cuts.values()) >= 5
    names = [name.partition('.')[0] for _, _, name in slurm.jobs() if name.startswith(('s0.', 's1.', 's2.', 's3.', 's4.'))]
    assert sorted(names) == [f's{number}' for number in range(5)], 'one job of Slurm for each'
