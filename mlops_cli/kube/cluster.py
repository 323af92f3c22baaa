"""What is done in a cluster for one host, with the rights of the user's kubectl: a gateway to a claim, jobs beside it."""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_cli.core.kube import Place, Words
from mlops_cli.kube import manifests, states
from mlops_cli.kube.api import Api, Status, printable
from mlops_cli.kube.manifests import Asked
from mlops_cli.kube.states import part, parts
from mlops_cli.store.bucket import Unreachable

GATE_SECONDS = 600.0  # for a gateway to come up: its image may be large
EVENT_SECONDS = 15.0  # without a pod, or with one that does not begin, after which is looked why
MOUNT_SECONDS = 120.0  # that a gateway's volume may take
FRESH_SECONDS = 300.0  # as old as the last word of a node may be that goes on trying
# Events of a job without a pod, and of a pod without a container; what is there beside them may have passed.
TELLING = ('FailedCreate', 'FailedMount', 'FailedAttachVolume', 'FailedCreatePodSandBox')
PAUSE = 0.3
NODE_HINT = 'mlops hosts add --submit node-selector=KEY=VALUE, toleration=KEY'
IMAGE_HINT = 'mlops hosts add --submit image=..., pull-secret=... for a registry that asks who you are'


class Refused(Exception):
    """It does not take a job.  ``lacking``: what is asked for is not there."""

    def __init__(self, said: str, lacking: bool = False) -> None:
        super().__init__(said)
        self.lacking = lacking


class Cluster:
    """``where``: the host's address, for errors.  Any thread may ask.  All raise Silent, Unreachable."""

    def __init__(self, where: str, api: Api, place: Place, namespace: str, words: Words) -> None:
        self.where, self.api, self._place, self.words = where, api, place, words
        self.namespace = namespace
        self._core, self._batch = f'/api/v1/namespaces/{namespace}', f'/apis/batch/v1/namespaces/{namespace}'
        self._events: dict[str, tuple[float, str]] = {}

    def _wrong(self, problem: str, hint: str) -> Unreachable:
        return Unreachable(self.where, problem, hint)

    def denied(self, what: str, status: Status) -> Unreachable:
        """``what``: verb and resource, as kubectl takes them."""
        if status.code == 404:
            return self._wrong(f'there is no namespace {self.namespace}: {status.message}', 'kubectl get namespaces')
        if status.code != 403:
            return self._wrong(f'to {what}: {status.message}', 'does kubectl do the same by hand?')
        said = status.message.rpartition('forbidden: ')[2]
        if 'exceeded quota' in status.message or 'violates PodSecurity' in status.message:
            return self._wrong(f'its rules refuse it: {said}', f'ask who runs namespace {self.namespace}')
        hint = f'kubectl auth can-i {what} -n {self.namespace} tells; who runs the cluster gives that right'
        return self._wrong(f'you may not {what} in namespace {self.namespace}', hint)

    def claim(self) -> Mapping[str, Any] | None:
        """None where one may not look."""
        name = self._place.claim
        try:
            found = self.api.get(f'{self._core}/persistentvolumeclaims/{name}')
        except Status:
            return None
        if found is None:
            self._check_namespace()
            hint = f'kubectl get pvc -n {self.namespace} shows those there are; it is the third part of the address'
            raise self._wrong(f'there is no PersistentVolumeClaim {name} in namespace {self.namespace}', hint)
        if part(found, 'status').get('phase') == 'Lost':
            raise self._wrong(f'the volume of its claim {name} is lost', f'kubectl describe pvc {name} -n {self.namespace}')
        return found

    def _check_namespace(self) -> None:
        try:
            there = self.api.get(f'/api/v1/namespaces/{self.namespace}')
        except Status:
            return
        if there is None:
            raise self._wrong(f'there is no namespace {self.namespace}', 'kubectl get namespaces')

    # The gateway

    def gateway(self, waits: Callable[[str], object] = str) -> str:
        """The name of a pod in which a line to the claim can be started; begun where there is none.  ``waits``: called often
        with what it waits for, to raise where it is not wanted any more."""
        made = manifests.gateway(self._place, self.words)
        name = made['metadata']['name']
        until = time.monotonic() + GATE_SECONDS
        own = ''  # the uid of the one that was begun now
        looked = False
        why = ''
        while time.monotonic() < until:
            waits(why)
            try:
                job = self.api.get(f'{self._batch}/jobs/{name}')
            except Status as status:
                raise self.denied('get jobs.batch', status) from status
            if job is None:
                if not looked:  # a pod without its claim would wait, and not say why for long
                    looked = True
                    self.claim()
                own = self._begun(made) or own
                continue
            uid = str(part(job, 'metadata').get('uid'))
            pod = self._pod_of(name, uid)
            if states.is_over(job):
                if uid == own:
                    found = states.ended(job, pod)
                    raise self._wrong(f'its gateway ended at once: {found.state} {printable(found.said)}'.rstrip(), IMAGE_HINT)
                self._cleared(name, uid)
            elif pod is not None and states.is_ready(pod):
                return str(part(pod, 'metadata').get('name'))
            elif pod is not None:
                why = self._waits(pod)
            elif states.age(part(job, 'metadata').get('creationTimestamp')) > EVENT_SECONDS and (event := self.event(name)):
                raise self._wrong(f'its gateway gets no pod: {event}', f'kubectl describe job {name} -n {self.namespace}')
            time.sleep(PAUSE)
        hint = f'{NODE_HINT}; kubectl describe job {name} -n {self.namespace} tells more'
        raise self._wrong(f'its gateway does not come up: {why or "it waits"}', hint)

    def _waits(self, pod: Mapping[str, Any]) -> str:
        found = self._held(pod, states.waiting(pod), MOUNT_SECONDS)
        if found.hopeless:
            of_image = found.hopeless.startswith(('InvalidImage', 'ErrImage', 'ImagePull', 'Registry'))
            hint = IMAGE_HINT if of_image else NODE_HINT
            raise self._wrong(f'the image {self.words.image} does not come: {printable(found.hopeless)}' if of_image
                              else f'its gateway cannot begin: {printable(found.hopeless)}', hint)  # fmt: skip
        return printable(found.said)

    def _begun(self, made: Mapping[str, Any]) -> str:
        """The uid; '' where somebody else was faster."""
        try:
            return str(part(self.api.ask('POST', f'{self._batch}/jobs', made), 'metadata').get('uid'))
        except Status as status:
            if status.code == 409:
                return ''
            raise self.denied('create jobs.batch', status) from status

    def _cleared(self, name: str, uid: str) -> None:
        """One that is over makes room for another one; not one that somebody has begun meanwhile."""
        asked = {'propagationPolicy': 'Background', 'preconditions': {'uid': uid}}
        try:
            self.api.ask('DELETE', f'{self._batch}/jobs/{name}', asked)
        except Status as status:
            if status.code not in (404, 409):
                raise self.denied('delete jobs.batch', status) from status

    def _pod_of(self, name: str, uid: str) -> Mapping[str, Any] | None:
        return states.pods_of(self._listed('pods', f'{manifests.GATE_LABEL}={name},controller-uid={uid}')).get(name)

    def _listed(self, what: str, selector: str) -> list[Mapping[str, Any]]:
        path = f'{self._batch}/jobs' if what == 'jobs' else f'{self._core}/{what}'
        try:
            return parts(self.api.ask('GET', path, labelSelector=selector), 'items')
        except Status as status:
            raise self.denied(f'list {"jobs.batch" if what == "jobs" else what}', status) from status

    # Jobs

    def rows(self) -> list[dict[str, Any]]:
        """All jobs of this host, as the far end is told of them."""
        selector = f'{manifests.HOST_LABEL}={manifests.host_label(self._place)}'
        jobs = self._listed('jobs', selector)
        pods = states.pods_of(self._listed('pods', selector))
        found = []
        for job in jobs:
            name = str(part(job, 'metadata').get('name'))
            state = states.of(job, pods.get(name))
            if not state.state and name in pods:
                state = self._held(pods[name], state, states.HOMELESS_SECONDS)
            elif not state.state and name not in pods and not part(job, 'spec').get('suspend'):
                state = self._podless(job, name)
            waits = '' if state.state else states.queued(pods.get(name), state.said)
            found.append({'name': states.name_of(job), 'state': state.state or 'Active', 'active': not state.state,
                          'hopeless': printable(state.hopeless), 'said': printable(state.said), 'waits': printable(waits)})
        return found

    def _held(self, pod: Mapping[str, Any], state: states.State, seconds: float) -> states.State:
        """One whose node was found, and does not begin it, as for want of its volume."""
        since = states.age(part(pod, 'metadata').get('creationTimestamp'))
        if state != states.State() or part(pod, 'status').get('phase') != 'Pending' or since < EVENT_SECONDS:
            return state
        said = self.event(str(part(pod, 'metadata').get('name')))
        return states.State(hopeless=said if since > seconds else '', said=said)

    def _podless(self, job: Mapping[str, Any], name: str) -> states.State:
        """One for which no pod is made; what a quota keeps back may come some day."""
        if states.age(part(job, 'metadata').get('creationTimestamp')) < EVENT_SECONDS:
            return states.State()
        said = self.event(name)
        return states.State(hopeless='' if 'exceeded quota' in said else said, said=said)

    def event(self, name: str) -> str:
        """Why no pod of a job is made, or a pod does not begin, if that is still so; '' also where one may not look."""
        looked, found = self._events.get(name, (0.0, ''))
        if looked and time.monotonic() - looked < EVENT_SECONDS:
            return found
        try:
            told = self.api.ask('GET', f'{self._core}/events', None, fieldSelector=f'involvedObject.name={name}')
            rows = [row for row in parts(told, 'items') if str(row.get('reason')) in TELLING]
            rows = [row for row in rows if states.age(_last(row)) < FRESH_SECONDS]
            found = printable(str(max(rows, key=_last).get('message') or '').rpartition('forbidden: ')[2]) if rows else ''
        except Status:
            found = ''
        self._events[name] = time.monotonic(), found
        return found

    def create(self, asked: Asked) -> None:
        """Taken once: a second one of that name is the same.  Raises Refused, too."""
        made = manifests.stage_job(self._place, self.words, asked)
        try:
            self.api.ask('POST', f'{self._batch}/jobs', made)
        except Status as status:
            if status.code == 409 and self._is_ours(made):
                return
            said = self.denied('create jobs.batch', status).problem if status.code == 403 else status.message
            raise Refused(said) from status

    def _is_ours(self, made: Mapping[str, Any]) -> bool:
        there = self.api.get(f'{self._batch}/jobs/{made["metadata"]["name"]}')
        return there is None or states.name_of(there) == made['metadata']['annotations'][manifests.NAME]

    def end(self, name: str) -> None:
        """Its pod is asked to end, and killed behind its grace."""
        path = f'{self._batch}/jobs/{manifests.job_name(name)}'
        try:
            self.api.ask('DELETE', path, {'propagationPolicy': 'Background'})
        except Status as status:
            if status.code != 404:
                raise self.denied('delete jobs.batch', status) from status

    # What there is

    def nodes(self) -> Sequence[Mapping[str, Any]] | None:
        """None where one may not look."""
        try:
            return parts(self.api.ask('GET', '/api/v1/nodes'), 'items')
        except Status:
            return None

    def version(self) -> str:
        try:
            return printable(str(self.api.ask('GET', '/version').get('gitVersion') or ''))[:40]
        except Status:
            return ''


def _last(event: Mapping[str, Any]) -> str:
    """When it was said last."""
    return str(event.get('lastTimestamp') or event.get('eventTime') or '')
