"""What a run has to say so that it can be told what it cost, by running it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.records.costs import works
from mlops_cli.run import machine
from mlops_cli.usage.spending import Spent
from tests.support.project import Project

SAY = 'printf \'{"item": "tokens", "quantity": 2, "amount": 0.5, "currency": "USD"}\\n\' >> "$MLOPS_COST"'


def record(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sorted((project.path / '.mlops/runs').rglob('*.json'))[-1].read_text())
    return found


def entry(project: Project) -> dict[str, Any]:
    (file,) = (project.path / '.mlops/cache/results-v1').rglob('*.json')
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def of(project: Project, command: str, more: str = '') -> None:
    project.write('pipeline.yaml', f'stages:\n  a:\n    cmd: {json.dumps(command)}\n    outs: [out]\n{more}')


def test_what_a_stage_says_that_it_spent_is_in_record_and_result(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    of(project, f'{SAY}; {SAY}; echo > out')
    said = project.mlops('run')
    assert 'MLOPS_COST' not in said.err
    assert record(project)['spent'] == [[0, 'tokens', '', 4, 1.0, 'USD']]
    assert entry(project)['usage']['spent'] == [['tokens', '', 4, 1.0, 'USD']]
    project.mlops('run')
    assert len([*(project.path / '.mlops/runs').rglob('*.json')]) == 1


def test_a_stage_that_says_nothing_leaves_no_trace_of_it(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    of(project, 'test ! -e "$MLOPS_COST"; echo > out')
    project.mlops('run')
    assert not record(project).keys() & {'places', 'earlier', 'spent'} and 'spent' not in entry(project)['usage']


def test_attempts_that_failed_were_paid_for(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    of(project, f'{SAY}; sleep 0.2; test "$MLOPS_ATTEMPT_NUMBER" = 3; echo > out', '    retry: 2\n')
    project.mlops('run')
    found = record(project)
    assert found['spent'] == [[0, 'tokens', '', 6, 1.5, 'USD']]
    ((position, tries, seconds, _),) = found['earlier']
    assert (position, tries) == (0, 2) and 0.4 <= seconds < 60
    assert entry(project)['usage']['spent'] == [['tokens', '', 2, 0.5, 'USD']]  # of the attempt that made it


def test_a_stage_that_failed_was_paid_for(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    of(project, f'{SAY}; false')
    project.mlops('run', code=1)
    assert record(project)['spent'] == [[0, 'tokens', '', 2, 0.5, 'USD']]


@pytest.mark.parametrize(
    'how',
    ['echo nonsense > "$MLOPS_COST"', 'mkdir "$MLOPS_COST"', 'ln -s /etc/passwd "$MLOPS_COST"', 'mkfifo "$MLOPS_COST"',
     'printf "\\0\\377" > "$MLOPS_COST"', 'head -c 3000000 /dev/zero > "$MLOPS_COST"'],
)  # fmt: skip
def test_what_is_no_account_harms_nothing(tmp_path: Path, how: str) -> None:
    project = Project(tmp_path / 'p')
    of(project, f'{how}; echo > out')
    project.mlops('run')
    assert 'spent' not in record(project) and project.mlops('status', '--exit-code').code == 0


def test_a_declared_secret_is_not_written_down(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p', {'API_TOKEN': 'correct-horse-battery'})
    say = 'printf \'{"item": "of %s", "quantity": 2}\\n\' "$API_TOKEN" >> "$MLOPS_COST"'
    of(project, f'{say}; echo > out', '    secrets: [API_TOKEN]\n')
    project.mlops('run')
    (row,) = record(project)['spent']
    assert 'correct-horse' not in row[1] and row[1].startswith('of ')


def test_a_stage_of_a_run_that_was_killed(tmp_path: Path) -> None:
    """Its second attempt was under way: the record names the stage once, and tells what the first stage spent, whose result was
    durable by then, as it took a while."""
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', f"""\
stages:
  a: {{cmd: {json.dumps(f'{SAY}; sleep 2.1; echo > out')}, outs: [out]}}
  b: {{cmd: 'test "$MLOPS_ATTEMPT_NUMBER" = 2; touch begun; sleep 60', deps: [out], retry: 1}}
""")
    process = subprocess.Popen([sys.executable, '-m', 'mlops_cli', 'run', '-q'], cwd=project.path, env=project.environ,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    end = time.monotonic() + 120
    while not project.exists('begun'):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    project.mlops('checkout', code=1)  # b has no result
    (run,) = project.open().runs.newest()
    assert [(one.name, one.state) for one in run.stages] == [('a', 'done'), ('b', 'interrupted')]
    first, second = works(run)
    assert first is not None and first.spent == (Spent('tokens', '', 2, 0.5, 'USD'),)
    assert second is not None and second.seconds is None


def test_what_cards_call_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        (tmp_path / f'0000:0{number}:00.0').mkdir()
        (tmp_path / f'0000:0{number}:00.0/information').write_text('Model: \t\t NVIDIA L4\nIRQ:   \t\t 24\n')
    monkeypatch.setattr(machine, 'NVIDIA', str(tmp_path))
    assert machine.card_models() == ['NVIDIA L4', 'NVIDIA L4']
    monkeypatch.setattr(machine, 'NVIDIA', str(tmp_path / 'none'))
    assert machine.card_models() == []
