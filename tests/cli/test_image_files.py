"""Images that Apptainer makes files of: from a real registry, once for a host and for all nodes of a cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_host_containers import project_on_a_host, words
from tests.servers import apptainer as apptainer_server
from tests.servers import podman as podman_server
from tests.servers import registry as registry_server
from tests.servers.apptainer import Apptainer
from tests.servers.registry import Registry
from tests.support.project import Project

pytestmark = pytest.mark.full

PIPELINE = """\
stages:
  s:
    foreach: [1, 2, 3]
    do:
      cmd: 'test ! -e /usr/bin/git && echo ${{item}} > o${{item}}; echo x > /tmp/x; echo home > ~/y'
      outs: ['o${{item}}']
      host: far
      environment: {{container: "{image}"}}
"""


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, str]]:
    folder = tmp_path_factory.mktemp('registry')
    with tempfile.TemporaryDirectory(prefix='mlops-', dir='/tmp', ignore_cleanup_errors=True) as short:
        podman = podman_server.made(tmp_path_factory.mktemp('podman'), Path(short))
        with registry_server.running(folder) as found:
            yield found, found.push(podman, 'tiny:1')


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Apptainer:
    return apptainer_server.made(tmp_path_factory.mktemp('apptainer'))


@pytest.fixture
def project(tmp_path: Path, engine: Apptainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_on_a_host(tmp_path, tmp_path_factory.mktemp('sshd'), engine, 'APPTAINER_NOHTTPS=1') as found:
        yield found


def test_an_image_is_had_once_and_goes_when_nobody_has_used_it(
    project: Project, registry: tuple[Registry, str], tmp_path: Path
) -> None:
    served, image = registry
    project.write('pipeline.yaml', PIPELINE.format(image=image))
    project.mlops('run', '-j', '3')
    assert [project.read(f'o{number}') for number in (1, 2, 3)] == ['1\n', '2\n', '3\n']
    assert served.fetched() == 1, 'three wanted it at once'
    (file,) = [one for one in (tmp_path / 'far/environments-v1').iterdir() if not one.suffix]
    assert file.stat().st_size > 1_000_000
    assert not list((tmp_path / 'far/jobs-v1').glob('*/container')), 'what was temporary is gone'
    served.stop()
    project.mlops('run', '--force')

    project.mlops('gc', '--host', 'far', '--grace', '0', '--yes')
    assert not file.exists()
    assert 'its image cannot be had: apptainer ended with' in words(project.mlops('run', '--force', code=4).out)
    left = [one.name for one in (tmp_path / 'far/environments-v1').iterdir()]
    assert all(name.endswith('.lock') for name in left), 'of what came half, nothing stays'


def test_a_file_that_is_named_has_to_be_there(project: Project, engine: Apptainer) -> None:
    project.write('pipeline.yaml', PIPELINE.format(image='/nowhere/tiny.sif'))
    said = words(project.mlops('run', code=4).out)
    assert 'there is no image /nowhere/tiny.sif there' in said
    copy = engine.folder / 'of somebody else'
    shutil.copytree(os.path.dirname(engine.image), copy, ignore=shutil.ignore_patterns('tree', 'bin'))
    named = f'{engine.folder}/second.sif'
    os.rename(copy / 'tiny.sif', named)
    project.write('pipeline.yaml', PIPELINE.format(image=named))
    project.mlops('run', '-j', '1')
    assert project.read('o3') == '3\n' and os.path.exists(named)
    assert 'apptainer' in project.mlops('hosts', 'check').out


def test_a_variable_that_it_makes_something_else_of_is_told(project: Project, engine: Apptainer) -> None:
    project.environ['UID'] = '7'
    project.write('pipeline.yaml', PIPELINE.format(image=engine.image) + '      env: [UID]\n')
    said = words(project.mlops('run', '-j', '1', code=4).out)
    assert 'its variable UID cannot go into a container: apptainer makes something else of it' in said
