"""A trap of row S4, and that the traps do catch: git itself steps into them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import s04_repositories
from tests.faults.tools import GIT, Done, git, mlops


@pytest.mark.parametrize('case', ['fsmonitor'])
def test_looking_runs_nothing(tmp_path: Path, case: str) -> None:
    verdict = s04_repositories.run(Setting(mlops(), tmp_path, tmp_path, False), case)
    assert verdict.tried > 5 and verdict.bad == {}, verdict.notes


@pytest.mark.parametrize(
    ('case', 'command'),
    [
        ('fsmonitor', ['git', 'status']),
        ('hooks', ['git', 'checkout', '-q', '-b', 'other']),
        ('hooksPath', ['git', 'checkout', '-q', '-b', 'other']),
        ('filter', ['git', 'add', 'new']),
        ('diff', ['git', 'diff']),
        ('external diff', ['git', 'diff']),
        ('aliases', ['git', 'st']),
        ('include', ['git', 'status']),
        ('gitfile', ['git', 'status']),
        ('programs', ['dot', '-V']),
        ('modules', ['python3', '-c', 'import networkx']),
    ],
)
def test_the_traps_catch(tmp_path: Path, case: str, command: list[str]) -> None:
    folder, canary = tmp_path / 'project', tmp_path / 'canary'
    folder.mkdir()
    git(folder, 'init', '-q')
    (folder / 'file').write_text('one\n')
    git(folder, 'add', 'file')
    git(folder, 'commit', '-q', '-m', 'one')
    s04_repositories.TRAPS[case](folder, f'touch {canary}')
    if case == 'aliases':
        git(folder, 'config', 'alias.st', f'!touch {canary}')
    (folder / 'file').write_text('two\n')
    (folder / 'new').write_text('new\n')
    path = f'{"bin:" if case == "programs" else ""}{os.environ["PATH"]}'
    subprocess.run(command, cwd=folder, env={**GIT, 'PATH': path, 'HOME': str(tmp_path)}, capture_output=True, check=False)
    trial = Trial()
    s04_repositories.judge(trial, Done((), 0, '', '', 0.0), canary, case)
    assert trial.verdict().bad == {'escaped': 1}
