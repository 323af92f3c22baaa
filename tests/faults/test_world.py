"""The judge can see: a world that is broken on purpose is called broken, and one that is not is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import world
from tests.faults.base import Bad, Trial
from tests.faults.tools import mlops
from tests.faults.world import DATA, World
from tests.support.processes import begun


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world.made(mlops(), tmp_path_factory.mktemp('world') / 'p')


@pytest.fixture
def one(made: World, tmp_path: Path) -> Iterator[World]:
    yield made.copy(tmp_path / 'p')


@pytest.fixture
def trial() -> Trial:
    return Trial()


def bad(trial: Trial) -> dict[str, int]:
    return dict(trial.verdict().bad)


def plain(folder: Path) -> World:
    """Files alone: no tool has seen them."""
    found = World(mlops(), folder)
    found.write(world.data())
    return found


def test_nothing_is_wrong_with_what_was_left_alone(one: World, trial: Trial) -> None:
    before = world.snapshot(one, [*DATA, *world.OUTPUTS])
    world.judge(one, before, one.words('run'), 1.0, trial, '')
    assert trial.verdict().notes == ()


def test_what_the_stages_make_is_what_is_worked_out_here(made: World) -> None:
    assert made.outputs().items() <= made.read().items()
    assert made.is_up_to_date()


def test_bytes_that_are_nowhere_are_lost(tmp_path: Path) -> None:
    found = plain(tmp_path / 'p')
    before = world.snapshot(found)
    (found.path / 'data/sub/a.csv').unlink()
    (found.path / 'labels.csv').write_bytes(before.files['labels.csv'][:-1])
    (found.path / 'data/100k.bin').rename(found.path / 'elsewhere')
    assert world.lost(found, before.files) == ['data/sub/a.csv', 'labels.csv']


def test_an_object_with_a_wrong_byte_is_damage(one: World, trial: Trial) -> None:
    target = max((one.path / '.mlops/cache/objects-v1').glob('??/*'), key=lambda path: path.stat().st_size)
    target.chmod(0o644)
    with target.open('r+b') as file:
        file.write(b'?')
    assert len(world.damaged(one)) == 1
    world.judge_files(one, world.Snapshot({}), trial, '')
    assert bad(trial) == {'corrupt': 1}


def test_an_object_that_is_gone_is_lost(one: World, trial: Trial) -> None:
    max((one.path / '.mlops/cache/objects-v1').glob('??/*'), key=lambda path: path.stat().st_size).unlink()
    world.judge_store(one, {**world.data(), **one.outputs()}, trial, '')
    assert 'lost' in bad(trial)


@pytest.mark.parametrize(
    'name', ['parts/.mlops-tmp-0-1-2-3', '.mlops/cache/tmp/x', '.mlops/local/journal/a.jsonl', '.mlops/local/work/a']
)
def test_what_is_left_behind_is_seen(one: World, name: str) -> None:
    one.write({name: b''})
    assert world.leftovers(one) == [name]


def test_a_process_that_stays_is_seen(one: World) -> None:
    process = begun('sleep', '60', env=one.environment())
    try:
        assert world.left_running(one, 0.1) == {process.pid: 'sleep 60'}
    finally:
        process.kill()
        process.wait()
    assert world.processes(one) == {}


def test_a_command_that_fails_does_not_heal(one: World, trial: Trial) -> None:
    assert not world.judge_heal(one, ('run', 'nothing-of-this-name'), 1.0, trial, '')
    assert bad(trial) == {'stuck': 1}


def test_a_command_that_takes_long_does_not_heal(one: World, trial: Trial) -> None:
    assert world.judge_heal(one, ('--version',), -2.5, trial, '')
    assert bad(trial) == {'stuck': 1} and trial.verdict().heal > 2.5


class Boastful(World):
    """Its tool calls everything up to date."""

    def is_up_to_date(self) -> bool | None:
        return True


def test_an_old_state_that_is_called_up_to_date_is_wrong(one: World, trial: Trial) -> None:
    boastful = Boastful(one.tool, one.path)
    world.judge_status(boastful, trial, '')
    assert bad(trial) == {}
    boastful.set_lines(world.LINES + 1)
    world.judge_status(boastful, trial, '')
    assert bad(trial) == {'wrong': 1}


def test_a_command_that_ends_well_without_having_done_its_work_is_wrong(one: World, trial: Trial) -> None:
    one.set_lines(world.LINES + 1)
    world.judge(one, world.snapshot(one), ('--version',), 1.0, trial, '')
    assert Bad.WRONG.value in bad(trial)


def test_a_copy_is_cold_until_it_is_warmed(one: World) -> None:
    index = one.path / '.mlops/local/index-v1.sqlite'
    before = os.stat(index).st_mtime_ns
    one.warm()
    assert os.stat(index).st_mtime_ns != before
