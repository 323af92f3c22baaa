"""A run that died: told before anything is undone; and nothing that came after it is taken for what it made."""

from __future__ import annotations

import os

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, Note
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.run.accept import Author, accept, propose
from mlops_cli.run.killed import Killed, killed
from tests.support.killed import RUN, die
from tests.support.project import Project
from tests.support.stages import lay

AUTHOR = Author('ada', 'gpu1', 1795170000.0, 'copied from gpu1')
KEPT = f'{layout.FAILED}/{RUN}/slow/slow.txt'


@pytest.fixture
def died(project: Project) -> Project:
    """``slow`` made ``old`` once, was edited, and its run died; then a person put a file there."""
    lay(project, {'slow': {'cmd': 'cat in > slow.txt', 'deps': ['in'], 'outs': ['slow.txt']}})
    project.write('in', 'old\n')
    project.run()
    project.write('in', 'new\n')
    die(project, 'slow', ['slow.txt'])
    project.write('slow.txt', 'made by hand\n')
    return project


def found(project: Project) -> tuple[Killed, ...]:
    with Root(str(project.path)) as root:
        return killed(root)


def test_what_a_journal_tells(died: Project) -> None:
    assert found(died) == (Killed(RUN, (('slow', ('slow.txt',)),)),)
    assert died.exists(f'{layout.JOURNAL}/{RUN}.jsonl'), 'only read'
    died.run()
    assert found(died) == ()


def test_a_run_that_goes_on_or_was_recorded_has_not_died(project: Project) -> None:
    folder = os.path.join(project.path, layout.JOURNAL)
    os.makedirs(folder)
    with Journal(folder, RUN) as journal:
        journal.append({'do': 'run', 'run': RUN})
        assert found(project) == ()
        journal.append({'do': 'recorded'})
        journal.close(remove=False)
        assert found(project) == ()


def test_journals_that_are_none_are_passed_over(project: Project) -> None:
    project.write(f'{layout.JOURNAL}/{RUN}.jsonl', b'\x00 no journal\n' * 3)
    os.mkfifo(project.path / layout.JOURNAL / 'b.jsonl')
    os.symlink('/dev/zero', project.path / layout.JOURNAL / 'c.jsonl')
    assert found(project) == ()


def test_what_came_after_the_kill_is_not_accepted_as_something_else(died: Project) -> None:
    """Undoing puts the old output back: the reason that was typed is about another file than that."""
    bench = died.open()
    with pytest.raises(UserError, match=r'7k2m9q4c was killed here while slow ran, .* slow\.txt would be put back') as dry:
        propose(bench, ['slow'])
    assert dry.value.exit_code is ExitCode.REFUSED
    assert died.read('slow.txt') == 'made by hand\n', 'nothing is touched by a look'
    said: list[Event] = []
    with pytest.raises(UserError, match='nothing is accepted: run 7k2m9q4c was killed') as refused:
        accept(bench, ['slow'], AUTHOR, said.append)
    bench.close()
    assert refused.value.exit_code is ExitCode.REFUSED and KEPT in str(refused.value)
    assert died.read('slow.txt') == 'old\n' and died.read(KEPT) == 'made by hand\n'
    assert any(isinstance(one, Note) and KEPT in one.text for one in said), said
    assert not died.exists(layout.ACCEPTED) or not list((died.path / layout.ACCEPTED).iterdir())
    os.rename(died.path / KEPT, died.path / 'slow.txt')
    bench = died.open()
    [done] = accept(bench, ['slow'], AUTHOR, said.append)
    bench.close()
    assert done.proposal.outputs[0][1].size == len('made by hand\n')


def test_what_an_empty_file_held_is_not_worth_a_word(died: Project) -> None:
    died.write('slow.txt', '')
    said: list[Event] = []
    died.run(events=said)
    assert any(isinstance(one, Note) and one.text.endswith('outputs from before it are back') for one in said)


def test_a_run_says_where_it_put_what_stood_there(died: Project) -> None:
    said: list[Event] = []
    died.run(events=said)
    assert any(isinstance(one, Note) and f'what stood at slow.txt is now {KEPT}' in one.text for one in said)


def test_another_stage_is_accepted_though_one_died(died: Project) -> None:
    stages = {
        'slow': {'cmd': 'cat in > slow.txt', 'deps': ['in'], 'outs': ['slow.txt']},
        'other': {'cmd': 'false', 'outs': ['other.txt']},
    }
    lay(died, stages)
    died.write('other.txt', 'mine\n')
    bench = died.open()
    assert [one.proposal.stage for one in accept(bench, ['other'], AUTHOR, lambda _: None)] == ['other']
    bench.close()


def test_a_run_that_died_is_told_before_anything_is_undone(died: Project) -> None:
    for arguments in (['status'], [], ['runs', 'list'], ['--quiet', 'runs', 'list', '--since', '1h']):
        out = died.mlops(*arguments).out
        assert 'Run 7k2m9q4c died here while slow ran: the next mlops run puts its outputs back' in out, out
    for arguments in (['status', '--json'], ['runs', 'list', '--json']):
        assert died.mlops(*arguments).json['died'] == [{'run': '7k2m9q4c', 'id': RUN, 'stages': ['slow']}]
    assert died.read('slow.txt') == 'made by hand\n', 'nothing is touched by a look'
    died.mlops('run')
    assert died.mlops('status', '--json').json['died'] == [] and 'died' not in died.mlops('status').out
