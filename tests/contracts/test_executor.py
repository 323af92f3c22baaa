"""The executors of our own, poured into the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract')

from mlops_cli.executors import all as executors  # noqa: E402 -- after what pytest has to know first
from mlops_cli.executors.base import Executor  # noqa: E402
from tests.contracts.executor_contract import ExecutorContract  # noqa: E402


class TestLocal(ExecutorContract):
    def create(self, folder: Path) -> Executor:
        return executors.create('local', str(folder))
