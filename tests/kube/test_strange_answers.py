"""Answers of a cluster that are not of the form that is documented: nothing ends as a bug, and nobody counts for ever."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.core.kube import read_url, read_words
from mlops_cli.job import engine, partitions
from mlops_cli.job.far_ray import RayEngine
from mlops_cli.job.ray import NODES_MOST, Ray
from mlops_cli.job.slurm import Slurm
from mlops_cli.kube import checks
from mlops_cli.kube.api import Api, Silent, Status
from mlops_cli.kube.cluster import Cluster
from mlops_cli.store.bucket import Unreachable

STRANGE: tuple[Any, ...] = (None, 1, 'x', [], [1], [None], {}, {'a': 1}, [[1, 2]], 1e400, -1, True, '1e400', 'nan', 'Ki')
NAMES = ('metadata', 'status', 'spec', 'items', 'message')


class Told(Api):
    def __init__(self, value: Any) -> None:
        super().__init__('k8s://a/b/c', '')
        self.value = value

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        return self._read(200, json.dumps(self.value).encode())


@pytest.mark.parametrize('strange', STRANGE, ids=str)
def test_of_kubernetes(strange: Any) -> None:
    row = dict.fromkeys(NAMES, strange)
    node = {'status': {'allocatable': {'cpu': strange, 'memory': strange, 'nvidia.com/gpu': strange}}}
    for value in (strange, row, {'items': [row, strange, {'metadata': {'name': strange}}]}, {'items': [node]},
                  {'status': {'accessModes': strange, 'allowed': True}}):
        there = Cluster('k8s://a/b/c', Told(value), read_url('k8s://a/b/c'), 'b', read_words('image=x'))
        asked: tuple[Callable[[], Any], ...] = (
            there.rows, there.claim, there.version, partial(there.event, 'x'), partial(checks.facts, there),
            partial(checks.check, there),
        )  # fmt: skip
        for one in asked:
            with suppress(Silent, Status, Unreachable):
                one()


def test_an_answer_of_kubernetes_that_is_very_deep() -> None:
    with pytest.raises(Silent):
        Api('k8s://a/b/c', '')._read(200, b'[' * 100_000)


@pytest.mark.parametrize('strange', [*STRANGE, 10**18, 10**400], ids=range(len(STRANGE) + 2))
def test_of_ray(strange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    far = RayEngine()
    for kinds in (strange, [strange], [[strange, 1]], [[{'CPU': strange, 'GPU': strange, 'memory': 1}, strange]],
                  [[{'CPU': strange}, 2]]):
        found = {'data': {'clusterStatus': {'loadMetricsReport': {'nodeTypes': kinds}}}}
        monkeypatch.setattr(Ray, 'ask', lambda *_, answer=found, **__: answer)
        assert len(far._ray.nodes()) <= NODES_MOST
        far.facts(())
        monkeypatch.setattr(Ray, 'ask', lambda *_, answer=kinds, **__: answer)
        with suppress(engine.Silent):
            far.looked()


def test_a_job_that_ray_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{'submission_id': f'a.{number:016x}', 'status': state, 'message': said} for number, state, said in (
        (1, 'PENDING', 'Job has not started yet.\n It may be waiting for resources'), (2, 'RUNNING', 'x'), (3, 'PENDING', None),
    )]  # fmt: skip
    monkeypatch.setattr(Ray, 'ask', lambda *_, **__: rows)
    waits = {number: row.waits for number, row in RayEngine().looked().rows.items()}
    assert waits == {1: 'Job has not started yet. It may be waiting for resources', 2: '', 3: 'it has not begun it'}


@pytest.mark.parametrize(('line', 'why'), [
    ('7|PENDING|Priority|a.0', 'others are before it (Priority)'), ('7|PENDING|QOSMaxJobs|a.0', 'QOSMaxJobs'),
    ('7|RUNNING|None|a.0', ''), ('7|COMPLETING|None|a.0', ''), ('7|CONFIGURING|None|a.0', 'it is about to begin it'),
])  # fmt: skip
def test_why_a_job_waits_in_slurm(line: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_by_slurm(monkeypatch, f'{line}\n').rows()[7].waits == why


def said_by_slurm(monkeypatch: pytest.MonkeyPatch, text: str) -> Slurm:
    monkeypatch.setattr(Slurm, 'ask', lambda *_, **__: subprocess.CompletedProcess([], 0, text, ''))
    return Slurm()


@pytest.mark.parametrize('number', ['\u00b2', '9' * 5000, '\u0661', '-1', '', '1 2'])
def test_of_slurm(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = said_by_slurm(monkeypatch, f'{number}|RUNNING|None|x.0\n')
    assert set(slurm.rows()) <= {1, 661}
    slurm = said_by_slurm(monkeypatch, f'gpu*|up|n|idle|{number}|{number}|gpu:a100:{number}(S:0)\n')
    found = partitions.facts(slurm, ())
    assert found['cpus'] == 0 and found['slurm']['gpus'] <= 1
    with suppress(engine.Silent, engine.Refused, UserError):
        assert said_by_slurm(monkeypatch, number).submit((), '') < 10**19
