"""The far end of a connection to a cluster with Slurm (docs/formats/host.md)."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from mlops_cli.core.job import Ending
from mlops_cli.job import cluster, partitions, slurm
from mlops_cli.job.engine import Engine, Handing, Row, Verdict, View
from mlops_cli.job.hosted import PLACE, STAGE

# Ending, whose fault, what is said, by the state in which Slurm has ended a job.
ENDINGS: dict[str, tuple[Ending, int, str]] = {
    'TIMEOUT': ('timeout', STAGE, 'Slurm ended it at its time limit'),
    'DEADLINE': ('timeout', STAGE, 'Slurm ended it at its deadline'),
    'OUT_OF_MEMORY': ('lost', STAGE, 'it took more memory than Slurm gave it, and was ended: raise resources.memory'),
    'CANCELLED': ('cancelled', PLACE, 'it was cancelled in Slurm'),
    'NODE_FAIL': ('lost', PLACE, 'its node failed'),
    'BOOT_FAIL': ('lost', PLACE, 'its node did not come up'),
    'PREEMPTED': ('lost', PLACE, 'Slurm took its node for another job'),
}  # fmt: skip

# What the nodes' part of Slurm writes where a job's state does not tell it, or nobody knows that any more.
WORDS = {'memory limit': 'OUT_OF_MEMORY', 'oom-kill event': 'OUT_OF_MEMORY', 'DUE TO TIME LIMIT': 'TIMEOUT',
         'DUE TO PREEMPTION': 'PREEMPTED', 'DUE TO NODE FAILURE': 'NODE_FAIL'}  # fmt: skip


def serve(source: BinaryIO, target: BinaryIO, folder: str) -> int:
    """As far.serve of a host."""
    return cluster.serve(source, target, folder, SlurmEngine())


class SlurmEngine(Engine):
    title = 'Slurm'
    hint = slurm.CONTROLLER_HINT

    def __init__(self) -> None:
        super().__init__()
        self._slurm = slurm.Slurm()

    def use(self, asked: Mapping[str, Any]) -> None:
        if path := str(asked.get('path') or ''):  # its programs are where the host's path says
            self._slurm.look_in(path)

    def facts(self, submit: Sequence[str]) -> dict[str, Any]:
        return partitions.facts(self._slurm, submit)

    def check(self, submit: Sequence[str]) -> None:
        partitions.check(self._slurm, submit)

    def looked(self) -> View:
        taken = time.monotonic()
        return View(taken, self._slurm.rows(), self._slurm.since())

    def submit(self, handing: Handing) -> int:
        words = [*slurm.wanted(handing.told), *slurm.around(handing.folder, handing.output, handing.name)]
        return self._slurm.submit(words, slurm.script(handing.program))

    def accounted(self, number: int) -> Row | None:
        return self._slurm.accounted(number)

    def end(self, number: int) -> None:
        self._slurm.end(number)

    def wake(self, number: int) -> None:
        self._slurm.wake(number)

    def verdict(self, _number: int, state: str, said: str) -> Verdict:
        if state not in ENDINGS:
            state = next((meant for words, meant in WORDS.items() if words in said and 'slurmstepd' in said), state)
        unknown = f'in Slurm it is {state.lower()}, and it has not said how it went' if state else 'Slurm has no more of it'
        ending, code, message = ENDINGS.get(state, ('lost', PLACE, unknown))
        return Verdict(ending, code, message, quotes=ending == 'lost' and code == PLACE)
