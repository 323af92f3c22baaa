"""The files as the engines themselves read them: Snakemake runs its one; Airflow and Argo's models parse theirs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.full
PACKAGES = {
    'snakemake': ['snakemake'],
    'airflow': ['apache-airflow-task-sdk', 'apache-airflow-providers-standard'],
    'argo': ['hera'],
}
PIPELINE = """\
stages:
  prepare: {cmd: 'cp raw.txt in.txt; echo x >> ran', deps: [raw.txt], outs: [in.txt]}
  train:
    matrix: {seed: [1, 2]}
    cmd: 'cat in.txt > ${item.seed}.bin; echo x >> ran'
    deps: [in.txt]
    outs: ['${item.seed}.bin']
  best: {cmd: 'cat 1.bin 2.bin > best.bin; echo x >> ran', deps: [1.bin, 2.bin], outs: [best.bin]}
"""
AIRFLOW = """\
import json, runpy, sys
dag = next(iter(runpy.run_path(sys.argv[1])['task'].values())).dag
print(json.dumps({task.task_id: [task.bash_command, sorted(task.upstream_task_ids), task.cwd] for task in dag.tasks}))
"""
ARGO = """\
import json, sys, yaml
from hera.workflows.models import Workflow
found = Workflow.model_validate(yaml.safe_load(open(sys.argv[1])))
templates = {one.name: one for one in found.spec.templates}
tasks = templates[found.spec.entrypoint].dag.tasks
print(json.dumps({task.name: [templates[task.template].container.command, task.dependencies or []] for task in tasks}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'one')
    found.init_git()
    found.write('pipeline.yaml', PIPELINE)
    found.write('raw.txt', 'one\n')
    return found


@pytest.fixture(scope='module')
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment with all of them, from PyPI; made once."""
    venv = Path.home() / '.cache' / 'mlops-tests' / 'engines'
    if not (venv / 'complete').exists():
        packages = [name for names in PACKAGES.values() for name in names]
        for argv in (
            [sys.executable, '-m', 'venv', '--without-pip', '--clear', str(venv)],
            [sys.executable, '-m', 'pip', '--python', str(venv / 'bin/python'), 'install', '--quiet', *packages],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f'the engines cannot be installed: {done.stderr.strip()[-200:]}')
        (venv / 'complete').touch()
    return venv / 'bin'


def asked(engines: Path, program: str, path: Path, home: Path) -> dict[str, list[object]]:
    environ = {**os.environ, 'AIRFLOW_HOME': str(home), 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run([engines / 'python', '-c', program, path], capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_snakemake_runs_what_has_to_run(project: Project, engines: Path) -> None:
    assert project.mlops('export', 'snakemake', '--json').json['written']
    bin_ = project.path.parent / 'bin'
    bin_.mkdir()
    (bin_ / 'mlops').write_text(f'#!/bin/sh\nexec {sys.executable} -m mlops_cli "$@"\n')
    (bin_ / 'mlops').chmod(0o755)
    environ = {**project.environ, 'PATH': f'{bin_}{os.pathsep}{project.environ["PATH"]}'}

    def snakemake(code: int = 0) -> str:
        argv = [engines / 'snakemake', '--cores', '2']
        done = subprocess.run(argv, cwd=project.path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stderr

    assert '5 of 5 steps (100%) done' in snakemake()
    assert project.read('best.bin') == 'one\none\n' and project.read('ran') == 'x\n' * 4
    snakemake()
    assert project.read('ran') == 'x\n' * 4 and 'Up to date: 4 stages' in project.mlops('status').out
    project.write('raw.txt', 'two\n')
    snakemake()
    assert project.read('best.bin') == 'two\ntwo\n' and project.read('ran') == 'x\n' * 8
    (project.path / 'raw.txt').unlink()
    snakemake(1)
    project.write('raw.txt', 'one\n')
    snakemake()  # nothing of what failed stands in the way; all is in the cache
    assert project.read('best.bin') == 'one\none\n' and project.read('ran') == 'x\n' * 8


def test_airflow_reads_its_dag(project: Project, engines: Path, tmp_path: Path) -> None:
    project.mlops('export', 'airflow', '-o', 'dags/ours.py')
    shutil.copy(project.path / 'dags/ours.py', project.path / 'ours.py')
    assert asked(engines, AIRFLOW, project.path / 'ours.py', tmp_path / 'home') == {
        'prepare': ['mlops run --only prepare ', [], str(project.path)],
        'train_1': ['mlops run --only train@1 ', ['prepare'], str(project.path)],
        'train_2': ['mlops run --only train@2 ', ['prepare'], str(project.path)],
        'best': ['mlops run --only best ', ['train_1', 'train_2'], str(project.path)],
    }


def test_argos_models_take_the_workflow(project: Project, engines: Path, tmp_path: Path) -> None:
    project.mlops('export', 'argo', '--image', 'registry.example.org/ml:3')
    assert asked(engines, ARGO, project.path / 'workflow.yaml', tmp_path) == {
        'prepare': [['mlops', 'run', '--only', 'prepare'], []],
        'train-1': [['mlops', 'run', '--only', 'train@1'], ['prepare']],
        'train-2': [['mlops', 'run', '--only', 'train@2'], ['prepare']],
        'best': [['mlops', 'run', '--only', 'best'], ['train-1', 'train-2']],
    }


def test_what_is_there_is_not_written_over(project: Project) -> None:
    project.write('Snakefile', 'rule mine:\n')
    assert 'Snakefile exists' in project.mlops('export', 'snakemake', code=5).err
    assert project.read('Snakefile') == 'rule mine:\n'
    project.mlops('export', 'snakemake', '--force')
    assert not project.mlops('export', 'snakemake', '--json').json['written']
    assert 'needs an image' in project.mlops('export', 'argo', code=2).err
    assert 'paths are inside the project' in project.mlops('export', 'argo', '--image', 'x', '-o', '../w.yaml', code=2).err
    project.write('pipeline.yaml', 'stages: {}\n')
    assert 'no stages' in project.mlops('export', 'airflow', code=2).err
