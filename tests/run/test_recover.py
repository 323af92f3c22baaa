"""What is done about a killed run is done once, also if that is killed in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import locks, patience
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside
from mlops_cli.run.recover import recover
from tests.support.processes import begun
from tests.support.project import Project

RUN = '20261120T101522Z-7k2m9q4c'
BEGUN = {'do': 'begin', 'attempt': '7k2m9q4c-t-1', 'stage': 't', 'run': RUN, 'outputs': ['out.txt'], 'kind': 'run'}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as opened:
        opened.makedirs(layout.LOCAL)
        yield opened


def left(root: Root, record: dict[str, Any]) -> None:
    """A journal whose owner was killed."""
    journal = Journal(root.full(layout.JOURNAL), RUN)
    journal.append({'do': 'run', 'run': RUN})
    journal.append(record)
    journal.close(remove=False)


def test_of_an_attempt_whose_way_was_clear_what_it_left_is_kept_apart(root: Root, tmp_path: Path) -> None:
    left(root, {**BEGUN, 'clear': True})
    (tmp_path / 'out.txt').write_text('partial')
    (undone,) = recover(root).undone
    assert undone.kept == {'out.txt': f'{aside.failed_folder(RUN, "t")}/out.txt'}
    assert not (tmp_path / 'out.txt').exists()
    assert (tmp_path / aside.failed_folder(RUN, 't') / 'out.txt').read_text() == 'partial'
    assert recover(root).undone == ()


def test_what_somebody_writes_after_a_recovery_that_was_killed_stays(root: Root, tmp_path: Path) -> None:
    left(root, {**BEGUN, 'clear': True})
    (tmp_path / 'out.txt').write_text('partial')

    def kill(_records: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        recover(root, kill)
    (tmp_path / 'out.txt').write_text('mine')
    assert recover(root).undone == ()
    assert (tmp_path / 'out.txt').read_text() == 'mine'


def test_of_an_attempt_that_never_got_to_move_anything_all_stays(root: Root, tmp_path: Path) -> None:
    left(root, BEGUN)
    (tmp_path / 'out.txt').write_text('mine')
    recover(root)
    assert (tmp_path / 'out.txt').read_text() == 'mine'


@pytest.mark.parametrize(
    'record',
    [
        {'do': 'begin'},
        {**BEGUN, 'outputs': 'out.txt'},
        {**BEGUN, 'outputs': [1]},
        {**BEGUN, 'attempt': None},
        {**BEGUN, 'links': [['out.txt']]},
        {'do': 'end'},
        {'do': 'run', 'run': 7},
        {'do': 'run', 'run': RUN, 'command': 'x'},
        {'do': 'run', 'run': '\ud800'},
        {**BEGUN, 'outputs': ['out\ud800.txt']},
    ],
)
def test_a_journal_that_nobody_of_ours_wrote_is_refused_and_stays(root: Root, tmp_path: Path, record: dict[str, Any]) -> None:
    left(root, record)
    (tmp_path / 'out.txt').write_text('mine')
    with pytest.raises(UserError, match='is no journal of ours: record 2') as caught:
        recover(root)
    assert caught.value.exit_code == ExitCode.REFUSED and caught.value.hint.startswith('look at it, then remove it: rm /')
    assert (tmp_path / layout.JOURNAL / f'{RUN}.jsonl').exists() and (tmp_path / 'out.txt').read_text() == 'mine'


@pytest.fixture
def half(root: Root, tmp_path: Path) -> None:
    """What a killed run left: the output of before aside, half a one in its place."""
    (tmp_path / 'out.txt').write_text('before')
    left(root, BEGUN)
    aside.move(root, BEGUN['attempt'], ['out.txt'])
    (tmp_path / 'out.txt').write_text('half')


@contextmanager
def being_ended(tmp_path: Path) -> Iterator[int]:
    """As long as a supervisor ends the attempt."""
    fd = os.open(tmp_path / layout.LOCAL / 'alive-v1', os.O_RDWR | os.O_CREAT)
    try:
        locks.try_lock(fd, exclusive=False, start=locks.byte_of(BEGUN['attempt']), length=1)
        yield fd
    finally:
        os.close(fd)


@pytest.mark.usefixtures('half')
def test_nothing_is_put_back_as_long_as_the_stage_lives(root: Root, tmp_path: Path) -> None:
    seen: list[str] = []
    with being_ended(tmp_path) as fd:

        def waiting(run: str, seconds: float) -> None:
            assert run == RUN
            seen.append((tmp_path / 'out.txt').read_text())
            if seconds > 0.05:
                locks.unlock(fd)

        assert [one.stage for one in recover(root, waiting=waiting).undone] == ['t']
    assert len(seen) > 2
    assert set(seen) == {'half'}
    assert (tmp_path / 'out.txt').read_text() == 'before'


@pytest.mark.usefixtures('half')
def test_who_does_not_wait_leaves_it_for_later(root: Root, tmp_path: Path) -> None:
    with being_ended(tmp_path):
        assert recover(root, waiting=None).undone == ()
        assert (tmp_path / 'out.txt').read_text() == 'half'
    assert recover(root, waiting=None).undone
    assert (tmp_path / 'out.txt').read_text() == 'before'


@pytest.mark.usefixtures('half')
def test_waiting_ends_with_the_patience_for_locks(root: Root, tmp_path: Path) -> None:
    patience.limit_waiting(0.05)
    try:
        with being_ended(tmp_path), pytest.raises(UserError, match='goes on after') as caught:
            recover(root)
    finally:
        patience.limit_waiting(None)
    assert caught.value.exit_code == ExitCode.LOCK_TIMEOUT
    assert (tmp_path / 'out.txt').read_text() == 'half'


@pytest.mark.usefixtures('half')
def test_what_no_supervisor_ends_is_ended_before_anything_is_put_back(root: Root, tmp_path: Path) -> None:
    script = 'while :; do echo half > out.txt; sleep 0.01; done'
    orphan = begun('/bin/sh', '-c', script, cwd=tmp_path, env={'MLOPS_ATTEMPT': BEGUN['attempt']})
    try:
        assert recover(root).undone
        assert orphan.wait(60) == -9
    finally:
        orphan.kill()
        orphan.wait()
    assert (tmp_path / 'out.txt').read_text() == 'before'


@pytest.mark.usefixtures('half')
def test_a_second_command_waits_for_the_one_that_undoes_it(root: Root, tmp_path: Path) -> None:
    seen: list[str] = []
    with being_ended(tmp_path) as fd:
        first = threading.Thread(target=recover, args=(root,))
        first.start()
        journal = tmp_path / layout.JOURNAL / f'{RUN}.jsonl'
        while b'heal' not in journal.read_bytes():
            assert first.is_alive()

        def waiting(run: str, _seconds: float) -> None:
            seen.append(run)
            locks.unlock(fd)

        assert recover(root, waiting=waiting).undone == ()  # the other one did it
        first.join()
    assert seen[0] == RUN
    assert (tmp_path / 'out.txt').read_text() == 'before'
    assert not journal.exists()


def test_a_command_that_ends_leaves_no_mark_of_itself_in_the_cache(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo a > a.txt\n    outs: [a.txt]\n')
    project.run()
    project.run()
    assert list((project.path / '.mlops/cache/tmp').iterdir()) == []


def test_what_a_command_was_writing_into_the_cache_when_it_was_killed_goes(project: Project) -> None:
    """An object in the making, and the file that says that this project uses the cache."""
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo a > a.txt\n    outs: [a.txt]\n')
    project.run()
    program = 'from mlops_cli.fsio.temporaries import PREFIX, new_name; print(new_name(), new_name(PREFIX))'
    names = subprocess.run([sys.executable, '-c', program], stdout=-1, text=True, check=True).stdout.split()
    cache = project.path / '.mlops/cache'
    left = [cache / 'tmp' / names[0], cache / 'roots/projects' / names[1]]
    for path in left:
        path.write_text('half')
    project.write('data.txt', 'x')
    project.mlops('add', 'data.txt')
    assert not [path for path in left if path.exists()]
    assert len(list((cache / 'roots/projects').iterdir())) == 1
