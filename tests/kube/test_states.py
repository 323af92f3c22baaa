"""What Kubernetes says of jobs and pods, told apart."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.job.engine import number_of
from mlops_cli.job.far_kube import ENDINGS, KubeEngine
from mlops_cli.kube import states

NOW = 1.8e9  # for all: what is listed here is made long before its turn comes


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, 'time', SimpleNamespace(time=lambda: NOW))


def job(*conditions: tuple[str, str], **meta: Any) -> dict[str, Any]:
    rows = [{'type': kind, 'status': 'True', 'reason': reason} for kind, reason in conditions]
    return {'metadata': {'name': 'j', **meta}, 'status': {'conditions': rows}}


def pod(phase: str = 'Failed', *, disrupted: str = '', scheduled: str = '', since: float = 0.0,
        state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    stamp = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(NOW - since))
    rows = [{'type': 'DisruptionTarget', 'status': 'True', 'reason': disrupted}] if disrupted else []
    if scheduled:
        rows.append({'type': 'PodScheduled', 'status': 'False', 'message': scheduled, 'lastTransitionTime': stamp})
    told = {'phase': phase, 'conditions': rows, 'containerStatuses': [{'name': 'mlops', 'state': state or {}}], **status}
    return {'metadata': {'name': 'p', 'creationTimestamp': stamp}, 'status': told}


FAILED = ('Failed', 'BackoffLimitExceeded')


def ended(code: int, reason: str) -> dict[str, Any]:
    return {'terminated': {'exitCode': code, 'reason': reason}}


@pytest.mark.parametrize(('found', 'its', 'state'), [
    (job(FAILED), pod(state=ended(137, 'OOMKilled')), 'OOMKilled'),
    (job(FAILED), pod(reason='Evicted', message='low on memory', state=ended(137, 'Error')), 'Evicted'),
    (job(FAILED), pod(disrupted='TerminationByKubelet', reason='Terminated'), 'Evicted'),
    (job(FAILED), pod(disrupted='PreemptionByScheduler'), 'Preempted'),
    (job(FAILED), pod(disrupted='EvictionByEvictionAPI'), 'Drained'),
    (job(FAILED), pod('Running', disrupted='DeletionByTaintManager'), 'NodeLost'),
    (job(FAILED), pod(reason='NodeLost'), 'NodeLost'),
    (job(FAILED), pod(reason='NodeShutdown'), 'NodeLost'),
    (job(FAILED), pod(state=ended(137, 'ContainerStatusUnknown')), 'NodeLost'),
    (job(FAILED), pod(reason='DeadlineExceeded'), 'DeadlineExceeded'),
    (job(('Failed', 'DeadlineExceeded')), None, 'DeadlineExceeded'),
    (job(FAILED), pod(state=ended(128, 'StartError')), 'StartError'), (job(FAILED), pod(reason='OutOfcpu'), 'Refused'),
    (job(FAILED), None, 'Gone'), (job(FAILED), pod(state=ended(1, 'Error')), 'Failed'),
    (job(('Complete', '')), pod('Succeeded', state=ended(0, 'Completed')), 'Complete'),
    (job(('Complete', '')), None, 'Complete'),
    (job(deletionTimestamp='2026-01-01T00:00:00Z'), None, 'Deleted'),
    (job(), None, ''), (job(), pod('Pending'), ''), (job(), pod('Running', state={'running': {}}), ''),
    ({}, {}, ''), ({'status': {'conditions': 'x'}}, {'status': {'containerStatuses': [3], 'conditions': {}}}, ''),
])  # fmt: skip
def test_states(found: dict[str, Any], its: dict[str, Any] | None, state: str) -> None:
    assert states.of(found, its).state == state
    assert state in ('', 'Complete', 'Failed') or state in ENDINGS


def waits(reason: str) -> dict[str, Any]:
    return {'waiting': {'reason': reason, 'message': 'so'}}


@pytest.mark.parametrize(('its', 'hopeless'), [
    (pod('Pending', state=waits('ImagePullBackOff')), False),
    (pod('Pending', state=waits('ImagePullBackOff'), since=120), True),
    (pod('Pending', state=waits('InvalidImageName')), True), (pod('Pending', state=waits('CreateContainerConfigError')), True),
    (pod('Pending', state=waits('ContainerCreating'), since=9999), False),
    (pod('Pending', scheduled='0/3 nodes are available: 3 Insufficient nvidia.com/gpu.', since=9999), False),
    (pod('Pending', scheduled="0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."), False),
    (pod('Pending', scheduled="0/3 nodes are available: 3 node(s) didn't match Pod's node affinity.", since=9999), True),
])  # fmt: skip
def test_what_would_wait_for_ever(its: dict[str, Any], hopeless: bool) -> None:
    found = states.of(job(), its)
    assert (found.state, bool(found.hopeless)) == ('', hopeless)


def placed(its: dict[str, Any]) -> dict[str, Any]:
    its['status']['conditions'].append({'type': 'PodScheduled', 'status': 'True'})
    return its


@pytest.mark.parametrize(('its', 'why'), [
    (None, 'its pod is not made yet'), (pod('Pending'), 'its pod has no node yet'),
    (pod('Pending', scheduled='0/3 nodes are available: 3 Insufficient cpu.'), '0/3 nodes are available: 3 Insufficient cpu.'),
    (pod('Pending', state=waits('ImagePullBackOff')), 'ImagePullBackOff: so'),
    (placed(pod('Pending', state=waits('ContainerCreating'))), 'its node makes its container (ContainerCreating)'),
    (placed(pod('Pending')), 'its node makes its container'), (pod('Running', state={'running': {}}), ''),
    ({'status': {'phase': 'Pending', 'containerStatuses': [3, {'state': 'x'}]}}, 'its pod has no node yet'),
])  # fmt: skip
def test_why_a_job_does_not_run(its: dict[str, Any] | None, why: str) -> None:
    assert states.queued(its, states.of(job(), its).said) == why


def test_the_youngest_pod_counts() -> None:
    times = {'b': '2', 'a': '1'}.items()
    rows = [{'metadata': {'name': name, 'creationTimestamp': at, 'labels': {'job-name': 'j'}}} for name, at in times]
    assert states.pods_of(rows)['j']['metadata']['name'] == 'b'


def test_names_that_are_not_ours() -> None:
    assert number_of('train.00000000000000ff') == 255
    assert [number_of(name) for name in ('', 'train', 'train.ff', 'x.zzzzzzzzzzzzzzzz')] == [0, 0, 0, 0]
    assert [number_of(name) for name in ('x.0x00000000000000', 'x.+000000000000001', 'x.0_0_0_0_0_0_0_0_')] == [0, 0, 0]


def test_who_is_asked_back_and_answers_nothing_of_use() -> None:
    """What a client sends is taken only as an answer to what was asked."""
    engine = KubeEngine()
    assert engine.back({'done': [{'number': 1, 'rows': []}, 'x'], 'seconds': 0}) == {'wanted': []}
    assert engine.back({'done': [], 'seconds': 0}) == {'wanted': []}
