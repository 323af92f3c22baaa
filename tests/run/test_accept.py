"""``accept``: what lies there, or what a run made, becomes the recorded result; and nothing else does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.fsio.locks import LockFile
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.run.accept import Author, Done, accept, propose
from mlops_cli.run.accept_run import accept_run, propose_run
from mlops_cli.run.workbench import Workbench
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [in.txt]
    outs: [data]
  train:
    cmd: sh train.sh
    deps: [data]
    outs: [model]
    metrics: [m.json]
  report:
    cmd: cat model > report
    deps: [model]
    outs: [report]
"""
AUTHOR = Author('ada', 'gpu1', 1795170000.0, 'only messages')


@pytest.fixture
def made(project: Project) -> Project:
    """Three stages that ran."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'one\n')
    project.write('prepare.sh', 'cat in.txt > data\n')
    project.write('train.sh', 'cat data data > model\necho \'{"accuracy": 0.9}\' > m.json\n')
    project.run()
    return project


@contextmanager
def opened(project: Project) -> Iterator[Workbench]:
    bench = project.open()
    try:
        yield bench
    finally:
        bench.close()


def take(project: Project, *stages: str, author: Author = AUTHOR) -> tuple[Done, ...]:
    with opened(project) as bench:
        return accept(bench, stages, author, lambda _: None)


def refused(project: Project, *stages: str) -> list[UserError]:
    """What is said, and that nothing was written."""
    before = sorted((project.path / '.mlops').glob('[as]*/*'))
    with opened(project) as bench, pytest.raises(UserError) as found:
        accept(bench, stages, AUTHOR, lambda _: None)
    assert sorted((project.path / '.mlops').glob('[as]*/*')) == before
    return list(found.value.errors) if isinstance(found.value, UserErrors) else [found.value]


def step(project: Project, name: str) -> Step:
    return project.plan().by_name[name]


def test_a_changed_script_is_accepted_without_running(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    assert made.verdicts()['train'] == 'run'
    (done,) = take(made, 'train')
    assert done.proposal.kind == 'accepted' and [one.subject for one in done.proposal.differs] == ['train.sh']
    assert done.proposal.metrics == (('m.json', 'accuracy', 0.9),)
    assert made.verdicts() == dict.fromkeys(('prepare', 'train', 'report'), 'fresh')
    found = step(made, 'train').accepted
    assert found is not None and (found.who, found.reason, found.kind) == ('ada', 'only messages', 'accepted')
    assert found.run.count('-') == 1, 'the run that made these bytes is known'
    assert not made.run().run, 'there is nothing to do'


def test_it_counts_in_a_clone_and_in_an_empty_workspace(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    take(made, 'train')
    for path in ('model', 'm.json'):
        (made.path / path).unlink()
    found = step(made, 'train')
    assert found.verdict is Verdict.RESTORE and found.accepted is not None
    made.run()
    assert made.read('model') == 'one\none\n'


def test_outputs_made_by_hand_become_the_result(made: Project) -> None:
    made.write('model', 'from another machine\n')
    made.write('m.json', '{"accuracy": 0.99}')
    assert step(made, 'train').changed_by_hand
    (done,) = take(made, 'train')
    assert done.proposal.run == '' and done.proposal.was == 'restore'
    assert [one.differs for one in done.proposal.instead] == [('m.json', 'model')]
    assert made.verdicts() == {'prepare': 'fresh', 'train': 'fresh', 'report': 'run'}
    made.run()
    assert made.read('report') == 'from another machine\n'
    (made.path / 'model').unlink()
    made.run()
    assert made.read('model') == 'from another machine\n', 'of two results, the accepted one is restored'


def test_several_are_taken_in_order(made: Project) -> None:
    made.write('in.txt', 'two\n')
    assert made.verdicts() == {'prepare': 'run', 'train': 'maybe', 'report': 'maybe'}
    (error,) = refused(made, 'train')
    assert error.exit_code == ExitCode.REFUSED and 'before prepare' in error.message and 'mlops run prepare' in error.hint
    done = take(made, 'report', 'train', 'prepare')
    assert [one.proposal.stage for one in done] == ['prepare'], 'what it made is as it was, so the others are up to date'
    assert set(made.verdicts().values()) == {'fresh'}
    made.write('data', 'by hand\n')
    assert [one.proposal.stage for one in take(made, 'report', 'train', 'prepare')] == ['prepare', 'train']
    assert set(made.verdicts().values()) == {'fresh'}


def test_the_first_of_a_chain_is_named(made: Project) -> None:
    made.write('in.txt', 'two\n')
    (error,) = refused(made, 'report')
    assert 'before prepare:' in error.message and 'train' not in error.message


def test_what_cannot_be_accepted(made: Project) -> None:
    (error,) = refused(made, 'train')
    assert 'up to date' in error.message and error.exit_code == ExitCode.WRONG_INPUT
    made.write('train.sh', 'true\n')
    (made.path / 'model').unlink()
    (error,) = refused(made, 'train')
    assert 'model is missing' in error.message and error.exit_code == ExitCode.REFUSED and 'mlops run train' in error.hint
    (made.path / 'in.txt').unlink()
    (error,) = refused(made, 'prepare')
    assert 'in.txt is missing' in error.message and error.exit_code == ExitCode.REFUSED


def test_every_obstacle_is_told_at_once(made: Project) -> None:
    made.write('prepare.sh', 'true\n')
    made.write('train.sh', 'true\n')
    (made.path / 'data').unlink()
    (made.path / 'model').unlink()
    assert len(refused(made, 'prepare', 'train')) == 2


@pytest.mark.parametrize(('key', 'words'), [('frozen', 'frozen'), ('always_changed', 'always_changed')])
def test_stages_for_which_records_do_not_count(made: Project, key: str, words: str) -> None:
    made.write('pipeline.yaml', PIPELINE.replace('  train:\n', f'  train:\n    {key}: true\n'))
    made.write('train.sh', 'true\n')
    (error,) = refused(made, 'train')
    assert words in error.message


def test_a_stage_that_runs_right_now(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    with LockFile(str(made.path / layout.LOCKS)) as locks:
        assert locks.try_exclusive('stage/train')
        (error,) = refused(made, 'train')
        assert 'train runs right now' in error.message and error.exit_code == ExitCode.REFUSED
        locks.release('stage/train')
        assert locks.try_exclusive('path/data')
        (error,) = refused(made, 'train')
        assert 'uses data' in error.message
        locks.release('path/data')
    take(made, 'train')


@pytest.mark.parametrize('reason', ['', '  ', 'two\nlines', 'x' * 2000])
def test_a_reason_is_needed(made: Project, reason: str) -> None:
    made.write('train.sh', 'true\n')
    with opened(made) as bench, pytest.raises(UserError) as error:
        accept(bench, ['train'], replace(AUTHOR, reason=reason), lambda _: None)
    assert error.value.exit_code == ExitCode.WRONG_INPUT and not made.exists('.mlops/accepted')


def test_a_secret_in_a_reason_is_not_recorded(made: Project) -> None:
    made.environ['HF_TOKEN'] = token = 'hf_' + 'a1B2c3D4e5' * 4
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    take(made, 'train', author=replace(AUTHOR, reason=f'made with {token}'))
    assert not any(token in path.read_text() for path in (made.path / '.mlops/accepted').iterdir())


def test_a_stage_without_outputs(made: Project) -> None:
    made.write('pipeline.yaml', PIPELINE + '  check:\n    cmd: "false"\n    deps: [model]\n')
    take(made, 'check', author=replace(AUTHOR, reason='the limit was wrong'))
    assert step(made, 'check').verdict is Verdict.FRESH


def test_taking_it_back_is_taking_two_files_away(made: Project) -> None:
    made.commit('before')
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    made.commit('hello')
    take(made, 'train')
    made.commit('accept')
    assert made.verdicts()['train'] == 'fresh'
    made.git('revert', '--no-edit', 'HEAD')
    found = step(made, 'train')
    assert found.accepted is None and found.verdict is not Verdict.FRESH


def test_two_branches_that_accept_the_same_merge(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    made.commit('base')
    for branch, who in (('one', 'ada'), ('two', 'ben')):
        made.git('checkout', '-q', '-b', branch, 'main')
        with opened(made):
            if who == 'ben':
                made.write('model', 'by ben\n')
                made.write('m.json', '{"accuracy": 0.8}')
        take(made, 'train', author=replace(AUTHOR, who=who, now=AUTHOR.now + (who == 'ben')))
        made.commit(f'{who} accepts')
    made.git('merge', '-q', '--no-edit', 'one')
    found = step(made, 'train')
    assert found.accepted is not None and (found.accepted.who, found.accepted.results) == ('ben', 2)
    assert found.rivals == () and found.verdict is Verdict.FRESH and made.read('model') == 'by ben\n'


def test_nothing_is_written_where_an_output_changes_meanwhile(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    with opened(made) as bench:
        add = bench.store.add_path

        def late(root, path, **options):  # type: ignore[no-untyped-def]
            made.write('model', 'somebody writes')
            bench.workspace.forget()
            return add(root, path, **options)

        monkeypatch.setattr(bench.store, 'add_path', late)
        with pytest.raises(UserError, match='changed while it was being accepted'):
            accept(bench, ['train'], AUTHOR, lambda _: None)
    assert not made.exists('.mlops/accepted')


def test_a_proposal_changes_nothing(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    before = {str(path): path.stat().st_mtime_ns for path in made.path.rglob('*') if 'local' not in path.parts}
    with opened(made) as bench:
        assert [one.stage for one in propose(bench, ['train'])] == ['train']
    assert {str(path): path.stat().st_mtime_ns for path in made.path.rglob('*') if 'local' not in path.parts} == before


def test_tracked_data_that_is_not_here_counts_as_recorded(made: Project) -> None:
    made.mlops('add', 'in.txt')
    (made.path / 'in.txt').unlink()
    made.write('prepare.sh', 'echo hello\n' + made.read('prepare.sh'))
    assert [one.proposal.stage for one in take(made, 'prepare')] == ['prepare']
    assert made.verdicts()['prepare'] == 'fresh'


def test_a_kill_before_each_rename_leaves_no_pin_without_its_reason(made: Project) -> None:
    """Whatever is there of the two, the stage is accepted or as out of date as it was; and accepting again completes it."""
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    clean = {path.name for path in (made.path / '.mlops/stages').iterdir()}
    for kill in range(1, 30):
        done = killed_at(made, kill)
        found = step(made, 'train')
        pins = {path.name for path in (made.path / '.mlops/stages').iterdir()} - clean
        assert not pins or found.accepted is not None
        if done:
            break
    assert kill > 3 and step(made, 'train').accepted is not None


def killed_at(project: Project, number: int) -> bool:
    """Accepts ``train``, but the machine stops before the so-manieth rename of a record; whether it came to its end."""
    from mlops_cli.fsio import ops

    class Stop(BaseException):
        pass

    seen = 0

    def listen(name: str, args: object) -> None:
        nonlocal seen
        seen += name in ('rename', 'rename_noreplace', 'link')
        if seen == number:
            raise Stop

    try:
        with ops.record(listen), opened(project) as bench:
            accept(bench, ['train'], AUTHOR, lambda _: None)
    except Stop:
        return False
    return True


# Runs


def suspect(project: Project) -> str:
    """A run of ``train`` during which its own script changes; its id."""
    project.write('train.sh', "cat data data data > model\necho '{}' > m.json\necho true > train.sh\n")
    report = project.run('train')
    assert report.ended == 'failed' and 'code changed' in (report.settled['train'].event or AUTHOR).message  # type: ignore[union-attr]
    assert report.run is not None
    return report.run.id


def accept_one(project: Project, run: str, *, author: Author = AUTHOR) -> tuple[Done, ...]:
    with opened(project) as bench:
        return accept_run(bench, bench.runs.find(run), author, lambda _: None)


def test_a_suspect_result_becomes_trusted_for_the_code_it_ran_with(made: Project) -> None:
    text = "cat data data data > model\necho '{}' > m.json\necho true > train.sh\n"
    run = suspect(made)
    (done,) = accept_one(made, run)
    assert (done.proposal.kind, done.proposal.stage, done.proposal.run) == ('trusted', 'train', run)
    assert made.verdicts()['train'] == 'run', 'the code that is there now is another'
    made.write('train.sh', text)
    found = step(made, 'train')
    assert found.verdict in (Verdict.RESTORE, Verdict.FRESH)
    assert found.accepted is not None and found.accepted.kind == 'trusted'
    made.run('train')
    assert made.read('model') == 'one\none\none\n' and made.read('train.sh') == text
    with opened(made) as bench, pytest.raises(UserError, match='nothing more to accept: ada accepted train'):
        propose_run(bench, bench.runs.find(run))


def test_a_suspect_result_that_is_gone(made: Project) -> None:
    run = suspect(made)
    (made.path / 'model').unlink(missing_ok=True)
    for path in (made.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'one\none\none\n':
            path.unlink()
    with opened(made) as bench, pytest.raises(UserError) as error:
        propose_run(bench, bench.runs.find(run))
    assert error.value.exit_code == ExitCode.REFUSED and 'no longer in this cache' in error.value.message


RANDOM = """\
version: 1
stages:
  train:
    cmd: date +%N > model; echo "{\\"accuracy\\":0.$(date +%N)}" > m.json
    outs: [model]
    metrics: [{"m.json": {primary: accuracy, tolerance: {accuracy: TOLERANCE}}}]
  report:
    cmd: cat model > report
    deps: [model]
    outs: [report]
"""


def random_runs(project: Project, count: int = 2, tolerance: float = 0) -> list[str]:
    """Ids of so many runs of a stage that makes something else each time; the workspace holds what the last one made."""
    project.write('pipeline.yaml', RANDOM.replace('TOLERANCE', str(tolerance)))
    reports = [project.run('train', force=True) for _ in range(count)]
    return [report.run.id for report in reports if report.run]


def test_results_that_differ_are_told_with_their_runs(project: Project) -> None:
    first, second = random_runs(project)
    found = step(project, 'train')
    (other,) = found.rivals
    assert found.verdict is Verdict.FRESH and (found.run, other.run) == (second, first)
    assert other.differs == ('m.json', 'model') and [name for _, name, *_ in other.metrics] == ['accuracy']
    assert not other.tolerated


def test_the_run_itself_tells(project: Project) -> None:
    (first,) = random_runs(project, 1)
    events: list[object] = []
    report = project.run('train', force=True, events=events)  # type: ignore[arg-type]
    (note,) = [one.text for one in events if 'not deterministic' in str(getattr(one, 'text', ''))]  # type: ignore[attr-defined]
    assert report.run is not None and f'run {report.run.short} made the one here' in note
    assert f'run {first.partition("-")[2]} the other' in note and 'accuracy (' in note and 'accept' in note
    (rival,) = report.settled['train'].rivals
    assert rival.run == first


def test_a_stage_that_is_meant_to_differ_is_not_told(project: Project) -> None:
    random_runs(project)
    text = RANDOM.replace('TOLERANCE', '0')
    project.write('pipeline.yaml', text.replace('  train:\n', '  train:\n    always_changed: true\n'))
    events: list[object] = []
    project.run('train', events=events)  # type: ignore[arg-type]
    assert not [one for one in events if 'not deterministic' in str(getattr(one, 'text', ''))]


def test_the_chosen_run_counts_also_where_the_workspace_holds_another(project: Project) -> None:
    first, second, third = random_runs(project, 3)
    held = project.read('model')
    (done,) = accept_one(project, first)
    assert done.proposal.kind == 'chosen' and {one.run for one in done.proposal.instead} == {second, third}
    found = step(project, 'train')
    assert found.verdict is Verdict.RESTORE and found.rivals == () and found.run == first
    assert {one.detail for one in found.reasons} == {'not the result that was accepted'}
    project.run()
    assert project.read('model') != held == held and project.read('report') == project.read('model')
    assert set(project.verdicts().values()) == {'fresh'}


def test_the_last_choice_counts(project: Project) -> None:
    first, second = random_runs(project)
    accept_one(project, first)
    accept_one(project, second, author=replace(AUTHOR, now=AUTHOR.now + 1))
    assert step(project, 'train').verdict is Verdict.FRESH
    accept_one(project, first, author=replace(AUTHOR, now=AUTHOR.now + 2))
    assert step(project, 'train').run == first


def test_a_choice_outdoes_one_whose_clock_was_ahead(project: Project) -> None:
    first, second = random_runs(project)
    accept_one(project, first, author=replace(AUTHOR, now=AUTHOR.now + 86400))
    accept_one(project, second)
    assert step(project, 'train').verdict is Verdict.FRESH


def test_the_held_one_of_several_is_chosen_by_its_stage(project: Project) -> None:
    _, second = random_runs(project)
    (done,) = take(project, 'train')
    assert (done.proposal.kind, done.proposal.run) == ('chosen', second)
    found = step(project, 'train')
    assert found.verdict is Verdict.FRESH and found.accepted is not None and found.rivals == ()


def test_a_choice_that_is_not_in_this_cache_does_not_undo_what_is_here(project: Project) -> None:
    first, _ = random_runs(project)
    accept_one(project, first)
    chosen = next(iter((project.path / '.mlops/accepted').iterdir()))
    with opened(project) as bench:
        pin = next(p for p in bench.pins.of_stage('train') if p.outs8 == json.loads(chosen.read_text())['outputs'][7:15])
    for _, ref in pin.outputs:
        drop(project, ref.digest.hex)
    found = step(project, 'train')
    assert found.verdict is Verdict.FRESH and any('not in this cache' in note for note in found.notes)


def drop(project: Project, digest: str) -> None:
    (path,) = [p for p in (project.path / '.mlops/cache/objects-v1').rglob('*') if digest.endswith(p.name) and p.is_file()]
    path.unlink()


def test_a_run_made_anew_after_a_choice_says_that_the_choice_counts(project: Project) -> None:
    first, _ = random_runs(project)
    accept_one(project, first)
    events: list[object] = []
    project.run('train', force=True, events=events)  # type: ignore[arg-type]
    said = [str(getattr(one, 'text', '')) for one in events]
    assert any('not deterministic' in text for text in said)
    (note,) = [text for text in said if 'what ada accepted still counts' in text]
    assert first.partition('-')[2] in note and AUTHOR.reason in note


def test_instances_whose_results_come_from_the_same_runs_share_a_sentence(project: Project) -> None:
    text = 'version: 1\nstages:\n  a:\n    foreach: [1, 2, 3]\n    do:\n'
    project.write('pipeline.yaml', text + '      cmd: date +%N > o${item}\n      outs: ["o${item}"]\n')
    project.run()
    events: list[object] = []
    project.run(force=True, events=events)  # type: ignore[arg-type]
    (note,) = [one for one in events if 'not deterministic' in str(getattr(one, 'text', ''))]
    assert set(note.stage.split(', ')) == {'a@1', 'a@2', 'a@3'} and '2 results each' in note.text  # type: ignore[attr-defined]


def test_metrics_that_cannot_be_read_are_told_and_no_obstacle(made: Project) -> None:
    made.write('m.json', '{"accuracy": ')
    notes: list[object] = []
    with opened(made) as bench:
        (done,) = accept(bench, ['train'], AUTHOR, notes.append)
    assert done.proposal.metrics == () and any('m.json' in str(note) for note in notes)


def test_metrics_within_their_tolerance_are_no_alarm(project: Project) -> None:
    project.write('pipeline.yaml', RANDOM.replace('date +%N > model;', 'echo m > model;').replace('TOLERANCE', '1'))
    for _ in range(2):
        project.run('train', force=True)
    (other,) = step(project, 'train').rivals
    assert other.tolerated and other.differs == ('m.json',)


def test_a_run_with_nothing_in_doubt(made: Project) -> None:
    with opened(made) as bench:
        run = next(bench.runs.newest())
        with pytest.raises(UserError, match='nothing to accept') as error:
            propose_run(bench, run)
    assert 'mlops accept STAGE' in error.value.hint


def test_results_on_two_branches_are_told_after_the_merge(project: Project) -> None:
    project.write('pipeline.yaml', RANDOM.replace('TOLERANCE', '0'))
    project.commit('base')
    ids = []
    for branch in ('one', 'two'):
        project.git('checkout', '-q', '-b', branch, 'main')
        report = project.run('train', force=True)
        assert report.run is not None
        ids.append(report.run.id)
        project.commit(branch)
    project.git('merge', '-q', '--no-edit', 'one')
    found = step(project, 'train')
    assert (found.run, [one.run for one in found.rivals]) == (ids[1], [ids[0]])
    cache = project.path / '.mlops/cache/results-v1'
    for path in list(cache.rglob('*.json')):
        path.unlink()
    found = step(project, 'train')
    assert (found.run, [one.run for one in found.rivals]) == (ids[1], [ids[0]]), 'run records tell it as well'


def test_a_thousand_acceptances_do_not_slow_a_plan(made: Project) -> None:
    made.write('train.sh', 'echo hello\n' + made.read('train.sh'))
    take(made, 'train')
    (one,) = (made.path / '.mlops/accepted').iterdir()
    for number in range(1000):
        one.with_name(f'other~{number:016x}-01234567.json').write_text('never read')
    with opened(made) as bench:
        begin = time.process_time()
        bench.accepted.of_key(bench.pins.of_stage('train')[0].key)
        assert time.process_time() - begin < 0.2

