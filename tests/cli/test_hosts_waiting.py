"""What is seen here of a stage that was handed to another machine: that it waits and for what, apart from that it runs; and how
far it says it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_hosts import made, started, wait_for
from tests.servers.kube import Kube
from tests.servers.slurm import Slurm
from tests.servers.sshd import Sshd
from tests.support.project import Project

HOLD = 'stages:\n' + ''.join(
    f"  {name}: {{cmd: 'until test -e %(go)s-{name}; do sleep 0.05; done; echo > {name}.txt', outs: [{name}.txt], host: far, "
    'resources: %(all)s}\n'
    for name in ('first', 'second')
)
STEPS = """\
import json, os, time
with open('steps.jsonl', 'a') as file:
    for step in range(1, 401):
        print(json.dumps({'step': step, 'steps': 400, 'loss': 1 / step}), file=file, flush=True)
        while step %% 200 == 0 and not os.path.exists(f'%s/{step}'):
            time.sleep(0.01)
open('out.txt', 'w').close()
"""


def events(project: Project, kind: str) -> list[dict[str, Any]]:
    lines = (project.path / 'events.jsonl').read_text().splitlines() if (project.path / 'events.jsonl').exists() else []
    return [event for line in lines if (event := json.loads(line))['event'] == kind]


def held_up(project: Project, tmp_path: Path, resources: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two stages of which one keeps the other waiting: what is told of that one."""
    go = tmp_path / 'go'
    project.write('pipeline.yaml', HOLD % {'go': go, 'all': resources})
    began = time.monotonic()
    run = started(project, 'run', '-j', '2', '--events', 'events.jsonl')
    wait_for(lambda: bool(events(project, 'stage-queued')))
    (waits, *_) = events(project, 'stage-queued')
    listed = project.mlops('runs', 'list').out
    assert f'{waits["stage"]} (waiting)' in listed
    said = project.mlops('status').out
    assert f'waits: {waits["reason"]}'[:20] in said, said
    time.sleep(2.5)
    other = {'first': 'second', 'second': 'first'}[waits['stage']]
    Path(f'{go}-{other}').touch()
    wait_for(lambda: events(project, 'stage-queued')[-1]['reason'] == '')
    Path(f'{go}-{waits["stage"]}').touch()
    assert run.wait(60) == 0
    took = time.monotonic() - began
    begun = events(project, 'stage-queued')[-1]
    assert begun['stage'] == waits['stage'] and begun['reason'] == '' and begun['seconds'] >= waits['seconds']
    rows = {row['name']: row for row in project.mlops('runs', 'show', '--json').json['stages']}
    assert rows[waits['stage']]['seconds'] <= took - begun['seconds'], 'what it waited is no time that it took'
    return waits, begun


def test_what_waits_for_processors_of_a_host(tmp_path: Path, sshd: Sshd) -> None:
    project = made(tmp_path / 'one')
    project.environ.update(sshd.environ)
    project.mlops('hosts', 'add', 'far', sshd.url(tmp_path / 'far'))
    (row,) = project.mlops('hosts', 'check', '--json').json['rows']
    waits, _ = held_up(project, tmp_path, f'{{cpus: {max(2, row["facts"]["cpus"])}}}')
    assert waits['reason'] == 'for processors or memory that others have'


@pytest.mark.full
def test_what_waits_in_the_queue_of_slurm(tmp_path: Path, slurm: Slurm) -> None:
    project = made(tmp_path / 'one')
    project.environ.update(slurm.environ)
    project.mlops('hosts', 'add', 'far', f'slurm://{tmp_path}/far')
    waits, _ = held_up(project, tmp_path, '{gpus: 2}')
    assert waits['reason'] in ('Slurm: others have what it asks for (Resources)', 'Slurm: others are before it (Priority)',
                               'Slurm: it is about to begin it')


@pytest.mark.full
def test_what_waits_for_a_node_of_kubernetes(tmp_path: Path, kube: Kube) -> None:
    project = made(tmp_path / 'one')
    project.environ.update(kube.environ)
    project.mlops('hosts', 'add', 'far', kube.url('far'))
    waits, _ = held_up(project, tmp_path, '{gpus: 2}')
    assert waits['reason'] == 'Kubernetes: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.'


@pytest.mark.parametrize('where', ['ssh', pytest.param('slurm', marks=pytest.mark.full)])
def test_how_far_a_stage_says_it_is_there(tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    project = made(tmp_path / 'one')
    server: Sshd | Slurm = request.getfixturevalue({'ssh': 'sshd'}.get(where, where))
    project.environ.update(server.environ)
    url = server.url(tmp_path / 'far') if isinstance(server, Sshd) else f'slurm://{tmp_path}/far'
    project.mlops('hosts', 'add', 'far', url)
    project.write('steps.py', STEPS % tmp_path)
    stage = 'cmd: python3 steps.py, outs: [out.txt], progress: steps.jsonl, host: far'
    project.write('pipeline.yaml', f'stages:\n  work: {{{stage}}}\n')
    run = started(project, 'run', '--events', 'events.jsonl')
    for step in (200, 400):  # it goes on when that was told
        wait_for(lambda step=step: step in [one['done'] for one in events(project, 'stage-progress')])
        (tmp_path / str(step)).touch()
    assert run.wait(60) == 0
    told = events(project, 'stage-progress')
    assert len(told) >= 2 and all(one['total'] == 400 and one['figures']['loss'] == 1 / one['done'] for one in told), told
    assert [one['done'] for one in told] == sorted(one['done'] for one in told)
    assert not (project.path / 'steps.jsonl').exists(), 'it is no output'
