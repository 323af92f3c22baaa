"""What stages share: never given twice, never more than there is, and never withheld when nothing runs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_cli.core.errors import Where
from mlops_cli.fsio.paths import Root
from mlops_cli.job.desk import TICK, Desk
from mlops_cli.pipeline.spec import Command, Resources, Stage
from mlops_cli.run.capacity import Capacity, Machine, refusal
from mlops_cli.usage.gpu import Card

GIB = 1 << 30

Made = Callable[[int, Machine], Capacity]


def with_gpus(cpus: float, memory: int | None, count: int, tokens: dict[str, int] | None = None) -> Machine:
    there = tuple(Card(f'GPU-{number}', 'A', 16 * GIB, 16 * GIB) for number in range(count))
    return Machine(cpus, memory, count, tokens or {}, there)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """A capacity whose GPUs are handed out in a folder of the test's own."""
    open_ones: list[Capacity] = []

    def make(jobs: int, machine: Machine) -> Capacity:
        folder = tempfile.mkdtemp(dir=tmp_path)
        open_ones.append(Capacity(jobs, machine, lambda: Desk(Root(folder), machine.cards, lambda *_: {})))
        return open_ones[-1]

    yield make
    for one in open_ones:
        one.close()



def stage(name: str = 'train', mutex: tuple[str, ...] = (), **resources: Any) -> Stage:
    return Stage(
        name,
        name,
        Command('shell', ('true',)),
        mutex=mutex,
        resources=Resources(**resources),
        where=Where('pipeline.yaml', 3, 3),
        places={'resources': Where('pipeline.yaml', 9, 5)},
    )


def started(capacity: Capacity, *stages: Stage) -> list[str]:
    return [one.name for one in stages if capacity.take(one) is not None]


def test_as_many_as_jobs() -> None:
    capacity = Capacity(2, Machine(8))
    assert started(capacity, stage('a'), stage('b'), stage('c')) == ['a', 'b']
    capacity.give_back('a')
    capacity.give_back('a')
    assert started(capacity, stage('c'), stage('d')) == ['c']
    assert list(capacity.running) == ['b', 'c']


def test_a_stage_that_runs_cannot_be_taken_again() -> None:
    capacity = Capacity(4, Machine(8))
    capacity.take(stage('a'))
    with pytest.raises(ValueError, match='runs already'):
        capacity.take(stage('a'))


def test_a_stage_elsewhere_takes_nothing_of_this_machine_but_a_place_and_its_tokens() -> None:
    capacity = Capacity(4, Machine(1, GIB, 0, {'licence': 1}))
    big = {'cpus': 64.0, 'memory_bytes': 100 * GIB, 'gpus': 8, 'tokens': {'licence': 1}}
    grant = capacity.take(stage('far', ('gate',), **big), elsewhere=True)
    assert grant is not None and grant.gpus == ()
    assert capacity.take(stage('also far', ('gate',), gpus=1), elsewhere=True) is None, 'a mutex is one wherever'
    assert capacity.take(stage('licensed', tokens={'licence': 1}), elsewhere=True) is None
    assert started(capacity, stage('here', cpus=1.0, memory_bytes=GIB)) == ['here']
    assert capacity.take(stage('another'), elsewhere=True) is not None
    assert capacity.take(stage('last'), elsewhere=True) is not None
    assert capacity.take(stage('one too many'), elsewhere=True) is None and capacity.full


def test_processors_add_up_to_what_there_is() -> None:
    capacity = Capacity(8, Machine(4))
    assert started(capacity, stage('a', cpus=2.0), stage('b', cpus=2.0), stage('c', cpus=2.0)) == ['a', 'b']
    assert started(capacity, stage('d'), stage('e')) == ['d', 'e'], '-j 8 on 4 processors: more of those that ask for one'
    capacity.give_back('a')
    assert started(capacity, stage('f', cpus=2.5), stage('g', cpus=2.0)) == ['g']


def test_more_jobs_than_processors_are_meant_so() -> None:
    capacity = Capacity(16, Machine(2))
    assert len(started(capacity, *[stage(f's{number}') for number in range(20)])) == 16


def test_fewer_jobs_than_processors_leave_the_rest_to_those_who_want_many() -> None:
    capacity = Capacity(2, Machine(16))
    assert started(capacity, stage('a', cpus=8.0), stage('b', cpus=8.0)) == ['a', 'b']


def test_who_wants_more_processors_than_there_are_runs_alone() -> None:
    for jobs in (1, 4, 64):
        capacity = Capacity(jobs, Machine(4))
        assert started(capacity, stage('a', cpus=64.0), stage('b'), stage('c', cpus=0.1)) == ['a']
        capacity.give_back('a')
        assert started(capacity, stage('b'), stage('a', cpus=64.0)) == ['b']


def test_parts_of_a_processor_add_up_exactly() -> None:
    capacity = Capacity(64, Machine(1))
    capacity.jobs = 10
    assert len(started(capacity, *[stage(f's{number}', cpus=0.1) for number in range(12)])) == 10


def test_part_of_a_processor_is_enough_for_ordinary_stages() -> None:
    """A container with half a processor still runs what was asked for."""
    assert started(Capacity(3, Machine(0.5)), stage('a'), stage('b'), stage('c')) == ['a', 'b', 'c']


def test_memory() -> None:
    capacity = Capacity(8, Machine(8, 16 * GIB))
    assert started(
        capacity,
        stage('a', memory_bytes=10 * GIB),
        stage('b', memory_bytes=10 * GIB),
        stage('c', memory_bytes=6 * GIB),
        stage('d', memory_bytes=1),
        stage('e'),
    ) == ['a', 'c', 'e']
    assert started(Capacity(8, Machine(8)), stage('a', memory_bytes=10**15), stage('b', memory_bytes=10**15)) == ['a', 'b']


def test_gpus_are_given_to_one_at_a_time(made: Made) -> None:
    capacity = made(8, with_gpus(8, None, 4))
    first = capacity.take(stage('a', gpus=1))
    second = capacity.take(stage('b', gpus=2))
    assert first and second and (first.gpus, second.gpus) == (('GPU-0',), ('GPU-1', 'GPU-2'))
    assert capacity.take(stage('c', gpus=2)) is None
    capacity.give_back('a')
    third = capacity.take(stage('c', gpus=2))
    assert third and third.gpus == ('GPU-0', 'GPU-3') and len(third.files) == 2
    free = capacity.take(stage('d'))
    assert free and free.gpus == ()


def test_who_says_how_much_of_a_gpu_is_enough_shares_it(made: Made) -> None:
    capacity = made(8, with_gpus(8, None, 2))
    wanted = [('a', 9), ('b', 7), ('c', 7), ('d', None), ('e', 9)]
    grants = [capacity.take(stage(name, gpus=1, gpu_memory_bytes=size and size * GIB)) for name, size in wanted]
    assert [grant and grant.gpus for grant in grants] == [('GPU-0',), ('GPU-0',), ('GPU-1',), None, ('GPU-1',)]


def test_whether_others_have_what_a_stage_lacks(tmp_path: Path) -> None:
    machine = with_gpus(8, None, 2)
    one, two = (Capacity(8, machine, lambda: Desk(Root(tmp_path), machine.cards, lambda *_: {})) for _ in range(2))
    one.take(stage('a', gpus=1))
    assert two.take(stage('b', gpus=2)) is None and two.short_of_gpus
    assert two.take(stage('c')) is not None and not two.short_of_gpus
    one.give_back('a')
    time.sleep(TICK)
    assert two.take(stage('b', gpus=2)) is not None
    one.close()
    two.close()


def test_tokens() -> None:
    capacity = Capacity(8, Machine(8, None, 0, {'licence': 3, 'seat': 1}))
    assert started(
        capacity,
        stage('a', tokens={'licence': 2}),
        stage('b', tokens={'licence': 2}),
        stage('c', tokens={'licence': 1, 'seat': 1}),
        stage('d', tokens={'seat': 1}),
        stage('e', tokens={}),
    ) == ['a', 'c', 'e']
    capacity.give_back('c')
    assert started(capacity, stage('d', tokens={'seat': 1})) == ['d']


def test_mutexes() -> None:
    capacity = Capacity(8, Machine(8))
    assert started(
        capacity, stage('a', ('x', 'y')), stage('b', ('y', 'z')), stage('c', ('z',)), stage('d', ('x',)), stage('e')
    ) == ['a', 'c', 'e']


def test_who_is_refused_leaves_nothing_taken(made: Made) -> None:
    capacity = made(8, with_gpus(8, 8 * GIB, 2, {'licence': 1}))
    capacity.take(stage('a', gpus=2))
    assert capacity.take(stage('b', ('x',), gpus=1, memory_bytes=8 * GIB, tokens={'licence': 1})) is None
    assert capacity.take(stage('c', ('x',), memory_bytes=8 * GIB, tokens={'licence': 1})) is not None


@pytest.mark.parametrize(
    ('wanted', 'message', 'hint'),
    [
        ({'gpus': 3}, 'stage train needs 3 GPUs, this machine has 2', 'lower resources.gpus'),
        ({'gpus': 2, 'gpu_memory_bytes': 17 * GIB}, 'needs 2 GPUs with 18 GB of memory, there are A with 17 GB', 'gpu_memory'),
        ({'tokens': {'licenses': 1}}, 'needs 1 token "licenses", and no config says', 'did you mean licence?'),
        ({'tokens': {'licence': 5}}, 'needs 5 tokens "licence", there are 2', 'raise tokens in .mlops/config.yaml'),
        ({'memory_bytes': 65 * GIB}, 'needs 70 GB of memory, this machine has 69 GB', 'lower resources.memory'),
    ],
)
def test_what_can_never_run_here_is_told_with_its_place(wanted: dict[str, Any], message: str, hint: str) -> None:
    error = refusal(stage(**wanted), with_gpus(4, 64 * GIB, 2, {'licence': 2}))
    assert error is not None
    assert message in error.message
    assert hint in error.hint
    assert str(error.where) == 'pipeline.yaml:9:5'


def test_without_tokens_or_gpus_at_all() -> None:
    error = refusal(stage(tokens={'licence': 2}), Machine(4))
    assert error and error.hint == 'write to .mlops/config.yaml: tokens: {licence: 2}'
    error = refusal(stage(gpus=1), Machine(4))
    assert error and error.message == 'stage train needs 1 GPU, this machine has none'


def test_what_can_run_here_is_not_refused() -> None:
    machine = Machine(4, 64 * GIB, 2, {'licence': 2})
    for wanted in ({}, {'cpus': 128.0}, {'gpus': 2}, {'memory_bytes': 64 * GIB}, {'tokens': {'licence': 2}}):
        assert refusal(stage(**wanted), machine) is None
    assert refusal(stage(memory_bytes=10**18), Machine(4)) is None


machines = st.builds(
    with_gpus,
    st.sampled_from([0.5, 1.0, 2.0, 3.5, 8.0]),
    st.none() | st.integers(1, 20),
    st.integers(0, 4),
    st.dictionaries(st.sampled_from('xyz'), st.integers(1, 4)),
)
resources = st.fixed_dictionaries(
    {
        'cpus': st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 4.0, 100.0]),
        'memory_bytes': st.none() | st.integers(1, 20),
        'gpus': st.integers(0, 4),
        'gpu_memory_bytes': st.none() | st.sampled_from([GIB, 5 * GIB, 8 * GIB, 16 * GIB, 20 * GIB]),
        'tokens': st.dictionaries(st.sampled_from('xyz'), st.integers(1, 4), max_size=2),
    }
)
wishes = st.lists(st.tuples(resources, st.lists(st.sampled_from('mno'), unique=True, max_size=2)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(machines, st.integers(1, 8), wishes, st.randoms(use_true_random=False))
def test_never_oversubscribed_and_never_starved(
    made: Made, machine: Machine, jobs: int, wanted: list[tuple[dict[str, Any], list[str]]], random: Any
) -> None:
    capacity = made(jobs, machine)
    stages = [stage(f's{number}', tuple(mutex), **needs) for number, (needs, mutex) in enumerate(wanted)]
    waiting = [one for one in stages if refusal(one, machine) is None]
    for one in stages:
        if one not in waiting:
            assert made(jobs, machine).take(one) is None
    done = 0
    possible = len(waiting)
    while waiting:
        nothing_ran = not capacity.running
        taken = [one for one in list(waiting) if capacity.take(one) is not None]
        waiting = [one for one in waiting if one not in taken]
        assert taken or not nothing_ran, 'nothing runs, and nothing may start'
        check(capacity, machine, jobs)
        for name in random.sample(sorted(capacity.running), random.randint(1, len(capacity.running))):
            capacity.give_back(name)
            done += 1
    assert done + len(capacity.running) == possible


def check(capacity: Capacity, machine: Machine, jobs: int) -> None:
    held = [grant.stage for grant in capacity.running.values()]
    assert len(held) <= jobs
    heavy = [one.resources.cpus for one in held if one.resources.cpus > 1]
    assert len(held) == 1 or sum(heavy) <= machine.cpus + 1e-6
    assert len(held) == 1 or sum(one.resources.cpus for one in held) <= max(machine.cpus, jobs) + 1e-6
    if machine.memory_bytes is not None:
        assert sum(one.resources.memory_bytes or 0 for one in held) <= machine.memory_bytes
    for card in machine.cards:
        sizes = [grant.stage.resources.gpu_memory_bytes for grant in capacity.running.values() if card.uuid in grant.gpus]
        assert sizes in ([], [None]) or (None not in sizes and sum(sizes) <= (card.memory_bytes or 0))
    assert {name for grant in capacity.running.values() for name in grant.gpus} <= {card.uuid for card in machine.cards}
    assert all(len(grant.gpus) == grant.stage.resources.gpus for grant in capacity.running.values())
    for name in 'xyz':
        assert sum(one.resources.tokens.get(name, 0) for one in held) <= machine.tokens.get(name, 0)
    mutexes = [name for one in held for name in one.mutex]
    assert len(mutexes) == len(set(mutexes))
