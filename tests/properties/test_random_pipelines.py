"""Random pipelines, edits, branches and trials against a model: what ran is exactly what was affected, outputs equal a
clean build, and a second run does nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.model import TEXTS, WORDS, World, with_salt, worlds
from tests.support.project import Project

QUICK, FULL = 300, 5000

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just('source'), st.integers(0, 9), TEXTS),
        st.tuples(st.just('param'), st.sampled_from(['p', 'q']), st.integers(0, 3)),
        st.tuples(st.just('salt'), st.integers(0, 9), WORDS),
        st.tuples(st.just('delete'), st.integers(0, 9), st.none()),
        st.tuples(st.just('damage'), st.integers(0, 9), TEXTS),
        st.tuples(st.just('trial'), st.sampled_from(['p', 'q']), st.integers(0, 5)),
        st.tuples(st.just('force'), st.integers(0, 9), st.none()),
        st.tuples(st.just('back'), st.integers(0, 9), st.none()),
        st.tuples(st.just('partial'), st.integers(0, 9), st.none()),
    ),
    min_size=1,
    max_size=5,
)


class Session:
    """One project and the model beside it."""

    def __init__(self, folder: Path, world: World) -> None:
        self.project = Project(folder / 'p')
        self.trace = str(folder / 'trace')
        self.world = world
        self.past = [world.copy()]
        self.known: set[str] = set()
        self.lay()

    def lay(self) -> None:
        """Writes what the model says into the project."""
        for number, text in self.world.sources.items():
            self.project.write(f'src/{number}.txt', text)
        self.project.write('params.yaml', json.dumps(self.world.params))
        self.project.write('pipeline.yaml', self.world.pipeline(self.trace))

    def ran(self) -> list[str]:
        """Stages that really ran since the last call."""
        names = Path(self.trace).read_text().split() if os.path.exists(self.trace) else []
        Path(self.trace).write_text('')
        return sorted(names)

    def affected(self, world: World) -> list[str]:
        """Stages whose computation has never been made, and which are known from now on."""
        found = world.identities()
        new = sorted(name for name, identity in found.items() if identity not in self.known)
        self.known |= set(found.values())
        return new

    def check_outputs(self) -> None:
        for path, text in self.world.outputs().items():
            assert self.project.read(path) == text, path

    def bring_up_to_date(self) -> None:
        expected = self.affected(self.world)
        report = self.project.run()
        assert report.ended == 'done', [one.event for one in report.settled.values() if one.event]
        assert self.ran() == expected
        self.check_outputs()
        assert set(self.project.verdicts().values()) == {'fresh'}
        assert self.project.run().run is None, 'a second run found something to do'
        assert self.ran() == []

    def step(self, kind: str, which: object, value: object) -> None:
        world, number = self.world, which if isinstance(which, int) else 0
        stage = world.stages[number % len(world.stages)]
        if kind == 'source':
            world.sources[number % len(world.sources)] = str(value)
        elif kind == 'param':
            world.params[str(which)] = int(str(value))
        elif kind == 'salt':
            self.world = with_salt(world, number % len(world.stages), str(value))
        elif kind == 'delete':
            target = self.project.path / stage.out
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        elif kind == 'damage':
            self.project.write(f'{stage.out}/a' if stage.folder else stage.out, str(value))
        elif kind == 'back':
            self.world = self.past[number % len(self.past)].copy()
        elif kind == 'trial':
            self.trial(str(which), int(str(value)))
        elif kind == 'force':
            self.force(stage.name)
        elif kind == 'partial':
            self.project.run(stage.name)
            above = self.above(number % len(world.stages))
            new = [name for name, identity in world.identities().items() if name in above and identity not in self.known]
            assert self.ran() == sorted(new)
            self.known |= {identity for name, identity in world.identities().items() if name in above}
        self.lay()
        self.past.append(self.world.copy())

    def above(self, number: int) -> set[str]:
        stage = self.world.stages[number]
        return {stage.name}.union(*(self.above(other) for other in stage.stages))

    def trial(self, name: str, value: int) -> None:
        """``--set`` runs apart: the workspace stays as it was, and what was computed is known from now on."""
        before = snapshot(self.project.path)
        other = self.world.copy()
        other.params[name] = value
        expected = self.affected(other)
        report = self.project.run(overlay={('params.yaml', name): value})
        assert report.ended == 'done', [one.event for one in report.settled.values() if one.event]
        assert self.ran() == expected
        assert snapshot(self.project.path) == before, 'a trial changed the workspace'

    def force(self, name: str) -> None:
        self.project.run(name, force=True)
        above = self.above(next(n for n, stage in enumerate(self.world.stages) if stage.name == name))
        new = {one for one, identity in self.world.identities().items() if one in above and identity not in self.known}
        assert self.ran() == sorted(new | {name})
        self.known |= {identity for one, identity in self.world.identities().items() if one in above}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file() and '.mlops' not in path.parts
    }


def play(world: World, steps: list[tuple[str, object, object]]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = Session(Path(folder), world)
        session.bring_up_to_date()
        for kind, which, value in steps:
            session.step(kind, which, value)
            if kind not in ('partial',):
                session.bring_up_to_date()
        session.bring_up_to_date()


@settings(max_examples=QUICK, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(worlds(), STEPS)
def test_what_ran_is_what_was_affected(world: World, steps: list[tuple[str, object, object]]) -> None:
    play(world, steps)


@pytest.mark.full
@pytest.mark.timeout(5400)
@settings(max_examples=FULL, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), STEPS)
def test_what_ran_is_what_was_affected_in_many_more(world: World, steps: list[tuple[str, object, object]]) -> None:
    play(world, steps)
