"""F1 in small: the very same code on a few calls, and whether its parts see what they are there for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.faults import world
from tests.faults.base import Setting, Trial, Verdict
from tests.faults.rows import f01_kill
from tests.faults.tools import Tool, mlops
from tests.faults.tracing import lacks, trace
from tests.faults.world import World

ENVIRON = {'PATH': os.defpath}
traced = pytest.mark.skipif(bool(lacks()), reason=lacks() or 'programs can be traced')


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('shared')


@pytest.fixture
def setting(shared: Path, tmp_path: Path) -> Setting:
    return Setting(mlops(), tmp_path, shared, full=False)


@traced
@pytest.mark.parametrize('case', f01_kill.cases(Setting(mlops(), Path(), Path(), full=False)))
def test_nothing_is_lost_by_a_kill_before_a_call(setting: Setting, case: str) -> None:
    verdict = f01_kill.run(setting, case)
    assert verdict.notes == () and verdict.bad == {} and verdict.tried == 1


@pytest.mark.parametrize('case', f01_kill.random_cases(Setting(mlops(), Path(), Path(), full=False)))
def test_nothing_is_lost_by_a_kill_at_a_random_moment(setting: Setting, case: str) -> None:
    verdict = f01_kill.run_random(setting, case)
    assert verdict.notes == () and verdict.bad == {} and verdict.tried


CHANGES = """\
import os, sys, threading
os.mkdir('a')
beside = threading.Thread(target=os.mkdir, args=['b'])
beside.start()
beside.join()
if not os.fork():
    os.mkdir('c')
    os._exit(0)
os.wait()
open('d', 'w').close()
os.rename('d', 'e')
open('e').close()
print('done')
"""


@traced
def test_calls_of_threads_and_children_are_counted_in_their_order(tmp_path: Path) -> None:
    with trace([sys.executable, '-I', '-S', '-c', CHANGES], tmp_path, ENVIRON) as seen:
        assert (seen.code, seen.out) == (0, 'done\n')
    assert seen.names == ['mkdir', 'mkdir', 'mkdir', 'openat', 'rename']
    assert seen.own == [True, True, False, True, True]


@traced
@pytest.mark.parametrize(
    ('call', 'victim', 'there', 'code', 'killed'),
    [
        (1, 'caller', [], -9, 'mkdir a'),
        (2, 'caller', ['a'], -9, 'mkdir b'),
        (3, 'caller', ['a', 'b', 'e'], 0, 'mkdir c'),
        (3, 'first', ['a', 'b', 'c'], -9, 'mkdir c'),
        (5, 'caller', ['a', 'b', 'c', 'd'], -9, 'rename d'),
        (6, 'caller', ['a', 'b', 'c', 'e'], 0, ''),
    ],
)
def test_who_is_killed_has_not_made_the_call(
    tmp_path: Path, call: int, victim: str, there: list[str], code: int, killed: str
) -> None:
    with trace([sys.executable, '-I', '-S', '-c', CHANGES], tmp_path, ENVIRON, call, victim=victim) as seen:
        pass
    assert (sorted(os.listdir(tmp_path)), seen.code, seen.killed) == (there, code, killed)


CARELESS = """\
case $1 in
run) content=$(cat labels.csv); : > labels.csv; printf '%s\\n' "$content" > labels.csv ;;
esac
"""


@traced
def test_a_tool_that_rewrites_data_in_place_loses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way of a case, with a tool that is not to be trusted."""
    script = tmp_path / 'careless.sh'
    script.write_text(CARELESS)
    careless = Tool('mlops', '0', ('sh', str(script)))

    def make(tool: Tool, path: Path) -> World:
        found = World(tool, path)
        found.write({**world.data(), 'params.yaml': b'lines: 40\n'})
        (path / '.git').mkdir()
        return found

    monkeypatch.setitem(f01_kill.BY_NAME, 'careless', f01_kill.Scenario('careless', make, ('run',)))
    setting = Setting(careless, tmp_path / 'case', tmp_path / 'shared', full=False)
    setting.folder.mkdir()
    verdict = f01_kill.run(setting, 'careless caller 1-3')
    assert verdict.tried >= 2
    assert verdict.bad['lost'] >= 1
    assert any('labels.csv' in note for note in verdict.notes)


def slow(*heals: float) -> tuple[list[float], Verdict]:
    """How often it was tried, and the verdict, where the command that heals took so long each time."""
    left, tried = list(heals), []

    class Clock(f01_kill._Clock):
        def now(self) -> float:
            return self.usual

    def attempt(_usual: float) -> Verdict:
        tried.append(left.pop(0))
        trial = Trial()
        trial.tried = 1
        trial.healed(tried[-1])
        return trial.verdict()

    nothing = World(mlops(), Path('nowhere'))
    return tried, f01_kill._timed(attempt, Clock(f01_kill.SCENARIOS[0], nothing, 0.0, Path('nowhere')))


def test_a_command_that_heals_slowly_each_time_is_stuck_and_one_that_did_so_once_is_not() -> None:
    assert slow(3.0, 3.1, 2.9)[1].bad == {'stuck': 1}
    tried, verdict = slow(3.0, 0.5, 9.0)
    assert (tried, verdict.bad, verdict.heal) == ([3.0, 0.5], {}, 0.5)
