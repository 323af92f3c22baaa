"""What every test may use."""
from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import tiers
from tests.support import stalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.kube import Kube
    from tests.servers.nvml import Nvml
    from tests.servers.ray import Ray
    from tests.servers.s3 import S3
    from tests.servers.slurm import Slurm
    from tests.servers.sshd import Sshd
    from tests.support.project import Project

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores Ctrl-C for what it starts in the background, and that is inherited: the programs under test would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # the same of nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# How long an example takes on the wall, and how long it takes to make one up, says something of the machine alone.
settings.register_profile('any machine', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('any machine')


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(stalls.Plugin(), 'stalls')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if tiers.name_of(item) in tiers.slow():
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project, under git."""
    from tests.support.project import Project

    made = Project(tmp_path / 'project')
    made.init_git()
    return made


@pytest.fixture(scope='session')
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd, for as long as the tests run; skips where there is none."""
    from tests.servers.sshd import running

    with running(tmp_path_factory.mktemp('sshd')) as server:
        yield server


@pytest.fixture(scope='session')
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A real Slurm, for as long as the tests run; skips where there is none."""
    from tests.servers.slurm import running

    with running(tmp_path_factory.mktemp('slurm')) as server:
        yield server


@pytest.fixture(scope='session')
def ray() -> Iterator[Ray]:
    """A real Ray, for as long as the tests run; skips where it cannot be installed."""
    from tests.servers.ray import running

    with running() as server:
        yield server


@pytest.fixture
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A stand-in for Kubernetes, to which a real kubectl talks; skips where there is none."""
    from tests.servers.kube import running

    with running(tmp_path_factory.mktemp('kube')) as server:
        yield server


@pytest.fixture(scope='session')
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server, for as long as the tests run."""
    from tests.servers.s3 import running

    with running(tmp_path_factory.mktemp('s3')) as server:
        yield server


@pytest.fixture
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Nvml:
    """A driver for GPUs that are not there; skips where it cannot be made."""
    from tests.servers.nvml import Nvml

    return Nvml(tmp_path_factory.mktemp('nvml'))
