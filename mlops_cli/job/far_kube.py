"""The far end of a connection into a pod of Kubernetes (docs/formats/host.md).

The pod has no rights in its cluster.  What is to be done there is asked of the client, over the same connection, whose user may
do it, and who makes of it nothing but jobs of this host."""
from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from mlops_cli.core.job import Ending
from mlops_cli.job import cluster
from mlops_cli.job.engine import Engine, Handing, Refused, Row, Silent, Verdict, View, number_of
from mlops_cli.job.hosted import PLACE, STAGE
from mlops_cli.store import far
from mlops_cli.store.bucket import Unreachable

ANSWER_SECONDS = 90.0  # for the client to do something
WAIT_MOST = 20.0  # that it waits for something to do
HINT = 'does kubectl get jobs work?'

# Ending, whose fault, what is said, by the state in which Kubernetes has ended a job.
ENDINGS: dict[str, tuple[Ending, int, str]] = {
    'OOMKilled': ('lost', STAGE, 'it took more memory than it asks for, and was ended: raise resources.memory'),
    'DeadlineExceeded': ('timeout', STAGE, 'Kubernetes ended it at its deadline'),
    'Deleted': ('cancelled', PLACE, 'it was deleted in Kubernetes'),
    'Preempted': ('lost', PLACE, 'Kubernetes took its place for another pod'),
    'Evicted': ('lost', PLACE, 'its node ran short, and put it off'),
    'Drained': ('lost', PLACE, 'its node was drained'),
    'NodeLost': ('lost', PLACE, 'its node was lost'),
    'Refused': ('lost', PLACE, 'its node did not take it'),
    'StartError': ('lost', PLACE, 'its container did not start'),
    'Gone': ('lost', PLACE, 'Kubernetes has ended it, and has no more of its pod'),
}  # fmt: skip


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve of a host."""
    return cluster.serve(source, target, folder, KubeEngine())


class KubeEngine(Engine):
    title = 'Kubernetes'
    hint = HINT

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._wanted: list[dict[str, Any]] = []
        self._done: dict[int, Mapping[str, Any]] = {}
        self._awaited: set[int] = set()
        self._last = secrets.randbits(48)  # what the client has done for an earlier far end is for none of ours
        self._said: dict[int, str] = {}

    # The client's side of it

    def requests(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        return {far.BACK: self.back}

    def back(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Takes what the client has done, and says what else there is; waits a little until there is something."""
        with self._changed:
            for row in asked.get('done') or ():
                if isinstance(row, dict) and row.get('number') in self._awaited:
                    self._done[row['number']] = row
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._wanted, min(WAIT_MOST, float(asked.get('seconds') or 0.0)))
            wanted, self._wanted = self._wanted, []
        return {'wanted': wanted}

    def _ask(self, do: str, **asked: Any) -> Mapping[str, Any]:
        """Raises Silent, Refused, Unreachable."""
        with self._changed:
            self._last += 1
            number = self._last
            self._awaited.add(number)
            self._wanted.append({'number': number, 'do': do, **asked})
            self._changed.notify_all()
            self._changed.wait_for(lambda: number in self._done, ANSWER_SECONDS)
            self._awaited.discard(number)
            found = self._done.pop(number, {'silent': 'mlops here says nothing of it'})
        if 'silent' in found:
            raise Silent(str(found['silent']))
        if 'unreachable' in found:
            raise Unreachable(self.title, str(found['unreachable']), str(found.get('hint') or ''))
        if 'refused' in found:
            raise Refused(str(found['refused']), bool(found.get('lacking')))
        return found

    # As every engine

    def use(self, asked: Mapping[str, Any]) -> None:
        """The client knows the host's settings."""

    def facts(self, _submit: Sequence[str]) -> dict[str, Any]:
        return self._told('facts')

    def check(self, _submit: Sequence[str]) -> None:
        self._told('check')

    def _told(self, do: str) -> dict[str, Any]:
        try:
            found = self._ask(do).get('facts')
        except (Silent, Refused) as error:
            raise Unreachable(self.title, f'it does not answer: {error}', HINT) from error
        return found if isinstance(found, dict) else {}

    def looked(self) -> View:
        taken = time.monotonic()
        rows = {}
        try:
            found = self._ask('rows')
        except Refused as error:  # of what is to be handed in alone
            raise Silent(str(error)) from error
        if not isinstance(found.get('rows'), list):
            raise Silent('mlops here does not say which jobs there are')
        for row in found['rows']:
            if number := number_of(str(row['name'])):
                state, name, hopeless, waits = (str(row.get(key) or '') for key in ('state', 'name', 'hopeless', 'waits'))
                rows[number] = Row(number, state, name, bool(row['active']), hopeless, waits)
                self._said[number] = str(row['said'])
        return View(taken, rows)

    def submit(self, handing: Handing) -> int:
        told = handing.told
        self._ask(
            'create', name=handing.name, output=handing.output, program=[*handing.program],
            run=str((told.get('environment') or {}).get('MLOPS_RUN') or ''), cpus=float(told.get('cpus') or 1),
            memory_bytes=int(told.get('memory_bytes') or 0), gpus=int(told.get('asked_gpus') or 0),
            timeout_seconds=told.get('timeout_seconds'), grace_seconds=float(told['grace_seconds']),
        )  # fmt: skip
        return number_of(handing.name)

    def end(self, number: int) -> None:
        if (row := self.view().rows.get(number)) is not None:
            self._ask('end', name=row.name)

    def verdict(self, number: int, state: str, said: str) -> Verdict:
        unknown = 'it ended in Kubernetes, and has not said how it went' if state else 'Kubernetes has no more of it'
        ending, code, message = ENDINGS.get(state, ('lost', PLACE, unknown))
        more = self._said.get(number, '') if state else ''
        quotes = ending == 'lost' and code == PLACE and bool(said.strip() or not more)
        return Verdict(ending, code, message + (f' ({more})' if more else ''), quotes=quotes)
