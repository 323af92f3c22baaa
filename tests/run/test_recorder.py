"""The file that tells of a run: what is written comes back, and what cannot be written ends no run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli.documents import run_document
from mlops_cli.cli.screens.run_lines import made_meanwhile, summary
from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, Note, RunEnded, RunFailed, RunStarted, StageEnded, StageProgress, StageStarted
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_seconds
from mlops_cli.fsio import ops
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Blessing, Plan, Reason, Rival, Step, Surrounding, Verdict
from mlops_cli.run import live
from mlops_cli.run.invoke import Request, execute
from mlops_cli.run.recorder import KEPT, Recorder, folder_of, prune
from mlops_cli.run.replay import Follower, report_document, report_of
from mlops_cli.run.report import Report, Settled
from mlops_cli.run.states import State
from tests.support.project import Project

RUN = '20261120T101522Z-7k2m9q4c'
ABOUT: dict[str, Any] = {'host': 'gpu1', 'who': 'ada', 'command': ['mlops', 'run'], 'detached': False}
PIPELINE = """\
version: 1
stages:
  good: {cmd: 'echo 1 > a', outs: [a]}
  bad: {cmd: 'cat a; exit 3', deps: [a], outs: [b]}
  after: {cmd: 'cp b c', deps: [b], outs: [c]}
"""


def events_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_heard_is_written(tmp_path: Path) -> None:
    heard: list[Event] = []
    with Root(tmp_path) as root:
        with Recorder(root, RUN, ABOUT, heard.append, time.time) as recorder:
            for event in (RunStarted(RUN, 'p', 1, 0, 1), StageProgress('a', (('epoch', 1),)), RunEnded(RUN, 'done', 1.0)):
                recorder.emit(event)
        written = events_in(tmp_path / folder_of(RUN) / 'events.jsonl')
        assert [one['event'] for one in written] == ['live', 'run-started', 'run-ended']
        assert [type(one) for one in heard] == [RunStarted, StageProgress, RunEnded]
        assert (tmp_path / folder_of(RUN)).stat().st_mode & 0o777 == 0o700
        with Follower(root, RUN) as follower:
            assert [event for _, event in follower.poll()] == [heard[0], heard[2]]
            assert follower.first['pid'] == os.getpid()


def test_a_run_begins_once_and_ends_once(tmp_path: Path) -> None:
    """However long what somebody else wrote there is: each of these lines would be a screen of its own."""
    with Root(tmp_path) as root:
        with Recorder(root, RUN, ABOUT, lambda _: None, time.time) as recorder:
            for event in (RunStarted(RUN, 'p', 1, 0, 1), RunEnded(RUN, 'done', 1.0)):
                recorder.emit(event)
        path = tmp_path / folder_of(RUN) / 'events.jsonl'
        first, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + rest[0] * 3 + rest[1] * 3 + rest[0])
        with Follower(root, RUN) as follower:
            assert [type(event) for _, event in follower.poll()] == [RunStarted, RunEnded]
            assert follower.damaged == 5


def test_a_line_is_there_when_it_is_told(tmp_path: Path) -> None:
    """Who sees what a stage does finds it among those that run, however fast: it is written before the process starts."""
    with Root(tmp_path) as root, Recorder(root, RUN, ABOUT, lambda _: None, time.time) as recorder:
        path = tmp_path / folder_of(RUN) / 'events.jsonl'
        for number in range(100):
            recorder.emit(StageStarted(f's{number}', 1, 'log'))
            assert len(events_in(path)) == number + 2


@pytest.mark.parametrize(
    ('error', 'code', 'said'),
    [
        (UserError('no lock', hint='wait', exit_code=ExitCode.LOCK_TIMEOUT), 11, 'no lock'),
        (OSError(28, 'No space left on device', '/x'), 6, 'No space left on device: /x'),
        (KeyError('x'), 70, 'a bug of mlops: KeyError'),
    ],
)
def test_a_run_that_is_given_up_says_so(tmp_path: Path, error: Exception, code: int, said: str) -> None:
    heard: list[Event] = []
    with Root(tmp_path) as root:
        with pytest.raises(type(error)), Recorder(root, RUN, ABOUT, heard.append, time.time):
            raise error
        last = events_in(tmp_path / folder_of(RUN) / 'events.jsonl')[-1]
    assert (last['event'], last['exit_code'], last['message']) == ('run-failed', code, said)
    assert isinstance(heard[0], RunFailed)


def test_a_full_disk_ends_no_run_and_is_told_once(tmp_path: Path) -> None:
    heard: list[Event] = []

    def full(operation: str, details: Any) -> None:
        if operation == 'write':
            raise OSError(28, 'No space left on device')

    with Root(tmp_path) as root, Recorder(root, RUN, ABOUT, heard.append, time.time) as recorder:
        with ops.inject(full):
            recorder.emit(RunStarted(RUN, 'p', 1, 0, 1))
            recorder.emit(RunEnded(RUN, 'done', 1.0))
        recorder.report({})
    notes = [event.text for event in heard if isinstance(event, Note)]
    assert notes == ['this run cannot be followed from elsewhere: No space left on device'] and len(heard) == 3


def test_where_no_folder_can_be_made_the_run_goes_on(tmp_path: Path) -> None:
    heard: list[Event] = []
    (tmp_path / '.mlops').write_text('a file')
    with Root(tmp_path) as root, Recorder(root, RUN, ABOUT, heard.append, time.time) as recorder:
        recorder.emit(RunEnded(RUN, 'done', 1.0))
    assert [type(event) for event in heard] == [RunEnded, Note]


def test_a_thousand_stages_cost_next_to_nothing(tmp_path: Path) -> None:
    """The bound is some twenty times what a busy machine takes."""
    ref = ObjectRef(digest_of(b'x'), 1, 'file')
    events: list[Event] = []
    for number in range(1000):
        events.append(StageStarted(f's{number}', 1, f'.mlops/local/logs/{RUN}/s{number}.log', 0.5))
        events.append(StageEnded(f's{number}', 'done', 0.5, 0, ((f'out/{number}.txt', ref),), usage={'cpu_seconds': 0.1}))
    with Root(tmp_path) as root, Recorder(root, RUN, ABOUT, lambda _: None, time.time) as recorder:
        began = time.process_time()
        for event in events:
            recorder.emit(event)
        took = time.process_time() - began
    print(f'{took * 1000:.1f} ms for {len(events)} events')
    assert took < 1.0
    with Root(tmp_path) as root:
        began = time.process_time()
        found = live.read(root, RUN)
        assert time.process_time() - began < 1.0
    assert found is not None and found.ended == 1000 and found.stages == ()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    heard: list[Event] = []
    (tmp_path / 'project/.mlops/local').mkdir(parents=True)
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'project' / layout.LIVE).symlink_to(tmp_path / 'elsewhere')
    with Root(tmp_path / 'project') as root:
        with Recorder(root, RUN, ABOUT, heard.append, time.time) as recorder:
            recorder.emit(RunEnded(RUN, 'done', 1.0))
        assert [type(event) for event in heard] == [RunEnded, Note] and not os.listdir(tmp_path / 'elsewhere')
        assert live.read(root, RUN) is None


def test_folders_of_old_runs_go_but_not_those_of_runs_that_go_on(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        prune(root)
        for number in range(KEPT + 3):
            root.makedirs(folder_of(f'20261120T1015{number:02}Z-7k2m9q4c'))
        root.makedirs(layout.LOCAL)
        with Journal(root.full(layout.JOURNAL), '20261120T101501Z-7k2m9q4c'):
            prune(root)
        left = sorted(os.listdir(tmp_path / layout.LIVE))
    assert len(left) == KEPT + 1 and left[:2] == ['20261120T101501Z-7k2m9q4c', '20261120T101503Z-7k2m9q4c']


def test_what_a_run_came_to_comes_back_as_its_screen_needs_it(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    heard: list[Event] = []
    report = project.run(events=heard)
    assert report.run is not None
    with Root(project.path) as root:
        assert live.read(root, report.run.id) is not None and not list(live.running_in(root))
        with Follower(root, report.run.id) as follower:
            assert [event for _, event in follower.poll()] == heard
            found = follower.report
    assert found is not None and not follower.damaged
    assert {name: one.state for name, one in found.settled.items()} == {name: one.state for name, one in report.settled.items()}
    assert found.settled['bad'].event == report.settled['bad'].event
    assert found.steps['bad'].reasons == report.steps['bad'].reasons
    assert found.plan.edges['after'] == ('bad',)
    assert (found.exit_code, found.ended) == (report.exit_code, 'failed') and found.exit_code == 1
    assert found.run is not None and found.run.short == report.run.short
    events = {event.stage: event for event in heard if isinstance(event, StageEnded)}
    again = report_of(report.run.id, json.loads(json.dumps(report_document(report))), events, 0.0)
    assert again.settled == found.settled


def test_what_is_told_of_results_comes_back_too() -> None:
    """That a stage is not deterministic, where a restored result was made, who accepted it."""
    rival = Rival('12345678', RUN, ('m.json', 'o'), (('m.json', 'accuracy', 1, None),), True)
    differed = (('code', 'a.py', None, 'x', ''),)
    blessing = Blessing('ada', 'gpu1', '2026-11-20T10:15:22Z', 'words only', 'chosen', RUN, 2, differed)
    surroundings = (Surrounding('numpy', '1.26', None), Surrounding('python', '3.11', '3.12'))
    one = StageEnded('a', 'restored', 1.0)
    two = StageEnded('b', 'done', 1.0)
    step = Step('a', Verdict.RESTORE, origin='run x', run=RUN, rivals=(rival,), accepted=blessing, surroundings=surroundings)
    settled = {
        'a': Settled('a', State.RESTORED, 1.0, event=one),
        'b': Settled('b', State.DONE, 1.0, event=two, rivals=(rival, rival)),
    }
    report = Report(Plan('p', (step,)), settled, 2.0, ended='done', steps={'a': step, 'b': Step('b', Verdict.RUN)})
    document = json.loads(json.dumps(report_document(report)))
    found = report_of(RUN, document, {'a': one, 'b': two}, 0.0)
    assert found.steps['a'] == step and found.settled == settled
    assert run_document(found)['stages'] == run_document(report)['stages']


def test_what_was_fresh_all_along_was_not_made_meanwhile() -> None:
    verdicts = {'fresh': Verdict.FRESH, 'meanwhile': Verdict.RUN, 'same': Verdict.MAYBE}
    plan = Plan('p', tuple(Step(name, verdict) for name, verdict in verdicts.items()))
    settled = {name: Settled(name, State.FRESH, 0.0) for name in verdicts}
    other = '20261120T101522Z-3hsrbtbk'
    report = Report(plan, settled, 1.0, steps={name: Step(name, Verdict.FRESH, run=other) for name in verdicts})
    found = report_of(RUN, json.loads(json.dumps(report_document(report))), {}, 0.0)
    assert {step.stage: step.verdict for step in found.plan.steps} == verdicts
    for one in (report, found):
        assert [line.text for line in made_meanwhile(one, {}, 80)] == ['  fresh     meanwhile: made meanwhile by run 3hsrbtbk']


def test_a_run_that_goes_on_tells_what_it_is_doing(project: Project) -> None:
    with Root(project.path) as root:
        root.makedirs(layout.LOCAL)
        with Journal(root.full(layout.JOURNAL), RUN), Recorder(root, RUN, ABOUT, lambda _: None, time.time) as recorder:
            recorder.emit(RunStarted(RUN, 'p', 3, 0, 1))
            for name in ('a', 'naïve "quoted" \\ \n stage'):
                recorder.emit(StageStarted(name, 1, f'{name}.log', 2.5, 'p.jsonl'))
            recorder.emit(StageEnded('a', str(State.DONE), 1.0))
            recorder.emit(RunStarted(RUN, 'p', 3, 0, 1))  # flushes
            (one,) = live.running_in(root)
        assert list(live.running_in(root)) == []
    assert (one.run, one.short, one.pid, one.host, one.who) == (RUN, '7k2m9q4c', os.getpid(), 'gpu1', 'ada')
    assert (one.ended, one.total) == (1, 3)
    assert [(doing.stage, doing.log, doing.progress, doing.typical) for doing in one.stages] == [
        ('naïve "quoted" \\ \n stage', 'naïve "quoted" \\ \n stage.log', 'p.jsonl', 2.5)
    ]


@pytest.mark.parametrize(
    'path',
    [('stages', 0), ('stages', 0, 0), ('steps', 'bad'), ('steps', 'bad', 'reasons', 0, 1), ('edges', 'after')],
    ids=str,
)
@pytest.mark.parametrize('wrong', [None, 3, 'x', [], [[]], {'a': 1}, [None, None, None, None, None]], ids=str)
def test_a_report_that_lies_is_refused_or_shown(path: tuple[Any, ...], wrong: Any) -> None:
    """Whatever it says, what reads it gets the types that it expects."""
    document: Any = {
        'pipeline': 'p', 'stages': [['bad', 'failed', 1.0, 3, False]], 'seconds': 1, 'saved_seconds': 0, 'ended': 'failed',
        'record': '', 'keep': False, 'command': ['mlops'], 'set': [], 'edges': {'after': ['bad']}, 'exit_code': 1,
        'steps': {'bad': {'reasons': [['code', 'a', None, None, 'x']]}},
    }  # fmt: skip
    assert report_of(RUN, document, {}, 0.0).steps['bad'].reasons == (Reason('code', 'a', None, None, 'x'),)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = wrong
    try:
        found = report_of(RUN, document, {}, 0.0)
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    json.dumps(run_document(found))
    assert all(isinstance(name, str) for name in found.settled)


def test_how_long_it_took_is_one_figure_on_every_screen(project: Project) -> None:
    """0.15004 s are 0.2s; rounded to 0.150 s first, as what is written is, they are 0.1s."""
    project.write('pipeline.yaml', PIPELINE.replace('exit 3', 'cp a b'))
    times = iter([100.0])
    bench = project.open()
    try:
        report = execute(
            bench, Request(), emit=lambda _: None, now=time.time, clock=lambda: next(times, 100.15004),
            random_bytes=os.urandom(16), interrupted=lambda: 0,
        )  # fmt: skip
        assert report.run is not None and report.exit_code == 0
        with Follower(bench.root, report.run.id) as follower:
            list(follower.poll())
        assert follower.report is not None
        (recorded,) = bench.runs.newest()
    finally:
        bench.close()
    assert show_seconds(0.15004) != show_seconds(0.15)
    assert summary(report) == summary(follower.report) and ' in 0.1s' in summary(report)
    assert recorded.seconds == report.seconds == report.run.seconds
    took = {one.name: one.seconds for one in recorded.stages}
    assert took == {name: one.seconds for name, one in report.settled.items()}
    assert took == {name: one.seconds for name, one in follower.report.settled.items()}
