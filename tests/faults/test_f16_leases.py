"""F16 in small, and whether it would see two that hold the same lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Bad, Setting
from tests.faults.rows import f16_leases
from tests.faults.tools import mlops


@pytest.mark.parametrize('case', ['0.0 0', '0.1 0'])
def test_no_two_hold_it_at_once(tmp_path: Path, case: str) -> None:
    verdict = f16_leases.run(Setting(mlops(), tmp_path, tmp_path, full=False), case)
    assert verdict.notes == () and verdict.tried == f16_leases.HOSTS * f16_leases.FEW


def test_two_that_do_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f16_leases, 'FEW', 1000)  # they are at it together, however late one begins
    verdict = f16_leases.run(Setting(mlops(), tmp_path, tmp_path, full=False), '-1 0')
    assert verdict.bad.get(Bad.CORRUPT, 0) > 0
