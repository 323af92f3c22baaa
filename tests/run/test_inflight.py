"""What other commands have in flight at a path: found, read on as it grows, and waited for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.events import StageWaiting
from mlops_cli.fsio import locks
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside
from mlops_cli.run.inflight import InFlight
from tests.support.project import Project

RUN = '20261120T101522Z-7k2m9q4c'
ATTEMPT = '7k2m9q4c-t-1'


def begin(attempt: str, *outputs: str, kind: str = 'run') -> dict[str, Any]:
    return {'do': 'begin', 'attempt': attempt, 'stage': 't', 'run': RUN, 'outputs': [*outputs], 'kind': kind}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as opened:
        opened.makedirs(layout.LOCAL)
        yield opened


@pytest.fixture
def journal(root: Root) -> Iterator[Journal]:
    """Of another command, which lives."""
    with Journal(root.full(layout.JOURNAL), RUN) as made:
        yield made


def test_an_attempt_is_in_flight_from_its_begin_to_its_end(root: Root, journal: Journal) -> None:
    seen = InFlight(root, 'mine')
    assert seen.run_at(['a']) == ''
    journal.append(begin('1', 'a', 'b/c'))
    assert [seen.run_at([path]) for path in ('a', 'b', 'b/c', 'b/c/d', 'ab', 'c')] == [RUN, RUN, RUN, RUN, '', '']
    assert seen.run_at([], ['a']) == RUN
    journal.append({'do': 'end', 'attempt': '1'})
    assert seen.run_at(['a', 'b']) == ''
    journal.append(begin('2', 'a'))
    assert seen.run_at(['a']) == RUN


def test_ones_own_journal_is_left_out(root: Root, journal: Journal) -> None:
    journal.append(begin('1', 'a'))
    assert InFlight(root, RUN).run_at(['a']) == ''


def test_inputs_may_be_placed_by_several_at_once(root: Root, journal: Journal) -> None:
    journal.append(begin('1-inputs', 'a', kind='restore'))
    assert InFlight(root, 'mine').run_at([], ['a']) == ''


def test_lines_that_are_half_written_are_read_when_they_are_whole(root: Root, journal: Journal) -> None:
    seen = InFlight(root, 'mine')
    journal.append(begin('1', 'a'))
    data = Path(journal.path).read_bytes()
    for end in range(0, len(data) + 1, 7):
        Path(journal.path).write_bytes(data[:end])
        assert seen.run_at(['a']) == ''
    Path(journal.path).write_bytes(data)
    assert seen.run_at(['a']) == RUN


def test_no_journals_are_nothing_in_flight(root: Root) -> None:
    assert InFlight(root, 'mine').run_at(['a']) == ''


def test_a_stage_does_not_begin_where_that_of_a_killed_run_still_lives(project: Project) -> None:
    """The other run was killed after this one had healed what it found; its stage is ended, then undone, then this runs."""
    project.write('pipeline.yaml', 'stages:\n  t:\n    cmd: cp in.txt out.txt\n    deps: [in.txt]\n    outs: [out.txt]\n')
    project.write('in.txt', 'old')
    project.run()
    project.write('in.txt', 'new')
    fd = os.open(project.path / layout.LOCAL / 'alive-v1', os.O_RDWR | os.O_CREAT)
    locks.try_lock(fd, exclusive=False, start=locks.byte_of(ATTEMPT), length=1)
    events: list[Any] = []
    seen: list[str] = []

    def die() -> None:
        """Between the beginning of this run and that of its stage."""
        journal = Journal(os.path.join(project.path, layout.JOURNAL), RUN)
        journal.append({'do': 'run', 'run': RUN, 'started': '2026-11-20T10:15:22Z', 'command': ['mlops', 'run'], 'set': []})
        journal.append(begin(ATTEMPT, 'out.txt'))
        with Root(str(project.path)) as root:
            aside.move(root, ATTEMPT, ['out.txt'])
        project.write('out.txt', 'half')
        journal.close(remove=False)

    def end() -> None:
        until = time.monotonic() + 120
        while not any(isinstance(event, StageWaiting) for event in events) and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(project.read('out.txt'))
        os.close(fd)

    class Struck(list[Any]):
        def append(self, event: Any) -> None:
            if type(event).__name__ == 'RunStarted':
                die()
            events.append(event)

    ending = threading.Thread(target=end)
    ending.start()
    report = project.run(events=Struck())
    ending.join()
    assert seen == ['half']
    assert 'killed' in next(event.holder for event in events if isinstance(event, StageWaiting))
    assert report.exit_code == 0
    assert project.read('out.txt') == 'new'
    records = [path.read_text() for path in (project.path / layout.RUNS).rglob('*.json')]
    assert sum('killed' in text for text in records) == 1
