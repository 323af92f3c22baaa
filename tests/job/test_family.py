"""Whose a process is that is looked at in the very moment in which nothing can be read of it."""
from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from mlops_cli.job.attempt import LINGERING, Attempt
from mlops_cli.job.family import VARIABLE
from mlops_cli.job.family import Family as Real
from mlops_cli.job.supervisor import LINGER_SECONDS, Supervisor
from mlops_cli.usage import cpu
from tests.support.processes import begun

ONE, OTHER = 'one', 'other'


@dataclass
class Kernel:
    """What it tells of the children of this process: each in a session of its own."""

    children: dict[int, bytes | None]  # pid -> the attempt that it was started for, where that can be read
    ending: set[int]
    sent: list[int]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel({}, set(), [])
    monkeypatch.setattr(cpu, 'own_children', lambda: [*made.children])
    monkeypatch.setattr(cpu, 'session_of', lambda pid: pid)
    monkeypatch.setattr(cpu, 'variable_of', lambda pid, name: made.children.get(pid) if name == VARIABLE else None)
    monkeypatch.setattr(cpu, 'is_ending', lambda pid: pid in made.ending)
    row = cpu.Row(1, 0, 0, 0, 0)
    monkeypatch.setattr(cpu, 'processes', lambda: dict.fromkeys(made.children.keys() - made.ending, row))
    monkeypatch.setattr('mlops_cli.job.family._send', lambda _how, pid, _number: made.sent.append(pid))
    return made


@pytest.fixture
def supervisor() -> Supervisor:
    """Without its pipes; two attempts run, and the process of the first has just ended."""
    made = Supervisor.__new__(Supervisor)
    made.attempts, made.leftover_seconds, made.family = {}, 5.0, Real()
    made.tell = lambda message, **_: None  # type: ignore[method-assign]
    for pid, name in enumerate((ONE, OTHER), 100):
        request = {'attempt': name, 'argvs': [[b'x']], 'environment': {}, 'unset': [], 'directory': b'/', 'log': b'/dev/null',
                   'grace': 9.0, 'redact': None, 'timeout': None, 'release': None, 'held': []}
        made.attempts[name] = Attempt(request, {}, 0.0)
        made.attempts[name].index = 1
        made.family.lead(name, pid)
    assert made.family.gone(100) == {ONE}
    return made


def test_an_attempt_is_not_over_while_what_it_left_ends_and_leaves_something_itself(supervisor, kernel):
    """The first of the two forks of a daemon ends: its environment is gone already, and its child not yet ours."""
    one = supervisor.attempts[ONE]
    kernel.children, kernel.ending = {7: None}, {7}
    supervisor.process_ended(one, 0, 10.0)
    assert supervisor.attempts[ONE].phase == LINGERING
    supervisor.act(one, 10.0 + LINGER_SECONDS)  # it has much memory to give back
    assert ONE in supervisor.attempts
    assert supervisor.family.gone(7) == {ONE, OTHER}
    kernel.children, kernel.ending = {8: ONE.encode()}, set()
    supervisor.family.refresh()
    supervisor.settle(one, 11.0)
    supervisor.act(one, one.kill_at)
    assert (ONE in supervisor.attempts, one.killed, kernel.sent) == (True, {8}, [8])
    kernel.children = {}
    supervisor.family.gone(8)
    supervisor.act(one, one.due)
    assert [*supervisor.attempts] == [OTHER]


def test_an_attempt_is_not_over_before_what_it_left_has_become_another_program(supervisor, kernel):
    one = supervisor.attempts[ONE]
    kernel.children = {7: None}
    supervisor.process_ended(one, 0, 10.0)
    kernel.children = {7: ONE.encode()}
    supervisor.family.refresh()
    supervisor.act(one, 10.0 + LINGER_SECONDS)
    assert (ONE in supervisor.attempts, one.killed, kernel.sent) == (True, {7}, [7])


def test_what_hides_keeps_an_attempt_no_longer_than_what_ends_by_itself(supervisor, kernel):
    one = supervisor.attempts[ONE]
    kernel.children = {7: None}
    supervisor.process_ended(one, 0, 10.0)
    supervisor.act(one, 10.0 + LINGER_SECONDS)
    assert ([*supervisor.attempts], one.killed, kernel.sent) == ([OTHER], set(), [])
    assert supervisor.family.orphans(OTHER) == [7]


def test_what_never_gets_to_its_end_is_told_in_the_end(supervisor, kernel):
    one = supervisor.attempts[ONE]
    kernel.children, kernel.ending = {7: None}, {7}
    supervisor.process_ended(one, 0, 10.0)
    while ONE in supervisor.attempts:
        supervisor.act(one, one.due)
    assert one.message == 'could not be killed: 7'


def test_what_ends_is_told_from_what_lives() -> None:
    process = begun('sleep', '60')
    lives = cpu.is_ending(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    ended = cpu.is_ending(process.pid)
    process.wait()
    assert (lives, ended, cpu.is_ending(process.pid)) == (False, True, False)
