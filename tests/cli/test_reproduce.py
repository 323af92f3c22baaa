"""Results made again: sessions with the whole program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
version: 1
name: sums
stages:
  prepare:
    cmd: cat data.txt extra.txt > prepared.txt
    deps: [data.txt, extra.txt]
    outs: [prepared.txt]
  train:
    cmd: sh train.sh
    deps: [prepared.txt]
    params: [rate]
    outs: [model.txt]
    metrics: [{metrics.json: {goals: {loss: min}, tolerance: {loss: 0.01}}}]
  report:
    cmd: wc -c < model.txt > report.txt && git describe --tags --always >> described.log
    deps: [model.txt]
    outs: [report.txt]
"""
SEEDED = 'cat prepared.txt params.yaml > model.txt\necho \'{"loss": 0.5}\' > metrics.json\n'
UNSEEDED = SEEDED + 'date +%s%N >> model.txt\n'
NEARLY = 'cat prepared.txt > model.txt\necho "{\\"loss\\": 0.5001$(date +%N)}" > metrics.json\n'


@pytest.fixture
def sums(tmp_path: Path) -> Project:
    project = Project(tmp_path / 'sums')
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 1\n')
    project.write('train.sh', SEEDED)
    project.write('data.txt', 'a line\n')
    project.write('extra.txt', 'kept by git\n')
    project.write('.gitignore', 'described.log\n')
    project.init_git()
    project.git('add', 'pipeline.yaml', 'params.yaml', 'train.sh', 'extra.txt', '.gitignore')
    project.git('commit', '-q', '-m', 'begin')
    project.mlops('add', 'data.txt')
    return project


def ran(project: Project, script: str = SEEDED) -> str:
    project.write('train.sh', script)
    identity: str = project.mlops('run', '--json').json['run']
    project.commit('ran')
    return identity.partition('-')[2]


def state(project: Project) -> dict[str, tuple[int, int]]:
    """What a person has: all but the cache and what belongs to this machine."""
    found = {}
    for folder, names, files in os.walk(project.path):
        if folder == f'{project.path}/.mlops':
            names[:] = [name for name in names if name not in ('cache', 'local')]
        for name in files:
            status = os.lstat(f'{folder}/{name}')
            found[f'{folder}/{name}'] = (status.st_mtime_ns, status.st_size)
    return found


def leftovers(project: Project) -> list[str]:
    return [name for name in os.listdir(project.path / '.mlops/local') if name.startswith('.mlops-tmp')]


def test_identical_in_a_clean_clone_with_the_remote_alone(sums: Project, tmp_path: Path) -> None:
    sums.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    run = ran(sums)
    sums.mlops('push')
    sums.git('clone', '-q', '.', str(tmp_path / 'clone'))
    clone = Project(tmp_path / 'clone')
    refused = clone.mlops('reproduce', run, code=4)
    assert 'data.txt' in refused.err and '--pull' in refused.err
    before = state(clone)
    done = clone.mlops('--yes', 'reproduce', run, '--pull')
    assert done.out.splitlines()[-1].startswith('identical: 3 stages, 4 outputs, every byte as recorded')
    assert f'run {run} (' in done.err
    after = state(clone)
    assert before == after and leftovers(clone) == []
    assert not clone.exists('model.txt')
    found = clone.mlops('--yes', 'reproduce', '--json', '--pull').json
    assert found['verdict'] == 'identical' and found['first'] is None
    assert [one['environment'] for one in found['stages']] == [[], [], []], 'what it was made under came from the remote'


def test_the_stage_that_is_not_deterministic_is_named(sums: Project) -> None:
    ran(sums, UNSEEDED)
    done = sums.mlops('reproduce', code=1)
    lines = done.out.splitlines()
    assert 'train: same inputs, other outputs' in lines
    assert any('model.txt' in line and '(line 4) on' in line for line in lines), done.out
    assert 'it is the stage that is not deterministic' in ' '.join(done.out.split())
    assert 'mlops accept' not in done.err, 'the run that would be named is in no record'
    assert lines[-1].startswith('different: first at train; ')
    found = sums.mlops('reproduce', '--json', code=1).json
    assert {one['name']: one['verdict'] for one in found['stages']} == {
        'prepare': 'identical', 'train': 'different', 'report': 'identical',  # which made the same of another model
    }  # fmt: skip
    assert found['first'] == 'train'
    assert len(list((sums.path / '.mlops/cache/results-v1').rglob('*.json'))) == 3, 'it is not among what is restored'
    assert 'not deterministic' not in sums.mlops('status').out


def test_what_follows_is_told_from_the_cause(sums: Project) -> None:
    sums.write('pipeline.yaml', PIPELINE.replace('wc -c < model.txt', 'cat model.txt'))
    ran(sums, UNSEEDED)
    done = sums.mlops('reproduce', code=1)
    assert 'report differs because train does' in done.out
    assert 'first at train; 1 of 3 stages as recorded' in done.out


def test_metrics_within_their_tolerance(sums: Project) -> None:
    ran(sums, NEARLY)
    found = sums.mlops('reproduce', '--json').json
    assert found['verdict'] == 'within' and found['first'] == 'train'
    (number,) = found['stages'][1]['metrics']
    assert number['within'] and number['tolerance'] == 0.01 and number['before'] != number['after']
    assert 'within tolerance: 2 of 3 stages byte for byte' in sums.mlops('reproduce').out


def test_a_run_on_changes_that_were_never_committed(sums: Project) -> None:
    ran(sums)
    sums.write('train.sh', SEEDED + 'echo more >> model.txt\n')
    sums.write('params.yaml', 'rate: 7\n')
    run = sums.mlops('run', '--json').json['run'].partition('-')[2]
    sums.git('checkout', '-q', '--', 'train.sh', 'params.yaml')
    done = sums.mlops('reproduce', run)
    assert 'with the sources of the run' in done.err and 'identical: 3 stages' in done.out
    assert sums.git('status', '--porcelain', 'train.sh', 'params.yaml') == ''


def test_a_trial(sums: Project) -> None:
    ran(sums)
    run = sums.mlops('run', '--json', '--set', 'rate=3').json['run']
    assert 'identical' in sums.mlops('reproduce', run).out


def test_a_registered_model_in_a_clone_of_a_later_state(sums: Project, tmp_path: Path) -> None:
    sums.write('pipeline.yaml', PIPELINE.replace('  report:', '    model: {name: adder, path: model.txt}\n  report:'))
    sums.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    ran(sums)
    sums.mlops('models', 'register', 'train')
    sums.commit('registered')
    sums.mlops('push')
    sums.write('train.sh', SEEDED + 'echo later >> model.txt\n')
    ran(sums, SEEDED + 'echo later >> model.txt\n')
    sums.git('clone', '-q', '.', str(tmp_path / 'clone'))
    clone = Project(tmp_path / 'clone')
    found = clone.mlops('--yes', 'reproduce', 'adder@v1', '--pull', '--json').json
    assert found['of'] == 'model adder v1' and found['verdict'] == 'identical'
    assert [one['name'] for one in found['stages']] == ['prepare', 'train'], 'what led to it, and no more'
    assert 'mlops models list' in clone.mlops('reproduce', 'adder2', code=2).err


def test_a_run_whose_inputs_are_gone_is_not_put_together(sums: Project) -> None:
    """Its sources are in no commit, and the cache that kept them was lost."""
    ran(sums)
    sums.write('params.yaml', 'rate: 7\n')
    run = sums.mlops('run', '--json').json['run']
    sums.git('checkout', '-q', '--', 'params.yaml')
    subprocess.run(['rm', '-rf', sums.path / '.mlops/cache/results-v1'], check=True)
    done = sums.mlops('reproduce', run, code=4)
    assert 'train is not what it was: params.yaml:rate' in done.err


def test_an_input_that_no_commit_has_is_borrowed(sums: Project) -> None:
    sums.write('.gitignore', 'described.log\nextra.txt\n')
    sums.git('rm', '-q', '--cached', 'extra.txt')
    ran(sums)
    done = sums.mlops('reproduce')
    assert 'note: extra.txt is in no commit: taken from the workspace' in done.err and 'identical' in done.out


def test_a_sample_stands_on_what_is_recorded(sums: Project) -> None:
    commit = ran(sums, UNSEEDED)
    done = sums.mlops('reproduce', '--sample', '1%', '--json', code=None).json
    assert len(done['stages']) == 1 and done['sampled'] == 0.01 and done['stages_in_all'] == 3 and commit
    every = sums.mlops('reproduce', '--sample', '100%', code=1)
    assert 'sample: 3 of 3 stages, chosen by commit' in every.err


def test_code_of_an_editable_install_is_that_of_the_revision(tmp_path: Path) -> None:
    """The interpreter leads to the project's present code, wherever it starts: the copy has to come first."""
    project = Project(tmp_path / 'installed')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(project.path / '.venv')], check=True)
    (site,) = (project.path / '.venv').glob('lib/python*/site-packages')
    (site / 'editable.pth').write_text(f'{project.path}/python\n')
    project.write('pipeline.yaml', 'version: 1\nstages:\n  a:\n    cmd: .venv/bin/python -m pkg.make\n    outs: [out.txt]\n')
    project.write('.gitignore', '.venv\n')
    project.write('python/pkg/__init__.py', '')
    project.write('python/pkg/make.py', "open('out.txt', 'w').write('first')\n")
    project.init_git()
    project.mlops('run', '-q')
    project.commit('first')
    project.write('python/pkg/make.py', "open('out.txt', 'w').write('second')\n")
    project.mlops('run', '-q')
    project.commit('second')
    assert 'identical: 1 stage' in project.mlops('reproduce', 'HEAD~1').out
    assert project.read('out.txt') == 'second'


def test_a_project_below_the_top_of_its_repository(tmp_path: Path) -> None:
    repository = Project(tmp_path / 'repository')
    repository.init_git()
    project = Project(repository.path / 'services/reco')
    project.write('pipeline.yaml', PIPELINE.replace('git describe --tags --always', 'cat ../../shared.txt'))
    project.write('../../shared.txt', 'shared\n')
    for name, text in (('params.yaml', 'rate: 1\n'), ('train.sh', SEEDED), ('data.txt', 'a\n'), ('extra.txt', 'b\n')):
        project.write(name, text)
    project.mlops('run', '-q')
    repository.commit('ran')
    assert 'identical: 3 stages' in project.mlops('reproduce').out


def test_an_earlier_revision_of_another_pipeline(sums: Project) -> None:
    ran(sums)
    sums.git('tag', 'v1')
    sums.write('pipeline.yaml', 'version: [\n')
    sums.commit('broken')
    done = sums.mlops('reproduce', 'v1')
    assert 'v1 (' in done.err and 'identical: 3 stages' in done.out


HOSTILE = ['--output=x', '-x', '$(touch pwned)', 'a\nb', 'HEAD^{/x', 'x' * 2000, 'workspace', '\x1b[2J', 'nix']


@pytest.mark.parametrize('word', HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_data(sums: Project, word: str) -> None:
    sums.commit('start')
    done = sums.mlops('reproduce', '--', word, code=2)
    assert '\x1b' not in done.err and 'Traceback' not in done.err and not sums.exists('pwned') and not sums.exists('x')


def test_nothing_recorded(sums: Project) -> None:
    sums.commit('start')
    assert 'nothing is recorded of HEAD' in sums.mlops('reproduce', code=1).err


def test_a_kill_leaves_a_folder_that_is_known_and_goes(sums: Project) -> None:
    sums.write('train.sh', SEEDED)
    ran(sums)
    sums.write('train.sh', 'touch started; sleep 60\n')
    sums.commit('slow')
    pins = sorted(os.listdir(sums.path / '.mlops/stages'))
    code = [sys.executable, '-m', 'mlops_cli', 'reproduce', 'HEAD~1']
    slow = {**sums.environ, 'PATH': f'{sums.path}/slow:{sums.environ["PATH"]}'}
    sums.write('slow/wc', '#!/bin/sh\ntouch "$OLDPWD/x" 2>/dev/null; echo $$ > "$HOME/pid"; sleep 60\n').chmod(0o755)
    process = subprocess.Popen(code, cwd=sums.path, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = Path(sums.environ['HOME']) / 'pid'
    until = time.monotonic() + 100
    while not (pid.exists() and pid.read_text().endswith('\n')):
        assert time.monotonic() < until, 'it never came'
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(leftovers(sums)) == 1
    assert '1 folder in which killed commands worked' in sums.mlops('doctor', code=None).out
    until = time.monotonic() + 100
    while os.path.exists(f'/proc/{pid.read_text().strip()}') and time.monotonic() < until:
        time.sleep(0.1)
    assert not os.path.exists(f'/proc/{pid.read_text().strip()}'), 'what it ran ends with it'
    sums.mlops('reproduce', 'HEAD~1')
    assert leftovers(sums) == [] and sorted(os.listdir(sums.path / '.mlops/stages')) == pins
