"""F7, a few of its trials, and whether its judge would notice."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.band import Band, wait_for
from tests.faults.base import Setting, Trial
from tests.faults.rows import f07_orphans
from tests.faults.tools import mlops

pytestmark = pytest.mark.skipif(bool(f07_orphans.lacks()), reason=f07_orphans.lacks() or '-')


def setting(tmp_path: Path) -> Setting:
    for name in ('own', 'shared'):
        (tmp_path / name).mkdir()
    return Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', False)


@pytest.mark.usefixtures('any_machine')
def test_no_process_of_a_killed_run_lives_on_or_writes_beside_the_next(tmp_path: Path) -> None:
    here = setting(tmp_path)
    for case in f07_orphans.cases(here):
        verdict = f07_orphans.run(here, case)
        assert verdict.bad == {}, verdict.notes


def test_the_judge_sees_two_that_write_at_once(tmp_path: Path) -> None:
    def life(name: str, first: int, last: int) -> None:
        (tmp_path / name).write_bytes(first.to_bytes(8, 'little') + last.to_bytes(8, 'little'))

    trial = Trial()
    life('one-slow-1--double-17', 10**9, 3 * 10**9)
    life('two-slow-1--whole-18', 4 * 10**9, 5 * 10**9)
    f07_orphans.judge_lives(trial, tmp_path, 'one after the other')
    assert trial.verdict().bad == {}
    life('one-slow-1--closing-19', 10**9, 4 * 10**9 + 1)
    f07_orphans.judge_lives(trial, tmp_path, 'both at once')
    assert trial.verdict().bad == {'wrong': 1}


def test_the_judge_sees_what_lives_on(tmp_path: Path) -> None:
    trial = Trial()
    fork = 'if os.fork(): os._exit(0)\n'
    code = f'import os, time\n{fork}os.setsid()\n{fork}os.closerange(0, 99)\nopen("ready", "w")\ntime.sleep(600)'
    with Band() as band:
        band.start([sys.executable, '-S', '-c', code], tmp_path, {}).wait()
        assert wait_for((tmp_path / 'ready').exists) and len(band.left()) == 1
        f07_orphans.judge_left(trial, band, time.monotonic() - 100, 'left')
        assert trial.verdict().bad == {'leaked': 1}
    assert wait_for(lambda: not band.alive())  # and the band ends what it finds
    f07_orphans.judge_left(trial, band, time.monotonic() - 100, 'gone')
    assert trial.verdict().bad == {'leaked': 1}


def test_the_judge_sees_what_is_not_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = setting(tmp_path)
    trial = Trial()
    with Band() as band:
        scene = f07_orphans.Scene(here, 'trial', band)
        scene.holds(trial, f07_orphans.OLD, 'as it was')
        assert trial.verdict().bad == {}
        (scene.path / 'out.txt').write_text('half')
        scene.holds(trial, f07_orphans.OLD, 'half')
        assert trial.verdict().bad == {'wrong': 1}
        (scene.path / 'out.txt').write_text(f07_orphans.OLD)
        monkeypatch.setattr(f07_orphans, 'STILL', 5.0)
        writer = subprocess.Popen(['/bin/sh', '-c', 'sleep 0.1; echo half > out.txt'], cwd=scene.path)
        scene.holds(trial, f07_orphans.OLD, 'for a moment')
        writer.wait()
        assert trial.verdict().bad == {'wrong': 2}
