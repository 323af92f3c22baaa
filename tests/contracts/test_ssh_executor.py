"""The executor of hosts, poured into the contract, with a real sshd between its ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract', 'tests.contracts.host_contract')

from mlops_cli.executors.base import Executor  # noqa: E402 -- after what pytest has to know first
from tests.contracts.host_contract import HostContract, reaching  # noqa: E402
from tests.servers import sshd  # noqa: E402

pytestmark = pytest.mark.skipif(bool(sshd.lacks()), reason=sshd.lacks())


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp('sshd')) as started:
        yield started


class TestSsh(HostContract):
    @pytest.fixture(autouse=True)
    def reached(self, server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        server.use(monkeypatch)
        self.server = server

    def create(self, folder: Path) -> Executor:
        return reaching(folder, 'far', self.server.url(folder / 'far'))
