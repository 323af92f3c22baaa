"""``frozen``, ``always_changed``, ``needs``, ``checkpoint``, ``caches``, ``environment``: what a stage keeps and waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint.environment import environment_of
from tests.support.layout import pretended_python
from tests.support.project import Project
from tests.support.stages import everything, lay, printed, reasons, run, verdict

# frozen, always_changed, needs


def test_a_frozen_stage_is_what_the_workspace_holds(project: Project) -> None:
    project.write('in', '1')
    stage = {'cmd': 'cp in o', 'deps': ['in'], 'outs': ['o']}
    after = {'cmd': 'cat o o > p', 'deps': ['o'], 'outs': ['p']}
    lay(project, {'a': stage, 'b': after})
    run(project)
    project.write('in', '2')
    lay(project, {'a': {**stage, 'frozen': True}, 'b': after})
    assert project.verdicts() == {'a': 'fresh', 'b': 'fresh'}
    project.write('o', 'mine')
    assert project.verdicts() == {'a': 'fresh', 'b': 'run'}
    assert run(project) == {'a': 'fresh', 'b': 'done'} and project.read('p') == 'minemine'
    assert run(project, force=True) == {'a': 'fresh', 'b': 'done'}, 'not even with --force'


def test_a_frozen_stage_whose_outputs_are_gone_is_restored_if_they_are_known(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo 1 > o', 'outs': ['o'], 'frozen': False}})
    run(project)
    (project.path / 'o').unlink()
    lay(project, {'a': {'cmd': 'echo 1 > o', 'outs': ['o'], 'frozen': True}})
    assert run(project) == {'a': 'restored'} and project.read('o') == '1\n'


def test_a_frozen_stage_without_outputs_to_be_had_is_told(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo 1 > o', 'outs': ['o'], 'frozen': True}})
    with pytest.raises(UserError, match='frozen'):
        project.run()


def test_always_changed_runs_every_time_and_what_comes_after_only_if_it_made_something_else(project: Project) -> None:
    project.write('in', '1')
    lay(
        project,
        {
            'look': {'cmd': 'cp in o; echo x >> ../looked', 'outs': ['o'], 'always_changed': True},
            'use': {'cmd': 'cp o p', 'deps': ['o'], 'outs': ['p']},
        },
    )
    assert run(project) == {'look': 'done', 'use': 'done'}
    assert project.verdicts() == {'look': 'run', 'use': 'maybe'}
    assert run(project) == {'look': 'done', 'use': 'fresh'}
    project.write('in', '2')
    assert run(project) == {'look': 'done', 'use': 'done'} and project.read('p') == '2'
    project.write('in', '1')
    assert run(project) == {'look': 'done', 'use': 'restored'} and project.read('p') == '1'
    assert project.read('../looked') == 'x\n' * 4


def test_needs_is_order_only(project: Project) -> None:
    first = {'cmd': 'sleep 0.2; echo 1 >> ../order', 'outs': []}
    lay(project, {'second': {'cmd': 'echo 2 >> ../order', 'needs': ['first']}, 'first': first})
    assert run(project, jobs=4) == {'first': 'done', 'second': 'done'} and project.read('../order') == '1\n2\n'
    lay(project, {'second': {'cmd': 'echo 2 >> ../order', 'needs': ['first']}, 'first': {**first, 'cmd': 'echo 3 >> ../order'}})
    assert run(project) == {'first': 'done', 'second': 'fresh'}, 'what it made does not count'
    assert list(run(project, 'second')) == ['first', 'second'], 'it belongs to what is asked for'


def test_a_stage_whose_need_fails_is_skipped(project: Project) -> None:
    lay(project, {'first': {'cmd': 'false'}, 'second': {'cmd': 'true', 'needs': ['first']}, 'third': {'cmd': 'echo'}})
    assert run(project, keep_going=True) == {'first': 'failed', 'second': 'skipped', 'third': 'done'}


# checkpoint

LEARN = """\
import os, sys
folder, target, control = os.environ['MLOPS_CHECKPOINT_DIR'], int(open('target').read()), os.environ['CONTROL']
assert os.path.samefile(folder, 'ckpt'), folder
state = os.path.join(folder, 'step')
step = int(open(state).read()) if os.path.exists(state) else 0
print('from', step)
while step < target:
    step += 1
    open(state, 'w').write(str(step))
    if os.path.exists(control + '/stop') and step == 3: sys.exit(1)
    if os.path.exists(control + '/hang') and step == 3: open(control + '/hanging', 'w'); import time; time.sleep(60)
open('model', 'w').write(str(step))
"""
CHECKPOINTED = {'cmd': 'python learn.py', 'deps': ['target'], 'outs': ['model'], 'checkpoint': 'ckpt'}


@pytest.fixture(params=['none', 'folder'])
def learner(project: Project, request: pytest.FixtureRequest) -> Project:
    project.environ['CONTROL'] = str(project.path.parent)
    project.write('learn.py', LEARN)
    project.write('target', '5')
    lay(project, {'a': {**CHECKPOINTED, 'isolate': request.param}})
    return project


def start_of(project: Project) -> str:
    """Where the next run starts from."""
    report = project.run()
    return printed(project, report, 'a').split()[1]


def test_a_checkpoint_is_kept_after_a_failure_and_gone_after_success(learner: Project) -> None:
    learner.write('../stop', '')
    assert start_of(learner) == '0'
    assert not learner.exists('ckpt'), 'the workspace is left clean'
    (learner.path.parent / 'stop').unlink()
    assert start_of(learner) == '3' and learner.read('model') == '5'
    assert run(learner, force=True) == {'a': 'done'}
    assert list((learner.path / '.mlops/local/checkpoints').iterdir()) == []


def test_a_checkpoint_belongs_to_one_state_of_the_inputs(learner: Project) -> None:
    learner.write('../stop', '')
    assert start_of(learner) == '0'
    learner.write('target', '4')
    assert start_of(learner) == '0', 'another key'
    learner.write('target', '5')
    (learner.path.parent / 'stop').unlink()
    assert start_of(learner) == '3', 'back to the first'


def test_a_retry_goes_on_from_the_checkpoint(project: Project) -> None:
    project.environ['CONTROL'] = str(project.path.parent)
    project.write('learn.py', LEARN.replace("os.path.exists(control + '/stop')", "os.environ['MLOPS_ATTEMPT_NUMBER'] == '1'"))
    project.write('target', '5')
    lay(project, {'a': {**CHECKPOINTED, 'retry': 1}})
    assert start_of(project) == '3'


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
def test_a_checkpoint_survives_a_kill(learner: Project, how: signal.Signals) -> None:
    learner.write('../hang', '')
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run'],
        cwd=learner.path,
        env=learner.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not learner.exists('../hanging'):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    process.wait(timeout=60)
    (learner.path.parent / 'hang').unlink()
    assert start_of(learner) == '3'
    assert not learner.exists('ckpt') and learner.read('model') == '5'
    work = learner.path / '.mlops/local/work'
    assert not work.exists() or list(work.iterdir()) == [], 'nothing of the killed attempt is left'


def test_what_stood_where_a_checkpoint_goes_is_kept(project: Project) -> None:
    project.write('ckpt/mine', 'mine')
    lay(project, {'a': {'cmd': 'test ! -e ckpt/mine; touch ckpt/x', 'checkpoint': 'ckpt'}})
    assert run(project) == {'a': 'done'}
    assert [path.read_text() for path in (project.path / '.mlops/local/rescue').rglob('mine')] == ['mine']


# caches


@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_caches_survive_runs_and_do_not_count(project: Project, isolate: str) -> None:
    lay(
        project,
        {
            'a': {
                'cmd': 'echo x >> .cache/hub/log; wc -l < .cache/hub/log > o',
                'caches': ['.cache/hub'],
                'outs': ['o'],
                'isolate': isolate,
            }
        },
    )
    assert run(project) == {'a': 'done'} and project.read('o').strip() == '1'
    assert run(project, force=True) == {'a': 'done'} and project.read('o').strip() == '2'
    assert run(project) == {'a': 'fresh'}
    assert run(project, overlay={('params.yaml', '+x'): 1}, force=True) == {'a': 'done'}, 'a trial uses them too'
    assert project.read('.cache/hub/log') == 'x\n' * 3 and project.read('o').strip() == '2'


def test_git_does_not_see_caches_and_checkpoints(project: Project) -> None:
    lay(
        project, {'a': {'cmd': 'echo x > .cache/hub/log; echo > ckpt/x; false', 'caches': ['.cache/hub'], 'checkpoint': 'ckpt'}}
    )
    run(project)
    lay(project, {'a': {'cmd': 'echo x > .cache/hub/log', 'caches': ['.cache/hub'], 'checkpoint': 'ckpt'}})
    assert run(project) == {'a': 'done'}
    lines = project.read('.gitignore').splitlines()
    assert '/.cache/hub' in lines and '/ckpt' in lines
    assert '.cache' not in project.git('status', '--porcelain', '--untracked-files=all')


# environment


@pytest.mark.parametrize(('kind', 'file'), [('uv', 'uv.lock'), ('venv', 'requirements.txt')])
def test_the_lock_file_of_the_environment_counts_byte_for_byte(project: Project, kind: str, file: str) -> None:
    project.write(file, 'numpy==1\n')
    lay(project, {'a': {'cmd': 'true', 'environment': {kind: file}}})
    assert run(project) == {'a': 'done'} and verdict(project, 'a') == 'fresh'
    project.write(file, 'numpy==2\n')
    assert reasons(project, 'a') == [('environment', f'{kind}:{file}')]
    (project.path / file).unlink()
    assert verdict(project, 'a') == 'blocked'


@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_the_environment_beside_the_lock_file_is_used_if_it_is_there(project: Project, isolate: str) -> None:
    project.write('tools/uv.lock', 'x')
    show = 'echo "$VIRTUAL_ENV"; command -v python'
    lay(project, {'a': {'cmd': show, 'environment': {'uv': 'tools/uv.lock'}, 'isolate': isolate}})
    report = project.run()
    assert printed(project, report, 'a').splitlines()[1] != str(project.path / 'tools/.venv/bin/python')
    python = project.write('tools/.venv/bin/python', '#!/bin/sh\n')
    python.chmod(0o755)
    report = project.run(force=True)
    assert printed(project, report, 'a').splitlines() == [str(python.parents[1]), str(python)]
    assert not any(b'tools/.venv' in data for name, data in everything(project).items() if 'stages' in name)


def test_the_versions_recorded_are_those_of_the_environment(project: Project) -> None:
    project.write('uv.lock', 'x')
    project.write('main.py', 'import numpy\n')
    pretended_python(project.path / '.venv', minor='3.13')
    project.write('.venv/lib/python3.13/site-packages/numpy-9.9.dist-info/METADATA', 'Name: numpy\nVersion: 9.9\n')
    project.write('.venv/lib/python3.13/site-packages/numpy-9.9.dist-info/top_level.txt', 'numpy\n')
    lay(project, {'a': {'cmd': 'python main.py', 'environment': {'uv': 'uv.lock'}}})
    bench = project.open()
    draft = bench.drafts['a']
    made = environment_of(draft.found, project.environ)
    bench.close()
    assert draft.found is not None and draft.found.python == str(project.path / '.venv/bin/python')
    assert made['python'].startswith('3.13') and made['packages'] == {'numpy': '9.9'}


def test_a_lock_file_that_another_stage_makes(project: Project) -> None:
    project.write('in', '1')
    lay(
        project,
        {
            'use': {'cmd': 'cat lock.txt > o', 'environment': {'venv': 'lock.txt'}, 'outs': ['o']},
            'lock': {'cmd': 'cp in lock.txt', 'deps': ['in'], 'outs': ['lock.txt']},
        },
    )
    assert run(project) == {'lock': 'done', 'use': 'done'}
    project.write('in', '2')
    assert run(project) == {'lock': 'done', 'use': 'done'} and project.read('o') == '2'
    assert set(project.verdicts().values()) == {'fresh'}


def test_the_interpreter_of_mlops_itself_is_in_no_key(project: Project) -> None:
    lay(project, {'a': {'cmd': 'python -c "print(1)" > o', 'outs': ['o']}})
    run(project)
    project.environ['PATH'] = project.environ['PATH'].partition(os.pathsep)[2]
    assert verdict(project, 'a') == 'fresh'
