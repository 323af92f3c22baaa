"""What goes wrong in a cluster: jobs that Slurm ends or begins anew, answers that are lost, and a controller that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cli.test_hosts import started, wait_for
from tests.servers.slurm import Slurm, running
from tests.support.project import Project

STAGES = 'stages:\n  one: {{cmd: "{cmd}", outs: [o], host: cluster{more}}}\n'


def made(tmp_path: Path, slurm: Slurm, *options: str) -> Project:
    project = Project(tmp_path / 'one')
    project.init_git()
    project.environ.update(slurm.environ)
    write(project, 'true')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', *options)
    return project


@pytest.fixture
def project(tmp_path: Path, slurm: Slurm) -> Iterator[Project]:
    yield made(tmp_path, slurm)
    slurm.asked('scancel', '-u', 'root')


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm of the test's own, to be broken."""
    with running(tmp_path_factory.mktemp('slurm')) as server:
        yield server


def write(project: Project, cmd: str, more: str = '') -> None:
    project.write('pipeline.yaml', STAGES.format(cmd=cmd, more=more))


def running_job(slurm: Slurm) -> str:
    (number,) = [number for number, state, name in slurm.jobs() if state == 'RUNNING' and name.startswith('one.')]
    return number


def wrapped(tmp_path: Path, text: str) -> Path:
    """A folder with an ``sbatch`` that does this, as ``$sbatch`` the real one."""
    folder = tmp_path / 'programs'
    folder.mkdir()
    (folder / 'sbatch').write_text(f'#!/bin/sh\nsbatch={shutil.which("sbatch")}\n{text}\n')
    (folder / 'sbatch').chmod(0o755)
    return folder


def test_too_much_memory(project: Project) -> None:
    hungry = 'import time; x = bytearray(400 << 20); time.sleep(30)'
    project.write('hungry.py', hungry)
    write(project, f'{sys.executable} -S hungry.py', ', deps: [hungry.py], resources: {memory: 50MiB}')
    failed = project.mlops('run', code=1)
    assert 'it took more memory than Slurm gave it' in failed.out and 'resources.memory' in failed.out


@pytest.mark.full
def test_a_time_limit_of_slurms(project: Project, tmp_path: Path) -> None:
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--submit', '--time=1')
    write(project, 'sleep 200')
    failed = project.mlops('run', code=1, timeout=300)
    assert 'Slurm ended it at its time limit' in failed.out and '--time' in failed.out


@pytest.mark.parametrize('secret', [False, pytest.param(True, marks=pytest.mark.full)])
def test_what_is_preempted_is_begun_anew(project: Project, tmp_path: Path, slurm: Slurm, secret: bool) -> None:
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    project.environ['API_TOKEN'] = 'hunter2-hunter2-hunter2'
    write(project, f'echo go; echo x >> {begun}; while ! test -e {gate}; do sleep 0.05; done; echo 1 > o',
          ', secrets: [API_TOKEN]' if secret else '')
    run = started(project, 'run')
    wait_for(begun.exists)
    number = running_job(slurm)
    urgent = slurm.asked('sbatch', '--parsable', '-p', 'urgent', '--exclusive', '--output=/dev/null', '--wrap=sleep 2').strip()
    wait_for(lambda: [urgent, 'COMPLETED', 'wrap'] in slurm.jobs())
    if secret:
        said = run.communicate(timeout=300)[0].decode()
        assert run.returncode == 4 and 'its secrets are kept nowhere' in said, said
        gate.touch()
        project.mlops('run')
    else:
        wait_for(lambda: begun.read_text() == 'x\nx\n', 300)
        assert running_job(slurm) == number
        gate.touch()
        assert run.wait(60) == 0, run.stdout and run.stdout.read().decode()
        told = project.mlops('logs', 'one').out  # a shell may say that it was terminated
        assert told.startswith('go\n') and told.endswith('\n[mlops: begun anew by the cluster]\ngo\n')
    assert begun.read_text() == 'x\nx\n' and project.read('o') == '1\n'


@pytest.mark.full
def test_what_is_not_to_be_requeued_is_not(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    """As the host's own words for sbatch say; and the record says why it came to nothing."""
    begun = tmp_path / 'begun'
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--submit', '--no-requeue')
    write(project, f'echo x >> {begun}; sleep 600')
    run = started(project, 'run')
    wait_for(begun.exists)
    slurm.asked('sbatch', '--parsable', '-p', 'urgent', '--exclusive', '--output=/dev/null', '--wrap=sleep 2')
    said = run.communicate(timeout=120)[0].decode()
    assert run.returncode == 4 and 'Slurm took its node for another job' in ' '.join(said.split()), said
    assert begun.read_text() == 'x\n'


@pytest.mark.full
def test_what_is_preempted_goes_on_from_its_checkpoint(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    """Also where an earlier run has left one, which is known here."""
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    write(project, f'cd $MLOPS_CHECKPOINT_DIR; echo x >> steps; cat steps > {begun}; test $(wc -l < steps) -gt 1 || exit 3; '
          f'while ! test -e {gate}; do sleep 0.05; done; cp steps $OLDPWD/o', ', checkpoint: state')
    project.mlops('run', code=1)
    run = started(project, 'run')
    wait_for(lambda: begun.read_text() == 'x\nx\n')
    slurm.asked('scontrol', 'requeue', running_job(slurm))
    wait_for(lambda: begun.read_text() == 'x\nx\nx\n', 300)
    gate.touch()
    assert run.wait(60) == 0, run.stdout and run.stdout.read().decode()
    assert project.read('o') == 'x\nx\nx\n'


@pytest.mark.parametrize('how', ['its answer is lost', 'it is handed in twice', 'who asks is killed'])
def test_what_is_handed_in_is_done_once(project: Project, tmp_path: Path, slurm: Slurm, how: str) -> None:
    done = {
        'its answer is lost': 'if test -e $0.once; then exec $sbatch "$@"; fi; touch $0.once; $sbatch "$@"; '
                              'echo "sbatch: error: Batch job submission failed: Socket timed out" >&2; exit 1',
        'it is handed in twice': 'cat > $0.script; $sbatch "$@" < $0.script > $0.first; exec $sbatch "$@" < $0.script',
        'who asks is killed': 'if test -e $0.once; then exec $sbatch "$@"; fi; touch $0.once; $sbatch "$@"; kill -9 $PPID',
    }[how]  # fmt: skip
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--path', str(wrapped(tmp_path, done)))
    counted = tmp_path / 'counted'
    write(project, f'echo x >> {counted}; sleep 1; echo 1 > o')
    before = len(slurm.jobs())
    project.mlops('run')
    assert counted.read_text() == 'x\n' and project.read('o') == '1\n'
    assert len(slurm.jobs()) - before == (2 if how == 'it is handed in twice' else 1)


@pytest.mark.full
def test_a_node_without_that_python(project: Project, tmp_path: Path) -> None:
    python = tmp_path / 'python3'
    python.symlink_to(sys.executable)
    programs = wrapped(tmp_path, f'rm -f {python}; exec $sbatch "$@"')
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--python', str(python), '--path', str(programs))
    write(project, 'echo 1 > o')
    failed = project.mlops('run', code=4)
    said = ' '.join(failed.out.split())
    assert 'in Slurm it is failed' in said and 'python3: not found' in said


@pytest.mark.full
def test_the_controller_is_gone(tmp_path: Path, own: Slurm) -> None:
    project = made(tmp_path, own)
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    write(project, f'echo x >> {begun}; while ! test -e {gate}; do sleep 0.05; done; echo 1 > o')
    run = started(project, 'run')
    wait_for(begun.exists)
    own.kill_controller()
    refused = project.mlops('hosts', 'check', code=4)
    assert 'its controller does not answer' in refused.out and 'scontrol ping' in refused.out
    gate.touch()
    assert run.wait(60) == 0, run.stdout and run.stdout.read().decode()  # what is over tells so itself
    write(project, 'echo 2 > o')
    refused = project.mlops('run', code=4)
    assert 'its controller does not answer' in refused.err and project.read('o') == '1\n'
    own.start_controller()
    project.mlops('run')
    assert project.read('o') == '2\n' and begun.read_text() == 'x\n'


def test_the_controller_is_gone_for_a_moment_before_it_is_asked(tmp_path: Path, own: Slurm) -> None:
    stop = f'kill -STOP {own.processes["controller"].pid}'
    gone = f'if ! test -e $0.once; then touch $0.once; {stop}; fi; exec timeout 3 $sbatch "$@"'
    project = made(tmp_path, own, '--path', str(wrapped(tmp_path, gone)))
    counted = tmp_path / 'counted'
    write(project, f'echo x >> {counted}; echo 1 > o')
    run = started(project, 'run')
    wait_for((tmp_path / 'programs/sbatch.once').exists)
    wait_for(lambda: not list((tmp_path / 'far').glob('jobs-v1/*/handed')) and run.poll() is None)
    os.kill(own.processes['controller'].pid, signal.SIGCONT)
    assert run.wait(120) == 0, run.stdout and run.stdout.read().decode()
    assert counted.read_text() == 'x\n'


@pytest.mark.full
def test_a_controller_that_has_forgotten_everything(tmp_path: Path, own: Slurm) -> None:
    project = made(tmp_path, own)
    counted = tmp_path / 'counted'
    write(project, f'echo x >> {counted}; echo 1 > o')
    own.asked('scontrol', 'update', 'partition=usual', 'state=down')
    run = started(project, 'run')
    wait_for(lambda: any((tmp_path / 'far').glob('jobs-v1/*/handed')))
    own.kill_controller()
    for path in (own.folder / 'controller').iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    own.start_controller()
    assert run.wait(120) == 0, run.stdout and run.stdout.read().decode()
    assert counted.read_text() == 'x\n'


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_node_that_fails(tmp_path: Path, own: Slurm) -> None:
    """It is requeued, and begins anew once there is a node again."""
    project = made(tmp_path, own)
    begun = tmp_path / 'begun'
    write(project, f'echo x >> {begun}; test -e {begun}.2 || sleep 600; echo 1 > o')
    run = started(project, 'run')
    wait_for(begun.exists)
    Path(f'{begun}.2').touch()
    own.lose_node()
    wait_for(lambda: any(state == 'PENDING' for _, state, _ in own.jobs()), 300)
    own.start_node()
    assert run.wait(300) == 0, run.stdout and run.stdout.read().decode()
    assert begun.read_text() == 'x\nx\n' and project.read('o') == '1\n'


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_two_hundred_with_a_controller_that_is_killed_ten_times(tmp_path: Path, own: Slurm) -> None:
    """None is lost, and none done twice: also what the controller had taken and not yet written down when it was killed."""
    random = Random(20261122)
    project = made(tmp_path, own)
    numbers = ', '.join(map(str, range(200)))
    (tmp_path / 'done').mkdir()
    project.write('pipeline.yaml', (
        f'stages:\n  many:\n    matrix: {{n: [{numbers}]}}\n    outs: ["o-${{item.n}}"]\n    host: cluster\n'
        f"    cmd: 'sleep 0.3; echo x >> {tmp_path}/done/${{item.n}}; echo ${{item.n}} > o-${{item.n}}'\n"
    ))
    run = started(project, 'run', '-j', '200')
    kills = 0
    while run.poll() is None and kills < 10:
        time.sleep(random.uniform(1.0, 4.0))
        own.kill_controller()
        kills += 1
        time.sleep(random.uniform(0.0, 3.0))
        own.start_controller()
    for _ in range(3):
        while run.poll() is None:
            own.resume_node()
            time.sleep(1)
        said = run.communicate()[0].decode()
        if run.returncode != 4:
            break
        run = started(project, 'run', '-j', '200')  # what ran when a controller that knew of it was killed may be lost
    assert run.returncode == 0, said
    assert kills == 10, 'it was over too soon for ten of them'
    counted = {path.name: path.read_text().count('x') for path in (tmp_path / 'done').iterdir()}
    assert len(counted) == 200 and {*counted.values()} == {1}, counted
    assert [project.read(f'o-{number}') for number in range(200)] == [f'{number}\n' for number in range(200)]
    assert 'Nothing to do' in project.mlops('run').out
