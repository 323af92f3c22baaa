"""Stages on another machine, behind a real sshd: the same results as here, each once, and clear words where that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from mlops_cli.executors import ssh
from mlops_cli.store.bucket import Unreachable
from tests.servers.kube import Kube
from tests.servers.ray import Ray
from tests.servers.slurm import Slurm
from tests.servers.sshd import Sshd, running
from tests.support.files import contents
from tests.support.project import Project

PIPELINE = """\
stages:
  prepare: {cmd: 'mkdir -p table; cat raw/*.txt > table/all.txt', deps: [raw], outs: [table]}
  train:
    cmd: 'sh train.sh > model.bin; echo trained at ${rate}'
    deps: [table, train.sh]
    params: [rate]
    outs: [model.bin]
    metrics: [m.json]
"""
TRAIN = 'cat table/all.txt params.yaml; echo \'{"rows": 3}\' > m.json\n'


def made(folder: Path, pipeline: str = PIPELINE) -> Project:
    project = Project(folder)
    project.init_git()
    project.write('pipeline.yaml', pipeline)
    project.write('params.yaml', 'rate: 0.5\n')
    project.write('train.sh', TRAIN)
    for number in range(3):
        project.write(f'raw/{number}.txt', f'line {number}\n')
    return project


@pytest.fixture
def project(tmp_path: Path, sshd: Sshd) -> Project:
    found = made(tmp_path / 'one')
    found.environ.update(sshd.environ)
    found.mlops('hosts', 'add', 'gpu1', sshd.url(tmp_path / 'far'))
    return found


def pins(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project.path / '.mlops/stages').iterdir()}


def wait_for(what: Callable[[], bool], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill(pids: Iterable[int]) -> None:
    """Those that are still there: with the first others may end."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def found_by(pattern: str) -> list[int]:
    """Processes whose command line has it."""
    said = subprocess.run(['pgrep', '-f', pattern], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]


def started(project: Project, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, '-m', 'mlops_cli', *words]
    none, pipe, same = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    return subprocess.Popen(command, cwd=project.path, env=project.environ, stdin=none, stdout=pipe, stderr=same)


def test_what_is_made_there_is_what_is_made_here(project: Project, tmp_path: Path) -> None:
    here = made(tmp_path / 'two')
    here.mlops('run')
    said = project.mlops('run', '--host', 'gpu1')
    assert 'on gpu1 (' in said.err + said.out and ' jobs, gpu1\n' in said.out
    assert pins(project) == pins(here)
    assert project.read('model.bin') == here.read('model.bin') and project.read('table/all.txt') == here.read('table/all.txt')
    assert 'trained at 0.5' in project.mlops('logs', 'train').out
    assert 'Nothing to do' in project.mlops('run').out  # what was made there is up to date here
    assert project.mlops('metrics', 'show', '--json').json['rows'][0]['value'] == 3
    project.write('params.yaml', 'rate: 0.7\n')
    states = {row['name']: row['state'] for row in project.mlops('run', '--host', 'gpu1', '--json').json['stages']}
    assert states['train'] == 'done' and states.get('prepare', 'fresh') == 'fresh'
    (project.path / 'model.bin').unlink()
    project.write('params.yaml', 'rate: 0.5\n')
    states = {row['name']: row['state'] for row in project.mlops('run', '--host', 'gpu1', '--json').json['stages']}
    assert states['train'] == 'restored'  # nothing runs twice, wherever


def test_a_stage_says_where_it_runs(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('  train:\n', '  train:\n    host: gpu1\n') + (
        '  where: {cmd: "pwd -P > where.txt", outs: [where.txt]}\n'
        '  there: {cmd: "pwd -P > there.txt", outs: [there.txt], host: gpu1}\n'
    ))
    plan = project.mlops('plan', '--json').json
    assert plan['hosts'] == {'gpu1': ['train', 'there']} and 'On gpu1: train, there.' in project.mlops('plan').out
    assert project.mlops('run', '-n', '--host', 'local', '--json').json['hosts'] == {}
    assert 'there is no host' in project.mlops('run', '-n', '--host', 'gpu3', code=2).err
    assert '3 jobs, this machine (' in (told := project.mlops('run', '-j', '3').out) and '), gpu1' in told
    assert project.read('where.txt').strip() == str(project.path)
    assert project.read('there.txt').startswith(str(tmp_path / 'far/jobs-v1/'))
    assert not list((tmp_path / 'far/jobs-v1').glob('*/project'))  # what it worked in is gone
    project.mlops('run', 'there', '--force', '--host', 'local')
    assert project.read('there.txt').strip() == str(project.path)


def test_what_this_machine_lacks_a_host_may_have(project: Project) -> None:
    project.write('pipeline.yaml', (
        'stages:\n  far: {cmd: "echo far > far.txt", outs: [far.txt], host: gpu1, '
        'resources: {cpus: 9000, licence: 1}}\n'
    ))
    assert 'no config says how many' in project.mlops('run', code=2).err  # of tokens there are so many wherever it runs
    project.mlops('config', 'set', 'tokens.licence', '1')
    project.mlops('run')
    assert project.read('far.txt') == 'far\n'
    project.write('pipeline.yaml', 'stages:\n  far: {cmd: "true", host: gpu1, resources: {memory: 900TiB}}\n')
    assert '990 TB of memory are asked for, and there are' in ' '.join(project.mlops('run', code=2).out.split())


def test_processors_and_memory_of_a_host_are_handed_out_to_all_its_runs(project: Project, tmp_path: Path) -> None:
    cpus = len(os.sched_getaffinity(0))
    look = f'echo + >> {tmp_path}/now; sleep 0.7; echo - >> {tmp_path}/now'
    other = made(tmp_path / 'two')
    other.environ.update(project.environ)
    other.mlops('hosts', 'add', 'gpu1', f'ssh://farhost{tmp_path}/elsewhere')  # another folder, and the same machine
    needs = f'host: gpu1, resources: {{cpus: {max(cpus, 2)}}}'
    for one in (project, other):
        stages = [f'  {one.path.name}{n}: {{cmd: "{look}; : {n}", {needs}}}\n' for n in range(2)]
        one.write('pipeline.yaml', 'stages:\n' + ''.join(stages))
    process = started(other, 'run', '-j', '4')
    project.mlops('run', '-j', '4')
    assert process.wait(60) == 0
    level = [0]
    for sign in (tmp_path / 'now').read_text().split():
        level.append(level[-1] + (1 if sign == '+' else -1))
    assert max(level) == 1 and len(level) == 9


def test_each_stage_gets_a_card_of_its_own(project: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    driver = tmp_path / 'driver'
    driver.mkdir()
    (driver / 'nvidia-smi').write_text('#!/bin/sh\necho "GPU-a, H200, 100, 90"; echo "GPU-b, H200, 100, 90"\n')
    (driver / 'nvidia-smi').chmod(0o755)
    folder = tmp_path_factory.mktemp('sshd')
    there = f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME= PATH={driver}:{os.environ.get("PATH", os.defpath)}'
    with running(folder, there) as host:
        project.environ.update(host.environ)
        project.mlops('hosts', 'add', 'cards', host.url(tmp_path / 'cards'))
        (row,) = project.mlops('hosts', 'check', 'cards', '--json').json['rows']
        assert [gpu['name'] for gpu in row['facts']['gpus']] == ['H200', 'H200']
        two = f'until [ $(grep -c + {tmp_path}/now) -gt 1 ]; do sleep 0.05; done'  # the first waits for the second
        now = f'echo + >> {tmp_path}/now; {two}; sleep 0.5; echo - >> {tmp_path}/now'
        look = f'echo $CUDA_VISIBLE_DEVICES > $MLOPS_STAGE.txt; {now}'
        both = 'cmd: "echo $CUDA_VISIBLE_DEVICES > both.txt", outs: [both.txt], needs: [s0], host: cards, resources: {gpus: 2}'
        project.write('pipeline.yaml', 'stages:\n' + ''.join(
            f'  s{n}: {{cmd: "{look}", outs: [s{n}.txt], host: cards, resources: {{gpus: 1}}}}\n' for n in range(4)
        ) + f'  both: {{{both}}}\n')
        project.mlops('run', '-j', '5')
        assert project.read('both.txt') == 'GPU-a,GPU-b\n'
        assert {project.read(f's{n}.txt') for n in range(4)} == {'GPU-a\n', 'GPU-b\n'}
        level = [0]
        for sign in (tmp_path / 'now').read_text().split():
            level.append(level[-1] + (1 if sign == '+' else -1))
        assert max(level) == 2
        (file,) = (project.path / '.mlops/runs').rglob('*.json')
        found = json.loads(file.read_text())
        names = [stage[0] for stage in found['stages']]
        places = {names[n]: (host, gpus, kind) for host, gpus, kind, of in found['places'] for n in of}
        assert places == {**{f's{n}': ('cards', 1, 'H200') for n in range(4)}, 'both': ('cards', 2, 'H200')}
        project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cards, resources: {gpus: 3}}\n')
        refused = project.mlops('run', code=2)
        assert '3 GPUs are asked for, and there are 2' in ' '.join(refused.out.split())
        three = f'until [ $(cat {tmp_path}/three | wc -l) -eq 3 ]; do sleep 0.05; done'
        look = f'echo $CUDA_VISIBLE_DEVICES > $MLOPS_STAGE.txt; echo + >> {tmp_path}/three; {three}'
        project.write('pipeline.yaml', 'stages:\n' + ''.join(
            f'  t{n}: {{cmd: "{look}", outs: [t{n}.txt], host: cards, resources: {{gpu_memory: {size}MiB}}}}\n'
            for n, size in enumerate((60, 60, 40))
        ))
        project.mlops('run', '-j', '3')
        assert {project.read(f't{n}.txt') for n in range(2)} == {'GPU-a\n', 'GPU-b\n'}, 'each has room for one of these'
        project.write('pipeline.yaml', 'stages:\n  s: {cmd: "true", host: cards, resources: {gpu_memory: 200MiB}}\n')
        said = ' '.join(project.mlops('run', code=2).out.split())
        assert '1 GPU with 210 MB of memory is asked for, and there are H200 with 105 MB, H200 with 105 MB' in said


def test_what_a_stage_spent_there_comes_back(project: Project) -> None:
    say = 'echo "{\\"item\\": \\"tokens\\", \\"amount\\": 0.5, \\"currency\\": \\"USD\\"}" >> "$MLOPS_COST"'
    project.write('train.sh', f'{say}\n{say}\nsleep 1.2\n{TRAIN}')
    project.mlops('run', '--host', 'gpu1')
    (file,) = (project.path / '.mlops/runs').rglob('*.json')
    found = json.loads(file.read_text())
    assert found['spent'] == [[1, 'tokens', '', None, 1.0, 'USD']] and found['places'] == [['gpu1', 0, '', [0, 1]]]
    project.write('train.sh', f'{say}\nexit 3\n')
    project.mlops('run', '--host', 'gpu1', code=1)
    found = json.loads(sorted((project.path / '.mlops/runs').rglob('*.json'))[-1].read_text())
    assert found['spent'] == [[0, 'tokens', '', None, 0.5, 'USD']] and found['ended'] == 'failed'


def test_a_stage_that_nobody_thought_would_run_goes_to_its_host(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages:\n  make: {cmd: "pwd -P; echo made > made.txt", outs: [made.txt], host: gpu1}\n')
    project.mlops('run')
    (project.path / 'made.txt').unlink()
    assert [row['verdict'] for row in project.mlops('plan', '--json').json['stages']] == ['restore']
    for path in (project.path / '.mlops/cache/objects').rglob('*'):
        if path.is_file() and path.read_bytes() == b'made\n':
            path.chmod(0o644)
            path.write_bytes(b'else\n')
    project.mlops('run')
    assert project.read('made.txt') == 'made\n'
    assert project.mlops('logs', 'make').out.startswith(str(tmp_path / 'far'))


@pytest.mark.parametrize('how', ['without what it declares', 'with what is gone there'])
def test_a_success_that_is_of_no_use_is_not_found_again(project: Project, tmp_path: Path, how: str) -> None:
    enough, gate = tmp_path / 'enough', tmp_path / 'gate'
    there = f'echo made > made.txt; until test -e {gate}; do sleep 0.05; done'
    if how.startswith('without'):
        there = f'test -e {enough} && echo made > made.txt || touch {enough}'
    project.write('pipeline.yaml', f'stages:\n  make: {{cmd: "{there}", outs: [made.txt], host: gpu1}}\n')
    if how.startswith('without'):
        assert 'did not make made.txt' in project.mlops('run', code=1).out
    else:
        run = started(project, 'run')
        wait_for(lambda: any((tmp_path / 'far').glob('jobs-v1/*/project')))
        run.kill()
        run.wait()
        gate.touch()
        wait_for(lambda: any((tmp_path / 'far').glob('jobs-v1/*/outcome.json')) and not _running(tmp_path / 'far'))
        shutil.rmtree(tmp_path / 'far/packs-v1', ignore_errors=True)
        shutil.rmtree(tmp_path / 'far/objects-v1', ignore_errors=True)
        assert 'did not come back' in project.mlops('run', code=4).out
    project.mlops('run')
    assert project.read('made.txt') == 'made\n'


def test_what_goes_on_from_what_it_made_is_not_found_again(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', (
        'stages:\n  grow: {cmd: "echo x >> grown.txt", outs: [{grown.txt: {persist: true}}], host: gpu1}\n'
    ))
    project.mlops('run')
    shutil.rmtree(project.path / '.mlops/cache')
    shutil.rmtree(project.path / '.mlops/stages')
    project.mlops('run')
    assert project.read('grown.txt') == 'x\nx\n'


def test_only_what_is_declared_is_there(project: Project) -> None:
    project.write('secret.txt', 'not declared')
    project.environ.update({'NOT_DECLARED': 'x', 'DECLARED': 'a "b" $c'})
    project.write('pipeline.yaml', (
        'stages:\n  look:\n    cmd: \'ls > found.txt; echo "$NOT_DECLARED|$DECLARED|$MLOPS_STAGE" >> found.txt\'\n'
        '    deps: [raw]\n    env: [DECLARED]\n    outs: [found.txt]\n    host: gpu1\n'
    ))
    project.mlops('run')
    assert project.read('found.txt') == 'found.txt\nraw\n|a "b" $c|look\n'


def test_programs_are_found_where_the_host_has_them(project: Project, tmp_path: Path, sshd: Sshd) -> None:
    own = tmp_path / 'my bin'
    own.mkdir()
    (own / 'make-it').write_text('#!/bin/sh\necho made > made.txt\n')
    (own / 'make-it').chmod(0o755)
    project.write('pipeline.yaml', 'stages:\n  make: {cmd: make-it, outs: [made.txt], host: gpu2}\n')
    project.mlops('hosts', 'add', 'gpu2', sshd.url(tmp_path / 'far'))
    failed = project.mlops('run', code=1)
    assert 'not found' in failed.out and ' URL --path FOLDER says where (URL: mlops hosts list)' in ' '.join(failed.out.split())
    project.mlops('hosts', 'remove', 'gpu2')
    project.mlops('hosts', 'add', 'gpu2', sshd.url(tmp_path / 'far'), '--path', str(own))
    project.mlops('run')
    assert project.read('made.txt') == 'made\n'


def test_a_secret_is_in_no_file_there(project: Project, tmp_path: Path) -> None:
    secret = 'hunter2-hunter2-hunter2'
    project.environ['API_TOKEN'] = secret
    project.write('pipeline.yaml', (
        'stages:\n  ask: {cmd: \'echo "token $API_TOKEN"; echo ${#API_TOKEN} > size.txt\', secrets: [API_TOKEN], '
        'outs: [size.txt], host: gpu1}\n'
    ).replace('${#API_TOKEN}', '"$API_TOKEN" | wc -c'))
    project.mlops('run')
    assert project.read('size.txt').strip() == str(len(secret) + 1)
    assert project.mlops('logs', 'ask').out == 'token [secret: API_TOKEN]\n'
    for path, data in contents(tmp_path / 'far', project.path / '.mlops'):
        assert secret.encode() not in data, path


def test_a_failure_there_is_a_failure_here(project: Project, tmp_path: Path) -> None:
    counted = tmp_path / 'counted'
    project.write('train.sh', f'echo x >> {counted}; echo what went wrong >&2; test -e {tmp_path}/mended || exit 7; {TRAIN}')
    for _ in range(2):
        failed = project.mlops('run', '--host', 'gpu1', code=1)
        assert 'exit 7' in failed.out and 'what went wrong' in failed.out
    (tmp_path / 'mended').touch()
    project.mlops('run', '--host', 'gpu1')
    assert counted.read_text() == 'x\n' * 3
    project.write('train.sh', TRAIN)
    project.mlops('run', '--host', 'gpu1')
    assert project.read('model.bin').startswith('line 0')


@pytest.mark.parametrize('how', ['killed', 'killed with its ssh', 'over when it is asked for'])
def test_a_run_that_was_killed_finds_its_jobs_again(project: Project, tmp_path: Path, how: str) -> None:
    counted, gate = tmp_path / 'counted', tmp_path / 'gate'
    project.write('train.sh', f'echo x >> {counted}; while ! test -e {gate}; do sleep 0.05; done; {TRAIN}')
    run = started(project, 'run', '--host', 'gpu1')
    try:
        wait_for(counted.exists)
        children = _children(run.pid)
        run.kill()
        run.wait()
        kill(children if 'ssh' in how else ())
        if how.startswith('over'):
            gate.touch()
            wait_for(lambda: any((tmp_path / 'far/jobs-v1').glob('*/outcome.json')) and not _running(tmp_path / 'far'))
            project.mlops('run', '--host', 'gpu1')
        else:
            again = started(project, 'run', '--host', 'gpu1')
            time.sleep(1)
            assert again.poll() is None
            gate.touch()
            assert again.wait(60) == 0, again.stdout and again.stdout.read().decode()
    finally:
        gate.touch()
        if run.poll() is None:
            run.kill()
    assert counted.read_text() == 'x\n' and project.read('m.json') == '{"rows": 3}\n'


def _children(pid: int) -> list[int]:
    said = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]


def _running(far: Path) -> bool:
    return any(not (place / 'outcome.json').exists() for place in (far / 'jobs-v1').iterdir())


def test_a_connection_that_is_cut_is_made_again(project: Project, tmp_path: Path) -> None:
    counted, gate = tmp_path / 'counted', tmp_path / 'gate'
    project.write('train.sh', f'echo x >> {counted}; while ! test -e {gate}; do sleep 0.05; done; {TRAIN}')
    run = started(project, 'run', '--host', 'gpu1')
    try:
        wait_for(counted.exists)
        for _ in range(3):
            wait_for(lambda: bool(_ssh_of(run.pid)))
            kill(_ssh_of(run.pid))
            time.sleep(0.3)
        gate.touch()
        assert run.wait(60) == 0, run.stdout and run.stdout.read().decode()
    finally:
        gate.touch()
    assert counted.read_text() == 'x\n' and project.read('m.json') == '{"rows": 3}\n'


def _ssh_of(pid: int) -> list[int]:
    found = []
    for one in _children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it is gone already
            if b'ssh\0' in Path(f'/proc/{one}/cmdline').read_bytes()[:200]:
                found.append(one)
    return found


def test_ctrl_c_ends_it_there(project: Project, tmp_path: Path) -> None:
    begun, ended = tmp_path / 'begun', tmp_path / 'ended'
    project.write('train.sh', f'trap "touch {ended}; exit 9" TERM; touch {begun}; while :; do sleep 0.05; done\n')
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(begun.exists)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert ended.exists() and not _running(tmp_path / 'far')
    project.write('train.sh', TRAIN)
    project.mlops('run', '--host', 'gpu1')


def test_what_is_ending_there_is_not_waited_for_but_done_anew(project: Project, tmp_path: Path) -> None:
    counted, gate, ending = tmp_path / 'counted', tmp_path / 'gate', tmp_path / 'ending'
    project.write('train.sh', (
        f'echo x >> {counted}; trap "touch {ending}; sleep 2; exit 9" TERM\n'
        f'while ! test -e {gate}; do sleep 0.05; done; {TRAIN}'
    ))
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(counted.exists)
    run.send_signal(signal.SIGINT)
    wait_for(ending.exists)
    run.kill()
    run.wait()
    gate.touch()
    project.mlops('run', '--host', 'gpu1')
    assert counted.read_text() == 'x\nx\n' and project.read('m.json') == '{"rows": 3}\n'


def test_what_is_ending_there_keeps_no_other_stage_waiting(project: Project, tmp_path: Path) -> None:
    counted, ending, gone = (tmp_path / name for name in ('counted', 'ending', 'gone'))
    project.write('pipeline.yaml', 'stages:\n  slow: {cmd: sh train.sh, deps: [train.sh], host: gpu1, grace: 20s}\n')
    project.write('train.sh', (
        f'echo x >> {counted}; trap "touch {ending}; while ! test -e {gone}; do sleep 0.1; done; exit 9" TERM\n'
        f'test -e {gone} || while :; do sleep 0.05; done\n'
    ))
    run = started(project, 'run')
    wait_for(counted.exists)
    run.send_signal(signal.SIGINT)
    wait_for(ending.exists)
    run.kill()
    run.wait()
    project.write('pipeline.yaml', (project.path / 'pipeline.yaml').read_text() + (
        f'  quick: {{cmd: "touch {gone}; echo > quick.txt", outs: [quick.txt], host: gpu1}}\n'
    ))
    project.mlops('run', '-j', '2')  # the one lets the other end
    assert counted.read_text() == 'x\nx\n' and project.exists('quick.txt')


def test_what_the_stage_did_wrong_is_not_the_hosts_fault(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  pipe: {cmd: mkfifo out, outs: [out], host: gpu1}\n')
    failed = project.mlops('run', code=1)
    assert 'could not be kept' in failed.out and 'hosts check' not in failed.out


def test_a_connection_that_is_lost_for_good_while_outputs_come_back(project: Project, tmp_path: Path, sshd: Sshd,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    counted = tmp_path / 'counted'
    project.write('pipeline.yaml', f'stages:\n  one: {{cmd: "echo x >> {counted}; echo 1 > o", outs: [o], host: gpu1}}\n')
    sshd.use(monkeypatch)

    def lost(*_: object) -> None:
        raise Unreachable('gpu1', 'the connection is gone', 'try again')

    with monkeypatch.context() as cut:
        cut.setattr(ssh, 'fetch', lost)
        report = project.run()
    assert report.exit_code == 4 and report.settled['one'].event is not None
    assert 'the connection is gone' in report.settled['one'].event.message
    project.mlops('run')
    assert counted.read_text() == 'x\n' and project.read('o') == '1\n'


def test_a_folder_that_cannot_be_there(project: Project, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    project.mlops('hosts', 'add', 'wrong', sshd.url(tmp_path / 'file/below'))
    said = project.mlops('run', '--host', 'wrong', code=4).err
    assert f'its folder {tmp_path}/file/below cannot be made: Not a directory' in ' '.join(said.split()), said


def test_a_host_that_fails_in_the_middle_is_not_the_stages_failure(project: Project, tmp_path: Path) -> None:
    begun = tmp_path / 'begun'
    project.write('train.sh', f'echo x >> {begun}; test -e {begun}.2 || sleep 60; {TRAIN}')
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(begun.exists)
    kill(found_by(f'hosted.*{tmp_path}/far'))  # as where it was switched off
    said = run.communicate(timeout=60)[0].decode()
    assert run.returncode == 4 and 'is gone' in said and 'mlops hosts check gpu1' in ' '.join(said.split()), said
    Path(f'{begun}.2').touch()
    project.mlops('run', '--host', 'gpu1')
    assert project.read('m.json') == '{"rows": 3}\n'


@pytest.mark.parametrize(('lines', 'problem', 'hint'), [
    (('UserKnownHostsFile /dev/null',), 'its host key is not known here', 'compare the fingerprint'),
    (('IdentityFile /nonexistent',), 'it takes none of the keys', 'ssh-add'),
    (('Port 1',), 'nothing there takes connections of ssh', 'is the host up'),
])  # fmt: skip
def test_a_host_that_cannot_be_reached(project: Project, sshd: Sshd, lines: tuple[str, ...], problem: str, hint: str) -> None:
    project.environ['PATH'] = f'{sshd.configure(*lines)}{os.pathsep}{os.environ["PATH"]}'
    refused = project.mlops('run', '--host', 'gpu1', code=4)
    assert problem in refused.err and hint in refused.err and len(refused.err.strip().splitlines()) == 2
    assert not (project.path / '.mlops/runs').exists() and not project.exists('table')
    checked = project.mlops('hosts', 'check', code=4)
    assert problem in checked.out and hint in checked.out


def test_no_python_there(project: Project, sshd: Sshd, tmp_path: Path) -> None:
    project.mlops('hosts', 'add', 'old', sshd.url(tmp_path / 'old'), '--python', 'python2.7')
    refused = project.mlops('run', '--host', 'old', code=4)
    assert 'there is no Python from 3.11 on' in refused.err and 'python: /path/to/python3' in refused.err
    assert not (project.path / '.mlops/runs').exists() and not (tmp_path / 'old').exists()
    assert 'there is no Python' in project.mlops('hosts', 'check', 'old', code=4).out


SAYS_MUCH = 'yes | head -c 30000000 >&2; echo "{}" > m.json'


@pytest.mark.skipif(os.getuid() != 0, reason='only root may mount')
@pytest.mark.parametrize(('room', 'train', 'failing'), [
    ('100k', TRAIN, ''),  # not even the program that does it
    pytest.param('3m', TRAIN, 'prepare', marks=pytest.mark.full),  # its inputs
    ('14m', 'head -c 30000000 /dev/urandom > big; cat big; echo "{}" > m.json', 'train'),  # what it makes
    pytest.param('3m', SAYS_MUCH, 'train', marks=pytest.mark.full),
], ids=['program', 'inputs', 'outputs', 'log'])  # fmt: skip
def test_no_room_there(tmp_path: Path, room: str, train: str, failing: str) -> None:
    disk, keys = tmp_path / 'disk', tmp_path / 'keys'
    disk.mkdir()
    keys.mkdir()
    project = made(tmp_path / 'one')
    project.write('train.sh', train)
    if failing == 'prepare':
        project.write('raw/large.txt', os.urandom(4 << 20).hex())
    inside = f'mount -t tmpfs -o size={room} none {disk} && exec "$@"'
    with running(keys, before=('unshare', '-m', 'sh', '-c', inside, '-')) as sshd:
        project.environ.update(sshd.environ)
        project.mlops('hosts', 'add', 'gpu1', sshd.url(disk / 'far'))
        said = project.mlops('run', '--host', 'gpu1', code=4)
        assert 'No space left on device' in said.out + said.err
        assert not failing or (f'FAILED    {failing}' in said.out and 'the disk there is full' in said.out)
        assert not project.exists('model.bin') and not list((disk / 'far').glob('*'))  # that disk is the server's alone
        assert 'make room there' in project.mlops('hosts', 'check', 'gpu1').out
        inside = f'nsenter -m -t {sshd.process.pid} mount -o remount,size=500m {disk}'
        subprocess.run(inside.split(), check=True)
        if failing != 'train' or 'big' in train:
            project.mlops('run', '--host', 'gpu1')
            assert project.exists('model.bin')


def test_one_that_nobody_asked_for_in_too_long_a_time_has_ended(project: Project, tmp_path: Path) -> None:
    begun = tmp_path / 'begun'
    project.write('train.sh', f'echo x >> {begun}; test -e {begun}.2 || sleep 60; {TRAIN}')
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(begun.exists)
    os.kill(run.pid, signal.SIGSTOP)  # as a notebook that was closed for a week
    time.sleep(3)  # until no question is on its way
    (works_in,) = (tmp_path / 'far/jobs-v1').glob('*/project')
    lease = works_in.parent / 'lease'

    def is_given_up() -> bool:
        """A question that was on its way after all may have come to the lease."""
        with suppress(FileNotFoundError):
            os.utime(lease, (time.time() - 1e6,) * 2)
        return (lease.parent / 'outcome.json').exists()

    wait_for(is_given_up)
    os.kill(run.pid, signal.SIGCONT)
    said = run.communicate(timeout=60)[0].decode()
    assert run.returncode == 4 and 'nobody had asked for it in too long a time' in said, said
    Path(f'{begun}.2').touch()
    project.mlops('run', '--host', 'gpu1')
    assert project.read('m.json') == '{"rows": 3}\n' and begun.read_text() == 'x\nx\n'


def test_who_may_be_asked(project: Project, tmp_path: Path, sshd: Sshd) -> None:
    assert 'there is no host' in project.mlops('run', '--host', 'gpu', code=2).err
    (row,) = project.mlops('hosts', 'check', 'gpu1', '--json').json['rows']
    assert row['usable'] and row['facts']['cpus'] >= 1 and row['facts']['folder'] == str(tmp_path / 'far')
    project.commit('all')
    project.git('clone', '-q', str(project.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    two.environ.update(sshd.environ)
    refused = two.mlops('run', '--host', 'gpu1', code=5)
    assert 'came with git and nobody here has confirmed' in refused.err
    two.mlops('hosts', 'add', 'mine', sshd.url(tmp_path / 'mine'), '--local')
    checked = two.mlops('hosts', 'check', code=5)
    assert 'config confirm hosts.gpu1' in checked.out and 'mine: ' in checked.out and 'CPU' in checked.out
    two.mlops('config', 'confirm', 'hosts.gpu1', '--yes')
    two.mlops('run', '--host', 'gpu1')
    assert two.mlops('hosts', 'list', '--json').json['rows'][0]['confirmed']
    two.mlops('hosts', 'remove', 'gpu1')
    two.mlops('hosts', 'remove', 'mine')
    assert two.mlops('hosts', 'list').out.startswith('No hosts')


EPOCHS = """\
n=$(cat "$MLOPS_CHECKPOINT_DIR/n" 2>/dev/null || echo 0)
echo "from $n" >> "$1"
n=$((n + 1)); echo $n > state/n
test $n -ge 4 || exit 9
echo $n > done.txt
"""


def test_a_checkpoint_goes_where_the_stage_goes(project: Project, tmp_path: Path, sshd: Sshd) -> None:
    told = tmp_path / 'told'
    project.write('pipeline.yaml', (
        f'stages:\n  train: {{cmd: "sh epochs.sh {told}", deps: [epochs.sh], outs: [done.txt], checkpoint: state}}\n'))
    project.write('epochs.sh', EPOCHS)
    project.mlops('hosts', 'add', 'gpu2', sshd.url(tmp_path / 'far2'))
    project.mlops('run', '--host', 'gpu1', code=1)
    assert len(list((tmp_path / 'far/checkpoints-v1').iterdir())) == 2  # it, and what is known of it
    project.mlops('run', '--host', 'gpu2', code=1)
    project.mlops('run', code=1)
    project.mlops('run', '--host', 'gpu1')
    assert told.read_text() == 'from 0\nfrom 1\nfrom 2\nfrom 3\n' and project.read('done.txt') == '4\n'
    assert not list((tmp_path / 'far/checkpoints-v1').iterdir())
    assert not list((project.path / '.mlops/local/checkpoints').iterdir())


def test_what_a_host_has_of_a_checkpoint_goes_on_where_nobody_has_more(project: Project, tmp_path: Path) -> None:
    told = tmp_path / 'told'
    waits = EPOCHS.replace('test $n -ge 4', f'test $n -ne 2 || test -e {told}.2 || sleep 60; test $n -ge 3')
    project.write('pipeline.yaml', (
        f'stages:\n  train: {{cmd: "sh epochs.sh {told}", deps: [epochs.sh], outs: [done.txt], checkpoint: state}}\n'))
    project.write('epochs.sh', waits)
    project.mlops('run', '--host', 'gpu1', code=1)
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(lambda: told.read_text() == 'from 0\nfrom 1\n')
    wait_for(lambda: any(path.read_text() == '2\n' for path in (tmp_path / 'far/checkpoints-v1').glob('*/n')))
    kill(found_by(f'hosted.*{tmp_path}/far'))  # the host is switched off: what it has by now nobody else knows
    run.communicate(timeout=60)
    assert run.returncode == 4
    Path(f'{told}.2').touch()
    project.mlops('run', '--host', 'gpu1')
    assert told.read_text() == 'from 0\nfrom 1\nfrom 2\n' and project.read('done.txt') == '3\n'


def test_what_a_stage_caches_stays_on_the_host(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', (
        'stages:\n  use: {cmd: "ls .hub > had.txt; touch .hub/${rate}", params: [rate], outs: [had.txt], caches: [.hub]}\n'))
    project.mlops('run', '--host', 'gpu1')
    project.write('params.yaml', 'rate: 0.6\n')
    project.mlops('run', '--host', 'gpu1')
    assert project.read('had.txt') == '0.5\n'
    (kept,) = (tmp_path / 'far/caches-v1').iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ['0.5', '0.6'] and not project.exists('.hub')


@pytest.mark.parametrize('forgotten', [False, True])
def test_a_job_that_failed_while_nobody_looked_is_done_anew(project: Project, tmp_path: Path, forgotten: bool) -> None:
    begun, gate = tmp_path / 'begun', tmp_path / 'gate'
    wait = f'while ! test -e {gate}; do sleep 0.05; done'
    project.write('train.sh', f'echo x >> {begun}; {wait}; test -e {gate}.2 || exit 3; {TRAIN}')
    run = started(project, 'run', '--host', 'gpu1')
    wait_for(begun.exists)
    run.kill()
    run.wait()
    if forgotten:  # the host was switched off
        kill(found_by(str(tmp_path / 'far')))
    gate.touch()
    wait_for(lambda: forgotten or not _running(tmp_path / 'far'))
    Path(f'{gate}.2').touch()
    project.mlops('run', '--host', 'gpu1')
    assert begun.read_text() == 'x\nx\n' and project.read('m.json') == '{"rows": 3}\n'


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize('kind', ['ssh', 'slurm', 'ray', 'kube'])
def test_the_example_runs_there_unchanged(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """Twelve seconds of training each, as its README has it; the programs are those of the tests' own environment."""
    server: Sshd | Slurm | Ray | Kube = request.getfixturevalue({'ssh': 'sshd'}.get(kind, kind))
    url = f'slurm://{tmp_path}/far' if isinstance(server, Slurm) else server.url(tmp_path / 'far')
    programs = str(Path(sys.executable).parent)
    made = {}
    for where in ('here', 'gpu1'):
        project = Project(tmp_path / where)
        here, left_out = Path(__file__).parents[2] / 'examples/digits', shutil.ignore_patterns('.mlops', '__pycache__', 'data')
        shutil.copytree(here, project.path, ignore=left_out, dirs_exist_ok=True)
        project.init_git()
        project.environ.update({} if isinstance(server, Ray) else server.environ)
        project.environ['PATH'] = f'{programs}{os.pathsep}{project.environ["PATH"]}'
        if where == 'gpu1':
            project.mlops('hosts', 'add', where, url, '--path', programs)
        words = ('run', '--host', 'gpu1') if where == 'gpu1' else ('run',)
        project.mlops(*words, timeout=600)
        made[where] = pins(project)
        assert 'Nothing to do' in project.mlops(*words).out
        for folder in ('data', 'models', 'metrics', 'plots'):
            shutil.rmtree(project.path / folder)
        states = {row['state'] for row in project.mlops(*words, '--json').json['stages']}
        assert states <= {'restored', 'fresh'}
    assert made['gpu1'] == made['here'] and len(made['here']) == 8


def test_a_run_makes_one_connection(project: Project, sshd: Sshd) -> None:
    def connections() -> int:
        return (sshd.folder / 'sshd.log').read_bytes().count(b'Accepted publickey')

    project.write('pipeline.yaml', 'stages:\n' + ''.join(
        f'  s{n}: {{cmd: "echo {n} > o{n}", deps: [{f"o{n - 1}" if n else "raw"}], outs: [o{n}]}}\n' for n in range(6)
    ))
    def took(*words: str) -> float:
        began = time.monotonic()
        project.mlops('run', '--force', *words)
        return time.monotonic() - began

    first, before = took(), connections()
    there = took('--host', 'gpu1')
    assert connections() == before + 1
    here = first + took()  # by which a machine that is slow just now is known
    assert there < 6 + 2 * here, 'a second a stage beyond what they take here; a quarter of one where it was measured'


def cut_often(project: Project, tmp_path: Path, host: str, stages: int, times: int) -> dict[str, int]:
    """F14: the connection cut, this command killed, or both, at a random moment from its beginning on; each stage gone on with
    until it has survived so many cuts.  Each begins once, and is done.  How often each happened."""
    random = Random(20261122)
    cuts = {'ssh': 0, 'mlops': 0, 'both': 0}
    names = [f's{number}' for number in range(stages)]
    waits = {name: f'echo x >> {tmp_path}/{name}; while ! test -e {tmp_path}/{name}.go; do sleep 0.05; done' for name in names}
    project.write('pipeline.yaml', 'stages:\n' + ''.join(
        f'  {name}: {{cmd: "{waits[name]}; echo {name} > {name}.txt", deps: [raw], outs: [{name}.txt], host: {host}}}\n'
        for name in names
    ))
    for name in names:
        run = None
        for _ in range(times):
            if run is None or run.poll() is not None:
                run = started(project, 'run', name)
            time.sleep(random.uniform(0.0, 1.2))
            how = random.choice([*cuts])
            children = _ssh_of(run.pid)  # none yet, where the moment is early
            if how != 'ssh':
                run.kill()
                run.wait()
            kill(children if how != 'mlops' else ())
            cuts[how] += 1
        (tmp_path / f'{name}.go').touch()
        if run is not None and run.poll() is None:
            said = run.communicate(timeout=120)[0].decode()
            assert run.returncode in (0, 4), said  # it may never have got as far as to connect
        project.mlops('run', name)
        assert (tmp_path / name).read_text() == 'x\n', f'{name} began more than once'
        assert project.read(f'{name}.txt') == f'{name}\n'
    assert 'Nothing to do' in project.mlops('run').out
    return cuts


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_hundred_cuts_leave_one_job_each(project: Project, tmp_path: Path) -> None:
    cuts = cut_often(project, tmp_path, 'gpu1', 10, 10)
    assert sum(cuts.values()) == 100 and min(cuts.values()) >= 20
    assert not _running(tmp_path / 'far')
