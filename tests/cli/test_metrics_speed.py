"""``metrics diff`` in a project with a long history."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from tests.support.project import Project

RUNS = 10_000
GOAL, BOUND = 0.1, 0.35  # seconds beyond what the program takes to show its help: wanted, and what no machine may exceed
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
    """The best of five."""
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, '-m', 'mlops_cli', *arguments],
            cwd=project.path,
            env=project.environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found.append(time.perf_counter() - begin)
    return min(found)


@pytest.mark.full
def test_a_long_history_does_not_slow_it_down(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.json', '{"accuracy": 0.5}')
    project.run()
    remember(project.path)
    project.commit('ten thousand runs')
    project.mlops('metrics', 'diff')  # what is remembered about HEAD
    beyond = seconds(project, 'metrics', 'diff') - seconds(project, 'metrics', 'diff', '-h')
    print(f'{RUNS:,} runs: {beyond * 1000:.0f} ms beyond start-up, wanted {GOAL * 1000:.0f} ms')
    assert beyond < BOUND
