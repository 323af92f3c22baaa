"""What waits elsewhere is told when it changes, and once it runs."""

from __future__ import annotations

from mlops_cli.core.events import StageQueued
from mlops_cli.run.progress import Queue


def test_what_waits_is_told_when_that_changes() -> None:
    found: dict[str, tuple[str, float]] = {}
    queue = Queue(lambda: found)
    queue.begin('1', 'a')
    queue.begin('2', 'b')
    found['1'] = 'inputs', 0.4
    assert [*queue.look(0.0)] == [], 'what is over in a moment is worth no word'
    found['1'] = 'Slurm: others', 3.0
    assert [*queue.look(0.2)] == [], 'not more often than that'
    assert [*queue.look(1.0)] == [StageQueued('a', 'Slurm: others', 3.0)]
    found['1'] = 'Slurm: others', 4.0
    assert [*queue.look(2.0)] == []
    found['1'] = 'Slurm: nodes', 5.0
    assert [*queue.look(3.0)] == [StageQueued('a', 'Slurm: nodes', 5.0)]
    del found['1']
    assert [*queue.look(4.0)] == [StageQueued('a', '', 5.0)]
    assert [*queue.look(5.0)] == []
    found['2'] = 'x', 9.0
    queue.end('2')
    assert [*queue.look(6.0)] == []


def test_an_executor_that_cannot_tell_is_not_asked() -> None:
    queue = Queue(None)
    queue.begin('1', 'a')
    assert [*queue.look(0.0)] == []
