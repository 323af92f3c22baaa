"""What stages use of their GPUs: measured through NVML's own binding, kept with run and result, drawn; and never in the way."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import validate

from tests.cli.contract import SCHEMAS
from tests.servers.nvml import Nvml
from tests.servers.slurm import Slurm
from tests.servers.sshd import running
from tests.support.project import Project

WORK = """\
import sys, time
begin = time.time()
time.sleep(float(sys.argv[1]))
with open('out.txt', 'w') as file:
    file.write(f'{begin} {time.time()}')
"""
LOAD = ((60.0, 0.0), (300.0, 0.7), (120.0, 1.6), (420.0, 2.2), (60.0, 3.4), (250.0, 4.1))
GIB = 1 << 30


@pytest.fixture
def project(project: Project, nvml: Nvml) -> Project:
    project.environ |= nvml.environ
    nvml.set(count=2, name='NVIDIA H200', mem_total=16 * GIB, mem_used=3 * GIB, util=40)
    project.write('work.py', WORK)
    return project


def lay(project: Project, seconds: float, resources: str = '{gpus: 1}', more: str = '') -> None:
    stage = f'cmd: "{sys.executable} work.py {seconds}", outs: [out.txt], resources: {resources}{more}'
    project.write('pipeline.yaml', f'stages:\n  work: {{{stage}}}\n')


def started(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, '-m', 'mlops_cli', 'run'], cwd=project.path, env=project.environ)


def used(project: Project) -> tuple[dict[str, float], list[list[float | None]], list[str]]:
    document = project.mlops('runs', 'show', '--usage', '--json').json
    validate(document, json.loads((SCHEMAS / 'runs-usage.v1.json').read_text()))
    (work,) = document['stages']
    return work['usage'], work['series'], document['columns']


def lasted(project: Project) -> tuple[float, float]:
    """When its stage began and ended (Unix time), with all that comes before and after what it says itself."""
    path = max((project.path / '.mlops/local/live').glob('*/events.jsonl'))
    at = {event['event']: event['at'] for event in map(json.loads, path.read_text().splitlines())}
    return at['stage-started'], at['stage-ended']


@pytest.mark.parametrize('counter', [True, False])
def test_energy_is_that_of_a_load_that_changes(project: Project, nvml: Nvml, counter: bool) -> None:
    nvml.set(energy=None if counter else 'none')
    lay(project, 5.0)
    for last in (False, False, True):  # whoever else keeps this machine busy may hold the thread up that looks
        nvml.draw(LOAD)
        project.mlops('run', '--force')
        usage, rows, columns = used(project)
        begin, end = map(float, project.read('out.txt').split())
        first, over = lasted(project)
        least, most = 0.95 * nvml.joules(LOAD, begin, end), 1.05 * nvml.joules(LOAD, first, over)
        if least < usage['gpu_energy_joules'] < most or last:
            break
    assert least < usage['gpu_energy_joules'] < most
    assert usage.get('gpu_energy_estimated_joules', 0) == (0 if counter else usage['gpu_energy_joules'])
    assert usage['gpus'] == 1 and usage['gpu_memory_peak_bytes'] == 3 * GIB
    assert 0.9 * 0.4 * (end - begin) < usage['gpu_seconds'] < 1.1 * 0.4 * (over - first)
    assert columns[5:] == ['gpu_0_busy', 'gpu_0_memory_bytes', 'gpu_0_watts', 'gpu_0_joules']
    assert {tuple(row[5:7]) for row in rows} == {(0.4, 3 * GIB)} and len(rows) >= 5
    assert rows[-1][8] == pytest.approx(usage['gpu_energy_joules'], rel=0.05), 'the last look comes a moment after the end'
    assert rows[2][8] == pytest.approx(nvml.joules(LOAD, first, first + (rows[2][0] or 0)), rel=0.3)
    joules = [row[8] or 0 for row in rows]
    assert joules == sorted(joules) and len({row[7] for row in rows}) > 1
    text = project.mlops('runs', 'show', '--usage').out
    assert '40% busy on average, 3.2 GB at most' in text and ' W at most' in text
    assert ('  about ' in text) is not counter
    assert project.mlops('runs', 'show', '--json').json['stages'][0]['usage'] == usage


def test_two_gpus_and_one_that_is_lost_on_the_way(project: Project, nvml: Nvml) -> None:
    lay(project, 4.0, '{gpus: 2}')
    nvml.set(util_1=100, mem_used_1=GIB)
    nvml.draw([(100.0, 0.0)])
    nvml.draw([(50.0, 0.0)], card=1)
    run = started(project)
    while not any((project.path / '.mlops/local/logs').glob('*/work*')):
        time.sleep(0.05)
    time.sleep(1.5)
    nvml.set(fail_1=15)
    lost = time.time()
    assert run.wait(60) == 0
    first, over = lasted(project)
    usage, rows, columns = used(project)
    assert len(columns) == 13 and usage['gpus'] == 2 and usage['gpu_memory_peak_bytes'] == 4 * GIB
    assert rows[0][9] == 1.0 and rows[-1][9] is None and rows[-1][5] == 0.4
    assert 4.0 * 100 < usage['gpu_energy_joules'] < 1.05 * (over - first) * 100 + (lost - first) * 50, 'half of the other'
    text = project.mlops('runs', 'show', '--usage').out
    assert 'GPU 0 ' in text and 'GPU 1 ' in text


@pytest.mark.parametrize('how', [{'fail': 999}, {'delay': 150}, {'count': 0}])
def test_no_failure_of_the_driver_is_one_of_the_stage(project: Project, nvml: Nvml, how: dict[str, object]) -> None:
    lay(project, 2.0)
    run = started(project)
    while not any((project.path / '.mlops/local/logs').glob('*/work*')):
        time.sleep(0.05)
    time.sleep(0.5)
    nvml.set(**how)
    begin = time.monotonic()
    assert run.wait(200) == 0
    took = time.monotonic() - begin
    usage, rows, _ = used(project)
    assert usage['cpu_seconds'] >= 0 and rows
    assert took < 75, 'two and a half minutes for each question that hangs'


def test_what_the_record_says_and_what_is_kept_of_it_elsewhere(project: Project, nvml: Nvml) -> None:
    """A stage too short for a series still has its sums."""
    lay(project, 0.3)
    nvml.draw([(200.0, 0.0)])
    said = project.mlops('run', '-v').out
    usage, rows, columns = used(project)
    first, over = lasted(project)
    assert rows == [] or over - first > 1.4  # two looks are a series
    assert len(columns) == 5 + 4 * bool(rows) and 60.0 * 0.9 < usage['gpu_energy_joules'] < 1.05 * 200.0 * (over - first)
    assert 'GPU ' in said and ' J' in said
    assert ' J of GPUs' in project.mlops('runs', 'show', '--usage').out


def test_where_there_is_only_nvidia_smi_nothing_is_measured_and_all_is_well(project: Project) -> None:
    program = project.write('bin/nvidia-smi', '#!/bin/sh\necho "GPU-aa, NVIDIA H200, 1000, 900"\n')
    program.chmod(0o755)
    lay(project, 1.5)
    project.environ |= {'LD_LIBRARY_PATH': '', 'PATH': f'{program.parent}:{project.environ["PATH"]}'}
    project.mlops('run')
    usage, rows, columns = used(project)
    assert len(columns) == 5 == len(rows[0]) and not [name for name in usage if name.startswith('gpu')]
    said = ' '.join(project.mlops('doctor', code=None).out.split())
    assert 'what work does with GPUs is not measured: ' in said and "fix: does the linker find the driver?" in said


def measured_elsewhere(project: Project, nvml: Nvml, host: str) -> None:
    """A stage of three seconds, with a GPU of that host's at a steady load."""
    nvml.draw([(200.0, 0.0)])
    nvml.draw([(50.0, 0.0)], card=1)
    lay(project, 3.0, '{gpus: 2}', f', deps: [work.py], host: {host}')
    project.mlops('run')
    usage, rows, columns = used(project)
    begin, end = map(float, project.read('out.txt').split())
    assert usage['gpus'] == 2 and usage['gpu_memory_peak_bytes'] == 6 * GIB
    first, over = lasted(project)
    assert 0.9 * 250 * (end - begin) < usage['gpu_energy_joules'] < 1.1 * 250 * (over - first)
    assert 0.8 * 2 * 0.4 * (end - begin) < usage['gpu_seconds'] < 1.2 * 2 * 0.4 * (over - first)
    assert len(columns) == 13 and len(rows) >= 3
    assert rows[1][5:8] == [0.4, 3 * GIB, 200.0] and rows[1][9:12] == [0.4, 3 * GIB, 50.0]
    assert 'GPU 0 ' in project.mlops('runs', 'show', '--usage').out


def test_what_a_host_has_is_measured_there(project: Project, nvml: Nvml, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp('sshd')
    there = f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME= LD_LIBRARY_PATH={nvml.environ["LD_LIBRARY_PATH"]}'
    with running(folder, there) as host:
        project.environ |= {'LD_LIBRARY_PATH': '', **host.environ}  # none of them are here
        lay(project, 3.0)
        project.mlops('hosts', 'add', 'far', host.url(folder / 'far'))
        (row,) = project.mlops('hosts', 'check', 'far', '--json').json['rows']
        assert [card['memory_bytes'] for card in row['facts']['gpus']] == [16 * GIB] * 2, 'by its driver alone'
        measured_elsewhere(project, nvml, 'far')


@pytest.mark.full
def test_what_a_node_of_slurm_has_is_measured_there(project: Project, nvml: Nvml, slurm: Slurm, tmp_path: Path) -> None:
    project.environ |= {**slurm.environ, 'LD_LIBRARY_PATH': nvml.environ['LD_LIBRARY_PATH']}
    lay(project, 3.0)
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far')
    measured_elsewhere(project, nvml, 'cluster')
