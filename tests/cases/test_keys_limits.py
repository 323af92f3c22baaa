"""``resources``, ``mutex``, ``timeout``, ``grace`` and ``retry``: what runs beside what, for how long, and how often."""

from __future__ import annotations

import subprocess
import sys
import time
from textwrap import dedent
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.core.events import Event, StageRetried, StageStarted
from tests.support.project import Project
from tests.support.stages import ended, failure, lay, printed, run, states

# Says how many of its kind run at the moment, for long enough that others would be seen.
COUNT = (
    'mkdir -p ../now; touch ../now/$MLOPS_STAGE; sleep 0.15; ls ../now | wc -l >> ../counts; sleep 0.05; rm ../now/$MLOPS_STAGE'
)


# The first of all waits here until there is a second one.
MEET = 'mkdir -p ../ever; touch ../ever/$MLOPS_STAGE; until [ $(ls ../ever | wc -l) -gt 1 ]; do sleep 0.02; done; '


def most_at_once(project: Project, count: int, jobs: int, meet: str = '', **keys: Any) -> int:
    """``meet``: MEET, where two must run at once, however slow this machine is."""
    more = {'timeout': 100, **keys} if meet else keys
    cmd = COUNT.replace('sleep', f'{meet}sleep', 1)
    lay(project, {f's{number}': {'cmd': f'{cmd} # {number}', **more} for number in range(count)})
    assert set(run(project, jobs=jobs).values()) == {'done'}
    return max(int(line) for line in project.read('../counts').split())


def test_as_many_stages_at_once_as_jobs(project: Project) -> None:
    assert 1 < most_at_once(project, 6, 3, MEET) <= 3


def test_stages_that_need_all_processors_run_alone(project: Project) -> None:
    assert most_at_once(project, 3, 3, resources={'cpus': 10000}) == 1


def test_tokens_of_the_config_limit_how_many_run(project: Project) -> None:
    project.write('.mlops/config.yaml', 'tokens: {licence: 2}\n')
    assert 1 < most_at_once(project, 5, 5, MEET, resources={'licence': 1}) <= 2


def test_tokens_that_nobody_gave_or_too_many_of_them_are_refused(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'resources': {'licence': 1}}})
    with pytest.raises(UserError, match='licence') as refused:
        project.run()
    assert 'tokens: {licence: 1}' in refused.value.hint
    project.write('.mlops/config.yaml', 'tokens: {licence: 2}\n')
    assert run(project) == {'a': 'done'}
    lay(project, {'a': {'cmd': 'true # again', 'resources': {'licence': 3}}})
    with pytest.raises(UserError, match='there are 2'):
        project.run()


def test_more_memory_than_there_is_is_refused_and_what_fits_is_shared(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'resources': {'memory': '4096TiB'}}})
    with pytest.raises(UserError, match='memory'):
        project.run()
    lay(project, {'a': {'cmd': 'true', 'resources': {'memory': '1MiB'}}})
    assert run(project) == {'a': 'done'}


def test_gpus_are_refused_where_there_are_none(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'resources': {'gpus': 64}}})
    with pytest.raises(UserError, match='64 GPUs'):
        project.run()


def test_with_keep_going_only_what_needs_the_gpu_is_left_out(project: Project) -> None:
    """It ends with 2 if nothing that ran failed, with 1 if something did."""
    lay(
        project,
        {
            'a': {'cmd': 'echo a > a', 'outs': ['a']},
            'gpu': {'cmd': 'cp a g', 'deps': ['a'], 'outs': ['g'], 'resources': {'gpus': 64}},
            'after': {'cmd': 'cp g h', 'deps': ['g'], 'outs': ['h']},
            'beside': {'cmd': 'cp a b', 'deps': ['a'], 'outs': ['b']},
        },
    )
    with pytest.raises(UserError, match='64 GPUs'):
        project.run()
    assert not project.exists('a')
    report = project.run(keep_going=True)
    assert states(report) == {'a': 'done', 'gpu': 'failed', 'after': 'skipped', 'beside': 'done'}
    assert 'needs 64 GPUs, this machine has' in failure(report, 'gpu') and 'lower resources.gpus' in failure(report, 'gpu')
    assert ended(report, 'gpu').blocked and report.exit_code == 2
    assert project.mlops('run', '-k', code=2).out.count('FAILED') == 1
    lay(project, {'gpu': {'cmd': 'true', 'resources': {'gpus': 64}}, 'bad': {'cmd': 'exit 3'}})
    assert project.run(keep_going=True).exit_code == 1


def test_what_may_turn_out_fresh_or_stored_is_not_refused_beforehand(project: Project) -> None:
    """Only when it is certain that it would have to run there."""
    stages = {
        'a': {'cmd': 'cut -c1 in > a', 'deps': ['in'], 'outs': ['a']},
        'gpu': {'cmd': 'cp a g', 'deps': ['a'], 'outs': ['g']},
    }
    project.write('in', 'x1')
    lay(project, stages)
    run(project)
    lay(project, {**stages, 'gpu': {**stages['gpu'], 'resources': {'gpus': 64}}})
    project.write('in', 'x2')
    assert run(project) == {'a': 'done', 'gpu': 'fresh'}
    project.write('in', 'y2')
    assert run(project) == {'a': 'done', 'gpu': 'failed'}


def test_what_is_fresh_needs_nothing(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    run(project)
    lay(project, {'a': {'cmd': 'true', 'resources': {'gpus': 64}}})
    assert run(project) == {'a': 'fresh'}


def test_stages_that_share_a_mutex_never_run_at_once(project: Project) -> None:
    assert most_at_once(project, 4, 4, mutex=['db', 'other']) == 1


def test_a_mutex_holds_between_two_commands_too(project: Project) -> None:
    lay(project, {f's{number}': {'cmd': f'{COUNT} # {number}', 'mutex': ['db']} for number in range(4)})
    both = [
        subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', 'run', '-j', '4', *names],
            cwd=project.path,
            env=project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for names in (['s0', 's1'], ['s2', 's3'])
    ]
    outputs = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert project.read('../counts').split() == ['1'] * 4


def test_a_stage_that_takes_too_long_is_ended(project: Project) -> None:
    project.write('o', 'before')
    lay(project, {'a': {'cmd': 'echo half > o; sleep 60', 'timeout': 0.3, 'outs': ['o']}})
    began = time.monotonic()
    report = project.run()
    assert 'took longer than its timeout' in failure(report, 'a') and time.monotonic() - began < 40
    assert project.read('o') == 'before'


def test_a_stage_that_ignores_the_request_to_end_is_killed_with_its_children_after_grace(project: Project) -> None:
    deaf = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        print(os.getpid(), flush=True)
        time.sleep(60)
    """
    project.write('deaf.py', dedent(deaf))
    lay(project, {'a': {'cmd': 'trap "" TERM; python deaf.py', 'timeout': 0.5, 'grace': 0.3}})
    began = time.monotonic()
    report = project.run()
    assert 'timeout' in failure(report, 'a') and 0.7 < time.monotonic() - began < 40
    for pid in printed(project, report, 'a').split():
        assert subprocess.run(['kill', '-0', pid], check=False, capture_output=True).returncode != 0, 'still there'


def test_a_stage_that_ends_in_time_when_asked_may_tidy_up(project: Project) -> None:
    lay(project, {'a': {'cmd': 'trap "echo tidied; exit 7" TERM; sleep 60 & wait', 'timeout': 2, 'grace': 50}})
    began = time.monotonic()
    report = project.run()
    assert 'timeout' in failure(report, 'a') and time.monotonic() - began < 40
    assert 'tidied' in printed(project, report, 'a')


def test_a_failed_stage_is_tried_again_with_a_log_of_each_attempt(project: Project) -> None:
    lay(
        project,
        {'a': {'cmd': 'echo try $MLOPS_ATTEMPT_NUMBER | tee o; test $MLOPS_ATTEMPT_NUMBER = 3', 'retry': 3, 'outs': ['o']}},
    )
    events: list[Event] = []
    report = project.run(events=events)
    assert ended(report, 'a').state == 'done' and project.read('o') == 'try 3\n'
    assert [event.attempt for event in events if isinstance(event, StageStarted)] == [1, 2, 3]
    logs = {path.name: path.read_text() for path in (project.path / '.mlops/local/logs').rglob('*.log')}
    assert logs == {'a.log': 'try 1\n', 'a.2.log': 'try 2\n', 'a.3.log': 'try 3\n'}
    again = [(event.message, event.exit_code, event.attempt, event.most) for event in events if isinstance(event, StageRetried)]
    assert again == [('exit 1', 1, 1, 4), ('exit 1', 1, 2, 4)]
    assert run(project) == {'a': 'fresh'}


def test_after_the_last_attempt_the_stage_has_failed(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo x >> ../tries; false', 'retry': 2}})
    assert run(project) == {'a': 'failed'} and project.read('../tries') == 'x\n' * 3


@pytest.mark.parametrize(
    ('causes', 'command', 'tries'),
    [
        (['oom'], 'echo torch.OutOfMemoryError: CUDA out of memory; exit 1', 2),
        (['oom'], 'echo something else; exit 1', 1),
        (['network'], 'echo "requests: Connection refused"; exit 1', 2),
        (['network', 'disk'], 'echo "write: No space left on device"; exit 1', 2),
        (['killed'], 'kill -9 $$', 2),
        (['killed'], 'exit 1', 1),
        (['timeout'], 'sleep 60', 2),
        (['error'], 'exit 1', 2),
        (['error'], 'sleep 60', 1),
        (['nan'], 'echo "loss is nan"; exit 1', 2),
    ],
)
def test_only_listed_causes_are_worth_another_attempt(project: Project, causes: list[str], command: str, tries: int) -> None:
    limit = 1.5 if command.startswith('sleep') else 100
    lay(project, {'a': {'cmd': f'echo x >> ../tries; {command}', 'retry': {'max': 1, 'causes': causes}, 'timeout': limit}})
    assert run(project) == {'a': 'failed'} and project.read('../tries') == 'x\n' * tries


def test_a_retry_starts_from_what_was_there_before_the_first_attempt(project: Project) -> None:
    project.write('o', 'mine')
    lay(
        project,
        {
            'a': {
                'cmd': 'test ! -e o; echo $MLOPS_ATTEMPT_NUMBER > o; test $MLOPS_ATTEMPT_NUMBER = 3',
                'retry': 2,
                'outs': ['o'],
            }
        },
    )
    assert run(project) == {'a': 'done'} and project.read('o') == '3\n'
    kept = [path.read_text() for path in (project.path / '.mlops/local/failed').rglob('o*') if path.is_file()]
    assert sorted(kept) == ['1\n', '2\n']
    assert [p.read_text() for p in (project.path / '.mlops/local/rescue').rglob('o')] == ['mine']


@pytest.mark.parametrize('jobs', [1, 8])
def test_a_stage_that_fills_its_log(project: Project, jobs: int) -> None:
    """50 MB; another stage goes on meanwhile, and the end of the log is what is shown."""
    lay(
        project,
        {
            'loud': {'cmd': 'head -c 50000000 /dev/zero | tr "\\0" "x"; echo; echo last words; exit 1'},
            'other': {'cmd': 'echo hi'},
        },
    )
    report = project.run(jobs=jobs, keep_going=True)
    assert ended(report, 'loud').tail[-1] == 'last words' and str(report.settled['other'].state) == 'done'
    assert (project.path / ended(report, 'loud').log).stat().st_size > 50_000_000


def test_two_hundred_stages_eight_at_once(project: Project) -> None:
    stages = {f's{n}': {'cmd': f'echo {n} > out/{n}', 'outs': [f'out/{n}']} for n in range(199)}
    lay(project, {**stages, 'all': {'cmd': 'cat out/* | sort -n | tail -1 > all', 'deps': ['out'], 'outs': ['all']}})
    assert set(run(project, jobs=8).values()) == {'done'} and project.read('all') == '198\n'
    assert set(project.verdicts().values()) == {'fresh'}
