"""What Kubernetes says of a job and its pod, as the far end is told it: whether it goes on, would wait for ever, or of
what it has ended."""
from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from mlops_cli.kube.manifests import NAME

STUCK_SECONDS = 60.0  # after which what cannot begin is not expected to
HOMELESS_SECONDS = 900.0  # that a node is waited for: one may be on its way
# Why a container waits; those of the first do not pass by themselves.
NEVER = ('InvalidImageName', 'ErrImageNeverPull', 'CreateContainerConfigError', 'CreateContainerError', 'RunContainerError')
PULLING = ('ImagePullBackOff', 'ErrImagePull', 'RegistryUnavailable')
# Reasons of the condition DisruptionTarget of a pod.
DISRUPTED = {
    'PreemptionByScheduler': 'Preempted', 'DeletionByTaintManager': 'NodeLost', 'DeletionByPodGC': 'NodeLost',
    'EvictionByEvictionAPI': 'Drained', 'TerminationByKubelet': 'Evicted',
}  # fmt: skip
# Reasons of a pod that failed.
FAILED = {'NodeAffinity': 'Refused', 'Evicted': 'Evicted', 'NodeLost': 'NodeLost', 'Preempting': 'Preempted',
          'DeadlineExceeded': 'DeadlineExceeded',
          'Terminated': 'NodeLost', 'NodeShutdown': 'NodeLost', 'Shutdown': 'NodeLost', 'UnexpectedAdmissionError': 'Refused',
          'OutOfcpu': 'Refused', 'OutOfmemory': 'Refused', 'OutOfpods': 'Refused'}  # fmt: skip
# Reasons of a container that ended.
ENDED = {'OOMKilled': 'OOMKilled', 'ContainerCannotRun': 'StartError', 'StartError': 'StartError',
         'ContainerStatusUnknown': 'NodeLost'}  # fmt: skip


class State(NamedTuple):
    """``state``: in our words, '' where it goes on; ``hopeless``: why it would wait for ever; ``said``: what they say there."""

    state: str = ''
    hopeless: str = ''
    said: str = ''


def name_of(job: Mapping[str, Any]) -> str:
    return str(part(job, 'metadata', 'annotations').get(NAME) or '')


def part(found: Any, *names: str) -> Mapping[str, Any]:
    """Of an answer; empty where that is not there, or is no mapping."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def parts(found: Any, *names: str) -> list[Mapping[str, Any]]:
    """The mappings in a list of an answer."""
    *path, last = names
    rows = part(found, *path).get(last)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def condition(found: Any, name: str) -> Mapping[str, Any]:
    """The one of that name which holds; empty if none."""
    rows = (row for row in parts(found, 'status', 'conditions') if row.get('type') == name and row.get('status') == 'True')
    return next(rows, {})


def age(text: object) -> float:
    """Seconds since a time as Kubernetes writes it, by the clock here; 0 where it is none."""
    with suppress(TypeError, ValueError, AttributeError, OverflowError):
        return time.time() - datetime.fromisoformat(str(text).replace('Z', '+00:00')).timestamp()
    return 0.0


def is_over(job: Mapping[str, Any]) -> bool:
    return bool(condition(job, 'Complete') or condition(job, 'Failed'))


def pods_of(pods: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By the name of their job, the youngest of each."""
    found: dict[str, Mapping[str, Any]] = {}
    for pod in sorted(pods, key=lambda pod: str(part(pod, 'metadata').get('creationTimestamp') or '')):
        labels = part(pod, 'metadata', 'labels')
        found[str(labels.get('batch.kubernetes.io/job-name') or labels.get('job-name') or '')] = pod
    return found


def of(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> State:
    """How a job is."""
    if is_over(job):
        return ended(job, pod)
    if part(job, 'metadata').get('deletionTimestamp'):
        return State('Deleted')
    return waiting(pod) if pod is not None else State()


def ended(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> State:
    """Of one that is over: of what, as far as its pod still says."""
    failed = condition(job, 'Failed')
    said = str(failed.get('message') or '')
    if failed.get('reason') == 'DeadlineExceeded':
        return State('DeadlineExceeded', said=said)
    if pod is None:
        return State('Gone' if failed else 'Complete', said=said)
    told = str(part(pod, 'status').get('message') or '')
    container = _terminated(pod)
    if (reason := ENDED.get(str(container.get('reason')))) in ('OOMKilled', 'StartError'):
        return State(reason, said=str(container.get('message') or told))
    disrupted = condition(pod, 'DisruptionTarget')
    for named, reasons in ((disrupted.get('reason'), DISRUPTED), (part(pod, 'status').get('reason'), FAILED)):
        if str(named) in reasons:
            return State(reasons[str(named)], said=told or str(disrupted.get('message') or ''))
    if reason:
        return State(reason, said=told)
    code = container.get('exitCode')
    return State('Failed' if failed else 'Complete', said=told or (f'exit {code}' if code else ''))


def _terminated(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    for row in parts(pod, 'status', 'containerStatuses'):
        if found := part(row, 'state', 'terminated'):
            return found
    return {}


def waiting(pod: Mapping[str, Any]) -> State:
    """Of one that is not over: why it would never begin, if so."""
    since = age(part(pod, 'metadata').get('creationTimestamp'))
    for row in parts(pod, 'status', 'containerStatuses'):
        wait = part(row, 'state', 'waiting')
        reason, message = str(wait.get('reason') or ''), str(wait.get('message') or '')
        said = f'{reason}: {message}' if message else reason
        if reason in NEVER or (reason in PULLING and since > STUCK_SECONDS):
            return State(hopeless=said)
        if reason in PULLING:
            return State(said=said)
    for row in parts(pod, 'status', 'conditions'):
        if row.get('type') == 'PodScheduled' and row.get('status') == 'False':
            message = str(row.get('message') or row.get('reason') or '')
            # What others have is given back some day; a node that is not there may be on its way.
            lasting = 'Insufficient' not in message and age(row.get('lastTransitionTime')) > HOMELESS_SECONDS
            return State(hopeless=message if lasting else '', said=message)
    return State()


def queued(pod: Mapping[str, Any] | None, said: str) -> str:
    """Why one that is not over does not run; '' where it does.  ``said``: what is known of that, if anything."""
    if pod is None:
        return said or 'its pod is not made yet'
    if part(pod, 'status').get('phase') != 'Pending':
        return ''
    if not said and condition(pod, 'PodScheduled'):
        reasons = [str(part(row, 'state', 'waiting').get('reason') or '') for row in parts(pod, 'status', 'containerStatuses')]
        return f'its node makes its container ({reasons[0]})' if reasons and reasons[0] else 'its node makes its container'
    return said or 'its pod has no node yet'


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether something can be started in it."""
    running = any('running' in part(row, 'state') for row in parts(pod, 'status', 'containerStatuses'))
    return running and not part(pod, 'metadata').get('deletionTimestamp') and part(pod, 'status').get('phase') == 'Running'
