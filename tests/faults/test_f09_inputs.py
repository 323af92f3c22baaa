"""F9, its fast tier: what changes while a stage runs leaves no wrong result."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import f09_inputs
from tests.faults.rows.f09_inputs import Change, World
from tests.faults.tools import mlops


def test_no_wrong_result_stands(tmp_path: Path) -> None:
    verdict = f09_inputs.run(Setting(mlops(), tmp_path, tmp_path, full=False), '0')
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried == 2


def test_the_judge_sees_a_result_that_is_wrong_and_a_command_that_fails(tmp_path: Path) -> None:
    world = World(mlops(), tmp_path)
    world.write('one')
    world.tool = replace(world.tool, start=('true',))
    for path in f09_inputs.OUTPUTS:
        (world.folder / path).parent.mkdir(exist_ok=True)
        (world.folder / path).write_text(world.wanted())
    trial = Trial()
    world.judge(trial, 'right')
    assert trial.verdict().bad == {}
    (world.folder / 'set/a.txt').write_text('other\n')
    world.judge(trial, 'wrong')
    assert trial.verdict().bad == {'wrong': 1}
    world.tool = replace(world.tool, start=('false',))
    world.judge(trial, 'failing')
    assert trial.verdict().bad == {'wrong': 1, 'stuck': 1}


@pytest.mark.parametrize('target', f09_inputs.TARGETS)
def test_each_change_is_one_and_is_taken_back(tmp_path: Path, target: str) -> None:
    world = World(mlops(), tmp_path)
    world.write('one')
    (world.folder / 'made').mkdir()
    (world.folder / 'made/up.txt').write_text('up-one\n')

    def state() -> dict[str, str]:
        return {str(path): path.read_text() for path in world.folder.rglob('*') if path.is_file() and '.git' not in path.parts}

    before = state()
    back = Change(world, target, 'for a moment', random.Random(1)).do()
    assert state() != before
    back()
    assert state() == before
