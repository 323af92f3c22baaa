"""Temporaries tell whose they are; only the dead one's go."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.fsio import temporaries
from mlops_cli.fsio.locks import LockFile, hold_owner, owner_alive
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX, new_name, owner, owner_in, process_alive, sweep_temporaries


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as found:
        yield found


def test_names_are_new_and_tell_the_owner() -> None:
    names = [new_name(), new_name(PREFIX), new_name()]
    assert len(set(names)) == 3
    assert [owner_in(name) for name in names] == [owner()] * 3
    for other in ('x', 'x-1-2-3', f'{owner()}', f'{owner()}-x', f'other{new_name()}', f'{new_name()}.txt', '.mlops-tmp-'):
        assert owner_in(other) is None


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')  # a runner may have threads; the child ends without them
def test_a_child_is_somebody_else() -> None:
    reading, writing = os.pipe()
    mine = owner()
    if os.fork() == 0:
        os.write(writing, owner().encode())
        os._exit(0)
    os.close(writing)
    theirs = os.read(reading, 1000).decode()
    os.close(reading)
    os.wait()
    assert theirs != mine


def test_alive_dead_used_again_and_unknown() -> None:
    boot, pid, start = owner().split('-')
    child = subprocess.Popen(['sleep', '60'])
    their_start = temporaries.start_time(child.pid)
    theirs = f'{boot}-{child.pid}-{their_start:x}'
    assert process_alive(owner()) is True
    assert process_alive(theirs) is True
    child.kill()
    child.wait()
    assert process_alive(theirs) is False
    later = (temporaries.start_time(os.getppid()) or 0) + 1
    assert process_alive(f'{boot}-{os.getppid()}-{later:x}') is False
    assert process_alive(f'00000000-{pid}-{start}') is None


def test_sweep_takes_what_the_dead_left(root: Root, tmp_path: Path) -> None:
    boot = owner().split('-')[0]
    dead = f'{boot}-999999999-1f'
    for name in (f'{dead}-1', f'{PREFIX}{dead}-2'):
        (tmp_path / name).touch()
    (tmp_path / f'{dead}-3/sub').mkdir(parents=True)
    (tmp_path / f'{dead}-3/sub/file').touch()
    (tmp_path / f'{dead}-4').symlink_to('/etc')
    kept = [new_name(), f'{dead}-x', 'data.csv', f'00000000-{os.getpid()}-1-1']
    for name in kept:
        (tmp_path / name).touch()
    assert sweep_temporaries(root) == 4
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    assert sweep_temporaries(root) == 0


def test_what_cannot_be_told_goes_after_a_week(root: Root, tmp_path: Path) -> None:
    for name, age in (('00000000-1-1-1', 8), ('00000000-1-1-2', 6)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age * 86400,) * 2)
    assert sweep_temporaries(root) == 1
    assert os.listdir(tmp_path) == ['00000000-1-1-2']


OWN = """
import sys, time
from mlops_cli.fsio.locks import LockFile, hold_owner
from mlops_cli.fsio.temporaries import owner
locks = LockFile(sys.argv[1])
hold_owner(locks)
hold_owner(locks)
print(owner(), flush=True)
time.sleep(60)
"""


def test_an_owner_lock_tells_for_certain(root: Root, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, '-c', OWN, str(tmp_path / 'locks-v1')], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    theirs = process.stdout.readline().strip()
    root.makedirs('tmp')
    (tmp_path / 'tmp' / f'{theirs}-1').touch()
    (tmp_path / 'tmp' / new_name()).touch()
    with LockFile(str(tmp_path / 'locks-v1')) as locks:
        assert sweep_temporaries(root, owner_alive(locks), 'tmp') == 0
        process.kill()
        process.communicate()
        assert sweep_temporaries(root, owner_alive(locks), 'tmp') == 1
        hold_owner(locks)
        assert sweep_temporaries(root, owner_alive(locks), 'tmp') == 0


@pytest.mark.parametrize('count', [1000, pytest.param(10_000, marks=pytest.mark.full)])
def test_ten_thousand_go_in_two_seconds(root: Root, tmp_path: Path, count: int) -> None:
    boot = owner().split('-')[0]
    for number in range(count):
        os.close(os.open(tmp_path / f'{boot}-999999{number % 50:03}-1f-{number}', os.O_CREAT))
    start = time.process_time()
    assert sweep_temporaries(root) == count
    assert time.process_time() - start < 2 * count / 10_000 + 0.2
    assert os.listdir(tmp_path) == []


def test_the_first_error_is_told_after_the_rest_is_done(root: Root, tmp_path: Path) -> None:
    from mlops_cli.fsio import ops

    names = [f'{owner()}-{number}' for number in range(5)]
    for name in names:
        (tmp_path / name).touch()

    def fail(_operation: str, details: dict[str, object]) -> None:
        if str(details['path']).endswith('-3'):
            raise PermissionError(13, 'Permission denied')

    with ops.inject(fail), pytest.raises(PermissionError) as caught:
        sweep_temporaries(root, lambda _: False)
    assert caught.value.filename == str(tmp_path / names[3])
    assert os.listdir(tmp_path) == [names[3]]
