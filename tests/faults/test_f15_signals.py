"""F15, a few of its trials, and whether its judge would notice."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults.band import Band
from tests.faults.base import Setting, Trial
from tests.faults.rows import f15_signals
from tests.faults.tools import mlops

pytestmark = pytest.mark.skipif(bool(f15_signals.ROWS[0].lacks()), reason=f15_signals.ROWS[0].lacks() or '-')


def setting(tmp_path: Path) -> Setting:
    for name in ('own', 'shared'):
        (tmp_path / name).mkdir(exist_ok=True)
    return Setting(mlops(), tmp_path / 'own', tmp_path / 'shared', False)


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return setting(tmp_path_factory.mktemp('signals'))


@pytest.mark.usefixtures('any_machine')
@pytest.mark.parametrize('case', f15_signals.cases(Setting(mlops(), Path('/nowhere'), Path('/nowhere'), False)))
def test_a_command_that_is_asked_to_stop_leaves_all_as_it_was(shared: Setting, case: str) -> None:
    verdict = f15_signals.run(shared, case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried == 1


def codes(code: int, *, began: bool, number: int = signal.SIGTERM) -> dict[str, int]:
    trial = Trial()
    f15_signals.judge_code(trial, 'mlops', code, number, began, 'pool')
    return dict(trial.verdict().bad)


def test_the_judge_sees_wrong_codes() -> None:
    assert codes(143, began=True) == codes(143, began=False) == codes(0, began=False) == codes(-15, began=False) == {}
    assert codes(129, began=True, number=signal.SIGHUP) == codes(130, began=True, number=signal.SIGINT) == {}
    assert codes(0, began=True) == codes(1, began=True) == codes(130, began=True) == codes(-15, began=True) == {'wrong': 1}
    assert codes(70, began=False) == {'wrong': 1}


def test_the_judge_sees_outputs_that_are_half_made(tmp_path: Path) -> None:
    here, command = setting(tmp_path), f15_signals.COMMANDS['pool']
    for _, out in command.stages.values():
        (tmp_path / out).write_text('old\n')
    trial = Trial()
    f15_signals.judge_outputs(trial, tmp_path, command, here, True, 'note')
    assert trial.verdict().bad == {}
    (tmp_path / 'one.txt').write_text('half')
    (tmp_path / 'two.txt').unlink()
    (tmp_path / 'trap.txt').write_text('new\n')  # by a stage that cannot have ended
    f15_signals.judge_outputs(trial, tmp_path, command, here, True, 'note')
    assert trial.verdict().bad == {'wrong': 3}


def test_the_judge_sees_data_that_is_half_placed(tmp_path: Path) -> None:
    here = setting(tmp_path)
    for version in ('one', 'two'):
        (here.shared / version).mkdir()
        (here.shared / version / 'a').write_text(version)
        (here.shared / version / version).write_text(version)
    trial = Trial()
    (tmp_path / 'data').mkdir()
    for good in ('one', 'two'):
        for path in (tmp_path / 'data').iterdir():
            path.unlink()
        (tmp_path / 'data/a').write_text(good)
        (tmp_path / 'data' / good).write_text(good)
        f15_signals.judge_whole(trial, here, tmp_path, 'note')
        assert trial.verdict().bad == {}
    (tmp_path / 'data/a').write_text('one')
    f15_signals.judge_whole(trial, here, tmp_path, 'note')
    (tmp_path / 'data/two').unlink()
    f15_signals.judge_whole(trial, here, tmp_path, 'note')
    assert trial.verdict().bad == {'wrong': 2}


def test_the_judge_sees_a_command_that_will_not_end_and_what_it_leaves(tmp_path: Path) -> None:
    here, trial = setting(tmp_path), Trial()
    code = 'import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nos.fork()\n'
    code += 'open(f"there{os.getpid()}", "w")\ntime.sleep(600)'
    with Band() as band:
        process = band.start([sys.executable, '-S', '-c', code], tmp_path, {})
        until = time.monotonic() + 120
        while len([name for name in os.listdir(tmp_path) if name.startswith('there')]) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        asked = f15_signals.Asked.__new__(f15_signals.Asked)
        asked.process, asked.master = process, -1
        asked.ask('TERM')
        seconds = asked.wait(0.3)
        assert seconds is None
        f15_signals._judge_end(trial, here, None, seconds, 2.0, b'', 'TERM', True, 'note')
        assert trial.verdict().bad == {'stuck': 1}
        process.kill()
        process.wait()
        f15_signals.judge_left(trial, band, 'note')
        assert trial.verdict().bad == {'stuck': 1, 'leaked': 1}
    f15_signals._judge_end(trial, here, 143, 2.5, 2.0, b'Traceback (most recent call last)', 'TERM', True, 'note')
    assert trial.verdict().bad == {'stuck': 2, 'leaked': 1, 'wrong': 1}
