"""F8, its fast tier: no edit is missed, however it hides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.fingerprint.index import Moment
from tests.faults.base import Setting
from tests.faults.rows import f08_racy
from tests.faults.tools import mlops


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    (tmp_path / 'shared').mkdir()
    return Setting(mlops(), tmp_path / 'case', tmp_path / 'shared', full=False)


@pytest.mark.parametrize('case', [*(f'{step} 0' for step in f08_racy.STEPS), 'command 0'])
def test_no_edit_is_missed(setting: Setting, case: str) -> None:
    verdict = f08_racy.run(setting, case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried >= 8


@pytest.mark.parametrize('step', ['2s', '1s', '10ms'])
def test_the_judge_sees_what_is_missed(setting: Setting, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an index that trusts whatever looks the same."""
    monkeypatch.setattr(Moment, 'settled', lambda _self, _facts: True)
    seeds = (f'{step} judge {number}' for number in range(20))
    verdicts = (f08_racy.run(replace(setting, folder=setting.folder / seed), seed) for seed in seeds)
    assert any(verdict.bad.get('wrong') for verdict in verdicts)


def test_the_judge_sees_what_is_read_without_need(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moment, 'settled', lambda _self, _facts: False)
    verdict = f08_racy.run(setting, 'native judge')
    assert verdict.bad.get('stuck'), verdict
