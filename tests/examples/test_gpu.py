"""examples/gpu: plans as it stands, asks for GPUs where it is told to, and learns where PyTorch is installed."""
from __future__ import annotations

import importlib.util
import os
import shutil
import sys
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


def torch_python() -> str:
    """The folder of a Python that has PyTorch: that of the tests, or one that MLOPS_TEST_TORCH names."""
    named = os.environ.get('MLOPS_TEST_TORCH') or (sys.executable if importlib.util.find_spec('torch') else '')
    return str(Path(named).parent) if named else ''


@pytest.mark.timeout(900)
@pytest.mark.skipif(not torch_python(), reason='PyTorch is not installed, and MLOPS_TEST_TORCH names no Python that has it')
def test_it_learns(copy: Project) -> None:
    path = f'{torch_python()}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    copy.mlops('run', '-j', '2', timeout=800, environ={'PATH': path})
    assert all(copy.exists(f'models/{width}.pt') for width in (4, 16, 64))
    assert 'Nothing to do' in copy.mlops('run', environ={'PATH': path}).out
