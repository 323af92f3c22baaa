"""Hostile documents: some of S2 at every change, and that its judge sees a crash, a hang, waste, and silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import fuzzing, readers
from tests.faults.base import Setting, Trial
from tests.faults.documents import encoded, mutations
from tests.faults.hostile import Ended, command, judge, judge_cost
from tests.faults.rows import s02_documents as s2
from tests.faults.tools import mlops


def test_no_document_brings_a_command_down(tmp_path: Path) -> None:
    shared, own = tmp_path / 'shared', tmp_path / 'own'
    shared.mkdir()
    own.mkdir()
    verdict = s2.attempt(Setting(mlops(), own, shared, False), 'fast')
    assert not verdict.bad, '\n'.join(verdict.notes)


@pytest.mark.parametrize('target', fuzzing.TARGETS)
def test_no_reader_raises_what_it_does_not_declare(target: str) -> None:
    number = 5 if target in readers.TARGETS else 15  # these are many
    assert fuzzing.fuzz(target, 1, 0, number) >= number * 5 // 3


@pytest.mark.parametrize(
    ('program', 'kind'),
    [
        ('raise KeyError(1)', 'wrong'),
        ('import faulthandler, os; faulthandler.disable(); os.abort()', 'wrong'),
        ('import sys; sys.exit(70)', 'wrong'),
        ('import sys; sys.exit(2)', 'wrong'),
        ('import time; time.sleep(60)', 'stuck'),
        ('import time\nwhile time.process_time() < 1.5: pass', 'stuck'),
        ('x = b"x" * (1 << 28)', 'stuck'),
    ],
)
def test_the_judge_can_see(tmp_path: Path, program: str, kind: str) -> None:
    trial = Trial()
    seconds = 4 if 'sleep' in program else 60
    ended = command(tmp_path, dict(os.environ), program, timeout=seconds, begin=lambda: exec(program, {}))
    judge(trial, ended, 'judged')
    judge_cost(trial, ended, 'judged', 0.0)
    assert kind in trial.verdict().bad


@pytest.mark.parametrize(
    ('said', 'person', 'bad'),
    [
        ('error: pipeline.yaml:3:1: no', True, False),
        ('error: pipeline.yaml: no', True, True),
        ('error: no', True, True),
        ('error: pipeline.yaml: larger than 1 MiB', True, False),
        ('error: damaged pin', False, True),
        ('error: damaged pin\n  hint: git checkout', False, False),
    ],
)
def test_the_judge_reads_what_is_said(said: str, person: bool, bad: bool) -> None:
    trial = Trial()
    loader = s2.Loader(lambda _: 'pipeline.yaml', 'yaml', (), person)
    s2._judge_words(trial, Ended(('status',), 2, '', said, 0, 0, 0), loader, 'pipeline.yaml', 'judged')
    assert bool(trial.verdict().bad) == bad


def test_a_target_that_raises_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzzing.TARGETS, 'json', lambda value: {}[value])  # type: ignore[arg-type,return-value]
    with pytest.raises((KeyError, BaseExceptionGroup)):
        fuzzing.fuzz('json', 1, 0, 5)


def test_every_entry_is_changed_in_every_way() -> None:
    made = dict(mutations({'a': [1], 'b': {'c': 'x'}}))
    assert made['a.0 left out'] == encoded({'a': [], 'b': {'c': 'x'}})
    assert made['b.c twice'].count(b'"c"') == 2
    assert made['a is WRONG[0]'] == encoded({'a': None, 'b': {'c': 'x'}})
    assert len(made) > 100
