"""What only the local executor does; the rest is in contracts/test_executor.py."""
from __future__ import annotations

import os
import secrets
import signal
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import Job, Process
from mlops_cli.executors import all as executors
from mlops_cli.executors import local
from mlops_cli.job.client import anything_alive


def job(folder: Path, command: str) -> Job:
    return Job(secrets.token_hex(8), 's', str(folder), '.', (Process(('/bin/sh', '-c', command)),),
               {'PATH': os.environ['PATH']}, str(folder / 'log'))


@pytest.fixture
def executor(tmp_path):
    made = local.create(str(tmp_path))
    yield made
    made.close()


def test_nothing_is_started_before_the_first_job(executor, tmp_path):
    assert executor.poll(1) == []
    assert executor.close() == []
    assert not (tmp_path / local.ALIVE).exists()


def test_the_alive_lock(executor, tmp_path):
    executor.submit(job(tmp_path, 'true'))
    assert executor.poll(60)[0].succeeded
    assert anything_alive(str(tmp_path / local.ALIVE))
    executor.close()
    assert not anything_alive(str(tmp_path / local.ALIVE))


def test_two_runs_hold_the_lock_together(tmp_path):
    one, two = local.create(str(tmp_path)), local.create(str(tmp_path))
    for executor in (one, two):
        executor.submit(job(tmp_path, 'true'))
        assert executor.poll(60)[0].succeeded
    one.close()
    assert anything_alive(str(tmp_path / local.ALIVE))
    two.close()
    assert not anything_alive(str(tmp_path / local.ALIVE))


def test_after_a_lost_supervisor_the_next_job_gets_a_new_one(executor, tmp_path):
    given = [job(tmp_path, 'sleep 60') for _ in range(3)]
    executor.submit_all(given)
    old = executor.start()
    os.kill(old.pid, signal.SIGKILL)
    found = executor.poll(60)
    assert {outcome.attempt for outcome in found} == {one.attempt for one in given}
    assert {outcome.ending for outcome in found} == {'lost'}
    executor.submit(job(tmp_path, 'exit 5'))
    assert executor.poll(60)[0].exit_code == 5
    assert executor.start().pid != old.pid


def test_pids_of_what_runs_are_known(executor, tmp_path):
    given = job(tmp_path, 'echo $$ > pid; sleep 60')
    handle = executor.submit(given)
    until = time.monotonic() + 60
    while not executor.pids:
        assert executor.poll(0.05) == []
        assert time.monotonic() < until
    while not (tmp_path / 'pid').exists() or not (tmp_path / 'pid').read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert executor.pids == {given.attempt: int((tmp_path / 'pid').read_text())}
    executor.cancel(handle, force=True)
    executor.poll(60)
    assert executor.pids == {}


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    executor = local.create(str(tmp_path / 'gone'))
    executor.submit(job(tmp_path, 'touch ran'))
    with pytest.raises(UserError, match=r'gone/alive-v1: No such file') as caught:
        executor.poll(60)
    assert caught.value.exit_code == ExitCode.MACHINE
    assert executor.close() == []
    assert not (tmp_path / 'ran').exists()


def test_unknown_names():
    with pytest.raises(UserError) as caught:
        executors.find('lokal')
    assert caught.value.message == 'there is no executor named lokal'
    assert caught.value.hint == 'did you mean local?'


@pytest.mark.parametrize(('value', 'message'), [
    ('no_such_module_of_ours', "cannot be loaded: No module named 'no_such_module_of_ours'"),
    ('os:no_such_name', 'cannot be loaded'),
    ('os', 'has no function create'),
])
def test_plugins(monkeypatch, value, message):
    points = [EntryPoint('mine', value, executors.GROUP), EntryPoint('good', 'mlops_cli.executors.local', executors.GROUP)]
    monkeypatch.setattr('importlib.metadata.entry_points', lambda group: points if group == executors.GROUP else [])
    with pytest.raises(UserError, match=message):
        executors.find('mine')
    assert executors.find('good') is local
