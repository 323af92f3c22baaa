"""F5, its fast tier: damage is found, not served, and healed from what the workspace has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import f05_damage
from tests.faults.rows.f05_damage import Judge
from tests.faults.tools import mlops


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('damage')


@pytest.fixture
def setting(tmp_path: Path, shared: Path) -> Setting:
    (tmp_path / 'case').mkdir()
    return Setting(mlops(), tmp_path / 'case', shared, full=False)


@pytest.mark.parametrize('case', ['flipped object 1', 'folder result 0'])
def test_damage_is_found_and_healed_and_not_served(setting: Setting, case: str) -> None:
    verdict = f05_damage.run(setting, case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried >= 5


def test_the_judge_sees_what_is_wrong(setting: Setting) -> None:
    trial = Trial()
    judge = Judge(setting, 'flipped object 0', trial)
    world, hurt = judge.damaged()
    assert len(hurt) == 12
    (world.path / 'first.txt').write_bytes(b'served')
    judge.served(world, 'a command', judge.wanted)
    assert trial.verdict().bad == {'corrupt': 1}
    (world.path / 'parts/big.bin').unlink()
    judge.served(world, 'a command', judge.wanted, whole=True)
    assert trial.verdict().bad == {'corrupt': 2, 'lost': 1}
    judge.healed(world)  # nothing has healed it
    found = trial.verdict().bad
    assert found['corrupt'] > 2 and found['stuck'] >= 1


def test_the_judge_sees_what_is_not_found(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    real = f05_damage.hurt

    def one_more(*arguments: object) -> list[Path]:
        found = real(*arguments)  # type: ignore[arg-type]
        every = {path for path in found[0].parent.parent.rglob('*') if path.is_file()}
        return [*found, min(every - set(found))]

    monkeypatch.setattr(f05_damage, 'hurt', one_more)
    trial = Trial()
    Judge(setting, 'flipped object 0', trial).verify()
    assert trial.verdict().bad == {'corrupt': 1}
