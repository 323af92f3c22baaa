"""Whoever dies, and however: nothing of a run is left."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import Outcome
from mlops_cli.job.client import Supervisor, anything_alive
from mlops_cli.job.family import kill_marked
from mlops_cli.usage import cpu
from tests.support.processes import begun

PYTHON = sys.executable
GRACE = 0.3
AT_ONCE = 8

# A stage whose children get away in every manner we know, TERM ignored by half of them; each leaves its pid in a file.
STAGE = textwrap.dedent('''
    import os, signal, sys, time
    def note(name):
        with open(f"{sys.argv[1]}/{name}.tmp", "w") as f: f.write(str(os.getpid()))
        os.rename(f"{sys.argv[1]}/{name}.tmp", f"{sys.argv[1]}/{name}")
    for name in ("plain", "session", "double", "closed", "stubborn", "bare"):
        if os.fork(): continue
        if name != "plain": os.setsid()
        if name in ("double", "closed", "bare") and os.fork(): os._exit(0)
        if name in ("closed", "bare"): os.closerange(0, 256)
        if name in ("stubborn", "closed"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(name)
        if name == "bare": os.execve(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(99)"], {})
        time.sleep(99)
        os._exit(0)
    note("leader")
    time.sleep(99)
''')
NAMES = ('plain', 'session', 'double', 'closed', 'stubborn', 'bare', 'leader')

RUNNER = textwrap.dedent('''
    import os, sys, time
    from mlops_cli.core.job import Job, Process
    from mlops_cli.job.client import Supervisor
    folder, code, fork = sys.argv[1:]
    supervisor = Supervisor.start(folder + "/alive", leftover_seconds=0.3)
    supervisor.submit(Job(os.urandom(8).hex(), "s", folder, ".", (Process((sys.executable, "-S", "-c", code, folder)),),
                          dict(os.environ), folder + "/log", grace_seconds=0.3))
    if fork == "fork" and os.fork() == 0:  # inherits our end of the pipe, and lives on
        while not os.path.exists(folder + "/seen"): time.sleep(0.1)
        os._exit(0)
    while True: supervisor.events(10)
''')


def pids_of(folder: Path, timeout: float = 60.0) -> list[int]:
    """The processes of STAGE, once all of them are there."""
    until = time.monotonic() + timeout
    while not all((folder / name).exists() for name in NAMES):
        assert time.monotonic() < until, sorted(os.listdir(folder))
        time.sleep(0.01)
    found = {name: int((folder / name).read_text()) for name in NAMES}
    while cpu.variable_of(found['bare'], b'MLOPS_ATTEMPT') is not None:  # it says its number before it becomes another
        assert time.monotonic() < until
        time.sleep(0.01)
    return [*found.values()]


def wait_gone(pids: list[int], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while left := [pid for pid in pids if cpu.read_row(pid)]:
        assert time.monotonic() < until, f'of {pids} these live on: {left}'
        time.sleep(0.01)


@pytest.mark.parametrize('fork', ['alone', 'fork'])
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_runner_killed(tmp_path, number, fork):
    runner = subprocess.Popen([PYTHON, '-c', RUNNER, str(tmp_path), STAGE, fork])
    pids = pids_of(tmp_path)
    assert all(cpu.read_row(pid) for pid in pids)
    assert anything_alive(str(tmp_path / 'alive'))
    runner.send_signal(number)
    assert runner.wait() == -number
    try:
        wait_gone(pids)
        until = time.monotonic() + 60
        while anything_alive(str(tmp_path / 'alive')):
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        (tmp_path / 'seen').touch()


@pytest.mark.full
def test_runner_killed_at_any_moment(tmp_path):
    for trial in range(0, 200, AT_ONCE):
        folders = [tmp_path / str(number) for number in range(trial, trial + AT_ONCE)]
        runners = []
        for folder in folders:
            folder.mkdir()
            runners.append(subprocess.Popen([PYTHON, '-c', RUNNER, str(folder), STAGE, 'alone']))
        for number, runner in enumerate(runners):
            time.sleep(0.02 + (trial + number) * 0.0003)
            runner.kill()
            runner.wait()
        time.sleep(GRACE + 1)
        left = [(folder.name, name) for folder in folders for name in NAMES
                if (folder / name).exists() and cpu.read_row(int((folder / name).read_text()))]
        assert not left


def test_supervisor_killed(scene):
    job = scene.job([PYTHON, '-S', '-c', STAGE, str(scene.folder)])
    quick = scene.job('sleep 99')
    scene.supervisor.submit(job, quick)
    pids = pids_of(scene.folder)
    os.kill(scene.supervisor.pid, signal.SIGKILL)
    outcomes = {outcome.attempt: outcome for outcome in scene.outcomes(2)}
    assert {outcome.ending for outcome in outcomes.values()} == {'lost'}
    assert 'killed by signal 9' in outcomes[job.attempt].message
    assert outcomes[job.attempt].exit_code is None
    hidden = pids.pop(NAMES.index('bare'))  # an orphan without a trace of us: only the supervisor could know it
    wait_gone(pids)
    os.kill(hidden, signal.SIGKILL)
    with pytest.raises(ChildProcessError):
        os.waitpid(scene.supervisor.pid, 0)  # it was waited for
    scene.supervisor.submit(scene.job('true'))  # into the void, but not into an error


def test_supervisor_that_cannot_begin(tmp_path):
    supervisor = Supervisor.start(str(tmp_path / 'no/alive'))
    with pytest.raises(UserError, match='no/alive') as caught:
        supervisor.events(10)
    assert caught.value.exit_code == ExitCode.MACHINE
    assert supervisor.close() == []


def test_a_bug_in_the_supervisor_is_told(scene):
    job = scene.job('sleep 99')
    scene.supervisor.submit(job)
    pid = scene.started()
    os.write(scene.supervisor._requests, b'\0\0\0\1?')
    outcome = scene.outcome()
    assert (outcome.attempt, outcome.ending) == (job.attempt, 'lost')
    assert 'Traceback' in outcome.message
    assert not cpu.read_row(pid)


def test_a_supervisor_started_by_a_thread_outlives_it():
    found: list[Supervisor] = []
    thread = threading.Thread(target=lambda: found.append(Supervisor.start()))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert found[0].events(0.2) == []
    assert found[0].close() == []
    with pytest.raises(ChildProcessError):
        os.waitpid(found[0].pid, 0)


def test_a_paused_supervisor_loses_nothing(scene):
    os.kill(scene.supervisor.pid, signal.SIGSTOP)
    jobs = [scene.job(f'exit {number}') for number in range(5)]
    for job in jobs:
        scene.supervisor.submit(job)
    time.sleep(0.1)
    os.kill(scene.supervisor.pid, signal.SIGCONT)
    found = {outcome.attempt: outcome.exit_code for outcome in scene.outcomes(5)}
    assert [found[job.attempt] for job in jobs] == [0, 1, 2, 3, 4]


def test_a_runner_that_does_not_read_does_not_stop_the_jobs(scene):
    jobs = [scene.job(f'echo {number} > out-{number}') for number in range(30)]
    scene.supervisor.submit(*jobs)
    until = time.monotonic() + 60
    while sum(1 for name in os.listdir(scene.folder) if name.startswith('out-')) < 30:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert all(isinstance(outcome, Outcome) and outcome.succeeded for outcome in scene.outcomes(30))


def test_processes_of_other_attempts_are_not_touched():
    mine, other = (begun('sleep', '99', env={'MLOPS_ATTEMPT': f'{os.urandom(8).hex()}-{name}'}) for name in ('mine', 'other'))
    try:
        name = cpu.variable_of(mine.pid, b'MLOPS_ATTEMPT')
        assert name is not None
        assert kill_marked([name.decode()]) == 1
        assert mine.wait() == -signal.SIGKILL
        assert other.poll() is None
        assert kill_marked([name.decode()]) == 0
    finally:
        other.kill()
        other.wait()
