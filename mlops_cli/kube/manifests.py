"""What is asked of Kubernetes: a pod that serves a claim, and one for each job, both as a batch/v1 Job that is tried once."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.core.kube import ANY_USER, Place, Words

MOUNT = '/mnt/mlops'  # where pods have the claim
CONTAINER = 'mlops'
LINE = '_MLOPS_LINE'  # in the environment of what a client started in the gateway
GATE_LABEL, HOST_LABEL, STAGE_LABEL, RUN_LABEL = 'mlops.gateway', 'mlops.host', 'mlops.stage', 'mlops.run'
NAME = 'mlops.name'  # annotation: what the far end calls a job
IDLE_TICKS = 60  # of ten seconds
DAY_SECONDS = 86400
TTL_SECONDS = 3600  # that an ended job can be looked at
OWN_SECONDS = 900  # beside a stage's timeout: for what it needs to come, and what it makes to go
OWN_BYTES = 128 << 20  # for the processes that see to a stage
LEAST_BYTES = 256 << 20  # that a job asks for which does not say
END_SECONDS = 30  # beside its grace, before what is deleted is killed
# Ends where nobody has had a line for IDLE_TICKS; each line is a process with LINE in its environment.
GATE = ('trap "exit 0" TERM; idle=0; while [ $idle -lt {ticks} ]; do sleep {pause} & wait $!; idle=$((idle+1)); '
        'if grep -qs "{line}={name}" /proc/[0-9]*/environ; then idle=0; fi; done')  # fmt: skip
# What it prints goes beside the job, where the far end reads it; "$0" is that file.
RUN = 'exec "$@" >> "$0" 2>&1 < /dev/null'
_SLUG = re.compile(r'[^a-z0-9]+')
_NO_VALUE = re.compile(r'[^A-Za-z0-9_.-]')


@dataclass(frozen=True)
class Asked:
    """A job, as the far end asks for it.  ``name``: STAGE.TOKEN; ``program``: its words there; ``output``: the file that takes
    what they print."""

    name: str
    run: str
    program: Sequence[str]
    output: str
    cpus: float
    memory_bytes: int
    gpus: int
    timeout_seconds: float | None
    grace_seconds: float


def folder_of(place: Place) -> str:
    return f'{MOUNT}/{place.folder}'


def host_label(place: Place) -> str:
    """The same for all jobs of a host, however it is called."""
    return digest_of(f'{place.claim}/{place.folder}'.encode()).hex[:32]


def job_name(name: str) -> str:
    """In Kubernetes, of a job that the far end calls STAGE.TOKEN; a second one of that name is not taken."""
    stage, _, token = name.rpartition('.')
    slug = _SLUG.sub('-', stage.lower())[:30].strip('-')
    return '-'.join(filter(None, ('mlops', slug, token)))


def value_of(text: str) -> str:
    """As what a label may hold, for who looks there."""
    return _NO_VALUE.sub('-', text)[:63].strip('-_.')


def gateway(place: Place, words: Words, ticks: int = IDLE_TICKS, pause: int = 10) -> dict[str, Any]:
    """Named by what it is: two clients that want the same share it."""
    resources = {'requests': {'cpu': '100m', 'memory': '256Mi'}, 'limits': {'memory': '2Gi'}}
    spec = _pod(place, words, resources, 10)
    name = 'mlops-gate-' + digest_of(json.dumps([spec, ticks, pause], sort_keys=True).encode()).hex[:16]
    command = ['sh', '-c', GATE.format(ticks=ticks, pause=pause, line=LINE, name=name)]
    spec['containers'][0]['command'] = command
    labels = {GATE_LABEL: name}
    return _job(name, labels, {}, spec, DAY_SECONDS, 60)


def stage_job(place: Place, words: Words, asked: Asked) -> dict[str, Any]:
    memory = asked.memory_bytes + OWN_BYTES if asked.memory_bytes else 0
    requests = {'cpu': f'{math.ceil(asked.cpus * 1000)}m', 'memory': str(memory or LEAST_BYTES)}
    limits = {'memory': str(memory)} if memory else {}
    if asked.gpus:
        requests[words.gpu] = limits[words.gpu] = str(asked.gpus)
    resources = {'requests': requests, **({'limits': limits} if limits else {})}
    spec = _pod(place, words, resources, math.ceil(asked.grace_seconds) + END_SECONDS)
    container = spec['containers'][0]
    container['command'] = ['sh', '-c', RUN, asked.output, *asked.program]
    container['env'].append({'name': '_MLOPS_HANDED', 'value': str(int(asked.name.rpartition('.')[2], 16))})
    # Else frameworks that load data in several processes have 64 MiB between them.
    spec['volumes'].append({'name': 'shm', 'emptyDir': {'medium': 'Memory'}})
    container['volumeMounts'].append({'name': 'shm', 'mountPath': '/dev/shm'})
    if asked.timeout_seconds is not None:  # of the pod: that of a job counts the time it waits for a node, too
        spec['activeDeadlineSeconds'] = math.ceil(asked.timeout_seconds + asked.grace_seconds) + OWN_SECONDS
    stage = asked.name.rpartition('.')[0]
    labels = {HOST_LABEL: host_label(place), STAGE_LABEL: value_of(stage), RUN_LABEL: value_of(asked.run)}
    if words.queue:
        labels['kueue.x-k8s.io/queue-name'] = words.queue
    made = _job(job_name(asked.name), labels, {NAME: asked.name}, spec, None, TTL_SECONDS)
    if words.queue:
        made['spec']['suspend'] = True  # Kueue begins it
    return made


def _job(name: str, labels: Mapping[str, str], notes: Mapping[str, str], spec: Mapping[str, Any], seconds: int | None,
         ttl: int) -> dict[str, Any]:
    labels = {'app.kubernetes.io/managed-by': 'mlops', **{key: value for key, value in labels.items() if value}}
    # What puts a second container beside ours would keep the pod from ending, and what makes room would begin it anew.
    inside = {'sidecar.istio.io/inject': 'false', 'linkerd.io/inject': 'disabled',
              'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false'}  # fmt: skip
    of_pod = {'labels': {**labels, 'sidecar.istio.io/inject': 'false'}, 'annotations': {**notes, **inside}}
    return {
        'apiVersion': 'batch/v1',
        'kind': 'Job',
        'metadata': {'name': name, 'labels': labels, **({'annotations': dict(notes)} if notes else {})},
        'spec': {
            'backoffLimit': 0, 'completions': 1, 'parallelism': 1, 'ttlSecondsAfterFinished': ttl,
            **({'activeDeadlineSeconds': seconds} if seconds else {}),
            'template': {'metadata': of_pod, 'spec': dict(spec)},
        },
    }  # fmt: skip


def _pod(place: Place, words: Words, resources: Mapping[str, Any], end_seconds: int) -> dict[str, Any]:
    """What Pod Security calls restricted, without any right in the cluster."""
    user = None if words.user == ANY_USER else int(words.user)
    security: dict[str, Any] = {'seccompProfile': {'type': 'RuntimeDefault'}, 'runAsNonRoot': True}
    if user is not None:
        security |= {'runAsUser': user, 'runAsGroup': user, 'fsGroup': user, 'fsGroupChangePolicy': 'OnRootMismatch'}
    container = {
        'name': CONTAINER, 'image': words.image, 'workingDir': '/', 'resources': dict(resources),
        # A user of whom the image knows nothing: what asks who that is gets an answer, and a home that can be written.
        'env': [{'name': name, 'value': value} for name, value in (('HOME', '/tmp'), ('USER', 'mlops'), ('LOGNAME', 'mlops'))],
        'securityContext': {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}},
        'volumeMounts': [{'name': 'claim', 'mountPath': MOUNT}],
    }  # fmt: skip
    spec: dict[str, Any] = {
        'restartPolicy': 'Never', 'automountServiceAccountToken': False, 'enableServiceLinks': False,
        'terminationGracePeriodSeconds': end_seconds, 'securityContext': security, 'containers': [container],
        'volumes': [{'name': 'claim', 'persistentVolumeClaim': {'claimName': place.claim}}],
    }  # fmt: skip
    named = {'serviceAccountName': words.service_account, 'priorityClassName': words.priority_class,
             'runtimeClassName': words.runtime_class, 'nodeSelector': dict(words.node_selector),
             'imagePullSecrets': [{'name': name} for name in words.pull_secrets],
             'tolerations': [_toleration(*one) for one in words.tolerations]}  # fmt: skip
    return spec | {key: value for key, value in named.items() if value}


def _toleration(key: str, value: str | None, effect: str) -> dict[str, str]:
    found = {'key': key, 'operator': 'Exists'} if value is None else {'key': key, 'operator': 'Equal', 'value': value}
    return {**found, 'effect': effect} if effect else found
