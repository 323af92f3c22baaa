"""Commands about runs in a project with a long history."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from tests.support.clocks import processor_seconds
from tests.support.project import Project

RUNS = 10_000
GOAL = 0.1  # seconds beyond what the program takes to start, as it does where one run was made
PIPELINE = """\
stages:
  train:
    cmd: cp in.json m.json
    deps: [in.json]
    metrics: [{m.json: {primary: accuracy, goals: {accuracy: max}}}]
"""


def remember(folder: Path) -> None:
    """A run, and a pin of what it made, each an hour after the one before."""
    for number in range(RUNS):
        began = 1.7e9 + number * 3600
        entries = [value_entry('command', 'cmd', 'cp'), value_entry('param', 'rate', number)]
        outputs = (('m.json', ObjectRef(digest_of(str(number).encode()), 9, 'file')),)
        pin = Pin(Manifest.of(entries), outputs, (('m.json', 'accuracy', number / RUNS),))
        (folder / layout.STAGES / pin.file_name('train')).write_bytes(pin.data)
        stage = StageRun('train', 'done', pin.key, pin.outs8, 1.5, 0)
        run = Run(run_id(began, number.to_bytes(6, 'big')), iso(began), 1.6, 'done', (stage,))
        path = folder / layout.run_record(run.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run.encode())


def seconds(project: Project, *arguments: str) -> float:
    """Processor time of the whole program, which other work on this machine lengthens little; the least of seven."""
    found = []
    for _ in range(7):
        before = processor_seconds()
        project.mlops(*arguments)
        found.append(processor_seconds() - before)
    return min(found)


@pytest.mark.full
def test_ten_thousand_runs_answer_at_once(project: Project) -> None:
    small = Project(project.path.parent / 'small')
    small.init_git()
    for one in (small, project):
        one.write('pipeline.yaml', PIPELINE)
        one.write('in.json', '{"accuracy": 0.5}')
        one.run()
    remember(project.path)
    small.commit('one run')
    project.commit('ten thousand runs')
    asked = [
        ('runs', 'list'),
        ('runs', 'list', '--where', 'accuracy > 0.5', '--sort', 'accuracy'),
        ('metrics', 'diff'),
        ('lineage', 'upstream', 'm.json'),
    ]
    slow = {}
    for words in asked:
        project.mlops(*words)  # the local tables are made, and what is known about HEAD
        small.mlops(*words)
        beyond = seconds(project, *words) - seconds(small, *words)
        print(f'{RUNS:,} runs, {" ".join(words)}: {beyond * 1000:.0f} ms beyond what one run takes')
        if beyond > GOAL:
            slow[words] = beyond
    assert not slow
