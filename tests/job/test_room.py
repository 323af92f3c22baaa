"""Processors and memory of a host are handed out: no more than there is, to who came first, until nothing of them lives."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlops_cli.fsio.paths import Root
from mlops_cli.job.desk import Lacking, Unwanted
from mlops_cli.job.room import FOLDER, Share, fits, held

GIB = 1 << 30
THERE = Share(8.0, 16 * GIB)


def there() -> Share:
    return THERE


def alone() -> None:
    """For who waits as long as it takes."""


def gives(folder: Path, share: Share) -> bool:
    """Whether it is had at once."""
    try:
        with held(Root(folder), share, lambda: b'end', there):
            return True
    except Unwanted:
        return False


@pytest.mark.parametrize(
    ('taken', 'wanted', 'fine'),
    [
        ([], Share(9), True),  # more than there is: alone
        ([Share(2)], Share(9), False),
        ([Share(9)], Share(2), False),
        ([Share(4), Share(4)], Share(1, GIB), True),  # who asks for one never waits for processors
        ([Share(4), Share(1, GIB)], Share(4), True),
        ([Share(4), Share(2)], Share(2.5), False),
        ([Share(1, 10 * GIB)], Share(1, 6 * GIB), True),
        ([Share(1, 10 * GIB)], Share(1, 6 * GIB + 1), False),
    ],
)
def test_what_fits(taken: list[Share], wanted: Share, fine: bool) -> None:
    assert fits(THERE, taken, wanted) is fine


def test_it_is_given_as_far_as_it_goes_and_comes_back(tmp_path: Path) -> None:
    with held(Root(tmp_path), Share(6, 8 * GIB), alone, there) as files:
        assert len(files) == 1 and os.path.exists(files[0])
        assert gives(tmp_path, Share(2, 8 * GIB)) and gives(tmp_path, Share(1)) and gives(tmp_path, Share(0))
        assert not gives(tmp_path, Share(2.5)) and not gives(tmp_path, Share(1, 8 * GIB + 1))
    assert gives(tmp_path, Share(8, 16 * GIB))
    too_much = held(Root(tmp_path), Share(1, 17 * GIB), alone, there)
    with pytest.raises(Lacking, match='memory are asked for, and there are 17 GB'), too_much:
        pass
    assert len(list((tmp_path / FOLDER).iterdir())) == 1  # the turn


def test_who_waits_is_next(tmp_path: Path) -> None:
    order: list[str] = []
    waits = {name: threading.Semaphore(0) for name in ('large', 'small')}

    def one(name: str, cpus: float) -> None:
        with held(Root(tmp_path), Share(cpus), waits[name].release, there):
            order.append(name)

    with ExitStack() as stack:
        stack.enter_context(held(Root(tmp_path), Share(4), alone, there))
        large = threading.Thread(target=one, args=('large', 8))
        large.start()
        assert waits['large'].acquire(timeout=60)
        small = threading.Thread(target=one, args=('small', 2))
        small.start()
        for _ in range(3):
            assert waits['small'].acquire(timeout=60)
        assert order == [], 'what would fit does not overtake'
    large.join(60)
    small.join(60)
    assert order == ['large', 'small']


HOLD = """
import sys, time
from mlops_cli.fsio.paths import Root
from mlops_cli.job.room import Share, held
with held(Root(sys.argv[1]), Share(8.0), lambda: None, lambda: Share(8.0, 1 << 34)):
    print('has', flush=True)
    time.sleep(60)
"""


def test_what_the_killed_had_is_free(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b'has\n'
    assert not gives(tmp_path, Share(2))
    process.kill()
    process.wait()
    process.stdout.close()
    (tmp_path / FOLDER / '00000000-0123').write_text('8 0')  # of another machine that has the same home
    assert gives(tmp_path, Share(8))
