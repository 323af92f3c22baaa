"""Losses from DVC's list of issues (the numbers in the names), and two of Snakemake's, by commands at once, by what was
killed, and by what a branch brings."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults import forked
from tests.support.project import Project

COUNT = 6
PIPELINE = 'stages:\n' + ''.join(
    f'  s{number}: {{cmd: "echo s{number} >> ../trace; cat in.txt > {number}.txt", deps: [in.txt], outs: [{number}.txt]}}\n'
    for number in range(COUNT)
)
WAITS = """\
stages:
  slow:
    cmd: echo half > out.txt; touch ../begun; while [ ! -e ../go ]; do sleep 0.02; done; echo whole > out.txt
    outs: [out.txt]
"""
PIDS = shutil.which('unshare') is not None and not subprocess.run(
    ['unshare', '-rpf', '--mount-proc', 'true'], capture_output=True, check=False
).returncode  # fmt: skip


@contextmanager
def running(project: Project, *words: str, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*before, sys.executable, '-m', 'mlops_cli', *words],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until_begun(project: Project) -> None:
    end = time.monotonic() + 60
    while not (project.path.parent / 'begun').exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_dvc_6097_8118_3370_3789_many_at_once(project: Project) -> None:
    """Several commands at once ended with an error about a lock whose file they had written into each other; or they went
    through, and of two results in the one file of results only one was left.

    Here each stage has a lock that the kernel keeps, and each result a file of its own."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'in')
    for number in range(3):
        project.write(f'data/{number}', f'{number}')
    commands = [
        *(['run', f's{number}'] for number in range(COUNT)),
        *(['add', f'data/{number}'] for number in range(3)),
        ['run'],
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', *words], cwd=project.path, env=project.environ, stdout=-1, stderr=-2
        )
        for words in commands
    ]
    said = [process.communicate(timeout=120)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(commands), said
    assert sorted((project.path.parent / 'trace').read_text().split()) == [f's{number}' for number in range(COUNT)]
    assert project.mlops('status', '--exit-code').code == 0
    shutil.rmtree(project.path / 'data')
    for number in range(COUNT):
        (project.path / f'{number}.txt').unlink()
    project.mlops('checkout')
    assert [project.read(f'data/{number}') for number in range(3)] == ['0', '1', '2']
    assert project.read('0.txt') == 'in' and project.mlops('status', '--exit-code').code == 0


@pytest.mark.skipif(not PIDS, reason='no namespace of processes of our own')
def test_dvc_5795_10465_two_containers_both_process_number_one(project: Project) -> None:
    """In two containers on one folder each command was process number 1, and took the lock of the other for its own.

    Here the kernel keeps locks, and knows one open file from another, whatever number a process has."""
    project.write('pipeline.yaml', WAITS)
    contained = ('unshare', '-rpf', '--mount-proc')
    with running(project, 'run', before=contained) as first:
        wait_until_begun(project)
        with running(project, 'run', '--lock-timeout', '0.3', before=contained) as second:
            said, _ = second.communicate(timeout=60)
        assert second.returncode == 11 and b'slow' in said, said
        (project.path.parent / 'go').touch()
        said, _ = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert project.read('out.txt') == 'whole\n'


def test_dvc_4325_8176_9379_a_database_that_is_damaged(project: Project) -> None:
    """On network drives databases broke, and that ended every command.

    Here the only database holds what can be found out again: without it files are hashed again, and that is told."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'in')
    project.mlops('run')
    index = project.path / '.mlops/local/index-v1.sqlite'
    for suffix in ('-wal', '-shm'):
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    index.write_bytes(b'SQLite format 3\0' + b'\xff' * 5000)
    assert project.mlops('status', '--exit-code').code == 0
    project.write('in.txt', 'more')
    done = project.mlops('run')
    assert project.read('0.txt') == 'more' and 'Traceback' not in done.err


@pytest.mark.full  # it is waited for, some seconds
def test_dvc_4325_8176_9379_a_database_that_stays_locked(project: Project) -> None:
    """Locks stayed for ever, and ``database is locked`` ended every command."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'in')
    project.mlops('run')
    index = project.path / '.mlops/local/index-v1.sqlite'
    held = sqlite3.connect(index)
    try:
        held.execute('PRAGMA locking_mode = EXCLUSIVE')
        held.execute('BEGIN EXCLUSIVE')
        project.write('in.txt', 'once more')
        done = project.mlops('run')
        assert project.read('0.txt') == 'once more' and 'Traceback' not in done.err
    finally:
        held.close()


def test_dvc_2271_snakemake_1871_what_an_interrupted_stage_left_is_no_result(project: Project) -> None:
    """Ctrl-C did not reach the command, or left half of an output where the next run took it for whole.

    Here it is passed on, what was half is put apart, and what stood there before is back."""
    project.write('pipeline.yaml', WAITS)
    project.write('out.txt', 'mine')
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        (project.path.parent / 'begun').unlink(missing_ok=True)
        with running(project, 'run') as process:
            wait_until_begun(project)
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert project.read('out.txt') == 'mine'
    (project.path.parent / 'go').touch()
    project.mlops('run')
    assert project.read('out.txt') == 'whole\n'
    assert 'mine' in [path.read_text() for path in (project.path / '.mlops/local/rescue').rglob('*') if path.is_file()]


def test_dvc_5795_a_killed_command_leaves_no_lock(project: Project) -> None:
    """After a kill, somebody had to remove a file of locks, or to call ``--unlock``."""
    project.write('pipeline.yaml', WAITS)
    with running(project, 'run') as process:
        wait_until_begun(project)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    (project.path.parent / 'go').touch()
    assert 'was killed' in project.mlops('run', '--lock-timeout', '100').err
    assert project.read('out.txt') == 'whole\n'


def test_snakemake_748_settings_are_whole_whenever_a_command_is_killed(project: Project) -> None:
    """A kill while settings were written left an empty file.

    Here a file has its old text or the new one, before and after every change."""
    project.write('pipeline.yaml', PIPELINE)
    project.mlops('config', 'set', 'jobs', '3')
    file = '.mlops/config.local.yaml' if project.exists('.mlops/config.local.yaml') else '.mlops/config.yaml'
    before = project.read(file)
    number, code, texts = 0, -9, set()
    while code != 0:
        number += 1
        code = forked.do(['config', 'set', 'jobs', '4'], project.path, project.environ, kill_before=number).code
        texts.add(project.read(file))
    assert number > 2 and texts == {before, before.replace('3', '4')}


HOSTILE = """\
stages:
  s: {cmd: "touch ../pwned", outs: [out], deps: ["$(touch ../pwned)"]}
"""


def test_dvc_10958_what_a_branch_says_is_read_and_not_done(project: Project) -> None:
    """Whoever only wanted to look at a branch could not know which commands would do what it says.

    Here only run, and runs apply, start anything."""
    project.write('pipeline.yaml', HOSTILE)
    project.write('params.yaml', 'a: !!python/object/apply:os.system ["touch ../pwned"]\n')
    project.write('.mlops/config.yaml', 'jobs: 2\n')
    for words in (['status'], ['plan'], ['checkout'], ['graph'], ['explain', 's'], ['verify'], ['doctor'], ['runs', 'list'],
                  ['metrics', 'show'], ['lineage', 'upstream', 'out'], ['config', 'list'], ['add', 'params.yaml']):  # fmt: skip
        assert 'Traceback' not in project.mlops(*words, code=None).err
    assert not (project.path.parent / 'pwned').exists()


@pytest.mark.parametrize(
    'text', ['a: !!python/object/apply:os.system ["touch ../pwned"]', 'a: !!python/name:os.system', '!!x a']
)
def test_dvc_4134_yaml_makes_no_objects(project: Project, text: str) -> None:
    """A library was asked to load YAML with all that it can build: a file could run code.

    Here tags are refused, with the line that they stand in."""
    for file in ('params.yaml', 'pipeline.yaml', '.mlops/config.yaml'):
        project.write('pipeline.yaml', 'stages:\n  s: {cmd: "echo ${a}", outs: [out]}\n')
        project.write('params.yaml', 'a: 1\n')
        project.write('.mlops/config.yaml', 'jobs: 2\n')
        project.write(file, f'# one line\n{text}\n')
        done = project.mlops('run', code=2)
        assert f'{file}:2' in done.err and not (project.path.parent / 'pwned').exists()


def test_dvc_10655_nothing_of_gits_is_ever_moved(project: Project) -> None:
    """No command stashes, resets, cleans or switches: the index and the branches of git are as they were."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'in')
    project.commit('one')
    project.write('in.txt', 'staged')
    project.git('add', 'in.txt')
    project.write('in.txt', 'edited')
    index, heads = (project.path / '.git/index').read_bytes(), project.git('for-each-ref')
    for words in (['run'], ['checkout'], ['run', '--set', 'k=1'], ['checkout', '--at', 'HEAD', '--force']):
        project.mlops(*words, code=None)
    assert (project.path / '.git/index').read_bytes() == index and project.git('for-each-ref') == heads
    assert project.read('in.txt') == 'edited' and os.listdir(project.path / '.git').count('ORIG_HEAD') == 0
