"""A run as a person sees it: events and a report go in, text comes out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.cli import context, unchanged
from mlops_cli.cli.screens import failure
from mlops_cli.cli.screens import run as run_screen
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.uncommitted import Uncommitted
from mlops_cli.core.events import Event, Note, RunStarted, RunStopping, StageRetried, StageStarted, StageWaiting
from mlops_cli.core.manifest import Manifest
from mlops_cli.plan.model import Plan
from mlops_cli.records.pins import Pin
from mlops_cli.run.invoke import Report
from mlops_cli.run.states import State
from tests.cli.values import (
    DEPTH,
    NAMES,
    RUN,
    TRAIN,
    bench,
    digits,
    ended,
    mixed_plan,
    plan,
    ref,
    report,
    run_record,
    settled,
    stage,
    step,
)

TAIL = (
    'epoch 0',
    'Traceback (most recent call last):',
    '  File "src/digits/train.py", line 48, in fit',
    '    batch = batch.to("cuda")',
    'torch.OutOfMemoryError: Tried to allocate 2.50 GiB',
    '',
)
OOM = ended(
    TRAIN[3],
    State.FAILED,
    2.1,
    exit_code=1,
    message='exit 1',
    log='.mlops/local/logs/x.log',
    tail=TAIL,
    notes=('partial outputs are in .mlops/local/failed/7k2m9q4c/train@forest-2', 'the outputs it had before are back in place'),
)
STARTED = RunStarted(RUN, 'digits', 8, 0, 4, first=True, cpus=8.0)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """git has nothing yet of what is to be kept."""
    monkeypatch.setattr(run_screen, 'to_keep', lambda _: Uncommitted(('.mlops/x',), ('.gitignore', 'pipeline.yaml')))
    context.current.started_in = '/project'


def shown(capsys: Any, events: list[Event], end: Report | None = None, on: Any = None, **options: Any) -> list[str]:
    """Both streams, in the order in which they are written to a terminal that takes both."""
    with RunScreen(on or bench(), clock=iter(range(10_000)).__next__, **options) as screen:
        for event in events:
            screen.listen(event)
        if end is not None:
            screen.finish(end)
    found = capsys.readouterr()
    return [*found.out.splitlines(), *(f'stderr: {line}' for line in found.err.splitlines())]


def everything_done() -> tuple[list[Event], Report]:
    metrics = (('metrics/logistic-1.json', 'accuracy', 0.9583),)
    events = [
        ended('prepare', outputs=(('data/prepared', ref('p', 1_100_000)),)),
        ended(
            TRAIN[0],
            seconds=4.2,
            outputs=(('models/logistic-1.skops', ref('m', 310_000)), ('metrics/logistic-1.json', ref('j'))),
            metrics=metrics,
        ),
        ended('validate', seconds=0.2, usage={'cpu_seconds': 0.1, 'memory_peak_bytes': 30_000_000}),
    ]
    of = plan(*(step(name, 'run', DEPTH) for name in NAMES))
    return [STARTED, *events], report(of, settled(*events), pins=('p',), ignored=('/x',))


def test_a_first_run(pinned, capsys) -> None:
    events, end = everything_done()
    pinned('run-first', shown(capsys, events, end))


def test_quiet_says_nothing_when_all_is_well(capsys) -> None:
    context.current.quiet = True
    assert shown(capsys, *everything_done()) == []


def test_silent_is_silent(capsys) -> None:
    events, _ = everything_done()
    assert shown(capsys, [*events, OOM, Note('x')], silent=True) == []


def test_verbose_says_what_is_started_and_what_it_took(pinned, capsys) -> None:
    context.current.verbose = True
    events, end = everything_done()
    pinned('run-verbose', shown(capsys, [events[0], StageStarted('prepare', 1, 'log'), *events[1:]], end))


def failing() -> tuple[list[Event], Report]:
    good = ended(TRAIN[2], seconds=6.8, metrics=(('metrics/forest-1.json', 'accuracy', 0.9694),))
    of = plan(
        *(step(name, 'fresh') for name in ('prepare', *TRAIN[:2])),
        *(step(name, 'run', DEPTH) for name in TRAIN[2:]),
        *(step(name, 'maybe', waits_for=TRAIN) for name in ('select', 'evaluate', 'validate')),
    )
    events: list[Event] = [RunStarted(RUN, 'digits', 5, 3, 4, open=3, cpus=8, gpus=1, low=100, high=400), good, OOM]
    stages = settled(good, OOM, fresh=('prepare', *TRAIN[:2]), skipped=('select', 'evaluate', 'validate'))
    return events, report(of, stages, 'failed')


@pytest.mark.parametrize('columns', ['80', '200'])
def test_a_failure(pinned, capsys, monkeypatch, columns: str) -> None:
    monkeypatch.setenv('COLUMNS', columns)
    pinned(f'run-failed-{columns}', shown(capsys, *failing()))


def test_quiet_still_tells_a_failure(pinned, capsys) -> None:
    context.current.quiet = True
    pinned('run-failed-quiet', shown(capsys, *failing()))


def test_several_failures(pinned, capsys) -> None:
    events = [
        ended(TRAIN[0], 'failed', message='took longer than its timeout', hint='raise timeout', log='l', exit_code=None),
        ended(TRAIN[1], 'failed', message='ended by signal 9', exit_code=137, log='l'),
        ended(TRAIN[2], 'failed', message='it ended well but did not make models/f.skops', log='l', hint='paths are relative'),
        ended(TRAIN[3], 'failed', message='exit 3', exit_code=3, log='l', tail=('something', 'else')),
    ]
    of = plan(*(step(name, 'run', DEPTH) for name in NAMES))
    end = report(of, settled(*events, skipped=('select', 'evaluate')), 'failed')
    pinned('run-many-failures', shown(capsys, [STARTED, *events], end))


def test_the_value_before_is_that_of_the_state_the_workspace_held(capsys) -> None:
    old, older = ref('old numbers'), ref('older numbers')
    made = [Pin(Manifest(()), (('m.json', one),), (('m.json', 'accuracy', n),)) for one, n in ((old, 0.9667), (older, 0.5))]
    pipeline = SimpleNamespace(stages={'train': stage('train', outs=[], metric='m.json')}, groups={'train': ('train',)})
    project = bench(
        pipeline,  # type: ignore[arg-type]
        pins=SimpleNamespace(of_stage=lambda name: made),
    )
    done = ended('train', outputs=(('m.json', ref('new')),), metrics=(('m.json', 'accuracy', 0.9694),))
    lines = shown(capsys, [RunStarted(RUN, 'p', 1, 0, 1, held=(('m.json', old),)), done], on=project)
    assert lines[-1] == '  done      train    1.8s  accuracy 0.9694 (was 0.9667)'


def test_restored_instances_share_a_line(pinned, capsys) -> None:
    events = [ended(name, 'restored', 4.0) for name in (*TRAIN, 'select', 'evaluate')]
    of = plan(*(step(name, 'restore') for name in (*TRAIN, 'select', 'evaluate')))
    end = report(of, settled(*events, fresh=('prepare',)), saved_seconds=24.0)
    pinned('run-restored', shown(capsys, [RunStarted(RUN, 'digits', 6, 2, 2, restore=6, cpus=2), *events], end))


def test_a_thousand_restored_stages_do_not_flood(capsys) -> None:
    names = tuple(f'a@{n}' for n in range(1000))
    pipeline = SimpleNamespace(stages={name: stage(name) for name in names}, groups={'a': names})
    events = [ended(name, 'restored', 1.0) for name in names]
    lines = shown(capsys, [RunStarted(RUN, 'p', 1000, 0, 2, restore=1000), *events], on=bench(pipeline))  # type: ignore[arg-type]
    assert lines == [
        'p: 1,000 in the cache. 2 jobs, this machine',
        '  restored  a@*, 1,000 instances  saved 16m40s',
    ]


def test_early_cutoff_is_told(pinned, capsys) -> None:
    done = ended('prepare', outputs=(('data/prepared', ref('p')),))
    of = plan(step('prepare', 'run', DEPTH), *(step(name, 'maybe', waits_for=('prepare',)) for name in (*TRAIN, 'select')))
    end = report(of, settled(done, fresh=(*TRAIN, 'select')))
    pinned('run-cutoff', shown(capsys, [RunStarted(RUN, 'digits', 6, 2, 2, open=5), done], end))


def test_interrupted(pinned, capsys) -> None:
    stopped = ended(TRAIN[0], 'interrupted', 3.0, message='interrupted', notes=('the outputs it had before are back in place',))
    of = plan(*(step(name, 'run', DEPTH) for name in NAMES))
    end = report(of, settled(stopped, skipped=NAMES[2:]), 'interrupted')
    pinned('run-interrupted', shown(capsys, [STARTED, stopped], end))


def test_a_trial(pinned, capsys) -> None:
    done = ended('prepare')
    record = run_record(overlay=(('params.yaml', 'train.depth', 12),))
    end = report(plan(step('prepare', 'run', DEPTH)), settled(done), run=record)
    pinned('run-trial', shown(capsys, [RunStarted(RUN, 'digits', 1, 0, 2, trial=True), done], end))


def nothing() -> Report:
    return Report(plan(*(step(name, 'fresh') for name in NAMES)), settled(fresh=NAMES), 0.064)


def test_nothing_to_do(capsys, monkeypatch) -> None:
    monkeypatch.setattr(unchanged, 'cosmetic', lambda *_: ['src/digits/model.py'])
    assert shown(capsys, [], nothing()) == [
        'Nothing to do: 8 stages are up to date (checked in 0.06s, run 7k2m9q4c).',
        'stderr: note: src/digits/model.py changed since, but not in meaning (comments, formatting)',
    ]


def test_waiting_and_notes_go_to_the_other_stream(capsys) -> None:
    lines = shown(capsys, [StageWaiting('prepare', 'mlops run (pid 7 on gpu1)', 61.0), Note('a'), Note('b', 'prepare')])
    assert lines == [
        'stderr:   waiting   prepare: waits for mlops run (pid 7 on gpu1), 61.0s so far',
        'stderr: note: a',
        'stderr: note: prepare: b',
    ]


def test_retries_and_stopping_are_told(capsys) -> None:
    again = StageRetried('prepare', 1, 3, 2.0, 1, 'exit 1')
    assert shown(capsys, [StageStarted('prepare', 1, 'l'), again, RunStopping(RUN, 1), RunStopping(RUN, 2)]) == [
        'stderr: note: prepare: exit 1: attempt 2 of 3',
        'stderr: stopping: 0 stages being ended; mlops runs cancel --now ends them at once',
    ]


def test_a_stage_that_this_pipeline_does_not_have_is_shown_too(capsys) -> None:
    """A run that is followed may have begun with another pipeline."""
    failed = ended('gone@1', 'failed', message='exit 1', log='l', tail=('x',))
    lines = shown(capsys, [STARTED, ended('gone@2'), failed], report(plan(step('gone@1', 'run')), settled(failed), 'failed'))
    assert any('done      gone@2' in line for line in lines) and any('gone@1 failed' in line for line in lines)


def test_what_nobody_sees_is_plain(capsys, monkeypatch) -> None:
    monkeypatch.setattr(run_screen, 'terminal', lambda _: True)
    with RunScreen(bench(), unseen=True) as screen:
        screen.listen(STARTED)
        assert screen.columns is None and not screen.watched and screen.thread is None


def test_a_machine_that_fails_half_way_is_told_with_what_was_done(capsys) -> None:
    with pytest.raises(OSError), RunScreen(bench()) as screen:
        screen.listen(STARTED)
        screen.listen(ended('prepare'))
        raise OSError(28, 'No space left on device')
    assert '1 of 8 done, 7 waiting; what is done is recorded' in capsys.readouterr().err


def test_a_reader_that_went_away_does_not_end_the_run(capsys, monkeypatch) -> None:
    def gone(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(run_screen, 'out', gone)
    monkeypatch.setattr(run_screen, 'hung_up', lambda: None)
    assert shown(capsys, *everything_done()) == []


def test_a_full_disk_behind_the_output_does_not_end_the_run(capsys, monkeypatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(run_screen, 'out', full)
    monkeypatch.setattr(run_screen, 'hung_up', lambda: None)
    assert shown(capsys, *everything_done()) == [
        'stderr: note: what a run prints cannot be written any more (No space left on device); it goes on'
    ]


def test_a_failed_trial_is_repeated_as_a_trial(capsys) -> None:
    record = run_record('failed', overlay=(('params.yaml', 'a', 'b c'),), command=('mlops', 'run', '--set', 'a=b c'))
    failed = ended('prepare', 'failed', message='exit 1')
    end = report(plan(step('prepare', 'run', DEPTH)), settled(failed), 'failed', run=record)
    assert shown(capsys, [STARTED, failed], end)[-1] == "Fix, then: mlops run --set 'a=b c'"


def test_where_the_user_stands_elsewhere_git_is_told_the_folder(capsys) -> None:
    context.current.started_in = '/somewhere'
    events, end = everything_done()
    assert shown(capsys, events, end)[-1].startswith('Keep it: git -C /project add .gitignore .mlops')


def test_the_plan_and_the_pipeline_of_these_tests_agree() -> None:
    assert {one.stage for one in mixed_plan().steps} == set(digits().stages)
    assert isinstance(mixed_plan(), Plan)


def test_a_gate_that_fails_says_so_in_its_own_line():
    said = 'gate FAILED: best.json:accuracy >= 0.95 (0.9333)'
    assert failure.message(ended('validate', State.FAILED, exit_code=1, message='exit 1', tail=(said, ''))) == said
    assert failure.message(ended('validate', State.FAILED, exit_code=1, message='exit 1', tail=('a gate FAILED',))) == 'exit 1'
