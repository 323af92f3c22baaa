"""A gateway that does not come up is waited for only as long as somebody wants it."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.kube import read_url, read_words
from mlops_cli.job.engine import Silent, View
from mlops_cli.job.far_kube import KubeEngine
from mlops_cli.kube import manifests
from mlops_cli.kube.api import Api, Status
from mlops_cli.kube.bucket import KubeBucket
from mlops_cli.kube.cluster import Cluster
from mlops_cli.store.bucket import Unreachable

URL = 'k8s://a/b/c'


class Pending(Api):
    """Takes a job, whose pod no node takes."""

    def __init__(self) -> None:
        super().__init__(URL, '')
        self.asked = threading.Event()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        self.asked.set()
        now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        why = {'type': 'PodScheduled', 'status': 'False', 'message': 'no room', 'lastTransitionTime': now}
        if '/pods' in path:
            name = manifests.gateway(read_url(URL), read_words('image=x'))['metadata']['name']
            meta = {'name': 'p', 'labels': {'job-name': name}, 'creationTimestamp': now}
            return {'items': [{'metadata': meta, 'status': {'phase': 'Pending', 'conditions': [why]}}]}
        return {'metadata': {'uid': 'u', 'creationTimestamp': now}, 'status': {}, 'items': []}


class Stopped(Exception):
    pass


def test_who_waits_is_told_why_and_may_stop() -> None:
    told: list[str] = []

    def waits(said: str) -> None:
        told.append(said)
        if said:
            raise Stopped

    with pytest.raises(Stopped):
        Cluster(URL, Pending(), read_url(URL), 'b', read_words('image=x')).gateway(waits)
    assert told[0] == '' and 'no room' in told[-1]


def test_a_bucket_that_is_closed_waits_no_longer() -> None:
    bucket = KubeBucket(URL, submit=['image=x'])
    api = Pending()
    bucket._cluster = Cluster(URL, api, read_url(URL), 'b', read_words('image=x'))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            bucket.ask({'do': 'host'})
        except Unreachable as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    assert api.asked.wait(100)
    began = time.monotonic()
    bucket.close()
    thread.join(60)
    assert not thread.is_alive() and time.monotonic() - began < 40 and failed


@pytest.mark.parametrize('strange', [float('inf'), float('nan'), 'x', None, []], ids=str)
def test_a_job_that_makes_no_sense_is_answered(strange: Any) -> None:
    bucket = KubeBucket(URL, submit=['image=x'])
    bucket._cluster = Cluster(URL, Pending(), read_url(URL), 'b', read_words('image=x'))
    asked = {'do': 'create', 'number': 1, 'name': f'a.{"0" * 16}', 'output': '/x', 'program': ['x'], 'cpus': 1,
             'memory_bytes': 1, 'gpus': 0, 'grace_seconds': 1}  # fmt: skip
    for name in ('cpus', 'memory_bytes', 'gpus', 'grace_seconds'):
        found = bucket._done({**asked, name: strange})
        assert found['number'] == 1 and ('silent' in found or strange != strange)  # a share that is none counts as the least


def test_a_status_that_nobody_expects_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = KubeBucket(URL, submit=['image=x'])
    api = Pending()
    bucket._cluster = Cluster(URL, api, read_url(URL), 'b', read_words('image=x'))

    def teapot(*_: Any, **__: Any) -> Any:
        raise Status(418, 'no')

    monkeypatch.setattr(api, 'ask', teapot)
    for do in ('rows', 'end', 'facts', 'check', 'create'):
        asked = {'do': do, 'number': 1, 'name': f'a.{"0" * 16}', 'output': '/x', 'program': ['x'], 'cpus': 1,
                 'memory_bytes': 1, 'gpus': 0, 'grace_seconds': 1}  # fmt: skip
        assert bucket._done(asked)['number'] == 1


def test_the_socket_of_kubectl_is_found_below_a_long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ('x' * 120)
    program = tmp_path / 'bin/kubectl'
    for folder in (long, program.parent):
        folder.mkdir()
    program.write_text(
        f'#!{sys.executable}\nimport socket, sys, time\none = socket.socket(socket.AF_UNIX)\n'
        'one.bind(next(word.partition("=")[2] for word in sys.argv if word.startswith("--unix-socket=")))\none.listen()\n'
        'print("on", flush=True)\ntime.sleep(60)\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(tempfile, 'tempdir', str(long))
    api = Api(URL, '')
    path = api._socket()
    assert len(path) < 104 and os.path.exists(path)
    api.close()
    assert not os.path.exists(os.path.dirname(path)) and not list(long.iterdir())


def asked_of(engine: KubeEngine, ask: Callable[[], object]) -> tuple[int, list[object], threading.Thread]:
    """The number of what the engine asks of its client, and what becomes of it."""
    came: list[object] = []

    def work() -> None:
        try:
            came.append(ask())
        except (Silent, Unreachable) as error:
            came.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    (wanted,) = engine.back({'seconds': 100})['wanted']
    return wanted['number'], came, thread


def test_an_answer_for_an_earlier_far_end_is_none_for_this_one() -> None:
    first, second = KubeEngine(), KubeEngine()
    before, _, _ = asked_of(first, first.looked)
    number, came, thread = asked_of(second, second.looked)
    second.back({'done': [{'number': before}]})
    thread.join(0.2)
    assert number != before and not came
    second.back({'done': [{'number': number, 'rows': []}]})
    thread.join(100)
    assert len(came) == 1 and isinstance(came[0], View)


@pytest.mark.parametrize('answer', [{'refused': 'no'}, {}, {'rows': None}])
def test_jobs_that_are_not_told_are_not_taken_for_none(answer: dict[str, Any]) -> None:
    engine = KubeEngine()
    number, came, thread = asked_of(engine, engine.looked)
    engine.back({'done': [{'number': number, **answer}]})
    thread.join(100)
    assert len(came) == 1 and isinstance(came[0], Silent)
