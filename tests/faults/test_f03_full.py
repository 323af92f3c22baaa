"""A few of the full disks of F3, and that what judges them sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import f02_errors, f03_full
from tests.faults.tools import Done, mlops

FAST = Setting(mlops(), Path('/nowhere'), Path('/nowhere'), False)


@pytest.mark.skipif(bool(f03_full.lacks()), reason=f03_full.lacks())
@pytest.mark.parametrize('case', f03_full.cases(FAST))
def test_a_full_disk_loses_nothing_and_the_same_goes_through_once_there_is_room(case: str, tmp_path: Path) -> None:
    verdict = f03_full.run(Setting(mlops(), tmp_path, tmp_path, False), case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried > 1


def test_all_sizes_and_inodes_are_tried_once_in_all_cases_together() -> None:
    cases = f03_full.cases(Setting(mlops(), Path('/nowhere'), Path('/nowhere'), True))
    for name in {case.split()[0] for case in cases}:
        for kind, count in (('size', 200), ('inodes', f03_full.INODES)):
            parts = [tuple(map(int, case.split()[2].split('/'))) for case in cases if case.startswith(f'{name} {kind} ')]
            tried = sorted(steps for first, of in parts for steps in range(first - 1, count, of))
            assert tried == [*range(count)]


def test_the_judge_sees_originals_that_vanish(tmp_path: Path) -> None:
    """As a tool leaves them that moves them first and then finds no room."""
    (tmp_path / 'world/data').mkdir(parents=True)
    (tmp_path / 'world/data/large.bin').write_text('mine')
    setting = Setting(mlops(), tmp_path, tmp_path, False)
    what = f03_full.BIG['add']
    world = f02_errors.World(
        setting, what, tmp_path / 'world', {'data/large.bin': b'mine'}, lambda *_: Done((), 0, '', '', 0.0)
    )
    trial = Trial()
    with world.copy() as folder:
        (folder / 'data/large.bin').unlink()
        done = Done((), 6, '', f'error: cannot go on: {folder}: no room\n  hint: free some', 0.0)
        f02_errors.judge(world, trial, folder, done, 'on purpose', 'ENOSPC', [str(folder)])
    assert trial.verdict().bad['lost'] >= 1
