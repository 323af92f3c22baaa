"""The executor of hosts, poured into the contract, with a real Slurm that starts the jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract', 'tests.contracts.host_contract')

from mlops_cli.executors.base import Executor  # noqa: E402 -- after what pytest has to know first
from tests.contracts.host_contract import HostContract, reaching  # noqa: E402
from tests.servers import slurm as servers  # noqa: E402

pytestmark = pytest.mark.skipif(bool(servers.lacks()), reason=servers.lacks())


class TestSlurm(HostContract):
    @pytest.fixture(autouse=True)
    def reached(self, slurm: servers.Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
        slurm.use(monkeypatch)

    def create(self, folder: Path) -> Executor:
        return reaching(folder, 'cluster', f'slurm://{folder / "far"}')
