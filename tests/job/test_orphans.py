"""What a killed run leaves running is seen until it has ended, and ended where nobody sees to it."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mlops_cli.fsio import locks
from mlops_cli.job.attempt import KILLING, NEVER, RUNNING, Attempt
from mlops_cli.job.orphans import end_orphans, is_being_ended
from mlops_cli.job.signals import SIGKILL
from mlops_cli.job.supervisor import KILL_PATIENCE_SECONDS, Supervisor
from mlops_cli.usage import cpu
from tests.support.processes import begun

RUNNER = textwrap.dedent('''
    import os, sys
    from mlops_cli.core.job import Job, Process
    from mlops_cli.job.client import Supervisor
    folder, name, script = sys.argv[1:4]
    supervisor = Supervisor.start(folder + "/alive")
    supervisor.submit(Job(name, "s", folder, ".", (Process(("/bin/sh", "-c", script)),), dict(os.environ), folder + "/log",
                          grace_seconds=float(sys.argv[4])))
    while True: supervisor.events(10)
''')
GRACE = 0.5
DEAF = 'trap "" TERM; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.02; done'


def started(folder: Path, name: str, script: str = DEAF) -> tuple[subprocess.Popen[bytes], int]:
    """A run, and the process of its stage."""
    runner = subprocess.Popen([sys.executable, '-c', RUNNER, str(folder), name, script, str(GRACE)])
    until = time.monotonic() + 60
    while not (folder / 'pid').exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return runner, int((folder / 'pid').read_text())


def test_a_killed_runs_attempt_is_being_ended_until_its_last_process_is_gone(tmp_path: Path) -> None:
    name = f'{os.urandom(6).hex()}-s-1'
    runner, pid = started(tmp_path, name)
    alive = str(tmp_path / 'alive')
    assert is_being_ended(alive, [name])
    assert not is_being_ended(alive, ['another-s-1'])
    begin = time.monotonic()
    runner.kill()
    runner.wait()
    while is_being_ended(alive, [name]):
        assert time.monotonic() < begin + 60
        time.sleep(0.01)
    assert time.monotonic() >= begin + GRACE
    assert not cpu.read_row(pid)


def test_who_waits_is_told_and_goes_on_when_all_has_ended(tmp_path: Path) -> None:
    name = f'{os.urandom(6).hex()}-s-1'
    runner, pid = started(tmp_path, name)
    stage = cpu.read_row(pid)
    assert stage is not None
    os.kill(stage.parent, signal.SIGSTOP)  # the supervisor has not ended it before anybody waits
    runner.kill()
    runner.wait()
    waited: list[float] = []

    def tell(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:
            os.kill(stage.parent, signal.SIGCONT)

    assert end_orphans(str(tmp_path / 'alive'), [name], tell) == 0
    assert waited and waited == sorted(waited)
    assert not cpu.read_row(pid)


def test_what_lost_its_supervisor_too_is_killed(tmp_path: Path) -> None:
    name = f'{os.urandom(6).hex()}-s-1'
    orphan = begun('/bin/sh', '-c', 'trap "" TERM; while :; do sleep 0.02; done', env={'MLOPS_ATTEMPT': name})
    other = begun('sleep', '60', env={'MLOPS_ATTEMPT': f'{name}0'})
    try:
        assert end_orphans(str(tmp_path / 'alive'), [name], lambda _: None) == 0
        assert orphan.wait(60) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (orphan, other):
            process.kill()
            process.wait()


def test_an_attempt_counts_from_before_its_supervisor_hears_of_it(tmp_path: Path) -> None:
    """The run dies between: nobody may take its attempt for one that never began, until the supervisor has ended."""
    from mlops_cli.core.job import Job, Process
    from mlops_cli.job.client import Supervisor as Client

    alive, name = str(tmp_path / 'alive'), f'{os.urandom(6).hex()}-s-1'
    client = Client.start(alive)
    os.kill(client.pid, signal.SIGSTOP)
    try:
        client.submit(Job(name, 's', str(tmp_path), '.', (Process(('true',)),), {}, str(tmp_path / 'log')))
        assert is_being_ended(alive, [name])
    finally:
        os.kill(client.pid, signal.SIGCONT)
        client.close()
    assert not is_being_ended(alive, [name])


class Family:
    """Of an attempt with one process, which dies of the ``deadly``-th signal."""

    def __init__(self, deadly: int) -> None:
        self.deadly, self.sent = deadly, 0

    def refresh(self) -> None: ...
    def adopt(self) -> None: ...
    def close(self, _name: str) -> None: ...

    def orphans(self, _name: str) -> list[int]:
        return [4711] if self.sent < self.deadly else []

    def perhaps(self, _name: str) -> list[int]:
        return []

    def members(self, _name: str, *, everywhere: bool) -> set[int]:
        return set(self.orphans(_name))

    def signal(self, _name: str, number: int, _pids: object) -> None:
        self.sent += number == SIGKILL


@pytest.fixture
def supervisor() -> Supervisor:
    """Without its pipes."""
    made = Supervisor.__new__(Supervisor)
    made.attempts = {}
    made.told = []  # type: ignore[attr-defined]
    made.tell = lambda message, **_: made.told.append(message)  # type: ignore[method-assign, attr-defined]
    return made


def attempt(supervisor: Supervisor, family: Family) -> Attempt:
    supervisor.family = family  # type: ignore[assignment]
    request = {'attempt': 'a', 'argvs': [[b'x']], 'environment': {}, 'unset': [], 'directory': b'/', 'log': b'/dev/null',
               'grace': 9.0, 'redact': None, 'timeout': None, 'release': None, 'held': []}
    found = Attempt(request, {}, 100.0)
    supervisor.attempts['a'] = found
    assert (found.phase, found.kill_at) == (RUNNING, NEVER)
    return found


def test_what_slipped_away_from_the_first_kill_gets_another(supervisor: Supervisor) -> None:
    family = Family(deadly=3)
    one = attempt(supervisor, family)
    supervisor.request(('cancel', 'a', True))
    now = one.due
    for _ in range(5):
        if supervisor.attempts:
            assert one.phase == KILLING
            assert one.due > now - 1  # it does not ask without a pause either
            now = one.due
            supervisor.act(one, now)
    assert family.sent == 3
    assert not supervisor.attempts


def test_a_machine_that_stood_still_is_no_process_that_cannot_be_killed(supervisor: Supervisor) -> None:
    one = attempt(supervisor, Family(deadly=4))
    supervisor.kill(one, 100.0)
    for now in (100.1, 100.1 + 2 * KILL_PATIENCE_SECONDS, 100.2 + 4 * KILL_PATIENCE_SECONDS):
        supervisor.kill(one, now)
        assert one.message == ''
    supervisor.kill(one, 101 + 4 * KILL_PATIENCE_SECONDS)
    assert not supervisor.attempts


def test_what_cannot_be_killed_is_told_in_the_end(supervisor: Supervisor) -> None:
    one = attempt(supervisor, Family(deadly=10**6))
    one.release = (0, b'')
    now = 100.0
    supervisor.kill(one, now)
    while supervisor.attempts:
        now = one.due
        supervisor.kill(one, now)
    assert now == pytest.approx(100 + KILL_PATIENCE_SECONDS, rel=0.1)
    assert 'could not be killed: 4711' in one.message
    assert one.release is None  # whoever asks still learns that something lives


def test_the_byte_of_an_attempt_is_freed_by_what_the_request_says(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / 'alive').touch()
    fd = os.open(tmp_path / 'alive', os.O_RDWR)
    try:
        locks.try_lock(fd, exclusive=False, start=locks.byte_of('a'), length=1)
        assert is_being_ended(str(tmp_path / 'alive'), ['a'])
        fcntl.fcntl(fd, *locks.unlocking(locks.byte_of('a')))
        assert not is_being_ended(str(tmp_path / 'alive'), ['a'])
    finally:
        os.close(fd)
