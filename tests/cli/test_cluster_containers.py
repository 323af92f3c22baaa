"""Stages in containers on a cluster, by a real Slurm, a real podman and a real Apptainer."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_host_containers import _sleeping, words
from tests.cli.test_hosts import started, wait_for
from tests.servers import apptainer as apptainer_server
from tests.servers import podman as podman_server
from tests.servers.apptainer import Apptainer
from tests.servers.podman import Podman
from tests.servers.ray import Ray
from tests.servers.slurm import Slurm
from tests.support.project import Project

pytestmark = pytest.mark.full


@pytest.fixture(scope='module', params=['crun', 'runc', 'apptainer'])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman | Apptainer]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'apptainer':
        yield apptainer_server.made(folder)
        return
    with tempfile.TemporaryDirectory(prefix='mlops-', dir='/tmp', ignore_cleanup_errors=True) as short:
        yield podman_server.made(folder, Path(short), request.param)


@pytest.fixture
def project(tmp_path: Path, slurm: Slurm, engine: Podman | Apptainer) -> Iterator[Project]:
    found = Project(tmp_path / 'one')
    found.init_git()
    found.environ.update(slurm.environ, IMAGE=engine.image)
    found.write('pipeline.yaml', 'stages: {}\n')
    found.mlops('hosts', 'add', 'cluster', f'slurm://{tmp_path}/far', '--path', str(engine.bin))
    yield found
    slurm.asked('scancel', '-u', 'root')
    wait_for(lambda: not _sleeping())
    for one in [] if isinstance(engine, Apptainer) else engine.left().split():  # podman's own note of what was killed
        engine.asked('rm', '--force', one)


def lay(project: Project, cmd: str, more: str = '', image: str = '') -> None:
    image = image or project.environ['IMAGE']
    stage = f'    cmd: {cmd}\n    host: cluster\n    environment: {{container: "{image}"}}\n{more}'
    project.write('pipeline.yaml', f'stages:\n  s:\n{stage}')


def test_it_runs_in_the_image_within_what_slurm_gave(project: Project, engine: Podman | Apptainer) -> None:
    project.write('in.txt', 'data\n')
    project.environ |= {'PLAIN': 'a "b" $c', 'OTHER': 'x'}
    look = 'cat in.txt > o; test -e /usr/bin/git && echo git; echo "$PLAIN|$OTHER|job $SLURM_JOB_ID"; cat /proc/self/cgroup'
    lay(project, f"'{look}'", '    deps: [in.txt]\n    outs: [o]\n    env: [PLAIN]\n')
    project.mlops('run')
    assert project.read('o') == 'data\n'
    first, *groups = project.mlops('logs', 's').out.splitlines()
    assert first.startswith('a "b" $c||job ') and first.rpartition(' ')[2].isdigit()
    if isinstance(engine, Apptainer) or engine.runtime == 'crun':
        assert not any('libpod' in line for line in groups), 'it is in the group of the job'
    assert 'Nothing to do' in project.mlops('run').out
    assert engine.left() == ''


def test_what_it_uses_is_measured_and_its_exit_code_is_the_stages(project: Project) -> None:
    loop = 'i=0; while test $i -lt 2000000; do i=$((i + 1)); done; exit 7'
    lay(project, f"'{loop}'")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(['/bin/sh', '-c', loop], check=False)
    here = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert 'exit 7' in project.mlops('run', code=1).out
    (row,) = project.mlops('runs', 'show', '--json').json['stages']
    assert row['usage']['cpu_seconds'] > 0.7 * here > 0.3, row


def test_slurm_ends_it_where_it_takes_more_memory_than_it_was_given(project: Project) -> None:
    lay(project, "'dd if=/dev/zero of=/dev/null bs=900M count=4000'", '    resources: {memory: 100MiB}\n')
    failed = words(project.mlops('run', code=1).out)
    assert 'it took more memory than Slurm gave it' in failed


@pytest.mark.parametrize('by', ['scancel', 'Ctrl-C'])
def test_what_is_ended_leaves_nothing_that_runs(project: Project, slurm: Slurm, by: str) -> None:
    lay(project, "'trap \"\" TERM; echo begun; sleep 4242'", '    grace: 1s\n')
    run = started(project, 'run')
    wait_for(lambda: bool(_sleeping()))
    if by == 'scancel':
        slurm.asked('scancel', '-u', 'root')
    else:
        run.send_signal(2)
    assert run.wait(100) in ((4, 1) if by == 'scancel' else (130,))
    wait_for(lambda: not _sleeping())


def test_what_is_not_there_is_said(project: Project) -> None:
    lay(project, '"true"', image='localhost:1/nothing/here:1')
    said = words(project.mlops('run', code=4).out)
    first = 'podman' if shutil.which('apptainer') is None else 'apptainer'  # the machine's own
    assert f'its image cannot be had: {first} ended with' in said
    lay(project, '"true"', '    resources: {gpus: 1}\n')
    assert 'which GPUs the cluster gave it cannot be told there' in words(project.mlops('run', code=4).out)
    project.mlops('hosts', 'add', 'pods', 'k8s://here/there/claim')
    refused = words(project.mlops('run', '--host', 'pods', code=2).err)
    assert 'pods have an image of their host (pods)' in refused and 'hosts.pods.submit: image=NAME' in refused


def test_on_ray(project: Project, engine: Podman | Apptainer, ray: Ray, tmp_path: Path) -> None:
    project.mlops('hosts', 'remove', 'cluster')
    project.mlops('hosts', 'add', 'cluster', ray.url(tmp_path / 'far2'), '--path', str(engine.bin))
    lay(project, "'echo $RAY_ADDRESS > o; test -e /usr/bin/git && echo git'", '    outs: [o]\n')
    project.mlops('run', code=1)
    lay(project, "'echo $RAY_ADDRESS > o; test ! -e /usr/bin/git'", '    outs: [o]\n')
    project.mlops('run')
    assert project.read('o').strip()
    assert 'Nothing to do' in project.mlops('run').out
