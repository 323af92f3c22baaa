"""A stage that says how far it is: on every screen while it runs, and in no key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.events import Event, StageEnded, StageProgress, StageStarted
from mlops_cli.fsio.paths import Root
from mlops_cli.run import progress
from tests.support.project import Project
from tests.support.stages import lay, run

LINES = r"""
mkdir -p logs
printf '{"epoch": 6, "epochs": 40, "loss": 0.5}\n{"epoch": 7, "epochs": 40, "loss": 0.41234}\n{"epoch": 8, "ep' >> logs/p.jsonl
echo printed
touch "$MARKS/there"
while [ ! -e "$MARKS/go" ]; do sleep 0.02; done
echo made > out
"""
GROWS = 'for i in 1 2 3; do echo "{\\"step\\": $i}" >> log.jsonl; until [ -e ../seen-$i ]; do sleep 0.02; done; done'
TRAIN: dict[str, Any] = {'cmd': LINES, 'outs': ['out'], 'progress': 'logs/p.jsonl'}


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose stage has written how far it is."""
    marks = project.path.parent / 'marks'
    marks.mkdir()
    project.environ['MARKS'] = str(marks)
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run', *arguments],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 60
        while not (marks / 'there').exists():
            assert time.monotonic() < end and process.poll() is None, process.communicate()
            time.sleep(0.02)
        yield process
    finally:
        (marks / 'go').touch()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err


@pytest.mark.parametrize(
    ('keys', 'arguments'),
    [({}, ()), ({'isolate': 'folder'}, ()), ({'params': ['x']}, ('--set', 'x=2'))],
    ids=['workspace', 'folder', 'trial'],
)
def test_it_is_told_while_the_stage_runs(project: Project, keys: dict[str, Any], arguments: tuple[str, ...]) -> None:
    project.write('params.yaml', 'x: 1\n')
    lay(project, {'train': {**TRAIN, **keys}})
    with running(project, '--events', '../events.jsonl', *arguments):
        status = project.mlops('status').out
        assert 'epoch 7 of 40, loss 0.4123' in status and 'Running now' in status
        assert 'mlops runs attach' in status
        end = time.monotonic() + 60
        while 'about' not in (said := project.mlops('status', '--json').json['running'][0]['said']):
            assert time.monotonic() < end  # less than a second left is not told
        assert said.startswith('epoch 7 of 40, loss 0.4123, about ')
        logs = project.mlops('logs', 'train')
        assert logs.out == 'printed\n' and ', epoch 7 of 40, loss 0.4123\n' in logs.err
        row = project.mlops('logs', 'train', '--json').json['rows'][0]
        assert row['state'] == 'running' and row['progress'] == {'epoch': 7, 'loss': 0.41234}
        end = time.monotonic() + 60
        while 'stage-progress' not in (text := project.read('../events.jsonl')):
            assert time.monotonic() < end
            time.sleep(0.05)
    events = [json.loads(line) for line in text.splitlines()]
    assert {'epoch': 7, 'loss': 0.41234} in [one.get('figures') for one in events]
    assert not any(one['event'] == 'stage-progress' for one in recorded(project))
    assert 'epoch' not in project.mlops('status').out
    assert 'logs/p.jsonl' not in project.git('status', '--porcelain', '--untracked-files=all')


def recorded(project: Project) -> list[dict[str, Any]]:
    (path,) = (project.path / '.mlops/local/live').glob('*/events.jsonl')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_is_in_no_key_and_no_output(project: Project) -> None:
    command = 'echo \'{"epoch": 1}\' >> p.jsonl; echo x > out'
    lay(project, {'train': {'cmd': command, 'outs': ['out']}})
    run(project)
    lay(project, {'train': {'cmd': command, 'outs': ['out'], 'progress': 'p.jsonl'}})
    assert run(project) == {'train': 'fresh'}
    project.write('p.jsonl', 'anything')
    assert run(project) == {'train': 'fresh'}
    assert run(project, force=True) == {'train': 'done'}
    assert project.read('p.jsonl') == 'anything{"epoch": 1}\n'
    with open(project.path / '.gitignore') as file:
        assert '/p.jsonl\n' in file.read()


class Seen(list[Event]):
    """The events of a run; each step that is told has a file, which a stage may wait for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, StageProgress) and event.stage == 'train':
            (self.folder / f'seen-{event.figures[0][1]}').touch()


def test_it_may_be_a_plot_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at while it grows, and stored as it is in the end."""
    monkeypatch.setattr(progress, 'PERIOD', 0.01)
    lay(
        project,
        {
            'train': {
                'cmd': GROWS,
                'plots': ['log.jsonl'],
                'progress': 'log.jsonl',
                'timeout': 100,
            },
            'folder': {'cmd': 'mkdir -p f; echo a,b > f/l.csv; echo 1,2 >> f/l.csv', 'outs': ['f'], 'progress': 'f/l.csv'},
        },
    )
    events = Seen(project.path.parent)
    report = project.run(events=events)
    seen = [event.figures[0][1] for event in events if isinstance(event, StageProgress) and event.stage == 'train']
    assert seen == [1, 2, 3]
    assert report.settled['train'].outputs[0][1].size == 3 * len('{"step": 1}\n')
    os.unlink(project.path / 'log.jsonl')
    assert run(project) == {'train': 'restored', 'folder': 'fresh'}
    assert run(project, force=True) == {'train': 'done', 'folder': 'done'}


def test_what_a_run_before_left_is_not_told(project: Project) -> None:
    """The file is still there, and the stage has not written to it yet."""
    project.write('logs/p.jsonl', '{"epoch": 40, "epochs": 40}\n')
    os.utime(project.path / 'logs/p.jsonl', (time.time() - 3600, time.time() - 3600))
    lay(project, {'train': {**TRAIN, 'cmd': 'echo printed; touch "$MARKS/there"; ' + LINES[LINES.index('while') :]}})
    with running(project):
        assert 'epoch' not in project.mlops('status').out and 'printed' in project.mlops('status').out


def test_a_file_that_leads_out_of_the_project_is_not_read(project: Project, tmp_path: Path) -> None:
    (tmp_path / 'secret.jsonl').write_text('{"secret": 1}\n')
    os.symlink(tmp_path / 'secret.jsonl', project.path / 'p.jsonl')
    with Root(project.path) as root:
        assert progress.read(root, 's', 'p.jsonl', 0.0, str) is None


def test_a_stage_that_comes_out_fresh_after_all_is_told(project: Project) -> None:
    """Else whoever counts what is still to come counts it for ever."""
    project.write('in', 'x1')
    lay(
        project,
        {
            'a': {'cmd': 'cut -c1 in > a', 'deps': ['in'], 'outs': ['a']},
            'b': {'cmd': 'cp a b', 'deps': ['a'], 'outs': ['b']},
            'c': {'cmd': 'echo c > c', 'outs': ['c']},
        },
    )
    run(project)
    project.write('in', 'x2')
    events: list[Event] = []
    project.run(events=events)
    started = events[0]
    assert getattr(started, 'total', None) == 2 and getattr(started, 'stages', None) == ('a', 'b')
    assert [(e.stage, e.state) for e in events if isinstance(e, StageEnded)] == [('a', 'done'), ('b', 'fresh')]
    assert [e.stage for e in events if isinstance(e, StageStarted)] == ['a']
