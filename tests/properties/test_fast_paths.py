"""Random pipelines and edits by whole commands, with all on that keeps them from looking at everything again: answers,
settled stages, the kept pipeline.  What ran is still exactly what was affected."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.properties.model import World, worlds
from tests.properties.test_random_pipelines import STEPS, Session, play
from tests.quick.served import Served
from tests.support.project import Project

QUICK, FULL = 15, 400


@dataclass
class Ended:
    """What of a report the session asks for."""

    ended: str
    run: str | None
    settled: dict[str, Any] = field(default_factory=dict)


class Asked(Project):
    """By command lines.  ``seen``: of commands, how many were answered at once, and how many kept stages as they were."""

    def __init__(self, path: Path, served: Served, seen: dict[str, int]) -> None:
        super().__init__(path)
        self.served, self.seen = served, seen

    def write(self, rel: str, text: str | bytes) -> Path:
        """Only what changes, as people do."""
        data = text if isinstance(text, bytes) else text.encode()
        target = self.path / rel
        return target if target.is_file() and target.read_bytes() == data else super().write(rel, data)

    def ask(self, *words: str) -> str:
        found = self.served.ask(words, str(self.path), self.environ)
        assert found.code == 0, (words, found)
        self.seen['at once'] += found.at_once
        self.seen['settled'] += bool(found.settled)
        return found.out

    def run(self, *stages: str, overlay: Mapping[tuple[str, str], Any] | None = None, **options: Any) -> Any:
        words = [word for (_, name), value in (overlay or {}).items() for word in ('--set', f'{name}={value}')]
        out = self.ask('run', *stages, *words, *(['--force'] if options.get('force') else []))
        return Ended('done', None if 'Nothing to do' in out else out)

    def verdicts(self) -> dict[str, str]:
        for _ in range(4):  # until all has come to rest
            if self.served.ask(['status'], str(self.path), self.environ).at_once:
                break
            time.sleep(0.01)
        return {step['name']: step['verdict'] for step in json.loads(self.ask('plan', '--json'))['stages']}


class Whole(Session):
    def __init__(self, folder: Path, world: World, served: Served, seen: dict[str, int]) -> None:
        self.served, self.seen = served, seen
        super().__init__(folder, world)

    def made(self, path: Path) -> Project:
        return Asked(path, self.served, self.seen)

    def bring_up_to_date(self) -> None:
        self.project.verdicts()
        super().bring_up_to_date()


@pytest.fixture(scope='module')
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def whole(served: Served, world: World, steps: list[tuple[str, object, object]], seen: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        play(Whole(Path(folder), world, served, seen), steps)


def test_what_ran_is_what_was_affected(served: Served) -> None:
    seen = {'at once': 0, 'settled': 0}

    @settings(max_examples=QUICK, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(worlds(), STEPS)
    def all_of_them(world: World, steps: list[tuple[str, object, object]]) -> None:
        whole(served, world, steps, seen)

    all_of_them()
    assert seen['at once'] > QUICK and seen['settled'] > QUICK, 'nothing of this was fast'


@pytest.mark.full
@pytest.mark.timeout(5400)
@settings(max_examples=FULL, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), STEPS)
def test_what_ran_is_what_was_affected_in_many_more(
    served: Served, world: World, steps: list[tuple[str, object, object]]
) -> None:
    whole(served, world, steps, {'at once': 0, 'settled': 0})
