"""Random pipelines, edits, branches and trials against a model: what ran is exactly what was affected, outputs equal a
clean build, and a second run does nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.model import TEXTS, WORDS, StageModel, World, with_salt, worlds
from tests.support.project import Project

QUICK, FULL = 120, 5000

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
        st.tuples(st.just('file'), st.integers(20, 22), TEXTS),
        st.tuples(st.just('merge'), st.integers(0, 9), TEXTS),
    ),
    min_size=1,
    max_size=5,
)


class Session:
    """One project and the model beside it."""

    def __init__(self, folder: Path, world: World) -> None:
        self.project = self.made(folder / 'p')
        self.trace = str(folder / 'trace')
        self.world = world
        self.past = [world.copy()]
        self.known: set[str] = set()
        self.lay()

    def made(self, path: Path) -> Project:
        return Project(path)

    def lay(self) -> None:
        """Writes what the model says into the project."""
        for path in (self.project.path / 'src').glob('*.txt'):
            if f'src/{path.name}' not in self.world.texts():
                path.unlink()
        for name, text in self.world.texts().items():
            self.project.write(name, text)
        self.project.write('params.yaml', json.dumps(self.world.params, indent=1))
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

    def step(self, kind: str, which: Any, value: Any) -> None:
        world, number = self.world, which if isinstance(which, int) else 0
        stage = world.stages[number % len(world.stages)]
        if kind == 'source':
            world.sources[number % min(4, len(world.sources))] = value
        elif kind == 'file':
            if world.sources.pop(number, None) is None:
                world.sources[number] = value
        elif kind == 'param':
            world.params[which] = value
        elif kind == 'salt':
            self.world = with_salt(world, number % len(world.stages), value)
        elif kind == 'delete':
            self.delete(stage)
        elif kind == 'damage':
            self.project.write(stage.outs(stage.instances[0])[0], value)
        elif kind == 'back':
            self.world = self.past[number % len(self.past)].copy()
        elif kind == 'trial':
            self.trial(which, value)
        elif kind == 'force':
            self.only_above(stage, force=True)
        elif kind == 'partial':
            self.only_above(stage, force=False)
        elif kind == 'merge':
            self.merge(number, value)
        self.lay()
        self.past.append(self.world.copy())

    def delete(self, stage: StageModel) -> None:
        target = self.project.path / stage.outs(stage.instances[0])[0]
        shutil.rmtree(target.parent) if stage.kind == 'folder' else target.unlink()

    def above(self, stage: StageModel) -> set[str]:
        """Its instances and those of all stages it needs."""
        return set(stage.instances).union(*(self.above(self.world.stages[other]) for other in stage.stages))

    def only_above(self, stage: StageModel, *, force: bool) -> None:
        """One stage with what it needs, forced or not."""
        self.project.run(stage.name, force=force)
        above = {name: identity for name, identity in self.world.identities().items() if name in self.above(stage)}
        new = {name for name, identity in above.items() if identity not in self.known}
        assert self.ran() == sorted(new | set(stage.instances) if force else new)
        self.known |= set(above.values())

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

    def merge(self, number: int, text: str) -> None:
        """Two branches run, each its own change and both the same one; git merges them without a conflict."""
        project, start = self.project, self.world.copy()
        project.commit('before')
        project.git('checkout', '-q', '-b', f'other{len(self.past)}')
        self.world.sources[number % min(4, len(self.world.sources))] = text
        self.lay()
        self.bring_up_to_date()
        project.commit('theirs')
        theirs = self.world
        project.git('checkout', '-q', '-')
        self.world = start
        self.lay()
        self.bring_up_to_date()
        self.world.params['p'] = (self.world.params['p'] + 1) % 4
        self.lay()
        self.bring_up_to_date()
        project.commit('ours')
        project.git('merge', '-q', '--no-edit', f'other{len(self.past)}')
        self.world.sources = dict(theirs.sources)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file() and '.mlops' not in path.parts
    }


def play(session: Session, steps: list[tuple[str, object, object]]) -> None:
    if any(kind == 'merge' for kind, _, _ in steps):
        session.project.init_git()
    session.bring_up_to_date()
    for kind, which, value in steps:
        session.step(kind, which, value)
        if kind not in ('partial',):
            session.bring_up_to_date()
    session.bring_up_to_date()


def here(world: World, steps: list[tuple[str, object, object]]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        play(Session(Path(folder), world), steps)


@pytest.mark.timeout(900)
@settings(max_examples=QUICK, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(worlds(), STEPS)
def test_what_ran_is_what_was_affected(world: World, steps: list[tuple[str, object, object]]) -> None:
    here(world, steps)


@pytest.mark.full
@pytest.mark.timeout(5400)
@settings(max_examples=FULL, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), STEPS)
def test_what_ran_is_what_was_affected_in_many_more(world: World, steps: list[tuple[str, object, object]]) -> None:
    here(world, steps)
