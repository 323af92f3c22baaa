"""What goes out of a host's folder, and what stays: decided by what lies there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job import clearing, environments
from mlops_cli.job.clearing import Clearing, Item

NAME = '0' * 32
OLD = time.time() - 30 * 86400
GRACE = 14 * 86400.0


def put(path: Path, old: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('x' * 5000)
    for one in (path, *path.parents):
        if old and 'far' in one.parts:
            os.utime(one, (OLD, OLD))


def look(far: Path, grace: float = GRACE, alone: bool = True) -> tuple[Clearing, list[Item]]:
    with Root(str(far)) as root:
        found = Clearing(root, grace, alone)
        return found, found.look()


def gone(far: Path, grace: float = GRACE, alone: bool = True) -> set[str]:
    with Root(str(far)) as root:
        found = Clearing(root, grace, alone)
        return {item.path for item in found.carry_out(found.look())}


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / 'far'


@pytest.mark.parametrize('other', ['results-v1/a/1.json', 'gc-v1/roots-1.json', 'roots/projects/1'])
def test_contents_of_a_remote_or_cache_stay(far: Path, other: str) -> None:
    put(far / 'objects-v1/ab/one')
    put(far / 'packs-v1/x.pack')
    assert gone(far.parent / 'far') == {'objects-v1', 'packs-v1'}
    put(far / 'objects-v1/ab/one')
    put(far / other)
    found, items = look(far)
    assert items == [] and found.is_remote


def test_young_contents_stay_however_many_files_there_are_before_them(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        put(far / f'jobs-v1/{NAME}/project/{number}')
    put(far / f'jobs-v1/{NAME}/outcome.json')
    for number in range(20):
        put(far / f'objects-v1/ab/{number}')
    put(far / 'objects-v1/cd/new', old=False)
    os.utime(far / 'objects-v1', (OLD, OLD))
    monkeypatch.setattr(clearing, 'FILES_MOST', 10)
    assert [item.kind for item in look(far)[1]] == ['job']
    os.unlink(far / 'objects-v1/cd/new')
    os.utime(far / 'objects-v1/cd', (OLD, OLD))
    assert [item.kind for item in look(far)[1]] == ['job', 'contents']
    monkeypatch.setattr(clearing, 'LOOKED_AT_MOST', 10)
    assert [item.kind for item in look(far)[1]] == ['job']


@pytest.mark.skipif(os.geteuid() == 0, reason='root reads everything')
def test_what_cannot_be_looked_at_is_not_old(far: Path) -> None:
    put(far / 'objects-v1/ab/one')
    os.chmod(far / 'objects-v1/ab', 0)
    assert look(far)[1] == []
    os.chmod(far / 'objects-v1/ab', 0o700)


def test_what_is_left_of_an_environment_that_was_not_made_goes(far: Path) -> None:
    for suffix in ('.lock', '.log', '.failed', '.src/requirements.txt'):
        put(far / f'environments-v1/{NAME}{suffix}')
    put(far / f'environments-v1/{"1" * 32}.failed', old=False)
    assert gone(far, alone=False) == {f'environments-v1/{NAME}'}
    assert sorted(os.listdir(far / 'environments-v1')) == [f'{NAME}.lock', f'{"1" * 32}.failed']
    assert look(far, alone=False)[1] == []  # somebody may wait for the lock
    assert gone(far) == {f'environments-v1/{NAME}'}
    assert os.listdir(far / 'environments-v1') == [f'{"1" * 32}.failed']


def test_packages_stay_while_an_environment_is_made_of_them(far: Path) -> None:
    put(far / f'wheels-v1/{NAME}/requirements.txt')
    put(far / f'environments-v1/{NAME}{environments.LOCKED}')
    fd = os.open(far / f'environments-v1/{NAME}.lock', os.O_RDWR)
    try:
        assert try_lock(fd, exclusive=True)
        assert gone(far, grace=0.0) == set()
    finally:
        os.close(fd)
    assert gone(far, grace=0.0) == {f'wheels-v1/{NAME}', f'environments-v1/{NAME}'}


def test_a_job_that_is_just_handed_in_stays_though_nothing_is_spared(far: Path) -> None:
    put(far / f'jobs-v1/{NAME}/spec.json', old=False)
    put(far / f'jobs-v1/{"1" * 32}/outcome.json', old=False)
    assert gone(far, grace=0.0) == {f'jobs-v1/{"1" * 32}'}
