"""A few cases of row S11, and that its judge sees what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import s11_modes
from tests.faults.tools import mlops


@pytest.mark.parametrize('umask', ['000'])
def test_nobody_else_may_change_or_read_what_is_ours(tmp_path: Path, umask: str) -> None:
    verdict = s11_modes.run(Setting(mlops(), tmp_path, tmp_path, False), umask)
    assert (verdict.tried, verdict.bad) == (s11_modes.STEPS, {}), verdict.notes


@pytest.mark.parametrize(
    ('path', 'mode', 'bad'),
    [
        ('.mlops/stages/a.json', 0o664, {'escaped': 1}),
        ('.mlops/cache/objects-v1/a', 0o446, {'escaped': 1}),
        ('.mlops/local/logs/a.log', 0o644, {'leaked': 2}),  # the folder counts too
        ('.mlops/local/logs/a.log', 0o622, {'leaked': 2, 'escaped': 1}),
        ('data/a', 0o666, {'escaped': 1}),
        ('out.txt', 0o666, {}),
        ('.mlops/local/failed/a', 0o666, {}),
        ('.mlops/stages/a.json', 0o644, {}),
    ],
)
def test_the_judge_sees_modes(tmp_path: Path, path: str, mode: int, bad: dict[str, int]) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if 'failed' in path:
        file.parent.chmod(0o700)
    file.touch()
    file.chmod(mode)
    trial = Trial()
    s11_modes.judge(tmp_path, trial, '', set())
    assert trial.verdict().bad == bad


def test_a_folder_that_is_closed_hides_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / '.mlops/local/logs/a.log'
    file.parent.mkdir(parents=True)
    file.touch(0o644)
    (tmp_path / '.mlops/local').chmod(0o700)  # what is in it may have any mode
    trial = Trial()
    s11_modes.judge(tmp_path, trial, '', set())
    assert trial.verdict().bad == {}
