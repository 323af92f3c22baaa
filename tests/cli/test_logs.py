"""``mlops logs``: whose log it is, how that went, and following what still grows to its very end and no longer."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli.screens.logs import heading
from mlops_cli.run.printed import Attempt, Log
from tests.cli.values import NOW, RUN
from tests.support.project import Project
from tests.support.stages import lay

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / 'docs/schemas/logs.v1.json').read_text())


def waits_for(mark: str) -> str:
    return f'touch "$MARKS/at-{mark}"; while [ ! -e "$MARKS/{mark}" ]; do sleep 0.02; done'


class Stand:
    def __init__(self, project: Project, marks: Path) -> None:
        self.project, self.marks = project, marks
        marks.mkdir()
        project.environ['MARKS'] = str(marks)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', *arguments],
            cwd=self.project.path,
            env=self.project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def go(self, mark: str) -> None:
        (self.marks / mark).touch()

    def at(self, mark: str) -> None:
        until(lambda: (self.marks / f'at-{mark}').exists())


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.02)


@pytest.fixture
def stand(project: Project, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(project, tmp_path / 'marks')
    yield made
    for mark in 'abcd12':
        made.go(mark)


@pytest.mark.parametrize('trial', [(), ('--set', 'x=2')], ids=['run', 'trial'])
def test_following_ends_with_the_stage_not_with_the_run(stand: Stand, trial: tuple[str, ...]) -> None:
    project = stand.project
    project.write('params.yaml', 'x: 1\n')
    lay(
        project,
        {
            'one': {'cmd': f'echo begun; {waits_for("a")}; echo ended', 'params': ['x']},
            'two': {'cmd': waits_for('b'), 'needs': ['one'], 'params': ['x']},
        },
    )
    run = stand.start('run', *trial)
    stand.at('a')
    following = stand.start('logs', 'one', '--follow')
    assert following.stdout is not None and following.stdout.readline() == 'begun\n'
    stand.go('a')
    out, err = following.communicate(timeout=60)
    assert (following.returncode, out) == (0, 'ended\n')
    first, last = err.splitlines()
    assert re.fullmatch(r'one, run \w{8}, running for \S+', first)
    assert re.fullmatch(r'one, run \w{8}, just now: done with exit 0 after \S+', last)
    stand.at('b')
    assert run.poll() is None
    stand.go('b')
    run.communicate(timeout=60)


def test_following_goes_on_with_the_next_attempt(stand: Stand) -> None:
    lay(
        stand.project,
        {'one': {'cmd': f'echo try $MLOPS_ATTEMPT_NUMBER; {waits_for("a")}; test $MLOPS_ATTEMPT_NUMBER = 3', 'retry': 2}},
    )
    run = stand.start('run')
    stand.at('a')
    following = stand.start('logs', 'one', '--follow')
    assert following.stdout is not None and following.stdout.readline() == 'try 1\n'
    stand.go('a')
    out, _ = following.communicate(timeout=60)
    run.communicate(timeout=60)
    assert [line for line in out.splitlines() if line.startswith('try')] == ['try 2', 'try 3']
    headings = [line for line in out.splitlines() if line.startswith('==>')]
    assert len(headings) == 2 and 'attempt 2' in headings[0] and 'attempt 3' in headings[1]
    # Afterwards each of them is there, with how it ended.
    identity = json.loads(stand.project.mlops('runs', 'list', '--json').out)['rows'][0]['run']
    whole = stand.project.mlops('logs', 'one', '--run', identity).out
    assert re.findall(r'==> one, run \w+(?:, attempt \d)?, just now: (\w+) with exit (\d)', whole) == [
        ('failed', '1'),
        ('failed', '1'),
        ('done', '0'),
    ]
    assert stand.project.mlops('logs', 'one').out == 'try 3\n'
    document = stand.project.mlops('logs', 'one', '--run', identity, '--json').json
    jsonschema_rs.validator_for(SCHEMA).validate(document)
    rows = [(row['attempt'], row['state'], row['exit_code'], row['lines']) for row in document['rows']]
    assert rows == [(1, 'failed', 1, ['try 1']), (2, 'failed', 1, ['try 2']), (3, 'done', 0, ['try 3'])]


def test_following_waits_for_a_log_that_comes_after_the_word_that_its_attempt_began(stand: Stand) -> None:
    wait = 'touch "$MARKS/at-$M"; while [ ! -e "$MARKS/$M" ]; do sleep 0.02; done'
    cmd = f'M=$MLOPS_ATTEMPT_NUMBER; echo try $M; {wait}; test $M = 2'
    lay(stand.project, {'one': {'cmd': cmd, 'retry': 1}})
    run = stand.start('run')
    stand.at('1')
    (first,) = (stand.project.path / '.mlops/local/logs').glob('*/one.log')
    second = first.with_name('one.2.log')
    aside = stand.marks / 'aside'
    first.rename(aside)
    following = stand.start('logs', 'one', '--follow')
    assert following.stderr is not None and 'waiting for one' in following.stderr.readline()
    aside.rename(first)
    assert following.stdout is not None and following.stdout.readline() == 'try 1\n'
    following.send_signal(signal.SIGSTOP)
    stand.go('1')
    stand.at('2')
    second.rename(aside)
    following.send_signal(signal.SIGCONT)
    time.sleep(1)
    assert following.poll() is None
    aside.rename(second)
    stand.go('2')
    out, err = following.communicate(timeout=60)
    run.communicate(timeout=60)
    assert (following.returncode, [line for line in out.splitlines() if line.startswith('try')]) == (0, ['try 2']), err


def test_following_what_is_still_to_run_waits_for_it(stand: Stand) -> None:
    lay(
        stand.project,
        {
            'one': {'cmd': f'echo 1; {waits_for("a")}; echo one > o', 'outs': ['o']},
            'two': {'cmd': 'echo two says; cp o p', 'deps': ['o'], 'outs': ['p']},
            'three': {'cmd': f'{waits_for("b")}; cp p q', 'deps': ['p'], 'outs': ['q']},
        },
    )
    run = stand.start('run')
    stand.at('a')
    following = stand.start('logs', 'two', '--follow')
    assert following.stderr is not None and re.fullmatch(r'waiting for two to begin in run \w+\n', following.stderr.readline())
    stand.go('a')
    assert following.communicate(timeout=60)[0] == 'two says\n'
    stand.go('b')
    run.communicate(timeout=60)


def test_following_what_then_does_not_run_ends_with_words(stand: Stand) -> None:
    lay(
        stand.project,
        {
            'one': {'cmd': f'{waits_for("a")}; echo same > o', 'outs': ['o'], 'always_changed': True},
            'two': {'cmd': 'cp o p', 'deps': ['o'], 'outs': ['p']},
            'three': {'cmd': 'cp missing p3; cp p q', 'deps': ['p'], 'outs': ['q']},
        },
    )
    stand.go('a')
    stand.project.mlops('run', code=1)
    for mark in ('a', 'at-a'):
        (stand.marks / mark).unlink()
    for path in (stand.project.path / '.mlops/local/logs').glob('*/two.log'):
        path.unlink()
    run = stand.start('run')
    stand.at('a')
    following = stand.start('logs', 'two', '--follow')
    assert following.stderr is not None and 'waiting for two' in following.stderr.readline()
    stand.go('a')
    _, err = following.communicate(timeout=60)
    assert following.returncode == 0 and 'two was fresh, so it printed nothing' in err, err
    run.communicate(timeout=60)


def test_several_that_run_are_followed_at_once(stand: Stand) -> None:
    lay(stand.project, {f's{mark}': {'cmd': f'echo {mark} begins; {waits_for(mark)}; echo {mark} ends'} for mark in 'ab'})
    run = stand.start('run', '-j', '2')
    stand.at('a')
    stand.at('b')
    following = stand.start('logs', 's*', '--follow')
    assert following.stdout is not None
    text = ''
    while 'b begins' not in text:
        text += following.stdout.readline()
    stand.go('b')
    while 'b ends' not in text:
        text += following.stdout.readline()
    stand.go('a')
    text += following.communicate(timeout=60)[0]
    run.communicate(timeout=60)
    said = [line for line in text.splitlines() if line and not line.startswith('==>')]
    assert said == ['a begins', 'b begins', 'b ends', 'a ends']
    assert [line.split(',')[0] for line in text.splitlines() if line.startswith('==>')] == ['==> sa', '==> sb', '==> sa']


def test_a_run_that_was_killed_does_not_keep_anybody_waiting(stand: Stand) -> None:
    lay(stand.project, {'one': {'cmd': f'echo begun; {waits_for("a")}'}})
    run = stand.start('run')
    stand.at('a')
    following = stand.start('logs', 'one', '-f')
    assert following.stdout is not None and following.stdout.readline() == 'begun\n'
    run.kill()
    run.communicate()
    _, err = following.communicate(timeout=60)
    assert following.returncode == 0 and err.splitlines()[-1].endswith(': killed with its run')


def test_a_stage_that_the_pipeline_has_no_more_still_has_its_log(project: Project) -> None:
    lay(project, {'old': {'cmd': 'echo of old'}})
    project.mlops('run')
    lay(project, {'new': {'cmd': 'echo of new'}})
    assert project.mlops('logs', 'old').out == 'of old\n'
    error = project.mlops('logs', 'older', code=2).err
    assert 'older' in error and 'hint: ' in error
    assert 'no log of new' in project.mlops('logs', 'new', code=2).err
    project.write('pipeline.yaml', 'stages: [')
    result = project.mlops('logs', 'old')
    assert result.out == 'of old\n' and 'note: without what the pipeline says' in result.err


def test_where_the_pipeline_cannot_be_read_the_hint_says_so(project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages: [\n')
    said = project.mlops('logs', 'train', '--run', 'last', code=None).err
    assert 'pipeline.yaml has no stages, or cannot be read: mlops plan says why' in said and 'stages are' not in said


def test_quiet_says_what_was_printed_and_no_more(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo out'}})
    project.mlops('run')
    result = project.mlops('logs', 'a', '-q')
    assert (result.out, result.err) == ('out\n', '')


def test_without_the_run_of_the_log_here_its_record_tells(project: Project) -> None:
    import shutil

    lay(project, {'a': {'cmd': 'echo out; exit 3'}})
    project.mlops('run', code=1)
    shutil.rmtree(project.path / '.mlops/local/live')
    assert re.search(r'a, run \w+, just now: failed with exit 3 after', project.mlops('logs', 'a').err)


def log(**attempt: Any) -> Log:
    return Log('train@2', RUN, 'place', lambda: None, Attempt(**attempt))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ('one', 'said'),
    [
        (log(), 'train@2, run 7k2m9q4c'),
        (log(number=2, began=NOW - 7200, state='failed', exit_code=137, seconds=4.2),
         'train@2, run 7k2m9q4c, attempt 2, 2 h ago: failed with exit 137 after 4.2s'),
        (log(began=NOW - 100, state='interrupted', seconds=10.0), 'train@2, run 7k2m9q4c, 2 min ago: stopped after 10.0s'),
        (log(began=NOW - 100, state='running'), 'train@2, run 7k2m9q4c, running for 1m40s'),
        (log(began=NOW + 5, state='running'), 'train@2, run 7k2m9q4c, running for 0.00s'),
    ],
)  # fmt: skip
def test_headings(one: Log, said: str) -> None:
    assert heading(one, NOW) == said
