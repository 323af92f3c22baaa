"""What is said at once is what the long way says, whatever happened since it was said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.quick.mutations import random_edit, random_mutation, views
from tests.quick.served import Served
from tests.quick.world import Undo, World


@pytest.fixture(scope='module')
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def wander(world: World, states: int) -> None:
    """From one state to the next; in each, everything that is answered at once is compared."""
    undoes: list[Undo] = []
    fresh = _learn(world)
    while world.states < states:
        if not fresh and not undoes:
            world.renew()
            fresh = _learn(world)
        for _ in range(world.random.choice([1, 1, 1, 2])):
            undo = random_mutation(world)
            if undo is not None:
                undoes.append(undo)
        world.check(list(views(world)))
        time.sleep(world.random.choice([0, 0.005, 0.02]))
        fresh = _learn(world)
        if not fresh or len(undoes) > 3:
            while undoes:
                with suppress(OSError):  # what came after may have been undone already
                    undoes.pop()()
                world.log.append('undo')
            fresh = _learn(world)
        if not fresh and not undoes:
            world.log.append(f'run -> {world.ask("run").code}')
            fresh = _learn(world)


def wander_by_edits(world: World, states: int) -> None:
    """Files are edited and stages run, by which the answers of the state before remain of use."""
    world.every = True
    undoes: list[Undo] = []
    _learn(world)
    while world.states < states:
        for _ in range(world.random.choice([1, 1, 2, 3])):
            undo = random_edit(world)
            if undo is not None:
                undoes.append(undo)
        more = world.random.choice([['plan', '--json'], ['status', '--json'], ['plan', 'train'], ['plan', '--only', 'join']])
        world.check([(['status'], '.', {}), (['plan'], '.', {}), (['status', '-v'], '.', {}), (more, '.', {})])
        what = world.random.random()
        if what < 0.3:
            world.log.append(f'run -> {world.ask("run").code}')
            world.check([(['plan'], '.', {}), (['status'], '.', {})])
        elif what < 0.6:
            while undoes:
                with suppress(OSError):  # what came after may have been undone already
                    undoes.pop()()
                world.log.append('undo')
        if len(undoes) > 4:
            undoes.clear()
            world.renew()
        _learn(world)


def _learn(world: World) -> bool:
    """Whether all is up to date, and the answer of one command at least is known now."""
    command = world.random.choice(['status', 'status', 'plan', 'run'])
    for _ in range(6):
        if command == 'run' and ' fresh.' not in world.ask('plan', MLOPS_QUICK='0').out:
            command = 'plan'
        first = world.ask(command)
        if first.at_once:
            return True
        if world.random.random() < 0.1:
            world.compare(first, [command], '.', {})
        if not any(words in first.out for words in (' fresh.', 'Up to date', 'Nothing to do')):
            return False
        time.sleep(0.01)
    return False


@pytest.mark.parametrize('seed', [1])
def test_some_states(tmp_path: Path, served: Served, seed: int) -> None:
    world = World(tmp_path, served, seed)
    world.build()
    wander(world, 40)
    while not world.answers and world.states < 400:  # where others touch the folders above all the time
        wander(world, world.states + 20)
    assert world.answers


@pytest.fixture(scope='module')
def careful() -> Iterator[Served]:
    made = Served(large=1)
    yield made
    made.close()


@pytest.mark.parametrize('seed', [2])
def test_some_states_of_a_large_project(tmp_path: Path, careful: Served, seed: int) -> None:
    """Where it is seen first what differs, the long way does not look again at the rest, and says what it says otherwise."""
    world = World(tmp_path, careful, seed)
    world.every = True
    world.build()
    wander(world, 14)


@pytest.mark.parametrize('seed', [3])
def test_some_edits(tmp_path: Path, served: Served, seed: int) -> None:
    """Where only some stages are looked at again, the long way says what it says when all are."""
    world = World(tmp_path, served, seed)
    world.build()
    wander_by_edits(world, 24)
    assert world.settled > world.states // 3


@pytest.mark.full
@pytest.mark.parametrize('seed', range(300, 312))
def test_many_edits(tmp_path: Path, served: Served, seed: int) -> None:
    world = World(tmp_path, served, seed)
    world.build()
    wander_by_edits(world, 50)
    assert world.settled > world.states // 3


@pytest.mark.full
@pytest.mark.parametrize('seed', range(200, 210))
def test_many_states_of_a_large_project(tmp_path: Path, careful: Served, seed: int) -> None:
    world = World(tmp_path, careful, seed)
    world.every = True
    world.build()
    wander(world, 50)


@pytest.mark.full
@pytest.mark.parametrize('seed', range(100, 120))
def test_many_states(tmp_path: Path, served: Served, seed: int) -> None:
    world = World(tmp_path, served, seed)
    world.build()
    wander(world, 50)
