"""A small project with something to compare: two stages, a metric with a goal, a folder as an output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
version: 1
name: sums
stages:
  prepare:
    cmd: python prepare.py
    deps: [data.txt]
    params: [rows]
    outs: [prepared]
  train:
    cmd: python train.py
    deps: [prepared]
    params: [rate]
    outs: [model.txt]
    metrics:
      - metrics.json:
          primary: accuracy
          goals: {accuracy: max}
          tolerance: {accuracy: 0.01}
"""
PREPARE = """\
import os, yaml_free as y
os.makedirs('prepared', exist_ok=True)
for n in range(y.param('rows')):
    open(f'prepared/{n}.txt', 'w').write(open('data.txt').read() * n)
"""
TRAIN = """\
import json, os, yaml_free as y
rate = y.param('rate')
open('model.txt', 'w').write(str(rate))
json.dump({'accuracy': round(0.5 + rate / 10, 4), 'files': len(os.listdir('prepared'))}, open('metrics.json', 'w'))
"""
READER = """\
def param(name):
    for line in open('params.yaml'):
        key, _, value = line.partition(':')
        if key == name:
            return float(value) if '.' in value else int(value)
"""


@pytest.fixture
def sums(tmp_path: Path) -> Project:
    """As described, in git, not yet run."""
    found = Project(tmp_path / 'project')
    found.write('pipeline.yaml', PIPELINE)
    found.write('params.yaml', 'rows: 3\nrate: 1.0\n')
    found.write('data.txt', 'a line\n')
    found.write('prepare.py', PREPARE)
    found.write('train.py', TRAIN)
    found.write('yaml_free.py', READER)
    found.init_git()
    return found
