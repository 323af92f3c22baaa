"""F6 with a handful of members, and whether its judge would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import f06_crowd
from tests.faults.rows.f06_crowd import Place, Span
from tests.faults.tools import mlops

pytestmark = pytest.mark.skipif(bool(f06_crowd.ROWS[0].lacks()), reason=f06_crowd.ROWS[0].lacks() or '-')


def setting(tmp_path: Path) -> Setting:
    for name in ('own', 'shared'):
        (tmp_path / name).mkdir()
    return Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', False)


@pytest.mark.parametrize('number', [0, 1])
def test_commands_at_once_meet_no_error_and_lose_nothing(tmp_path: Path, number: int) -> None:
    here = setting(tmp_path)
    verdict = f06_crowd.run(here, f06_crowd.cases(here)[number])
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried > 4


def bad(*found: Span) -> dict[str, int]:
    trial = Trial()
    f06_crowd.judge_spans(trial, found, 'note')
    return dict(trial.verdict().bad)


def test_the_judge_sees_what_is_executed_twice_at_once() -> None:
    here, there = Span('p0', 'p0|1|a', '/one', 10, 20), Span('p0', 'p0|1|a', '/two', 20, 30)
    assert bad(here, there) == {}
    assert bad(here, Span('p0', 'p0|1|a', '/two', 19, 30)) == {'wrong': 1}  # a key, in two worktrees
    assert bad(here, Span('p0', 'p0|2|a', '/one', 19, 30)) == {'wrong': 1}  # a stage of one workspace, with other inputs
    assert bad(here, Span('p0', 'p0|2|a', 'apart', 19, 30)) == {}
    assert bad(Span('p0', 'p0|1|a', '/one', 10, None)) == {'wrong': 1}


def test_the_judge_sees_what_is_lost(tmp_path: Path) -> None:
    here = setting(tmp_path)
    (place,) = f06_crowd.places_of(here, 'crowd', 1)
    logs = tmp_path / 'logs'
    logs.mkdir()
    environ = here.tool.environment(tmp_path / 'home', {'FAULTS_LOGS': str(logs)})
    f06_crowd.inputs(place.path, 0)

    def verdict() -> dict[str, int]:
        trial = Trial()
        f06_crowd.judge_place(trial, here, place, 0, environ, 'note')
        return dict(trial.verdict().bad)

    assert verdict() == {}
    assert len(f06_crowd.spans(logs / 'stages')) == 6
    (place.path / place.records.copy().pop()).unlink()  # the record, which is not listed any more either
    place.kept.add('nosuch00')
    place.data['data/0/values.txt'] = 'never added'
    assert verdict() == {'lost': 3}


def test_the_judge_sees_pins_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / '.mlops/stages').mkdir(parents=True)
    for name in ('p0', 'p1', 'p2', 'p3', 'j', 'q'):
        (tmp_path / f'.mlops/stages/{name}~0123-4567.json').touch()
    trial = Trial()
    f06_crowd.judge_pins(trial, Place(tmp_path), 1, 'note')
    assert trial.verdict().bad == {}
    (tmp_path / '.mlops/stages/p2~0123-4567.json').unlink()
    f06_crowd.judge_pins(trial, Place(tmp_path), 1, 'note')
    assert trial.verdict().bad == {'lost': 1}


def test_the_judge_of_dvc_sees_a_lost_update(tmp_path: Path) -> None:
    (tmp_path / 'p0.txt').write_text('a\n')
    lock = 'stages:\n  p0:\n    outs:\n    - path: p0.txt\n      hash: md5\n      md5: 60b725f10c9c85c70d97880dfe8191b3\n'
    (tmp_path / 'dvc.lock').write_text(lock)
    trial, place = Trial(), Place(tmp_path, reproduced={'p0'})
    f06_crowd.judge_lock(trial, place, 'note')
    assert trial.verdict().bad == {}
    place.reproduced.add('p1')
    (tmp_path / 'p1.txt').write_text('b\n')
    f06_crowd.judge_lock(trial, place, 'note')
    assert trial.verdict().bad == {'lost': 1}
