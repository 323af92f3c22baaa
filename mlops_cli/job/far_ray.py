"""The far end of a connection to a Ray cluster (docs/formats/host.md).

A job is called by us, and Ray takes no second one of that name: so nothing has to be looked for, and nothing runs twice."""
from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from mlops_cli.job import cluster
from mlops_cli.job.engine import Engine, Handing, Refused, Row, Silent, Verdict, View, number_of
from mlops_cli.job.hosted import PLACE, STAGE
from mlops_cli.job.node import NUMBER_VARIABLE
from mlops_cli.job.ray import HINT, Ray
from mlops_cli.store.bucket import Unreachable

ACTIVE = ('PENDING', 'RUNNING')
WORDS = 200  # characters of what it says of a job
OVER = ('SUCCEEDED', 'FAILED', 'STOPPED')


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve of a host."""
    return cluster.serve(source, target, folder, RayEngine())


class RayEngine(Engine):
    title = 'Ray'
    hint = HINT

    def __init__(self) -> None:
        super().__init__()
        self._ray = Ray()
        self._messages: dict[int, str] = {}

    def use(self, asked: Mapping[str, Any]) -> None:
        for word in asked.get('submit') or ():
            if str(word).startswith('--port='):
                self._ray.port = int(str(word).partition('=')[2])

    def facts(self, _submit: Sequence[str]) -> dict[str, Any]:
        try:
            nodes, version = self._ray.nodes(), self._ray.version()
        except Silent as error:
            raise Unreachable(self.title, str(error), HINT) from error
        return {
            'cpus': int(sum(node.get('CPU', 0) for node in nodes)),
            'memory_bytes': int(max((node.get('memory', 0) for node in nodes), default=0)),
            'gpus': [],
            'ray': {'version': version, 'nodes': len(nodes), 'gpus': int(sum(node.get('GPU', 0) for node in nodes))},
        }  # fmt: skip

    def check(self, submit: Sequence[str]) -> None:
        if not self.facts(submit)['ray']['nodes']:
            raise Unreachable(self.title, 'it has no nodes yet', 'ray status tells why, there')

    def looked(self) -> View:
        taken = time.monotonic()
        rows = {}
        for job in self._ray.jobs():
            name = job.get('submission_id')
            if isinstance(name, str) and (number := number_of(name)):
                state = str(job.get('status'))
                self._messages[number] = message = str(job.get('message') or '')
                waits = ' '.join(message.split())[:WORDS] or 'it has not begun it' if state == 'PENDING' else ''
                rows[number] = Row(number, state, name, state not in OVER, waits=waits)
        return View(taken, rows)

    def submit(self, handing: Handing) -> int:
        number, told = number_of(handing.name), handing.told
        asked: dict[str, Any] = {'entrypoint_num_cpus': math.ceil(float(told.get('cpus') or 1))}
        if gpus := int(told.get('asked_gpus') or 0):
            asked['entrypoint_num_gpus'] = gpus
        if memory := int(told.get('memory_bytes') or 0):
            asked['entrypoint_memory'] = memory
        needed = {'CPU': asked['entrypoint_num_cpus'], 'GPU': gpus, 'memory': memory}
        nodes = self._ray.nodes()
        if nodes and not any(all(node.get(name, 0) >= count for name, count in needed.items()) for node in nodes):
            lacking = ', '.join(f'{count} {name}' for name, count in needed.items() if count)
            raise Refused(f'no node has {lacking}', True)
        words = shlex.join(['env', f'{NUMBER_VARIABLE}={number}', *handing.program])
        entry = f'cd {shlex.quote(handing.folder)} && exec {words} >> {shlex.quote(handing.output)} 2>&1 < /dev/null'
        answer = self._ray.ask('/api/jobs/', {'entrypoint': entry, 'submission_id': handing.name, **asked})
        if isinstance(answer, str) and f'submission_id {handing.name} already exists' not in answer:
            raise Refused((answer.splitlines() or ['it refuses, and does not say why'])[-1][:300], False)
        return number

    def end(self, number: int) -> None:
        """It kills what has not ended a few seconds later."""
        if (row := self.view().rows.get(number)) is not None:
            self._ray.ask(f'/api/jobs/{row.name}/stop', post=True)

    def verdict(self, number: int, state: str, said: str) -> Verdict:
        if state == 'STOPPED':
            return Verdict('cancelled', PLACE, 'it was stopped in Ray')
        message = self._messages.get(number, '')[:300] if state else ''
        if 'memory' in message.lower():
            return Verdict('lost', STAGE, f'Ray ended it, as memory ran out: {message}')
        unknown = 'Ray ended it, and it has not said how it went' if state else 'Ray has no more of it'
        if message and not said.strip():
            return Verdict('lost', PLACE, f'{unknown}: {message}')
        return Verdict('lost', PLACE, unknown, quotes=True)
