"""What every test of the table of faults may use."""

from __future__ import annotations

import pytest

from tests.faults import base
from tests.faults.rows import f15_signals


@pytest.fixture
def any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run beside these: whether a command keeps to its seconds is counted by the table, where it runs alone."""
    monkeypatch.setattr(base, 'HEAL_SECONDS', 30.0)
    monkeypatch.setattr(f15_signals, 'BEYOND', 10.0)
