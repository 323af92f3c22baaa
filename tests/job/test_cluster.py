"""The far end of a cluster whose engine loses jobs that go on all the same: what they do is taken for nobody else's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import blake3
import pytest

import mlops_cli
from mlops_cli.job import cluster
from mlops_cli.job.engine import Engine, Handing, Row, Verdict, View
from mlops_cli.job.hosted import JOBS, PLACE, SPEC
from mlops_cli.job.node import NUMBER_VARIABLE

JOB = 'ab' * 16
PLAIN: dict[str, Any] = {
    'stage': 'train', 'directory': '', 'inputs': [], 'outputs': ['out'], 'paths': [], 'timeout_seconds': None,
    'grace_seconds': 1.0, 'redact': None, 'lease_seconds': 600.0, 'gpus': 0, 'gpu_memory_bytes': None, 'checkpoint': None,
    'caches': [], 'path': '', 'cpus': 1, 'memory_bytes': None, 'submit': [],
}  # fmt: skip


class Processes(Engine):
    """Starts jobs as processes of this machine, and may be made to forget them."""

    title = 'Processes'

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
        self.forgotten: set[int] = set()

    def use(self, asked: Mapping[str, Any]) -> None:
        pass

    def facts(self, submit: Sequence[str]) -> dict[str, Any]:
        return {}

    def check(self, submit: Sequence[str]) -> None:
        pass

    def looked(self) -> View:
        rows = {
            number: Row(number, 'over' if process.poll() is not None else 'on', name, process.poll() is None)
            for number, (name, process) in self.started.items() if number not in self.forgotten
        }  # fmt: skip
        return View(time.monotonic(), rows)

    def submit(self, handing: Handing) -> int:
        number = len(self.started) + 1
        with open(handing.output, 'ab') as said:
            environ = {**os.environ, NUMBER_VARIABLE: str(number)}
            program = [*handing.program, os.path.dirname(os.path.dirname(blake3.__file__))]
            process = subprocess.Popen(program, env=environ, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        self.started[number] = (handing.name, process)
        return number

    def end(self, number: int) -> None:
        self.started[number][1].terminate()

    def verdict(self, number: int, state: str, said: str) -> Verdict:
        return Verdict('lost', PLACE, f'{state or "gone"}: {said}')


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(cluster, 'GONE_SECONDS', 0.2)
    monkeypatch.setattr(cluster, 'LAG_SECONDS', 0.2)
    monkeypatch.setattr('mlops_cli.job.engine.LOOK_SECONDS', 0.05)
    monkeypatch.setattr(cluster.Cluster, '_brought', lambda _: os.path.dirname(os.path.dirname(mlops_cli.__file__)))
    made = Processes()
    yield made
    for _, process in made.started.values():
        process.terminate()
        process.wait(60)


def begin(far: cluster.Cluster, folder: Path, script: str, by: str) -> dict[str, Any]:
    place = folder / JOBS / JOB
    place.mkdir(parents=True, exist_ok=True)
    (place / SPEC).write_text(json.dumps({**PLAIN, 'processes': [['sh', '-c', script]]}))
    return far.start({'job': JOB, 'by': by, 'environment': {'PATH': os.environ['PATH']}})


def state_of(far: cluster.Cluster) -> str:
    return str(far.look({'jobs': {JOB: 1 << 40}})['jobs'][JOB]['state'])


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_what_was_given_up_is_never_taken_for_what_is_asked_for_now(engine, tmp_path):
    """The first one goes on after its engine has forgotten it, and ends well while the second one is in the middle."""
    far = cluster.Cluster(str(tmp_path), engine)
    go, mark = tmp_path / 'go', tmp_path / 'mark'
    lasting = f'echo one > out; touch {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo first >> out'
    assert begin(far, tmp_path, lasting, 'a') == {'started': True}
    until(mark.exists)
    engine.forgotten.add(1)
    until(lambda: state_of(far) == 'over')
    outcome = tmp_path / JOBS / JOB / 'outcome.json'
    assert json.loads(outcome.read_text())['ending'] == 'lost'

    assert begin(far, tmp_path, f'echo two > out; touch {mark}2; while [ ! -e {go}2 ]; do sleep 0.05; done', 'b')['started']
    until(Path(f'{mark}2').exists)
    go.touch()
    until(lambda: engine.started[1][1].poll() is not None)
    assert state_of(far) == 'running' and not outcome.exists()
    Path(f'{go}2').touch()
    until(lambda: state_of(far) == 'over')
    ended = json.loads(outcome.read_text())
    assert (ended['ending'], ended['exit_code']) == ('exited', 0)
    ((path, _, _, size),) = ended['outputs']
    assert (path, size) == ('out', len('two\n'))


def test_one_that_was_given_up_ends_its_stage(engine, tmp_path):
    """Soon, and by itself: what it would go on with costs, and is of no use to anybody."""
    far = cluster.Cluster(str(tmp_path), engine)
    mark = tmp_path / 'mark'
    begin(far, tmp_path, f'touch {mark}; sleep 600', 'a')
    until(mark.exists)
    engine.forgotten.add(1)
    until(lambda: state_of(far) == 'over')
    until(lambda: engine.started[1][1].poll() is not None)
    assert json.loads((tmp_path / JOBS / JOB / 'outcome.json').read_text())['ending'] == 'lost'
    assert not [*(tmp_path / JOBS / JOB).glob('project*')]


def test_another_far_end_gives_up_nothing_that_it_did_not_hand_in(engine, tmp_path):
    """Two connections look at a job; over one of them it is given up and begun anew between two looks of the other."""
    one, other = (cluster.Cluster(str(tmp_path), engine) for _ in range(2))
    mark, go = tmp_path / 'mark', tmp_path / 'go'
    begin(one, tmp_path, f'touch {mark}; sleep 600', 'a')
    until(mark.exists)
    assert state_of(other) == 'running'
    engine.forgotten.add(1)
    until(lambda: state_of(one) == 'over')
    one.forget({'job': JOB, 'whole': True})
    begin(one, tmp_path, f'touch {mark}2; while [ ! -e {go} ]; do sleep 0.05; done; echo > out', 'b')
    until(Path(f'{mark}2').exists)
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        assert state_of(other) == 'running'
        time.sleep(0.1)
    go.touch()
    until(lambda: state_of(other) == 'over')
    assert json.loads((tmp_path / JOBS / JOB / 'outcome.json').read_text())['exit_code'] == 0


class Twice(Processes):
    """As one that starts a job a second time by itself, under the same number."""

    def submit(self, handing: Handing) -> int:
        number = super().submit(handing)
        self.second = self.started.pop(number)[1]
        return super().submit(handing)


def test_one_that_is_started_twice_is_done_once(engine, tmp_path):
    """Also under the number of the one that has begun: who says a number to its process begins nothing anew."""
    twice = Twice()
    far = cluster.Cluster(str(tmp_path), twice)
    mark, go = tmp_path / 'mark', tmp_path / 'go'
    begin(far, tmp_path, f'echo x >> {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo > out', 'a')
    both = twice.second, twice.started[1][1]
    until(lambda: mark.exists() and any(process.poll() is not None for process in both))
    go.touch()
    for process in both:
        assert process.wait(60) == 0
    until(lambda: state_of(far) == 'over')
    assert mark.read_text() == 'x\n'
