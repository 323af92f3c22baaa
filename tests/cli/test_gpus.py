"""GPUs of this machine, end to end: handed out, shared, waited for, never given twice."""
from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.nvml import Nvml, uuid
from tests.support.project import Project

# Says which cards it had from when to when.  A third word: how many have to have begun before it goes on.
LOOK = """\
import os, sys, time
begin = time.time()
if len(sys.argv) > 3:
    open(f'begun-{sys.argv[1]}', 'w').close()
    while sum(name.startswith('begun-') for name in os.listdir('.')) < int(sys.argv[3]):
        time.sleep(0.02)
time.sleep(float(sys.argv[2]))
with open(sys.argv[1], 'w') as file:
    file.write(f'{os.environ.get("CUDA_VISIBLE_DEVICES")} {begin} {time.time()}')
"""
GIB = 1 << 30


@pytest.fixture
def project(project: Project, nvml: Nvml) -> Project:
    project.environ |= nvml.environ
    nvml.set(count=2, name='NVIDIA H200', mem_total=16 * GIB)
    return project


def lay(project: Project, stages: dict[str, str], seconds: float = 0.6, meet: str = '') -> None:
    """``stages``: name -> resources.  ``meet``: how many of them have to have begun before one goes on."""
    project.write('look.py', LOOK)
    project.write('pipeline.yaml', 'stages:\n' + ''.join(
        f'  {name}: {{cmd: "{sys.executable} look.py {name}.txt {seconds} {meet}", outs: [{name}.txt], resources: {wanted}}}\n'
        for name, wanted in stages.items()))


def looked(project: Project, name: str) -> tuple[list[str], float, float]:
    names, begin, end = project.read(f'{name}.txt').split()
    return names.split(','), float(begin), float(end)


def at_once(project: Project, one: str, other: str) -> bool:
    (_, begin, end), (_, start, stop) = looked(project, one), looked(project, other)
    return begin < stop and start < end


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 100
    while not what():
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.02)


def started(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, '-m', 'mlops_cli', *arguments], cwd=project.path, env=project.environ, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_each_stage_has_its_own(project: Project) -> None:
    lay(project, {**{f's{n}': '{gpus: 1}' for n in range(4)}, 'both': '{gpus: 2}'})
    said = project.mlops('run', '-j', '5').out
    assert 'this machine (' in said and '2 GPUs)' in said
    assert looked(project, 'both')[0] == [uuid(0), uuid(1)]
    found = [looked(project, name) for name in ('s0', 's1', 's2', 's3', 'both')]
    for names, begin, end in found:
        others = [other for other, start, stop in found if (start, stop) != (begin, end) and start < end and begin < stop]
        assert not any(set(names) & set(other) for other in others)
    lay(project, {'mine': '{gpus: 1}'})
    project.mlops('run', environ={'CUDA_VISIBLE_DEVICES': '1'})
    assert looked(project, 'mine')[0] == [uuid(1)]


def test_a_gpu_is_shared_as_far_as_its_memory_goes(project: Project, nvml: Nvml) -> None:
    nvml.set(count=1)
    lay(project, {'a': '{gpu_memory: 8GiB}', 'b': '{gpu_memory: 8GiB}', 'c': '{gpu_memory: 8GiB}'}, 1.0, '2')
    project.mlops('run', '-j', '3')
    assert [at_once(project, *pair) for pair in ('ab', 'bc', 'ac')].count(True) in (1, 2), 'two, never all three'
    project.write('.mlops/config.yaml', 'prices: {NVIDIA H200: {gpu_hour: 3600}}\n')  # half of it, so 0.5 a second
    (stage, *_) = project.mlops('runs', 'show', '--json').json['stages']
    assert stage['cost']['amounts']['USD'] == pytest.approx(stage['seconds'] / 2, rel=0.01) and stage['cost']['known']
    nvml.set(pids=f'{os.getpid()}:{9 * GIB}', mem_used=9 * GIB)  # another program
    lay(project, {'d': '{gpu_memory: 4GiB}', 'e': '{gpu_memory: 4GiB}'})
    project.mlops('run', '-j', '2')
    assert not at_once(project, 'd', 'e')


def test_what_can_never_be_had_is_told_before_anything_runs(project: Project, nvml: Nvml) -> None:
    lay(project, {'a': '{gpus: 3}', 'b': '{cpus: 1}'})
    said = project.mlops('run', code=2).err
    assert 'stage a needs 3 GPUs, this machine has 2' in said and not project.exists('b.txt')
    lay(project, {'a': '{gpus: 2, gpu_memory: 20GiB}'})
    assert 'needs 2 GPUs with 21 GB of memory, there are NVIDIA H200 with 17 GB, ' in project.mlops('run', code=2).err
    assert 'needs 2 GPUs with 21 GB of memory' in project.mlops('doctor', code=None).out
    nvml.set(init=18)
    quiet = {'PATH': '/usr/bin:/bin'}
    assert 'the NVIDIA driver does not answer: RM has detected' in project.mlops('run', code=2, environ=quiet).err
    lay(project, {'a': '{gpus: 1}', 'b': '{cpus: 1}'})
    project.environ |= {'LD_LIBRARY_PATH': ''}  # no driver at all, as on most machines
    assert 'needs 1 GPU, this machine has none' in project.mlops('run', code=2, environ=quiet).err
    assert 'has none' in project.mlops('run', '-k', code=2, environ=quiet).out


def test_where_no_stage_asks_for_gpus_nothing_of_it_is_loaded(project: Project) -> None:
    lay(project, {'a': '{cpus: 1}'})
    project.write('look.py', 'import sys\nopen(sys.argv[1], "w").close()\n')
    loaded = {}
    for wanted in ('{cpus: 1}', '{gpus: 1}'):
        lay(project, {'a': wanted}, 0)
        project.write('look.py', 'import sys\nopen(sys.argv[1], "w").close()\n')
        words = [sys.executable, '-X', 'importtime', '-m', 'mlops_cli', 'run', '--force']
        done = subprocess.run(words, cwd=project.path, env=project.environ, capture_output=True, text=True, check=True)
        loaded[wanted] = 'pynvml' in done.stderr, 'mlops_cli.job.desk' in done.stderr
    assert loaded == {'{cpus: 1}': (False, False), '{gpus: 1}': (True, True)}


def test_runs_of_other_projects_count(project: Project, tmp_path: Path, nvml: Nvml) -> None:
    nvml.set(count=1)
    other = Project(tmp_path / 'other', project.environ)  # with a home of its own, unless it is told
    other.init_git()
    other.environ['HOME'] = project.environ['HOME']
    for one in (project, other):
        lay(one, {f's{n}': '{gpus: 1}' for n in range(3)}, 0.4, '1')
    project.write('look.py', LOOK.replace('< int', '+ os.path.exists("go") < 1 + int'))
    first = started(project, 'run', '-j', '3')
    wait_for(lambda: any(name.startswith('begun-') for name in os.listdir(project.path)))
    second = started(other, 'run', '-j', '3')
    assert second.stdout is not None
    text, line = '', 'begun'
    while 'waits for another run or program, which has the GPUs' not in ' '.join(text.split()):
        assert line, text
        text += (line := second.stdout.readline())
    project.write('go', '')
    said = [one.communicate(timeout=100)[0] for one in (first, second)]
    assert [one.returncode for one in (first, second)] == [0, 0], said
    times = sorted(looked(one, f's{n}')[1:] for one in (project, other) for n in range(3))
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times)), times


def test_what_a_killed_run_leaves_keeps_its_gpu_until_it_is_gone(project: Project, nvml: Nvml, tmp_path: Path) -> None:
    nvml.set(count=1)
    project.write('stay.py', (
        'import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen("on", "w").close()\ntime.sleep(60)\n'))
    stage = f'cmd: "{sys.executable} stay.py", resources: {{gpus: 1}}, grace: 3s'
    project.write('pipeline.yaml', f'stages:\n  s: {{{stage}}}\n')
    run = started(project, 'run')
    wait_for(lambda: project.exists('on'))
    killed = time.time()
    run.kill()
    run.communicate()
    other = Project(tmp_path / 'other', project.environ)
    other.init_git()
    other.environ['HOME'] = project.environ['HOME']
    lay(other, {'next': '{gpus: 1}'}, 0)
    other.mlops('run')
    assert looked(other, 'next')[1] - killed > 2.5, 'not while the one before it was asked to end'


def test_the_lock_timeout_counts(project: Project, nvml: Nvml) -> None:
    nvml.set(count=1)
    lay(project, {'slow': '{gpus: 1}', 'next': '{gpus: 1}'}, 30)
    run = started(project, 'run', 'slow')
    claims = Path(project.environ['HOME']) / '.cache/mlops/gpus-v1'
    try:
        wait_for(lambda: claims.is_dir() and len(list(claims.iterdir())) > 1)
        assert 'held by another run or program, which has the GPUs' in project.mlops(
            'run', 'next', '--lock-timeout', '1', code=11).err
    finally:
        run.terminate()
        run.communicate(timeout=60)


def test_a_driver_that_does_not_answer_any_more_holds_nobody_up(project: Project, nvml: Nvml) -> None:
    nvml.set(count=1)
    lay(project, {'a': '{gpus: 1}', 'b': '{gpus: 1}', 'c': '{gpu_memory: 1GiB}', 'd': '{cpus: 1}'}, 1.5)
    run = started(project, 'run', '-j', '4')
    wait_for(lambda: any((project.path / '.mlops/local/logs').glob('*/*')))
    nvml.set(delay=200)
    begin = time.monotonic()
    said = run.communicate(timeout=250)[0]
    assert run.returncode == 0 and time.monotonic() - begin < 100, said
