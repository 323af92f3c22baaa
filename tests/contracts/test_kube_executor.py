"""The executor of hosts, poured into the contract, with a stand-in for Kubernetes behind a real kubectl."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract', 'tests.contracts.host_contract')

from mlops_cli.executors.base import Executor  # noqa: E402 -- after what pytest has to know first
from tests.contracts import executor_contract  # noqa: E402
from tests.contracts.host_contract import HostContract, reaching  # noqa: E402
from tests.servers.kube import Kube  # noqa: E402

pytestmark = pytest.mark.full


class TestKube(HostContract):
    @pytest.fixture(autouse=True)
    def reached(self, kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kube = kube
        monkeypatch.setattr(executor_contract, 'PATIENCE_SECONDS', 60.0)  # a gateway first, and twenty pods at once
        for name, value in kube.environ.items():
            monkeypatch.setenv(name, value)

    def create(self, folder: Path) -> Executor:
        return reaching(folder, 'cluster', self.kube.url('far'))
