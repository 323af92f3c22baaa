"""Stages on a Ray cluster, with a real Ray: the same results as here, each once, and clear words where that cannot be."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.cli.test_hosts import TRAIN, made, pins, started, wait_for
from tests.servers.ray import Ray, running
from tests.support.files import contents
from tests.support.gpus import two_at_a_time
from tests.support.project import Project

pytestmark = pytest.mark.full


@pytest.fixture
def project(tmp_path: Path, ray: Ray) -> Project:
    found = made(tmp_path / 'one')
    found.mlops('hosts', 'add', 'cluster', ray.url(tmp_path / 'far'))
    return found


def test_what_is_made_there_is_what_is_made_here(project: Project, tmp_path: Path) -> None:
    here = made(tmp_path / 'two')
    here.mlops('run')
    said = project.mlops('run', '--host', 'cluster')
    assert 'on cluster (' in said.err + said.out and 'Ray, 1 node, 16 CPUs, 2 GPUs' in said.err + said.out
    assert pins(project) == pins(here)
    assert 'trained at 0.5' in project.mlops('logs', 'train').out
    assert 'Nothing to do' in project.mlops('run').out
    assert not list((tmp_path / 'far/jobs-v1').glob('*/project'))
    checked = project.mlops('hosts', 'check', '--json').json['rows'][0]
    assert checked['usable'] and checked['facts']['ray']['gpus'] == 2


def test_each_stage_gets_gpus_of_its_own(project: Project, tmp_path: Path) -> None:
    two_at_a_time(project, tmp_path)
    project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cluster, resources: {gpus: 3}}\n')
    refused = project.mlops('run', code=2)
    assert 'Ray does not take it: no node has 1 CPU, 3 GPU' in ' '.join(refused.out.split())


def test_a_secret_is_in_no_file_and_not_with_ray(project: Project, tmp_path: Path, ray: Ray) -> None:
    secret = 'hunter2-hunter2-hunter2'
    project.environ |= {'API_TOKEN': secret, 'NOT_DECLARED': 'leaked-leaked'}
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    project.write('wait.sh', f'touch {begun}; until test -e {gate}; do sleep 0.1; done; printf %s $API_TOKEN | wc -c > n')
    project.write('pipeline.yaml', (
        "stages:\n  s: {cmd: 'sh wait.sh; env | grep -c NOT_D > m || true', deps: [wait.sh], outs: [n, m], "
        'secrets: [API_TOKEN], host: cluster}\n'))
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    for path, data in contents(tmp_path / 'far', ray.folder):
        assert secret.encode() not in data, path
    gate.touch()
    assert run.wait(60) == 0 and project.read('n') == f'{len(secret)}\n' and project.read('m') == '0\n'


@pytest.mark.parametrize('how', ['killed', 'Ctrl-C'])
def test_who_goes_away(project: Project, tmp_path: Path, how: str) -> None:
    begun, ended = tmp_path / 'begun', tmp_path / 'ended'
    project.write('train.sh', f'trap "echo x >> {ended}; exit 1" TERM; echo x >> {begun}; sleep 6 & wait $!; {TRAIN}')
    run = started(project, 'run', '--host', 'cluster')
    wait_for(begun.exists, 60)
    if how == 'killed':
        os.killpg(os.getpgid(run.pid), signal.SIGKILL) if os.getpgid(run.pid) == run.pid else run.kill()
        run.wait()
        project.mlops('run', '--host', 'cluster')
        assert begun.read_text() == 'x\n' and not ended.exists() and project.read('m.json') == '{"rows": 3}\n'
        return
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130 and ended.read_text() == 'x\n'
    project.write('train.sh', TRAIN)
    project.mlops('run', '--host', 'cluster')


def test_one_that_is_stopped_in_ray_is_told(project: Project, tmp_path: Path, ray: Ray) -> None:

    begun = tmp_path / 'begun'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "touch {begun}; sleep 60", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    url = f'http://127.0.0.1:{ray.port}/api/jobs/'
    with urllib.request.urlopen(url, timeout=20) as answer:

        (name,) = [job['submission_id'] for job in json.loads(answer.read()) if job['status'] == 'RUNNING']
    with urllib.request.urlopen(urllib.request.Request(f'{url}{name}/stop', b'{}'), timeout=20):
        pass
    said = run.communicate(timeout=90)[0].decode()
    assert run.returncode == 4 and 'it was stopped in Ray' in ' '.join(said.split()), said


def test_no_ray_there(project: Project, tmp_path: Path) -> None:
    project.mlops('hosts', 'add', 'none', f'ray://:1{tmp_path}/none')
    refused = project.mlops('run', '--host', 'none', code=4)
    assert 'its dashboard at 127.0.0.1:1 does not answer' in refused.err and 'ray status tells' in refused.err
    assert 'does not answer' in project.mlops('hosts', 'check', 'none', code=4).out
    assert not (project.path / '.mlops/runs').exists()


def test_a_ray_that_comes_back_without_its_jobs(tmp_path: Path) -> None:
    """As after its head was restarted: the run that waits for one says so, and the next run does it anew."""
    begun = tmp_path / 'begun'
    project = made(tmp_path / 'one')
    project.write('train.sh', f'echo x >> {begun}; test -e {begun}.2 || sleep 600; {TRAIN}')
    with running() as ray:
        project.mlops('hosts', 'add', 'cluster', ray.url(tmp_path / 'far'))
        run = started(project, 'run', '--host', 'cluster')
        wait_for(begun.exists, 60)
    with running(ray.port):
        said, _ = run.communicate(timeout=180)
        assert run.returncode == 4 and 'Ray has no more of it' in ' '.join(said.decode().split())
        Path(f'{begun}.2').touch()
        project.mlops('run', '--host', 'cluster')
    assert project.read('m.json') == '{"rows": 3}\n'
    assert begun.read_text() == 'x\nx\n'
