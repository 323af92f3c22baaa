"""A secret does not reach the log, and everything else does."""
from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

from mlops_cli.core.job import Outcome
from mlops_cli.job.client import Supervisor

PYTHON = sys.executable
SECRET = 'correct-horse-battery-staple'
ENVIRONMENT = {'PATH': os.environ['PATH'], 'MY_SECRET': SECRET, 'OTHER': 'harmless-value-here'}


def run(scene, *commands, redact=('MY_SECRET',), **fields):
    return scene.run(*commands, environment=ENVIRONMENT, redact=redact, **fields)


def test_declared_variables(scene):
    outcome, log = run(scene, 'echo "a $MY_SECRET b $OTHER"; echo "$MY_SECRET" >&2', 'echo again $MY_SECRET')
    assert outcome.succeeded
    assert SECRET not in log
    assert log.splitlines()[0].startswith('a [')
    assert log.splitlines()[0].endswith('] b harmless-value-here')
    assert len(log.splitlines()) == 3


def test_cut_anywhere(scene):
    slow = f'for part in {" ".join(SECRET)}; do printf %s "$part"; sleep 0.01; done; echo .'
    _, log = run(scene, slow)
    assert SECRET not in log
    assert log.endswith('].\n')


def test_what_looks_like_one(scene):
    token = 'ghp_' + 'a1B2' * 9
    assert token not in run(scene, f'echo {token}', redact=())[1]
    assert token in run(scene, f'echo {token}', redact=None)[1]


def test_a_name_that_is_not_set(scene):
    assert run(scene, 'echo $OTHER', redact=('NOT_SET',))[1] == 'harmless-value-here\n'


def test_all_bytes_of_much_output_arrive_in_order(scene):
    code = 'import sys\nfor n in range(200_000): print(n)'
    outcome, log = run(scene, [PYTHON, '-c', code])
    assert outcome.succeeded
    assert log == ''.join(f'{number}\n' for number in range(200_000))
    assert stat.S_IMODE(os.stat(scene.folder / 'log-1').st_mode) == 0o600


def test_output_is_there_while_the_stage_runs(scene):
    job = scene.job('echo early; sleep 60', environment=ENVIRONMENT, redact=('MY_SECRET',))
    scene.supervisor.submit(job)
    until = time.monotonic() + 60
    while scene.log(job) != 'early\n':
        assert time.monotonic() < until
        time.sleep(0.01)
    scene.supervisor.cancel(job.attempt, force=True)
    assert scene.outcome().ending == 'cancelled'


def test_output_of_what_is_left_behind_is_kept_until_it_is_ended(scene):
    scene.supervisor.close()
    scene.supervisor = Supervisor.start(leftover_seconds=60)
    asked = '(trap "echo $MY_SECRET asked; exit" TERM; touch listens; while :; do sleep 0.01; done)'
    outcome, log = run(scene, f'{asked} & echo first; while ! test -e listens; do sleep 0.01; done')
    assert (outcome.exit_code, log.startswith('first\n')) == (0, True)
    assert 'asked' in log
    assert SECRET not in log


def test_a_command_that_is_not_there(scene):
    outcome, log = run(scene, [SECRET])
    assert outcome.exit_code == 127
    assert log.startswith('mlops: command not found: [')


def test_a_log_that_cannot_take_it_does_not_stop_the_stage(scene):
    command = f'{PYTHON} -c "print(123 * chr(97) * 1000)"; touch done'
    scene.supervisor.submit(scene.job(command, environment=ENVIRONMENT, redact=(), log='/dev/full'))
    outcome = scene.outcome()
    assert outcome.succeeded
    assert outcome.message == 'its log is not whole: No space left on device'
    assert (scene.folder / 'done').exists()


def test_many_at_once_and_no_descriptor_left(scene):
    run(scene, 'echo x')
    before = len(os.listdir(f'/proc/{scene.supervisor.pid}/fd'))
    jobs = [scene.job(f'echo {number} $MY_SECRET', environment=ENVIRONMENT, redact=('MY_SECRET',)) for number in range(50)]
    scene.supervisor.submit(*jobs)
    assert all(isinstance(outcome, Outcome) and outcome.succeeded for outcome in scene.outcomes(50))
    texts = [Path(job.log).read_text() for job in jobs]
    assert [text.split()[0] for text in texts] == [str(number) for number in range(50)]
    assert not any(SECRET in text for text in texts)
    assert len(os.listdir(f'/proc/{scene.supervisor.pid}/fd')) == before
