"""What every executor must do, as a suite that anybody can pour an executor in (docs/executors.md):

    class TestMine(ExecutorContract):
        def create(self, folder):
            return mlops_mine.create(str(folder))
"""
from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.job import Job, Outcome, Process
from mlops_cli.executors.base import Executor
from mlops_cli.usage import cpu


def job(tmp_path: Path, *commands: str, **fields: Any) -> Job:
    attempt = secrets.token_hex(8)
    given: dict[str, Any] = {
        'attempt': attempt, 'stage': 's', 'folder': str(tmp_path), 'directory': '.',
        'processes': tuple(Process(('/bin/sh', '-c', command)) for command in commands),
        'environment': {'PATH': os.environ['PATH']}, 'log': str(tmp_path / f'{attempt}.log'), 'grace_seconds': 0.3}
    return Job(**given | fields)


PATIENCE_SECONDS = 60.0  # for a job; an engine that takes long for each may have more


def wait(executor: Executor, count: int = 1) -> list[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count:
        assert time.monotonic() < until, f'{len(found)} of {count} came'
        found += executor.poll(1.0)
    return found


class ExecutorContract:
    """``create`` is what an executor's tests define; ``folder`` exists and is empty."""

    def create(self, folder: Path) -> Executor:
        raise NotImplementedError('a subclass says which executor')

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Executor]:
        folder = tmp_path / 'state'
        folder.mkdir()
        made = self.create(folder)
        yield made
        made.close()

    @pytest.mark.parametrize(('commands', 'code'), [(['true'], 0), (['exit 7'], 7), (['true', 'exit 3', 'exit 4'], 3),
                                                    (['kill -9 $$'], 137), (['no-such-command'], 127)])
    def test_exit_code(self, executor, tmp_path, commands, code):
        given = job(tmp_path, *commands)
        executor.submit(given)
        outcome, = wait(executor)
        assert (outcome.attempt, outcome.ending, outcome.exit_code) == (given.attempt, 'exited', code)
        assert outcome.usage.wall_seconds > 0
        assert outcome.succeeded == (code == 0)

    def test_a_job_runs_in_its_folder_and_writes_its_log(self, executor, tmp_path):
        (tmp_path / 'a b').mkdir()
        given = job(tmp_path, 'pwd -P; echo $MLOPS_ATTEMPT; echo made > out', 'echo two >&2', directory='a b')
        handle = executor.submit(given)
        wait(executor)
        collected = executor.collect(handle)
        assert Path(given.log).read_text() == f'{tmp_path / "a b"}\n{given.attempt}\ntwo\n'
        assert collected is not None or (tmp_path / 'a b/out').read_text() == 'made\n'

    def test_its_environment_is_the_jobs_own(self, executor, tmp_path, monkeypatch):
        monkeypatch.setenv('MLOPS_TEST_LEAK', 'leaked')
        environment = {'PATH': os.environ['PATH'], 'ONE': 'a "b"\n$c', 'EMPTY': ''}
        given = job(tmp_path, 'echo "$ONE|$MLOPS_TEST_LEAK|$EMPTY"', environment=environment)
        executor.submit(given)
        wait(executor)
        assert Path(given.log).read_text() == 'a "b"\n$c||\n'

    def test_a_job_that_cannot_start_has_an_outcome_too(self, executor, tmp_path):
        executor.submit(job(tmp_path, 'true', directory='nowhere'))
        outcome, = wait(executor)
        assert (outcome.ending, outcome.exit_code) == ('not-started', None)
        assert 'nowhere' in outcome.message

    def test_jobs_run_at_the_same_time(self, executor, tmp_path):
        for me, other in (('a', 'b'), ('b', 'a')):
            executor.submit(job(tmp_path, f'cd {tmp_path}; touch {me}; while ! test -e {other}; do sleep 0.01; done'))
        assert all(outcome.succeeded for outcome in wait(executor, 2))

    def test_each_job_has_one_outcome(self, executor, tmp_path):
        given = [job(tmp_path, f'exit {number}') for number in range(20)]
        for one in given:
            executor.submit(one)
        found = {outcome.attempt: outcome.exit_code for outcome in wait(executor, 20)}
        assert found == {one.attempt: number for number, one in enumerate(given)}
        assert executor.poll(0.05) == []

    def test_poll_waits_no_longer_than_told_and_not_for_nothing(self, executor, tmp_path):
        begin = time.monotonic()
        assert executor.poll(30) == []
        executor.submit(job(tmp_path, 'sleep 30'))
        assert executor.poll(0.2) == []
        assert executor.poll(0) == []
        assert time.monotonic() - begin < 25

    def test_timeout(self, executor, tmp_path):
        executor.submit(job(tmp_path, 'trap "" TERM; while :; do sleep 0.05; done', timeout_seconds=1.5))
        outcome, = wait(executor)
        assert (outcome.ending, outcome.exit_code) == ('timeout', 137)

    @pytest.mark.parametrize(('force', 'code'), [(False, 143), (True, 137)])
    def test_cancel(self, executor, tmp_path, force, code):
        given = job(tmp_path, 'echo ready; exec sleep 100')
        handle = executor.submit(given)
        until = time.monotonic() + PATIENCE_SECONDS
        while not os.path.exists(given.log) or 'ready' not in Path(given.log).read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        executor.cancel(handle, force=force)
        outcome, = wait(executor)
        assert (outcome.ending, outcome.exit_code) == ('cancelled', code)
        executor.cancel(handle)
        assert executor.poll(0.05) == []

    def test_nothing_is_left_of_a_job(self, executor, tmp_path):
        executor.submit(job(tmp_path, f'setsid sleep 60 & echo $! > {tmp_path}/pid'))
        outcome, = wait(executor)
        assert (outcome.exit_code, outcome.killed) == (0, 1)
        assert not cpu.read_row(int((tmp_path / 'pid').read_text()))

    def test_refused_jobs_leave_the_executor_whole(self, executor, tmp_path):
        with pytest.raises(ValueError):
            executor.submit(job(tmp_path))
        given = job(tmp_path, 'sleep 0.2')
        executor.submit(given)
        with pytest.raises(ValueError):
            executor.submit(given)
        assert wait(executor)[0].succeeded

    def test_close_ends_what_runs(self, executor, tmp_path):
        given = job(tmp_path, f'echo $$ > {tmp_path}/pid; exec sleep 60')
        executor.submit(given)
        while not (tmp_path / 'pid').exists() or not (tmp_path / 'pid').read_text():
            time.sleep(0.01)
        outcome, = executor.close()
        assert (outcome.attempt, outcome.ending) == (given.attempt, 'cancelled')
        assert not cpu.read_row(int((tmp_path / 'pid').read_text()))
        assert executor.close() == []

    def test_the_processor_and_memory_of_the_whole_tree_count(self, executor, tmp_path):
        burn = 'import time\nwhile time.process_time() < 0.2: pass'
        executor.submit(job(tmp_path, f'{sys.executable} -S -c "{burn}" & {sys.executable} -S -c "{burn}"; wait'))
        outcome, = wait(executor)
        assert outcome.usage.cpu_seconds == pytest.approx(0.41, abs=0.15)
        assert outcome.usage.memory_peak_bytes is None or outcome.usage.memory_peak_bytes > 2_000_000
