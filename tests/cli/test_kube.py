"""Stages on Kubernetes, a stand-in behind a real kubectl: the same results as here, each once, and clear words where that
cannot be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.test_hosts import TRAIN, made, pins, started, wait_for
from tests.servers.kube import Kube
from tests.support.files import contents
from tests.support.gpus import two_at_a_time
from tests.support.project import Project

pytestmark = pytest.mark.full


@pytest.fixture
def project(tmp_path: Path, kube: Kube) -> Project:
    found = made(tmp_path / 'one')
    found.environ.update(kube.environ)
    found.mlops('hosts', 'add', 'cluster', kube.url('far'))
    return found


def words(text: str) -> str:
    return ' '.join(text.split())


def test_what_is_made_there_is_what_is_made_here(project: Project, kube: Kube, tmp_path: Path) -> None:
    here = made(tmp_path / 'two')
    here.mlops('run')
    said = project.mlops('run', '--host', 'cluster')
    assert 'on cluster (' in said.err + said.out and 'Kubernetes, 1 node, 16 CPUs, 2 GPUs' in said.err + said.out
    assert pins(project) == pins(here)
    assert 'trained at 0.5' in project.mlops('logs', 'train').out
    assert 'Nothing to do' in project.mlops('run').out
    assert not list((kube.claim / 'far/jobs-v1').glob('*/project-*'))
    checked = project.mlops('hosts', 'check', '--json').json['rows'][0]
    assert checked['usable'] and checked['facts']['kubernetes']['gpus'] == 2
    assert len(kube.jobs) == 3, 'one gateway, and one job for each stage'


def test_each_stage_gets_gpus_of_its_own(project: Project, tmp_path: Path) -> None:
    two_at_a_time(project, tmp_path)


def test_a_secret_is_in_no_file_and_not_with_kubernetes(project: Project, tmp_path: Path, kube: Kube) -> None:
    secret = 'hunter2-hunter2-hunter2'
    project.environ |= {'API_TOKEN': secret, 'NOT_DECLARED': 'leaked-leaked'}
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    project.write('wait.sh', f'touch {begun}; until test -e {gate}; do sleep 0.1; done; printf %s $API_TOKEN | wc -c > n')
    project.write('pipeline.yaml', (
        "stages:\n  s: {cmd: 'sh wait.sh; env | grep -c NOT_D > m || true', deps: [wait.sh], outs: [n, m], "
        'secrets: [API_TOKEN], host: cluster}\n'))
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    assert secret not in json.dumps([kube.created, kube.jobs, kube.pods])
    for path, data in contents(kube.folder):
        assert secret.encode() not in data, path
    gate.touch()
    assert run.wait(60) == 0 and project.read('n') == f'{len(secret)}\n' and project.read('m') == '0\n'


@pytest.mark.parametrize('how', ['killed', 'Ctrl-C'])
def test_who_goes_away(project: Project, kube: Kube, tmp_path: Path, how: str) -> None:
    begun, ended = tmp_path / 'begun', tmp_path / 'ended'
    project.write('train.sh', f'trap "echo x >> {ended}; exit 1" TERM; echo x >> {begun}; sleep 8 & wait $!; {TRAIN}')
    run = started(project, 'run', '--host', 'cluster')
    wait_for(begun.exists, 60)
    if how == 'killed':
        run.kill()
        run.wait()
        project.mlops('run', '--host', 'cluster')
        assert begun.read_text() == 'x\n' and not ended.exists() and project.read('m.json') == '{"rows": 3}\n'
        assert len(kube.stage_jobs()) == 2
        return
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130 and ended.read_text() == 'x\n'
    project.write('train.sh', TRAIN)
    project.mlops('run', '--host', 'cluster')


ENDS = {
    'evicted': ({'reason': 'Evicted', 'message': 'The node was low on resource: memory.'}, 4, 'its node ran short'),
    'preempted': ({'reason': '', 'message': 'Preempted', 'disruption': 'PreemptionByScheduler'}, 4, 'took its place'),
    'lost': ({'reason': '', 'message': 'gone', 'disruption': 'DeletionByTaintManager', 'kill': False}, 4, 'its node was lost'),
    'out of memory': ({'reason': '', 'message': '', 'container': 'OOMKilled'}, 1, 'raise resources.memory'),
    'deadline': ({'reason': 'DeadlineExceeded', 'message': 'Pod was active'}, 1, 'ended it at its deadline'),
}


@pytest.mark.parametrize('what', ENDS)
def test_what_a_node_does_to_a_pod_is_told(project: Project, kube: Kube, tmp_path: Path, what: str) -> None:
    given, code, told = ENDS[what]
    begun = tmp_path / 'begun'
    cmd = f'echo x >> {begun}; test -e {begun}.2 || sleep 60'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "{cmd}", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    kube.ends(kube.stage_jobs()[0], **given)
    said = words(run.communicate(timeout=90)[0].decode())
    assert run.returncode == code and told in said, said
    Path(f'{begun}.2').touch()
    project.mlops('run')
    assert begun.read_text() == 'x\nx\n'


def test_a_job_that_is_deleted_is_told(project: Project, kube: Kube, tmp_path: Path) -> None:
    begun = tmp_path / 'begun'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "touch {begun}; sleep 60", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    kube.delete(kube.stage_jobs()[0], {})
    said = words(run.communicate(timeout=120)[0].decode())
    assert run.returncode == 4 and 'Kubernetes has no more of it' in said, said


def test_an_answer_that_is_lost_begins_nothing_twice(project: Project, kube: Kube, tmp_path: Path) -> None:
    begun = tmp_path / 'begun'
    project.mlops('hosts', 'check')
    kube.lose_answers = 2
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "echo x >> {begun}", host: cluster}}\n')
    project.mlops('run')
    assert begun.read_text() == 'x\n' and len(kube.stage_jobs()) == 1


def test_an_api_that_is_away_for_a_while(project: Project, kube: Kube, tmp_path: Path) -> None:
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    cmd = f'echo x >> {begun}; until test -e {gate}; do sleep 0.1; done'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "{cmd}", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    kube.down = True
    time.sleep(4)
    gate.touch()
    time.sleep(2)
    kube.down = False
    assert run.wait(60) == 0 and begun.read_text() == 'x\n'


def test_a_gateway_that_goes_away_is_made_again(project: Project, kube: Kube, tmp_path: Path) -> None:
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    cmd = f'echo x >> {begun}; until test -e {gate}; do sleep 0.1; done'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "{cmd}", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    (name,) = {*kube.jobs} - {*kube.stage_jobs()}
    kube.ends(name, 'Evicted', 'The node was low on resource: memory.')
    time.sleep(1)
    gate.touch()
    assert run.wait(120) == 0 and begun.read_text() == 'x\n'
    assert sum(made['metadata']['name'] == name for made in kube.created) == 2


def test_what_is_wrong_is_said_in_a_line(project: Project, kube: Kube) -> None:
    """And what mends it."""
    def check(problem: str, hint: str, url: str = '', submit: str = '') -> None:
        name = f'h{len(asked)}'
        asked.append(name)
        project.mlops('hosts', 'add', name, url or kube.url('far'), *(['--submit', submit] if submit else []))
        said = words(project.mlops('hosts', 'check', name, code=4).out)
        assert problem in said and hint in said, said

    asked: list[str] = []
    check('kubectl knows no such context', 'kubectl config get-contexts', 'k8s://other/ml/shared')
    check('there is no PersistentVolumeClaim nothing in namespace ml', 'kubectl get pvc -n ml', 'k8s://dev/ml/nothing')
    check('there is no namespace none', 'kubectl get namespaces', 'k8s://dev/none/shared')
    check('the image no-such/image:1 does not come: ImagePullBackOff', 'pull-secret', submit='image=no-such/image:1')
    check("its gateway cannot begin: 0/1 nodes are available: 1 node(s) didn't", 'node-selector', submit='node-selector=a=b')
    kube.denied = {('create', 'jobs')}
    check('you may not create jobs.batch in namespace ml', 'kubectl auth can-i create jobs.batch -n ml', submit='user=1001')
    kube.denied = {('delete', 'jobs')}
    check('you may not delete jobs.batch in namespace ml', 'kubectl auth can-i delete jobs.batch -n ml')
    kube.denied = {('create', 'pods/exec')}
    check('you may not start anything in a pod', 'kubectl auth can-i create pods/exec')
    kube.denied = set()
    kube.modes, kube.nodes = ['ReadWriteOnce'], kube.nodes * 2
    check('its claim is ReadWriteOnce, which pods on 2 nodes cannot share', 'ReadWriteMany')
    kube.down = True
    check('Kubernetes does not answer: the server is currently unable', 'is the cluster up')


def test_pods_that_are_refused(project: Project, kube: Kube) -> None:
    project.mlops('hosts', 'check')
    kube.refuse_pods = 'violates PodSecurity "restricted:latest": something'
    project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cluster}\n')
    said = words(project.mlops('run', code=4).out)
    assert 'it would wait in Kubernetes for ever: violates PodSecurity' in said


def test_volumes_that_do_not_come(project: Project, kube: Kube) -> None:
    project.mlops('hosts', 'check')
    kube.refuse_mounts = 'MountVolume.SetUp failed for volume "claim": mount.nfs: Connection timed out'
    project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cluster}\n')
    said = words(project.mlops('run', code=4).out)
    assert 'it would wait in Kubernetes for ever: MountVolume.SetUp failed' in said and not kube.stage_jobs()
    project.mlops('hosts', 'add', 'other', kube.url('far'), '--submit', 'user=1001')
    assert 'its gateway cannot begin: MountVolume.SetUp failed' in words(project.mlops('hosts', 'check', 'other', code=4).out)


def kubectls(kube: Kube) -> dict[int, bytes]:
    """Those that reach this cluster: process -> its words."""
    found = {}
    for entry in Path('/proc').iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f'KUBECONFIG={kube.folder}'.encode() in (entry / 'environ').read_bytes():
                words = (entry / 'cmdline').read_bytes()
                if words.partition(b'\0')[0].endswith(b'kubectl'):
                    found[int(entry.name)] = words
    return found


def test_cuts_leave_one_job(project: Project, kube: Kube, tmp_path: Path) -> None:
    """kubectl killed in the middle of it, again and again; and nothing of it is left where mlops was killed."""
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    cmd = f'echo x >> {begun}; until test -e {gate}; do sleep 0.1; done'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "{cmd}", host: cluster}}\n')
    run = started(project, 'run')
    wait_for(begun.exists, 60)
    for words in (b'exec', b'proxy', b'exec'):
        pids = [pid for pid, said in kubectls(kube).items() if words in said.split(b'\0')]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(2)
    assert run.poll() is None
    run.kill()
    run.wait()
    wait_for(lambda: not kubectls(kube), 20)
    run = started(project, 'run')
    time.sleep(1)
    gate.touch()
    assert run.wait(90) == 0 and begun.read_text() == 'x\n' and len(kube.stage_jobs()) == 1
    assert len(kube.jobs) == 2, 'both runs had the same gateway'
    wait_for(lambda: not kubectls(kube), 20)


def test_what_is_missing_here_or_there_is_said(project: Project, kube: Kube, tmp_path: Path) -> None:
    project.mlops('hosts', 'add', 'none', kube.url('far'), '--python', '/nowhere/python3')
    assert 'there is no Python from 3.11 on' in words(project.mlops('hosts', 'check', 'none', code=4).out)
    there = f'{Path(sys.executable).parent}{os.pathsep}{Path(shutil.which("git") or "").parent}'
    empty = tmp_path / 'bin'
    empty.mkdir()
    for name in ('python3', 'git'):
        (empty / name).symlink_to(shutil.which(name, path=there) or '/bin/false')
    project.environ['PATH'] = str(empty)
    said = words(project.mlops('hosts', 'check', 'cluster', code=4).out)
    assert 'there is no kubectl on this machine' in said and 'install kubectl' in said
