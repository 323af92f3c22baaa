"""S7 in small: the very same code on a few results, and whether it would see one that is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Bad, Setting, Trial
from tests.faults.rows import s07_poison
from tests.faults.tools import mlops


def setting(folder: Path) -> Setting:
    for name in ('own', 'shared'):
        (folder / name).mkdir()
    return Setting(mlops(), folder / 'own', folder / 'shared', full=False)


FULL = [pytest.param(case, marks=pytest.mark.full) for case in s07_poison.ATTACKS if case != 'written as trusted']


@pytest.mark.parametrize('case', ['written as trusted', *FULL])
def test_nothing_planted_is_used(tmp_path: Path, case: str) -> None:
    verdict = s07_poison.run(setting(tmp_path), case)
    assert verdict.notes == () and verdict.tried == s07_poison.FEW


@pytest.mark.full
def test_the_judge_sees_one_that_is_used(tmp_path: Path) -> None:
    """Where the bucket's policy lets anybody write as trusted, the very same attack works."""
    trial = Trial()
    with s07_poison.team(setting(tmp_path), 2) as there:
        there.do(there.attacker, there.owner, 'config', 'set', 'cache.tier', 'trusted', '--local', code=0)
        there.poison(there.owner)
        s07_poison.judge(trial, there, 'without a policy')
    assert trial.verdict().bad == {Bad.CORRUPT: 2}
