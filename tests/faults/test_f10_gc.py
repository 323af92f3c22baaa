"""F10, its fast tier: gc in random histories, beside writers, and where a record lies in a place that is easily missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial, Verdict
from tests.faults.rows import f10_gc
from tests.faults.tools import mlops
from tests.support.project import Project


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    (tmp_path / 'case').mkdir()
    return Setting(mlops(), tmp_path / 'case', tmp_path, full=False)


@pytest.mark.parametrize(
    ('row', 'case'),
    [(f10_gc.situations, 'gc'), (f10_gc.histories, 'seed 0'), (f10_gc.beside, 'seed 0'), (f10_gc.stopped, 'seed 0')],
)
def test_nothing_goes_that_anything_needs(setting: Setting, row: Callable[[Setting, str], Verdict], case: str) -> None:
    verdict = row(setting, case)
    assert verdict.bad == {}, verdict.notes


def test_the_judge_sees_what_a_careless_gc_does(setting: Setting) -> None:
    """One that takes an object that a record in a commit needs; and one of whose work undo brings half back."""
    history = f10_gc.History(setting.folder, 3)
    try:
        for act in (f10_gc.History.pin, f10_gc.History.commit, f10_gc.History.remove, f10_gc.History.garbage):
            act(history)
        trial = Trial()
        assert f10_gc.judge(history, trial, '') > 0 and trial.verdict().bad == {}
        needed = f10_gc.reachable(history.git, history.places(), history.cache, 0.0)

        def careless(project: Project) -> None:
            digest = min(needed)
            (history.cache / 'objects-v1' / digest[:2] / digest[2:]).unlink()

        f10_gc.judge(history, trial, 'on purpose', careless)
        assert trial.verdict().bad == {'lost': 2}, 'it went, and undo does not have it'
    finally:
        history.close()


def test_the_judge_sees_what_is_lost_beside_others(setting: Setting) -> None:
    sharing = f10_gc.Sharing(setting, 1)
    place = sharing.places[0]
    setting.tool.do(place, 'run', '-q', code=0)
    trial = Trial()
    sharing.judge(trial, '')
    assert trial.verdict().bad == {}
    digest = min(sharing.needed(place))
    (sharing.cache / 'objects-v1' / digest[:2] / digest[2:]).unlink()
    sharing.judge(trial, '')
    assert trial.verdict().bad == {'lost': 2}
