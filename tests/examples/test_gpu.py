"""examples/gpu: plans as it stands, asks for GPUs where it is told to, and learns where PyTorch is installed."""
from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.servers.nvml import Nvml
from tests.support.project import Project

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'gpu'


@pytest.fixture
def copy(project: Project) -> Project:
    shutil.copytree(EXAMPLE, project.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns('.mlops', 'models', 'metrics'))
    return project


def test_it_plans_and_its_code_is_known(copy: Project) -> None:
    steps = copy.mlops('plan', '--json').json['stages']
    assert [step['name'] for step in steps] == ['train@4', 'train@16', 'train@64', 'validate']
    assert {'code', 'machine'} <= {*copy.mlops('doctor', '--json', code=None).json['right']}


def test_it_asks_for_gpus_where_it_is_told_to(copy: Project, nvml: Nvml) -> None:
    copy.write('params.yaml', copy.read('params.yaml').replace('gpus: 0', 'gpus: 1'))
    assert 'needs 1 GPU' in copy.mlops('run', code=2, environ={'PATH': '/usr/bin:/bin'}).err
    nvml.set(count=1, mem_total=1 << 30)
    said = copy.mlops('run', code=2, environ=nvml.environ).err
    assert 'needs 1 GPU with 2.1 GB of memory, there is Stand-in GPU with 1.1 GB' in said


@pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed')
def test_it_learns(copy: Project) -> None:
    copy.mlops('run', '-j', '2', timeout=280)
    assert all(copy.exists(f'models/{width}.pt') for width in (4, 16, 64))
