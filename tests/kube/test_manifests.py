"""What is asked of Kubernetes, by its own schemas and by what a pod may be."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import pytest

from mlops_cli.core.kube import Place, Words, read_words
from mlops_cli.kube.manifests import LINE, Asked, gateway, job_name, stage_job

PLACE = Place('dev', 'ml', 'shared', 'far')
ALL = read_words('image=a/b:1 user=any gpu=amd.com/gpu service-account=s priority-class=p runtime-class=nvidia queue=q '
                 'pull-secret=x node-selector=a=b toleration=nvidia.com/gpu toleration=a=b:NoSchedule')
VERSIONS = ('1.25', '1.29', '1.32', '1.36')


def asked(**fields: Any) -> Asked:
    given: dict[str, Any] = {
        'name': 'train_it.00000000000000ff', 'run': '2026 11',
        'program': ['python3', '-c', 'pass'], 'output': '/mnt/mlops/far/said',
        'cpus': 1.5, 'memory_bytes': 1 << 30, 'gpus': 2, 'timeout_seconds': 7.5, 'grace_seconds': 3.0}  # fmt: skip
    return Asked(**given | fields)


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('words', [Words(), ALL], ids=['plain', 'all'])
def test_kubernetes_would_take_them(words: Words, version: str) -> None:
    for made in (gateway(PLACE, words), stage_job(PLACE, words, asked()), stage_job(PLACE, words, asked(gpus=0, memory_bytes=0,
                                                                                                       timeout_seconds=None))):
        kubernetes_validate.validate(made, version, strict=True)


def test_schemas_find_what_is_wrong() -> None:
    made = stage_job(PLACE, ALL, asked())
    made['spec']['template']['spec']['tolerations'][0]['wrong'] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, '1.32', strict=True)


def test_a_job_is_tried_once_and_gets_what_its_stage_asks_for() -> None:
    made = stage_job(PLACE, Words(), asked())
    pod = made['spec']['template']['spec']
    assert (made['spec']['backoffLimit'], pod['restartPolicy']) == (0, 'Never')
    assert made['metadata']['name'] == job_name('train_it.00000000000000ff') == 'mlops-train-it-00000000000000ff'
    assert made['metadata']['labels']['mlops.stage'] == 'train_it' and made['metadata']['labels']['mlops.run'] == '2026-11'
    memory = str((1 << 30) + (128 << 20))
    assert pod['containers'][0]['resources'] == {'requests': {'cpu': '1500m', 'memory': memory, 'nvidia.com/gpu': '2'},
                                                 'limits': {'memory': memory, 'nvidia.com/gpu': '2'}}  # fmt: skip
    assert pod['activeDeadlineSeconds'] == 911 and 'activeDeadlineSeconds' not in made['spec'], 'waiting for a node counts not'
    assert stage_job(PLACE, ALL, asked())['spec']['suspend'] and 'suspend' not in made['spec']


@pytest.mark.parametrize('made', [gateway(PLACE, Words()), stage_job(PLACE, Words(), asked())], ids=['gateway', 'job'])
def test_pods_have_no_rights(made: dict[str, Any]) -> None:
    """What the profile "restricted" of Pod Security asks for, and no token of the cluster."""
    pod = made['spec']['template']['spec']
    assert pod['automountServiceAccountToken'] is False
    assert pod['securityContext']['runAsNonRoot'] and pod['securityContext']['runAsUser'] == 1000
    assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
    for container in pod['containers']:
        assert container['securityContext'] == {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}
    assert {*made['spec']['template']['spec']} & {'hostNetwork', 'hostPID', 'hostIPC'} == set()
    assert all({*volume} & {'hostPath'} == set() for volume in pod['volumes'])


@pytest.mark.parametrize('stage', ['train', 'Train_2', 'x' * 60, '___', 'ä', 'a.b'])
def test_names_are_names_there(stage: str) -> None:
    import re

    name = job_name(f'{stage}.0123456789abcdef')
    assert re.fullmatch(r'[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?', name) and name.endswith('0123456789abcdef')


def test_a_gateway_ends_when_nobody_has_a_line() -> None:
    made = gateway(PLACE, Words(), ticks=3, pause=0.2)  # type: ignore[arg-type]
    name = made['metadata']['name']
    with subprocess.Popen(['sleep', '1.2'], env={'PATH': '/usr/bin:/bin', LINE: name}) as line:
        done = subprocess.run(made['spec']['template']['spec']['containers'][0]['command'], timeout=100, check=False)
        assert done.returncode == 0 and line.poll() is not None
    assert gateway(PLACE, Words())['metadata']['name'] == gateway(PLACE, Words())['metadata']['name']
    assert gateway(PLACE, Words(image='b'))['metadata']['name'] != gateway(PLACE, Words())['metadata']['name']
