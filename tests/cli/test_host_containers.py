"""Stages in containers on a host, by a real podman, a real docker and a real Apptainer behind a real sshd."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.usage import cpu
from tests.cli.test_hosts import started, wait_for
from tests.servers import apptainer as apptainer_server
from tests.servers import docker as docker_server
from tests.servers import podman as podman_server
from tests.servers.apptainer import Apptainer
from tests.servers.docker import Docker
from tests.servers.podman import Podman
from tests.servers.sshd import running
from tests.support.project import Project

pytestmark = pytest.mark.full


Engine = Podman | Docker | Apptainer


@pytest.fixture(scope='module', params=['podman', 'docker', 'apptainer'])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'apptainer':
        yield apptainer_server.made(folder)
        return
    with tempfile.TemporaryDirectory(prefix='mlops-', dir='/tmp', ignore_cleanup_errors=True) as short:
        if request.param == 'podman':
            yield podman_server.made(folder, Path(short))
            return
        with docker_server.running(folder, Path(short)) as found:
            yield found


@pytest.fixture
def project(tmp_path: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_on_a_host(tmp_path, tmp_path_factory.mktemp('sshd'), engine) as found:
        yield found
        wait_for(lambda: engine.left() == '')  # who takes one away may be about to


@contextlib.contextmanager
def project_on_a_host(tmp_path: Path, folder: Path, engine: Engine, variables: str = '') -> Iterator[Project]:
    """On which nothing but this one runs containers.  ``folder``: for its sshd.  ``variables``: more of the host's."""
    (tmp_path / 'programs').mkdir()
    for name, place in programs().items():
        (tmp_path / 'programs' / name).symlink_to(place)
    there = f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME= PATH={engine.bin}:{tmp_path / "programs"} {variables}'
    with running(folder, there.rstrip()) as host:
        found = Project(tmp_path / 'one')
        found.init_git()
        found.environ.update(host.environ, IMAGE=engine.image)
        found.write('pipeline.yaml', 'stages: {}\n')
        found.mlops('hosts', 'add', 'far', host.url(tmp_path / 'far'))
        yield found


def programs() -> dict[str, str]:
    """What is on PATH, but for what runs containers; name -> where."""
    found: dict[str, str] = {}
    for folder in os.environ.get('PATH', os.defpath).split(os.pathsep):
        with contextlib.suppress(OSError):
            for one in os.scandir(folder):
                found.setdefault(one.name, one.path)
    return {name: place for name, place in found.items() if name not in ('podman', 'docker', 'apptainer', 'singularity')}


def lay(project: Project, cmd: str, more: str = '', image: str = '') -> None:
    image = image or project.environ['IMAGE']
    stage = f'    cmd: {cmd}\n    host: far\n    environment: {{container: "{image}"}}\n{more}'
    project.write('pipeline.yaml', f'stages:\n  s:\n{stage}')


def words(text: str) -> str:
    return ' '.join(text.split())


def test_it_runs_in_the_image_with_what_the_stage_declares_and_nothing_else(project: Project) -> None:
    project.write('in put.txt', 'data\n')
    project.write('params.yaml', 'rate: 0.5\n')
    project.environ |= {'TOKEN': 'sesame-open-17', 'PLAIN': 'a "b" $c', 'OTHER': 'x'}
    project.write('look.sh', 'cat "in put.txt"; echo "$PLAIN|$OTHER|$MLOPS_STAGE"; echo "$TOKEN"\n'
                             'test -e /usr/bin/git && echo git; echo made > "$1"; echo + >> "$MLOPS_CHECKPOINT_DIR/n"\n')
    cmd = '["mkdir -p out", "sh look.sh out/made.txt", "echo rate ${rate}"]'
    more = '    deps: [in put.txt, look.sh]\n    outs: [out/made.txt]\n    env: [PLAIN]\n'
    more += '    secrets: [TOKEN]\n    params: [rate]\n    checkpoint: state\n'
    lay(project, cmd, more)
    project.mlops('run')
    assert project.read('out/made.txt') == 'made\n'
    said = project.mlops('logs', 's').out
    assert 'data\na "b" $c||s\n' in said and 'sesame' not in said and 'rate 0.5' in said and 'git' not in said
    assert 'Nothing to do' in project.mlops('run').out
    lay(project, cmd, more, image='localhost/tiny:2')
    (step,) = project.mlops('plan', '--json').json['stages']
    assert [reason['subject'] for reason in step['reasons']] == ['container'], 'another image is another key'


def test_what_it_uses_is_measured_and_its_exit_code_is_the_stages(project: Project) -> None:
    loop = 'i=0; while test $i -lt 2000000; do i=$((i + 1)); done; exit 7'
    lay(project, f"'{loop}'")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(['/bin/sh', '-c', loop], check=False)
    here = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    failed = project.mlops('run', code=1)
    assert 'exit 7' in failed.out
    (row,) = project.mlops('runs', 'show', '--json').json['stages']
    assert row['usage']['cpu_seconds'] > 0.7 * here > 0.3, row


def test_memory_and_what_it_uses_over_time(project: Project) -> None:
    lay(project, "'dd if=/dev/zero of=/dev/null bs=200M count=60; sleep 1.5'")
    project.mlops('run')
    (row,) = project.mlops('runs', 'show', '--json').json['stages']
    assert 190 << 20 < row['usage']['memory_peak_bytes'] < 300 << 20, row
    assert 'memory' in project.mlops('runs', 'show', '--usage').out


@pytest.mark.parametrize('engine', ['docker'], indirect=True)  # podman is asked first anyway
def test_the_one_that_has_the_image_is_taken(project: Project, tmp_path: Path) -> None:
    """A host may have both; images are built in one of them."""
    assert 'images are run by docker\n' in project.mlops('hosts', 'check').out
    (tmp_path / 'programs/podman').write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 1\n')
    (tmp_path / 'programs/podman').chmod(0o755)
    lay(project, "'echo 1'")
    project.mlops('run')
    assert (tmp_path / 'asked').read_text() == f'image exists {project.environ["IMAGE"]}\n'
    (row,) = project.mlops('hosts', 'check', '--json').json['rows']
    assert row['facts']['containers'] == ['podman', 'docker']


def test_ctrl_c_ends_what_runs_in_it(project: Project, tmp_path: Path) -> None:
    lay(project, "'trap \"\" TERM; echo begun; while :; do sleep 0.1; date; done'", '    grace: 1s\n')
    run = started(project, 'run')
    wait_for(lambda: 'begun' in project.mlops('logs', 's', code=None).out)
    run.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert run.wait(60) == 130 and time.monotonic() - begin < 20
    assert not [pid for pid in os.listdir('/proc') if pid.isdigit() and str(tmp_path / 'far/jobs-v1').encode() in _cwd(pid)]


def test_what_is_killed_there_leaves_nothing_that_runs(project: Project, engine: Engine, tmp_path: Path) -> None:
    gate = tmp_path / 'far/gate'
    lay(project, f"'echo begun; test -e {gate} || exec sleep 4242; echo 1 > o'", '    outs: [o]\n')
    run = started(project, 'run')
    wait_for(lambda: 'begun' in project.mlops('logs', 's', code=None).out)
    wait_for(lambda: bool(_sleeping()))
    there = subprocess.run(['pgrep', '-f', f'hosted.*{tmp_path}/far'], capture_output=True, text=True, check=True)
    for word in there.stdout.split():  # as where memory ran out
        os.kill(int(word), signal.SIGKILL)
    assert run.wait(60) == 4
    wait_for(lambda: not _sleeping())
    lay(project, '"echo 1 > o"', '    outs: [o]\n')
    project.mlops('run')
    for one in [] if isinstance(engine, Apptainer) else engine.left().split():
        engine.asked('rm', '--force', one)  # podman's own note of it, until the same job is begun again


@pytest.mark.parametrize('engine', ['docker'], indirect=True)  # whose containers are a daemon's
def test_who_watches_over_a_container_ends_it_where_all_others_are_dead(project: Project, tmp_path: Path) -> None:
    lay(project, "'trap \"\" TERM; echo begun; sleep 4242'", '    grace: 1s\n')
    run = started(project, 'run')
    wait_for(lambda: 'begun' in project.mlops('logs', 's', code=None).out and bool(_sleeping()))
    there = subprocess.run(['pgrep', '-f', f'hosted.*{tmp_path}/far'], capture_output=True, text=True, check=True)
    table = cpu.processes()
    for pid in cpu.descendants(map(int, there.stdout.split()), table):
        if b'read done' not in Path(f'/proc/{pid}/cmdline').read_bytes():
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not _sleeping())
    assert run.wait(60) == 4


def _sleeping() -> list[str]:
    return subprocess.run(['pgrep', '-f', '^sleep 4242$'], capture_output=True, text=True, check=False).stdout.split()


def _cwd(pid: str) -> bytes:
    try:
        return os.readlink(os.fsencode(f'/proc/{pid}/cwd'))
    except OSError:
        return b''


def test_what_is_not_there_is_said(project: Project, engine: Engine, tmp_path: Path) -> None:
    lay(project, '"true"', image='localhost:1/nothing/here:1')
    failed = project.mlops('run', code=4)
    named = type(engine).__name__.lower()
    said = words(failed.out)
    source = 'docker://localhost:1' if named == 'apptainer' else 'localhost:1'
    assert f'its image cannot be had: {named} ended with' in said and f'there: {named} pull {source}' in said
    assert 'which runs on hosts alone, not here' in words(project.mlops('run', '--host', 'local', code=2).err)
    lay(project, '"true"', image='--privileged')
    assert 'has to be the name of an image' in words(project.mlops('status', code=2).err)
    lay(project, '"true"')
    (tmp_path / 'bin').mkdir()
    for name in ('sh', 'python3', 'env', 'uname', 'mkdir', 'cat'):
        os.symlink(str(shutil.which(name)), tmp_path / 'bin' / name)
    folder = tmp_path / 'without'
    folder.mkdir()
    with running(folder, f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME= PATH={tmp_path / "bin"}') as host:
        project.environ.update(host.environ)
        project.mlops('hosts', 'add', 'without', host.url(tmp_path / 'far'))
        needed = 'apptainer' if named == 'apptainer' else 'podman or docker or apptainer'  # others run no image files
        assert f'there is no {needed} there' in words(project.mlops('run', '--host', 'without', code=4).out)
