"""A few of the errors of F2, and that what judges them sees what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import whole
from tests.faults.base import Bad, Setting, Trial
from tests.faults.little import SOURCES, computed, write
from tests.faults.rows import f02_errors
from tests.faults.tools import Done, mlops

FAST = Setting(mlops(), Path('/nowhere'), Path('/nowhere'), False)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(mlops(), tmp_path, tmp_path, False)


@pytest.mark.parametrize('case', f02_errors.cases(FAST))
def test_an_error_at_a_change_loses_nothing_and_is_over_with_its_cause(case: str, setting: Setting) -> None:
    verdict = f02_errors.run(setting, case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried


@pytest.mark.skipif(bool(f02_errors.no_strace()), reason=f02_errors.no_strace())
@pytest.mark.parametrize('case', ['add pread64 EIO'])
def test_an_error_of_a_system_call_that_is_nobodys_change(case: str, setting: Setting) -> None:
    verdict = f02_errors.run(setting, case)
    assert verdict.bad == {}, verdict.notes
    assert verdict.tried


# That the judge can see


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> f02_errors.World:
    """A project in which nothing is wrong; the command that is tried changes nothing."""
    folder = tmp_path_factory.mktemp('judged')
    setting = Setting(mlops(), folder, folder, False)
    computed('mlops', folder / 'world', setting.tool.do)
    (folder / 'world/.mlops/local/journal').mkdir(exist_ok=True)
    return f02_errors.World(setting, f02_errors.scenario('verify'), folder / 'world', whole.read(folder / 'world'), idle)


def idle(folder: Path, *words: str, code: int | None = None) -> Done:
    return Done(words, 0, '', '', 0.0)


def judged(
    world: f02_errors.World, harm: Callable[[Path], object], done: Done | None = None, paths: tuple[str, ...] = ()
) -> dict[str, int]:
    trial = Trial()
    with world.copy() as folder:
        harm(folder)
        f02_errors.judge(world, trial, folder, done or idle(folder), 'on purpose', 'EIO', paths)
    return dict(trial.verdict().bad)


def an_object(folder: Path) -> Path:
    return next(path for path in sorted((folder / '.mlops/cache/objects-v1').rglob('*')) if path.is_file())


def flip(folder: Path) -> None:
    path = an_object(folder)
    path.chmod(0o600)
    path.write_bytes(b'?' + path.read_bytes()[1:])


def a_leaf(folder: Path) -> Path:
    objects = (path for path in (folder / '.mlops/cache/objects-v1').rglob('*') if path.is_file())
    return next(path for path in objects if b'picture' in path.read_bytes())


HARM: dict[str, tuple[Callable[[Path], object], Bad]] = {
    'a file of the user that is gone': (lambda folder: (folder / 'notes.txt').unlink(), Bad.LOST),
    'a file of the user that was changed': (lambda folder: write(folder, SOURCES[1], 'x'), Bad.LOST),
    'an output that is not there after success': (lambda folder: (folder / 'model.bin').unlink(), Bad.WRONG),
    'a bit that flipped under a final name': (flip, Bad.CORRUPT),
    'an object cut off': (lambda folder: an_object(folder).unlink() or write(folder, str(an_object(folder)), ''), Bad.CORRUPT),
    'a folder without one of its files': (lambda folder: a_leaf(folder).unlink(), Bad.CORRUPT),
    'a temporary': (lambda folder: write(folder, '.mlops/cache/tmp/0123abcd-77-3e8-1', 'x'), Bad.LEAKED),
    'a temporary beside a file': (lambda folder: write(folder, '.mlops-tmp-0123abcd-77-3e8-1', 'x'), Bad.LEAKED),
    'a journal': (lambda folder: write(folder, '.mlops/local/journal/x.jsonl', '{}'), Bad.LEAKED),
    'a crash log': (lambda folder: write(folder, '.mlops/local/crashes/mlops-crash-1.log', ''), Bad.LEAKED),
}


def test_the_judge_finds_nothing_where_nothing_is(world: f02_errors.World) -> None:
    assert judged(world, lambda _: None) == {}


@pytest.mark.parametrize('what', HARM)
def test_the_judge_sees(what: str, world: f02_errors.World) -> None:
    harm, kind = HARM[what]
    assert kind.value in judged(world, harm)


@pytest.mark.parametrize(
    ('err', 'code', 'problem'),
    [
        ('error: cannot go on: /a/b: Input/output error\n  hint: look at dmesg', 6, None),
        ('error: cannot go on: /a/b: Input/output error', 6, 'no word of what next'),
        ('error: Input/output error\n  hint: look at dmesg', 6, 'no path'),
        ('', 6, 'no message'),
        ('Traceback (most recent call last):\n/a/b', 1, 'a crash'),
        ('error: this is a bug of mlops: /a/b\n  hint: report it', 70, 'a crash'),
        ('', -11, 'a crash'),
    ],
)
def test_the_judge_reads_messages(err: str, code: int, problem: str | None, world: f02_errors.World) -> None:
    found = judged(world, lambda _: None, Done((), code, '', err, 0.0), ('/a/b',))
    assert found == ({} if problem is None else {'wrong': found['wrong']})
    assert problem is None or problem in f02_errors.unsaid(Done((), code, '', err, 0.0), Path('/a'), ['/a/b'])


def test_a_signal_that_comes_through_counts_whatever_is_said(world: f02_errors.World) -> None:
    trial = Trial()
    with world.copy() as folder:
        done = Done((), 6, '', 'error: cannot go on: /a/b: Interrupted system call\n  hint: again', 0.0)
        f02_errors.judge(world, trial, folder, done, 'on purpose', 'EINTR', ['/a/b'])
    assert trial.verdict().bad == {'wrong': 1}


@pytest.mark.parametrize(('code', 'seconds'), [(6, 0.0), (0, 9.0)])
def test_a_command_after_it_that_fails_or_is_slow_counts(code: int, seconds: float, world: f02_errors.World) -> None:
    ends = [Done((), 0, '', '', 0.0), Done((), code, '', '', seconds)]  # how it ends after it, and on a world where nothing was
    other = f02_errors.World(world.setting, world.what, world.original, world.before, lambda *_, **__: ends.pop())
    trial = Trial()
    with world.copy() as folder:
        f02_errors.judge(other, trial, folder, idle(folder), 'on purpose', 'EIO', [])
    assert trial.verdict().bad == {'stuck': 1}


def test_on_a_busy_machine_slow_is_what_is_slower_than_it_is_just_now(world: f02_errors.World) -> None:
    ends = [Done((), 0, '', '', 8.0), Done((), 0, '', '', 9.0)]
    other = f02_errors.World(world.setting, world.what, world.original, world.before, lambda *_, **__: ends.pop())
    trial = Trial()
    with world.copy() as folder:
        f02_errors.judge(other, trial, folder, idle(folder), 'on purpose', 'EIO', [])
    assert trial.verdict().bad == {} and trial.verdict().heal == 1.0


def test_a_case_that_ends_with_no_verdict_is_no_verdict(setting: Setting) -> None:
    with pytest.raises(RuntimeError, match='KeyError'):
        f02_errors.run(setting, 'no such case')


def test_a_fault_is_told_with_its_path_and_comes_when_it_is_meant_to(tmp_path: Path) -> None:
    """In a process of its own: what a command does is forked from one that has no threads."""
    text = f"""
import errno, json, os
from pathlib import Path
from tests.faults import warm
from tests.faults.tools import mlops
warm.load()
folder = Path({str(tmp_path)!r}) / 'p'
folder.mkdir()
(folder / 'pipeline.yaml').write_text('stages:\\n  a: {{cmd: echo 1 > a.txt, outs: [a.txt]}}\\n')
with warm.Notes() as notes:
    done = warm.do(mlops(), folder, 'run', hook=warm.Fault(3, errno.EDQUOT, False, notes.fd))
    print(json.dumps([done.code, done.err, notes.lines()]))
"""
    done = subprocess.run(
        [sys.executable, '-c', text], capture_output=True, text=True, check=True, env=mlops().environment(tmp_path)
    )
    code, err, lines = json.loads(done.stdout)
    assert code == 6 and len(lines) == 1 and lines[0][1].startswith(str(tmp_path / 'p'))
    assert 'quota' in err.lower()


@pytest.mark.parametrize(
    ('line', 'paths'),
    [
        ('openat(3</a>, "b/c", O_RDONLY) = -1 EIO (INJECTED)', ['/a/b/c']),
        ('openat(AT_FDCWD</a>, "/d", O_RDONLY) = -1 EIO (INJECTED)', ['/d']),
        ('write(4</a/x>, "some/text"..., 9) = -1 EIO (INJECTED)', ['/a/x']),
        ('rename("/a", "/b") = -1 EIO (INJECTED)', ['/a', '/b']),
    ],
)
def test_paths_are_read_from_what_strace_says(line: str, paths: list[str]) -> None:
    assert list(f02_errors.paths_in(line)) == paths
