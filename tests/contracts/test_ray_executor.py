"""The executor of hosts, poured into the contract, with a real Ray that starts the jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract', 'tests.contracts.host_contract')

from mlops_cli.executors.base import Executor  # noqa: E402 -- after what pytest has to know first
from tests.contracts import executor_contract  # noqa: E402
from tests.contracts.host_contract import HostContract, reaching  # noqa: E402
from tests.servers import ray as servers  # noqa: E402

pytestmark = pytest.mark.full


class TestRay(HostContract):
    @pytest.fixture(autouse=True)
    def reached(self, ray: servers.Ray, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ray = ray
        monkeypatch.setattr(executor_contract, 'PATIENCE_SECONDS', 120.0)  # Ray takes seconds for each, and these are twenty

    def create(self, folder: Path) -> Executor:
        return reaching(folder, 'cluster', self.ray.url(folder / 'far'), f'--port={self.ray.port}')
