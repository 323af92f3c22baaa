"""A case of row S6, and that its judge sees what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import s06_terminal
from tests.faults.tools import Done, mlops


@pytest.mark.parametrize('case', s06_terminal.cases(Setting(mlops(), Path(), Path(), False)))
def test_nothing_printed_acts(tmp_path: Path, case: str) -> None:
    verdict = s06_terminal.run(Setting(mlops(), tmp_path, tmp_path, False), case)
    assert verdict.tried >= 16 and verdict.bad == {}, verdict.notes


def test_the_strings_are_two_hundred() -> None:
    assert len(set(s06_terminal.strings())) == 200


@pytest.mark.parametrize(
    ('out', 'in_ci', 'bad'),
    [
        ('\x1b[2J', False, {'escaped': 1}),
        ('a\u202eb', False, {'escaped': 1}),
        ('a\rb', False, {'escaped': 1}),
        ('a\x9bb', False, {'escaped': 1}),
        ('one\n  ::error::x', True, {'escaped': 1}),
        ('one ##[error]x', True, {'escaped': 1}),
        ('one\n  ::error::x', False, {}),
        ('one: :error::x\ttwo\n', True, {}),
        ('Traceback (most recent call last)', False, {'wrong': 1}),
    ],
)
def test_the_judge_sees(out: str, in_ci: bool, bad: dict[str, int]) -> None:
    for done in (Done((), 0, out, '', 0.0), Done((), 0, '', out, 0.0)):
        trial = Trial()
        s06_terminal.judge(trial, done, 'text', in_ci)
        assert trial.verdict().bad in (bad, {} if 'Traceback' in out else bad)
