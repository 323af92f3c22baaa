"""Records of runs that never were, in numbers that no test could run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun, fitted

LAST = 1795170000.0  # when the newest of them started
STEP = 1200.0  # seconds between two
PIPELINE = """\
stages:
  prepare:
    cmd: cp in.txt prepared.txt
    deps: [in.txt]
    outs: [prepared.txt]
  train:
    cmd: cp prepared.txt model.txt && echo '{}' > metrics.json
    deps: [prepared.txt]
    params: [rate, depth]
    outs: [model.txt]
    metrics: [{metrics.json: {primary: accuracy, goals: {accuracy: max, loss: min}}}]
"""


def some_pin(number: int, rate: float, depth: int, metrics: dict[str, float]) -> Pin:
    """What ``train`` came to with these parameters."""
    entries = [
        value_entry('command', 'cmd', 'python train.py'),
        value_entry('param', 'params.yaml:rate', rate),
        value_entry('param', 'params.yaml:depth', depth),
        value_entry('data', 'prepared.txt', str(number)),
    ]
    outputs = (
        ('model.txt', ObjectRef(digest_of(str(number).encode()), 1000, 'file')),
        ('metrics.json', ObjectRef(digest_of(b'm%d' % number), 100, 'file')),
    )
    return Pin(Manifest.of(entries), outputs, tuple(('metrics.json', name, value) for name, value in metrics.items()))


def some_run(pin: Pin, started: float, chance: random.Random, *, failed: bool = False, trial: bool = False, **more: Any) -> Run:
    """A run in which ``train`` came to that pin, unless it failed."""
    usage = {'cpu_seconds': round(chance.random() * 100, 3), 'memory_peak_bytes': 3e8}
    result = ('failed', pin.key, '', 3.0, 1) if failed else ('done', pin.key, pin.outs8, round(chance.random() * 100, 3), 0)
    stages = (
        StageRun('prepare', 'restored', digest_of(b'prepare'), '0123abcd', 0.0),
        StageRun('train', *result, usage),  # type: ignore[arg-type]
    )
    params = {e.name.partition(':')[2]: float(e.value or 0) for e in pin.manifest.entries if e.kind == 'param'}
    facts: dict[str, Any] = {
        'fresh': 1,
        'saved_seconds': 5.0,
        'command': ('mlops', 'run'),
        'who': chance.choice(['ada', 'ben']),
        'host': chance.choice(['gpu1', 'gpu2']),
        'commit': 'c' * 40,
        'branch': chance.choice(['main', 'try/deeper']),
        'overlay': (('params.yaml', 'rate', params['rate']),) if trial else (),
        'metrics': tuple(('train', *metric) for metric in pin.metrics) if trial and not failed else (),
        'environment': {'python': '3.11.7', 'platform': 'Linux'},
    }
    ended = 'failed' if failed else 'done'
    identity = run_id(started, chance.randbytes(16))
    return Run(identity, iso(started), round(chance.random() * 100, 3), ended, stages, **{**facts, **more})


def write(root: Path, run: Run, pin: Pin | None = None) -> None:
    """As a run would."""
    path = root / layout.run_record(run.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fitted(run).encode())
    if pin is not None:
        (root / layout.STAGES).mkdir(parents=True, exist_ok=True)
        (root / layout.STAGES / pin.file_name('train')).write_bytes(pin.data)


def fill(root: Path, number: int, *, pins: int) -> None:
    """So many records, newest first: every seventh failed, every fourth a trial; they share so many pins."""
    chance = random.Random(1)
    made = []
    for index in range(pins):
        metrics = {'accuracy': chance.random(), 'loss': chance.random()}
        made.append(some_pin(index, round(chance.random(), 3), chance.randrange(3, 20), metrics))
    for index in range(number):
        pin = made[index % pins]
        run = some_run(pin, LAST - index * STEP, chance, failed=index % 7 == 0, trial=index % 4 == 0)
        write(root, run, pin if index < pins else None)
