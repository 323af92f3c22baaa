"""A stand-in for the part of Kubernetes that is used: an API server for pods and jobs that a real kubectl talks to, and a node
that runs containers as processes of this machine, each with its claim mounted in a namespace of its own.

It is no Kubernetes: what it says of pods is what we have read of it (docs/howto/kubernetes.md says what was never tried)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest

from mlops_cli.kube.manifests import MOUNT

VERSION = '1.32'
GPUS = 2
MOUNTED = f'mount -t tmpfs none {os.path.dirname(MOUNT)} && mkdir {MOUNT} && mount --bind "$0" {MOUNT} && exec "$@"'
ALONE = ['unshare', '-m'] if os.getuid() == 0 else ['unshare', '-rm']
PULL_SECONDS = 0.05
RESOURCES = {
    '': [('pods', 'Pod', ['get', 'list']), ('pods/exec', 'PodExecOptions', ['create', 'get']), ('events', 'Event', ['list']),
         ('nodes', 'Node', ['list']), ('persistentvolumeclaims', 'PersistentVolumeClaim', ['get'])],
    'batch': [('jobs', 'Job', ['create', 'delete', 'get', 'list'])],
}  # fmt: skip


def lacks() -> str:
    """Why it cannot be used here, if so."""
    if shutil.which('kubectl') is None:
        return 'there is no kubectl'
    done = subprocess.run(['kubectl', 'version', '--client', '-o', 'json'], capture_output=True, text=True, check=False)
    with suppress(ValueError, KeyError):
        found = json.loads(done.stdout)['clientVersion']
        if (int(found['major']), int(found['minor'].rstrip('+'))) < (1, 31):
            return 'kubectl is older than 1.31, and speaks SPDY to pods'
    if subprocess.run([*ALONE, 'sh', '-c', MOUNTED, '/tmp', 'true'], capture_output=True, check=False).returncode:
        return 'nothing can be mounted in a namespace here'
    return ''


class Gone(Exception):
    """``args``: status, reason, message."""


class Kube:
    """``claims``: name -> its folder.  Faults: ``down`` answers nothing, ``denied`` holds (verb, resource), ``lose_answers`` so
    many answers to what is created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.events: list[dict[str, Any]] = []
        self.nodes = [_node('one')]
        self.modes = ['ReadWriteMany']
        self.down = False
        self.denied: set[tuple[str, str]] = set()
        self.lose_answers = 0
        self.refuse_pods = self.refuse_mounts = ''
        self.created: list[dict[str, Any]] = []
        self.pull_seconds = PULL_SECONDS
        self.gpus: dict[int, str] = {}  # number -> pod
        self.claim = folder / 'claims' / 'shared'
        self.claim.mkdir(parents=True)
        self.port = 0

    # What the tests do

    @property
    def config(self) -> Path:
        path = self.folder / 'kubeconfig'
        context = {'name': 'dev', 'context': {'cluster': 'dev', 'user': 'ada', 'namespace': 'ml'}}
        path.write_text(json.dumps({
            'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'dev', 'contexts': [context],
            'clusters': [{'name': 'dev', 'cluster': {'server': f'http://127.0.0.1:{self.port}'}}],
            'users': [{'name': 'ada', 'user': {}}],
        }))  # fmt: skip
        return path

    @property
    def environ(self) -> dict[str, str]:
        return {'KUBECONFIG': str(self.config), 'KUBECACHEDIR': str(self.folder / 'cache')}

    def url(self, folder: str | Path) -> str:
        """``folder``: in the claim."""
        return f'k8s://dev/ml/shared/{str(folder).strip("/")}'

    def stage_jobs(self) -> list[str]:
        with self.lock:
            return [name for name, job in self.jobs.items() if 'mlops.host' in job['metadata']['labels']]

    def pod_of(self, job: str) -> dict[str, Any]:
        with self.lock:
            return next(pod for pod in self.pods.values() if pod['metadata']['labels']['job-name'] == job)

    def ends(self, job: str, reason: str, message: str, kill: bool = True, disruption: str = '', container: str = '') -> None:
        """As a node ends a pod.  ``reason``: of the pod; ``container``: of its container."""
        pod = self.pod_of(job)
        with self.lock:
            if kill:
                self._kill(pod['metadata']['name'])
            if disruption:
                row = {'type': 'DisruptionTarget', 'status': 'True', 'reason': disruption}
                pod['status'].setdefault('conditions', []).append(row)
            pod['status'] |= {'phase': 'Failed', **({'reason': reason} if reason else {}), 'message': message}
            ended = {'exitCode': 137, 'reason': container or 'Error'}
            pod['status']['containerStatuses'] = [{'name': 'mlops', 'state': {'terminated': ended}}]
            self._over(self.jobs[job], 'Failed', 'BackoffLimitExceeded')

    def stop(self) -> None:
        with self.lock:
            for name in [*self.pods]:
                self._kill(name)

    # A node

    def _kill(self, pod: str) -> None:
        """All of a container."""
        mark = f'KUBE_POD={pod}\0'.encode()
        for entry in Path('/proc').iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / 'environ').read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
        self.gpus = {number: name for number, name in self.gpus.items() if name != pod}

    def words(
        self, pod: dict[str, Any], command: list[str], extra: dict[str, str] | None = None
    ) -> tuple[list[str], dict[str, str]]:
        container = pod['spec']['containers'][0]
        environ = {row['name']: row['value'] for row in container.get('env', ())} | (extra or {})
        home = self.folder / 'homes' / pod['metadata']['name']
        home.mkdir(parents=True, exist_ok=True)
        path = f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
        environ |= {'HOME': str(home), 'PATH': path, 'KUBE_POD': pod['metadata']['name']}
        claim = self.folder / 'claims' / pod['spec']['volumes'][0]['persistentVolumeClaim']['claimName']
        return [*ALONE, 'sh', '-c', MOUNTED, str(claim), *command], environ

    def run(self, job: dict[str, Any]) -> None:
        """The whole life of a job, in a thread of its own."""
        name = job['metadata']['name']
        template = job['spec']['template']
        if self.refuse_pods:
            with self.lock:
                self._tells('Job', name, 'FailedCreate', f'Error creating: pods "{name}-" is forbidden: {self.refuse_pods}')
            return
        pod = self._pod(name, job['metadata']['uid'], template)
        container = pod['spec']['containers'][0]
        gpus = int(container['resources'].get('limits', {}).get('nvidia.com/gpu', 0))
        given = self._placed(pod, gpus)
        if given is None:
            return
        if container['image'].startswith('no-such'):
            waiting = {'reason': 'ImagePullBackOff', 'message': f'Back-off pulling image "{container["image"]}"'}
            pod['metadata']['creationTimestamp'] = _time(-120)
            pod['status'] = {'phase': 'Pending', 'containerStatuses': [{'name': 'mlops', 'state': {'waiting': waiting}}]}
            return
        if self.refuse_mounts:
            pod['metadata']['creationTimestamp'] = _time(-1000)
            waiting = {'waiting': {'reason': 'ContainerCreating'}}
            pod['status'] = {'phase': 'Pending', 'containerStatuses': [{'name': 'mlops', 'state': waiting}]}
            self._tells('Pod', pod['metadata']['name'], 'FailedMount', self.refuse_mounts)
            return
        time.sleep(self.pull_seconds)
        with self.lock:
            if pod['metadata']['name'] not in self.pods:
                return
            words, environ = self.words(pod, container['command'], {'CUDA_VISIBLE_DEVICES': given} if given else None)
            said = (self.folder / f'{pod["metadata"]["name"]}.log').open('wb')
            none = subprocess.DEVNULL
            process = subprocess.Popen(words, env=environ, stdin=none, stdout=said, stderr=said, start_new_session=True)
            self.processes[pod['metadata']['name']] = process
            running = {'running': {'startedAt': _time()}}
            pod['status'] = {'phase': 'Running', 'containerStatuses': [{'name': 'mlops', 'state': running}]}
        code = process.wait()
        with self.lock:
            if pod['status']['phase'] != 'Running':
                return  # it was ended from outside
            self._kill(pod['metadata']['name'])
            ended = {'exitCode': code if code >= 0 else 128 - code, 'reason': 'Error' if code else 'Completed'}
            pod['status'] = {'phase': 'Failed' if code else 'Succeeded',
                             'containerStatuses': [{'name': 'mlops', 'state': {'terminated': ended}}]}  # fmt: skip
            self._over(job, *(('Failed', 'BackoffLimitExceeded') if code else ('Complete', 'CompletionsReached')))

    def _tells(self, kind: str, name: str, reason: str, message: str) -> None:
        with self.lock:
            self.events.append({'involvedObject': {'name': name, 'kind': kind}, 'reason': reason, 'message': message,
                                'lastTimestamp': _time()})  # fmt: skip

    def _pod(self, name: str, uid: str, template: dict[str, Any]) -> dict[str, Any]:
        labels = template['metadata']['labels'] | {'job-name': name, 'controller-uid': uid}
        meta = {'name': f'{name}-{uuid.uuid4().hex[:5]}', 'namespace': 'ml', 'labels': labels, 'uid': str(uuid.uuid4()),
                'creationTimestamp': _time(), 'annotations': template['metadata'].get('annotations', {})}  # fmt: skip
        pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': meta, 'spec': template['spec'], 'status': {'phase': 'Pending'}}
        with self.lock:
            self.pods[meta['name']] = pod
        return pod

    def _placed(self, pod: dict[str, Any], gpus: int) -> str | None:
        """Its cards, once there are as many; None where it went away meanwhile."""
        while True:
            with self.lock:
                if pod['metadata']['name'] not in self.pods:
                    return None
                free = [number for number in range(GPUS) if number not in self.gpus]
                fits = pod['spec'].get('nodeSelector', {}).items() <= self.nodes[0]['metadata']['labels'].items()
                if len(free) >= gpus and fits:
                    self.gpus |= dict.fromkeys(free[:gpus], pod['metadata']['name'])
                    return ','.join(map(str, free[:gpus]))
                why = '1 Insufficient nvidia.com/gpu' if fits else "1 node(s) didn't match Pod's node affinity/selector"
                pod['status'] = {'phase': 'Pending', 'conditions': [{
                    'type': 'PodScheduled', 'status': 'False', 'reason': 'Unschedulable',
                    'message': f'0/1 nodes are available: {why}.', 'lastTransitionTime': _time(-1000),
                }]}  # fmt: skip
            time.sleep(0.1)

    def _over(self, job: dict[str, Any], kind: str, reason: str) -> None:
        job['status'] = {'conditions': [{'type': kind, 'status': 'True', 'reason': reason, 'message': ''}]}

    # The API

    def create(self, made: dict[str, Any]) -> dict[str, Any]:
        try:
            kubernetes_validate.validate(made, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Gone(422, 'Invalid', f'{error.path}: {error.message}') from error
        with self.lock:
            self.created.append(made)
            name = made['metadata']['name']
            if name in self.jobs:
                raise Gone(409, 'AlreadyExists', f'jobs.batch "{name}" already exists')
            job = json.loads(json.dumps(made))
            job['metadata'] |= {'uid': str(uuid.uuid4()), 'namespace': 'ml', 'creationTimestamp': _time()}
            job['status'] = {}
            self.jobs[name] = job
        threading.Thread(target=self.run, args=(job,), daemon=True).start()
        return job

    def delete(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            job = self.jobs.get(name)
            if job is None:
                raise Gone(404, 'NotFound', f'jobs.batch "{name}" not found')
            if (options.get('preconditions') or {}).get('uid') not in (None, job['metadata']['uid']):
                raise Gone(409, 'Conflict', 'the UID in the precondition does not match')
            del self.jobs[name]
            for pod in [pod for pod in self.pods.values() if pod['metadata']['labels']['job-name'] == name]:
                del self.pods[pod['metadata']['name']]
                threading.Thread(target=self._terminate, args=(pod,), daemon=True).start()
        return {'kind': 'Status', 'apiVersion': 'v1', 'status': 'Success'}

    def _terminate(self, pod: dict[str, Any]) -> None:
        process = self.processes.get(pod['metadata']['name'])
        if process is not None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(pod['spec']['terminationGracePeriodSeconds'])
        self._kill(pod['metadata']['name'])

    def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        kind, _, name = path.partition('/')
        if kind == 'namespaces':
            return {'metadata': {'name': name}}
        if kind == 'persistentvolumeclaims':
            if not (self.folder / 'claims' / name).is_dir():
                raise Gone(404, 'NotFound', f'persistentvolumeclaims "{name}" not found')
            return {'metadata': {'name': name}, 'spec': {'accessModes': self.modes},
                    'status': {'phase': 'Bound', 'accessModes': self.modes}}  # fmt: skip
        with self.lock:
            there = {'jobs': self.jobs, 'pods': self.pods}.get(kind)
            if name:
                if there is None or name not in there:
                    raise Gone(404, 'NotFound', f'{kind} "{name}" not found')
                return json.loads(json.dumps(there[name]))
            rows = [*there.values()] if there is not None else self.events if kind == 'events' else self.nodes
            wanted = dict(part.split('=') for part in query.get('labelSelector', '').split(',') if part)
            rows = [row for row in rows if wanted.items() <= row.get('metadata', {}).get('labels', {}).items() or not wanted]
            fields = dict(part.split('=') for part in query.get('fieldSelector', '').split(',') if part)
            if of := fields.get('involvedObject.name'):
                rows = [row for row in rows if row['involvedObject']['name'] == of]
            return {'kind': 'List', 'apiVersion': 'v1', 'metadata': {}, 'items': json.loads(json.dumps(rows))}


def _time(after: float = 0.0) -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + after))


def _node(name: str) -> dict[str, Any]:
    return {'metadata': {'name': name, 'labels': {'kubernetes.io/hostname': name}}, 'spec': {},
            'status': {'allocatable': {'cpu': '16', 'memory': '32Gi', 'nvidia.com/gpu': str(GPUS)}}}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    kube: Kube

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer('get')

    def do_POST(self) -> None:
        self._answer('create')

    def do_DELETE(self) -> None:
        self._answer('delete')

    def _answer(self, verb: str) -> None:
        data = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        parts = urlsplit(self.path)
        try:
            if self.kube.down:
                raise Gone(503, 'ServiceUnavailable', 'the server is currently unable to handle the request')
            found = self._found(verb, parts.path, parse_qs(parts.query), json.loads(data) if data else {})
            if found is not None:
                self._send(200 if verb != 'create' else 201, found)
        except Gone as gone:
            code, reason, message = gone.args
            said = {'code': code, 'reason': reason, 'message': message}
            self._send(code, {'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure', **said})

    def _send(self, code: int, found: dict[str, Any]) -> None:
        data = json.dumps(found).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _found(self, verb: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> dict[str, Any] | None:
        if (told := _discovery(path)) is not None:
            return told
        if path.endswith('/selfsubjectaccessreviews'):
            asked = body['spec']['resourceAttributes']
            what = asked['resource'] + (f'/{asked["subresource"]}' if asked.get('subresource') else '')
            return {**body, 'status': {'allowed': (asked['verb'], what) not in self.kube.denied}}
        match = re.fullmatch(r'/(?:api/v1|apis/batch/v1)(?:/namespaces/(?P<ns>[^/]+)(?=/))?/(?P<rest>.+)', path)
        if match is None:
            raise Gone(404, 'NotFound', 'the server could not find the requested resource')
        rest = match['rest']
        kind, _, name = rest.partition('/')
        if rest.endswith('/exec'):
            self._may('create', 'pods/exec')
            self._exec(rest.split('/')[1], query)
            return None
        self._may('list' if verb == 'get' and not name else verb, kind)
        if (kind == 'namespaces' and name != 'ml') or match['ns'] not in (None, 'ml'):
            raise Gone(404, 'NotFound', f'{kind if verb == "get" else "namespaces"} "{name or match["ns"]}" not found')
        if verb == 'create':
            made = self.kube.create(body)
            if self.kube.lose_answers:
                self.kube.lose_answers -= 1
                raise Gone(504, 'Timeout', 'the request timed out')
            return made
        if verb == 'delete':
            return self.kube.delete(name, body)
        return self.kube.get(rest, {name: values[0] for name, values in query.items()})

    def _may(self, verb: str, kind: str) -> None:
        if (verb, kind) in self.kube.denied:
            raise Gone(403, 'Forbidden', f'{kind} is forbidden: User "ada" cannot {verb} {kind} in the namespace "ml"')

    # exec, as v5.channel.k8s.io: frames of WebSocket whose first byte says which stream

    def _exec(self, name: str, query: dict[str, list[str]]) -> None:
        pod = self.kube.get(f'pods/{name}', {})
        if pod['status']['phase'] != 'Running':
            raise Gone(400, 'BadRequest', f'pod {name} is not running')
        key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header('Sec-WebSocket-Protocol', 'v5.channel.k8s.io')
        self.end_headers()
        self.close_connection = True
        words, environ = self.kube.words(pod, query['command'])
        pipe = subprocess.PIPE
        process = subprocess.Popen(words, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        lock = threading.Lock()
        threads = [threading.Thread(target=self._pour, args=(stream, channel, lock), daemon=True)
                   for stream, channel in ((process.stdout, 1), (process.stderr, 2))]  # fmt: skip
        for thread in threads:
            thread.start()
        threading.Thread(target=self._feed, args=(process, lock), daemon=True).start()
        code = process.wait()
        for thread in threads:
            thread.join()
        failed = {'reason': 'NonZeroExitCode', 'message': f'command terminated with exit code {code}',
                  'details': {'causes': [{'reason': 'ExitCode', 'message': str(code)}]}}  # fmt: skip
        status = {'metadata': {}, 'status': 'Failure', **failed} if code else {'metadata': {}, 'status': 'Success'}
        self._frame(2, b'\x03' + json.dumps(status).encode(), lock)
        self._frame(8, struct.pack('>H', 1000), lock)
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                stream.close()

    def _pour(self, stream: Any, channel: int, lock: threading.Lock) -> None:
        with suppress(OSError, ValueError):
            while data := stream.read(1 << 15):
                self._frame(2, bytes([channel]) + data, lock)

    def _frame(self, kind: int, data: bytes, lock: threading.Lock) -> None:
        size = len(data)
        head = bytes([0x80 | kind]) + (bytes([size]) if size < 126 else b'\x7e' + struct.pack('>H', size) if size < 1 << 16
                                       else b'\x7f' + struct.pack('>Q', size))  # fmt: skip
        with suppress(OSError, ValueError), lock:
            self.wfile.write(head + data)
            self.wfile.flush()

    def _feed(self, process: subprocess.Popen[bytes], lock: threading.Lock) -> None:
        """What the client sends; where the connection ends, so does what the process reads."""
        with suppress(OSError, ValueError, struct.error, BrokenPipeError):
            while (frame := self._read()) is not None:
                kind, data = frame
                if kind == 8:
                    break
                if kind == 9:
                    self._frame(10, data, lock)
                elif data[:1] == b'\xff':
                    process.stdin.close()
                elif data[:1] == b'\x00':
                    process.stdin.write(data[1:])
        with suppress(OSError, ValueError):
            process.stdin.close()

    def _read(self) -> tuple[int, bytes] | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7f
        if size >= 126:
            size = struct.unpack('>H', self.rfile.read(2))[0] if size == 126 else struct.unpack('>Q', self.rfile.read(8))[0]
        mask = self.rfile.read(4)
        data = self.rfile.read(size)
        whole = int.from_bytes(data, 'big') ^ int.from_bytes((mask * (size // 4 + 1))[:size], 'big')
        return head[0] & 0x0f, whole.to_bytes(size, 'big')


def _discovery(path: str) -> dict[str, Any] | None:
    if path == '/version':
        return {'major': '1', 'minor': '32', 'gitVersion': 'v1.32.0-stand-in'}
    if path == '/api':
        return {'kind': 'APIVersions', 'versions': ['v1']}
    if path == '/apis':
        version = {'groupVersion': 'batch/v1', 'version': 'v1'}
        group = {'name': 'batch', 'versions': [version], 'preferredVersion': version}
        return {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': [group]}
    for root, group, version in (('/api/v1', '', 'v1'), ('/apis/batch/v1', 'batch', 'batch/v1')):
        if path == root:
            rows = [{'name': name, 'singularName': '', 'namespaced': name != 'nodes', 'kind': kind, 'verbs': verbs}
                    for name, kind, verbs in RESOURCES[group]]  # fmt: skip
            return {'kind': 'APIResourceList', 'apiVersion': 'v1', 'groupVersion': version, 'resources': rows}
    return None


@contextmanager
def running(folder: Path) -> Iterator[Kube]:
    """Until the end of the block.  Raises pytest.skip."""
    if why := lacks():
        pytest.skip(why)
    kube = Kube(folder)

    class Mine(Handler):
        pass

    Mine.kube = kube
    server = ThreadingHTTPServer(('127.0.0.1', 0), Mine)
    server.daemon_threads = True
    kube.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield kube
    finally:
        server.shutdown()
        server.server_close()
        kube.stop()
