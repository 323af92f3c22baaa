"""What is done about a killed run is done once, also if that is killed in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside
from mlops_cli.run.recover import recover

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
    ],
)
def test_a_journal_that_nobody_of_ours_wrote_is_refused_and_stays(root: Root, tmp_path: Path, record: dict[str, Any]) -> None:
    left(root, record)
    (tmp_path / 'out.txt').write_text('mine')
    with pytest.raises(UserError, match='is no journal of ours: record 2') as caught:
        recover(root)
    assert caught.value.exit_code == ExitCode.REFUSED and caught.value.hint.startswith('look at it, then remove it: rm /')
    assert (tmp_path / layout.JOURNAL / f'{RUN}.jsonl').exists() and (tmp_path / 'out.txt').read_text() == 'mine'
