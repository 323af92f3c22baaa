"""The far end of a connection to a Ray cluster: as that to one with Slurm, but that Ray starts the jobs, through its Jobs
API (docs/formats/host.md).

A job is called by us, and Ray takes no second one of that name: so nothing has to be looked for, and nothing runs twice."""
from __future__ import annotations

import json
import math
import os
import shlex
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from mlops_cli.job import slurm
from mlops_cli.job.cluster import Cluster, Handed
from mlops_cli.job.hosted import PLACE, SAID, STAGE, not_begun
from mlops_cli.job.node import NUMBER_VARIABLE
from mlops_cli.job.slurm import LOOK_SECONDS, SILENT_SECONDS, Row, Silent, View
from mlops_cli.store import far
from mlops_cli.store.bucket import Unreachable

PORT = 8265  # of its dashboard
SECONDS = 20.0  # for an answer
ANSWER_MOST = 64 << 20  # bytes
HINT = 'is Ray up there? ray status tells; the port in the url is that of its dashboard'
# Its words for how a job is, in those of the far end.
STATES = {'PENDING': 'PENDING', 'RUNNING': 'RUNNING', 'SUCCEEDED': 'COMPLETED', 'FAILED': 'FAILED', 'STOPPED': 'CANCELLED'}


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve of a host."""
    folder = os.path.expanduser(folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return far.serve(source, target, folder, RayCluster(folder).requests())


def number_of(name: str) -> int:
    """As which the far end knows it: of the token at the end of its name; 0 for one of somebody else's."""
    try:
        return int(name.rpartition('.')[2], 16) if len(name.rpartition('.')[2]) == 16 else 0
    except ValueError:
        return 0


class Ray:
    """Its Jobs API on this machine; any thread may ask.  What it does is what slurm.Slurm does."""

    def __init__(self) -> None:
        self.port = PORT
        self._lock = threading.Lock()
        self._view: View | None = None
        self._messages: dict[int, str] = {}
        self._silent_since = self._silent_at = 0.0

    def look_in(self, _path: str) -> None:
        """It has no programs that are looked for."""

    def ask(self, path: str, asked: Mapping[str, Any] | None = None, *, post: bool = False) -> Any:
        """The answer; a text where it refuses.  Raises Silent."""
        data = None if asked is None and not post else json.dumps(asked or {}).encode()
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}{path}', data, {'Content-Type': 'application/json'})
        try:
            # Nothing between us and this machine: no proxy of the environment.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=SECONDS) as answer:
                return json.loads(answer.read(ANSWER_MOST))
        except urllib.error.HTTPError as error:
            return error.read(10_000).decode(errors='replace').strip() or f'status {error.code}'
        except (OSError, ValueError) as error:
            why = getattr(error, 'reason', error)
            raise Silent(f'its dashboard at 127.0.0.1:{self.port} does not answer ({why})') from error

    def view(self) -> View:
        """Not older than a moment.  Raises Silent."""
        with self._lock:
            now = time.monotonic()
            if self._silent_since and now - self._silent_at < SILENT_SECONDS:
                raise Silent('its dashboard does not answer')
            if self._view is None or now - self._view.taken >= LOOK_SECONDS:
                try:
                    self._view = self._looked()
                    self._silent_since = 0.0
                except Silent:
                    self._silent_at = time.monotonic()
                    self._silent_since = self._silent_since or now
                    raise
            return self._view

    def _looked(self) -> View:
        taken = time.monotonic()
        found = self.ask('/api/jobs/')
        if not isinstance(found, list):
            raise Silent(str(found)[:200])
        rows = {}
        for job in found:
            name = job.get('submission_id') if isinstance(job, dict) else None
            if isinstance(name, str) and (number := number_of(name)):
                rows[number] = Row(number, STATES.get(str(job.get('status')), 'RUNNING'), '', name)
                self._messages[number] = str(job.get('message') or '')
        return View(taken, rows)

    def message(self, number: int) -> str:
        """What it said last of one."""
        return self._messages.get(number, '')

    def silent_seconds(self) -> float:
        """For how long it has not answered."""
        return time.monotonic() - self._silent_since if self._silent_since else 0.0

    def forget_view(self) -> None:
        """The next look is a new one."""
        with self._lock:
            self._view = None

    def accounted(self, _number: int) -> str:
        """It keeps no accounts."""
        return ''

    def end(self, number: int) -> None:
        """Asks it to end a job; it kills what has not ended a few seconds later.  Raises Silent."""
        if (row := self.view().rows.get(number)) is not None:
            self.ask(f'/api/jobs/{row.name}/stop', post=True)

    def wake(self, _number: int) -> None:
        """It sends no signals; a job looks often enough by itself."""

    def nodes(self) -> list[Mapping[str, Any]]:
        """What each has, as Ray counts it.  Raises Silent."""
        found = self.ask('/api/cluster_status')
        try:
            kinds = found['data']['clusterStatus']['loadMetricsReport']['nodeTypes']
            return [resources for resources, count in kinds for _ in range(int(count))]
        except (KeyError, TypeError, ValueError):
            return []


class RayCluster(Cluster):
    title = 'Ray'
    hint = HINT

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._ray = self._slurm = Ray()  # type: ignore[assignment]

    def _use(self, asked: Mapping[str, Any]) -> None:
        for word in asked.get('submit') or ():
            if str(word).startswith('--port='):
                self._ray.port = int(str(word).partition('=')[2])

    def _facts(self, _submit: Sequence[str]) -> dict[str, Any]:
        try:
            nodes, version = self._ray.nodes(), self._ray.ask('/api/version')
        except Silent as error:
            raise Unreachable('Ray', str(error), HINT) from error
        return {
            'cpus': int(sum(node.get('CPU', 0) for node in nodes)),
            'memory_bytes': int(max((node.get('memory', 0) for node in nodes), default=0)),
            'gpus': [],
            'ray': {
                'version': str(version.get('ray_version', ''))[:40] if isinstance(version, dict) else '',
                'nodes': len(nodes), 'gpus': int(sum(node.get('GPU', 0) for node in nodes)),
            },
        }  # fmt: skip

    def _check(self, submit: Sequence[str]) -> None:
        if not self._facts(submit)['ray']['nodes']:
            raise Unreachable('Ray', 'it has no nodes yet', 'ray status tells why, there')

    def _wanted(self, spec: Mapping[str, Any]) -> list[str]:
        return [str(word) for word in spec.get('submit') or ()]

    def _submitted(self, place: str, told: Mapping[str, Any], handed: Handed, program: Sequence[str]) -> int:
        number = number_of(handed.name)
        asked: dict[str, Any] = {'entrypoint_num_cpus': math.ceil(float(told.get('cpus') or 1))}
        if gpus := int(told.get('asked_gpus') or 0):
            asked['entrypoint_num_gpus'] = gpus
        if memory := int(told.get('memory_bytes') or 0):
            asked['entrypoint_memory'] = memory
        needed = {'CPU': asked['entrypoint_num_cpus'], 'GPU': gpus, 'memory': memory}
        nodes = self._ray.nodes()
        if nodes and not any(all(node.get(name, 0) >= count for name, count in needed.items()) for node in nodes):
            lacking = ', '.join(f'{count} {name}' for name, count in needed.items() if count)
            raise slurm.Refused(f'no node has {lacking}', True)
        said = self._root.full(f'{place}/{SAID}')
        words = shlex.join(['env', f'{NUMBER_VARIABLE}={number}', *program])
        entry = f'cd {shlex.quote(self._root.path)} && exec {words} >> {shlex.quote(said)} 2>&1 < /dev/null'
        answer = self._ray.ask('/api/jobs/', {'entrypoint': entry, 'submission_id': handed.name, **asked})
        if isinstance(answer, str) and f'submission_id {handed.name} already exists' not in answer:
            raise slurm.Refused(answer.splitlines()[-1][:300], False)
        return number

    def _verdict(self, place: str, state: str, unwanted: bool) -> dict[str, Any]:
        if unwanted:
            return not_begun('cancelled', '', PLACE)
        if state == 'CANCELLED':
            return not_begun('cancelled', 'it was stopped in Ray', PLACE)
        said = self._ray.message(self._known(place).number) if state else ''
        if 'memory' in said.lower():
            return not_begun('lost', f'Ray ended it, as memory ran out: {said[:300]}', STAGE)
        words = self._last_words(place) or said[:300]
        unknown = 'Ray ended it, and it has not said how it went' if state else 'Ray has no more of it'
        return not_begun('lost', f'{unknown}: {words}' if words else unknown, PLACE)

