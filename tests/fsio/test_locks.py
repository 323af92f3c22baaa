"""Locks between real processes: nobody in twice, nobody kept out by the dead."""
from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import locks, ops, patience
from mlops_cli.fsio.holders import SLOT_SIZE, SLOTS
from mlops_cli.fsio.locks import LockFile, LockTimeout, byte_of
from mlops_cli.fsio.paths import Root

HOLD = """
import sys, time
from mlops_cli.fsio.locks import LockFile
path, mode, *names = sys.argv[1:]
locks = LockFile(path, command='mlops run train')
for name in names:
    locks.acquire(name, mode, timeout=60)
print('held', flush=True)
time.sleep(60)
"""

Start = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / 'locks-v1')


@pytest.fixture
def start() -> Iterator[Start]:
    """A Python program as a process; it has printed its first line when the call returns."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, '-c', program, *arguments], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == 'held\n'
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def test_exclusive_excludes_and_shared_shares_between_processes(path: str, start: Start) -> None:
    start(HOLD, path, 'exclusive', 'alone')
    start(HOLD, path, 'shared', 'together')
    with LockFile(path) as mine:
        assert not mine.try_exclusive('alone')
        assert not mine.try_shared('alone')
        assert mine.try_shared('together')
        mine.release('together')
        assert not mine.try_exclusive('together')
        assert mine.try_exclusive('other')
        assert (mine.is_taken('alone'), mine.is_taken('together'), mine.is_taken('free')) == (True, True, False)


def test_a_killed_holder_holds_nothing(path: str, start: Start) -> None:
    process = start(HOLD, path, 'exclusive', 'a', 'b')
    with LockFile(path) as mine:
        assert not mine.try_exclusive('a')
        process.kill()
        process.wait()
        mine.acquire('a', timeout=0)
        mine.acquire('b', timeout=0)


def test_a_stopped_holder_still_holds(path: str, start: Start) -> None:
    process = start(HOLD, path, 'exclusive', 'a')
    process.send_signal(signal.SIGSTOP)
    with LockFile(path) as mine:
        assert not mine.try_exclusive('a')
    process.send_signal(signal.SIGCONT)


def test_timeout_names_the_holder(path: str, start: Start) -> None:
    process = start(HOLD, path, 'exclusive', 'stage/train')
    with LockFile(path) as mine:
        before = time.monotonic()
        with pytest.raises(LockTimeout) as caught:
            mine.acquire('stage/train', 'shared', timeout=0.15)
        assert 0.15 <= time.monotonic() - before < 60
        assert caught.value.exit_code == ExitCode.LOCK_TIMEOUT
        assert isinstance(caught.value, UserError)
        assert f'process {process.pid} on ' in caught.value.message
        assert "(mlops run train) since 20" in caught.value.message
        assert "'stage/train'" in caught.value.message
        with pytest.raises(LockTimeout):
            mine.acquire('stage/train', timeout=0)


def test_waiting_tells_after_a_second_and_then_each_minute(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0, 0.5)  # as long as each look takes
    monkeypatch.setattr(locks, '_LONGEST', 0.001)
    monkeypatch.setattr(locks, 'time', SimpleNamespace(monotonic=lambda: next(clock)))
    told: list[tuple[Any, float]] = []
    with LockFile(path, command='mlops gc') as one, LockFile(path) as two:
        one.acquire('store')
        with pytest.raises(LockTimeout):
            two.acquire('store', 'shared', timeout=150, on_wait=lambda holder, waited: told.append((holder, waited)))
    assert told[0][0]['command'] == 'mlops gc'
    assert told[0][0]['pid'] == os.getpid()
    assert [waited for _, waited in told] == [1.0, 61.0, 121.0]


def test_one_process_counts_shared_and_excludes_exclusive(path: str) -> None:
    with LockFile(path) as one, LockFile(path) as other:
        assert one.try_shared('x')
        assert one.try_shared('x')
        assert not one.try_exclusive('x')
        assert one.held('x') == 'shared'
        one.release('x')
        assert not other.try_exclusive('x')
        one.release('x')
        assert other.try_exclusive('x')
        assert not one.try_shared('x')
        other.release('x')
        assert one.try_exclusive('x')
        assert one.held('x') == 'exclusive'
        assert not one.try_exclusive('x')
        assert not one.try_shared('x')
        one.release('x')
        assert one.held('x') is None
        with pytest.raises(ValueError):
            one.release('x')


def test_a_thread_that_waits_is_woken_by_a_release_in_its_process(path: str) -> None:
    with LockFile(path) as mine:
        mine.acquire('x')
        got = threading.Event()

        def wait() -> None:
            with mine.holding('x', timeout=60):
                got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.05)
        mine.release('x')
        assert got.wait(60)
        thread.join()
        assert mine.held('x') is None


COUNT = """
import os, sys
from mlops_cli.fsio.locks import LockFile
path, counter, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
print('held', flush=True)
sys.stdin.readline()
locks = LockFile(path)
file = os.open(counter, os.O_RDWR)
for _ in range(times):
    with locks.holding('counter'):
        number = int(os.pread(file, 8, 0))
        os.pwrite(file, b'%08d' % (number + 1), 0)
"""


def test_eight_processes_lose_no_increment(path: str, tmp_path: Path, start: Start) -> None:
    counter = tmp_path / 'counter'
    counter.write_text('00000000')
    processes = [start(COUNT, path, str(counter), '2000') for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write('go\n')
        process.stdin.flush()
    for process in processes:
        assert process.wait(250) == 0
    assert counter.read_text() == '00016000'


FORK = """
import os, sys, time
from mlops_cli.fsio.locks import LockFile
locks = LockFile(sys.argv[1])
locks.acquire('x')
if os.fork() == 0:
    assert locks.held('x') is None
    assert not locks.try_exclusive('x')   # the parent has it
    assert locks.try_exclusive('y')
    print('held', flush=True)
    time.sleep(60)
os.wait()
"""


def test_a_forked_child_does_not_keep_its_parents_locks(path: str, start: Start) -> None:
    process = start(FORK, path)
    with LockFile(path) as mine:
        assert not mine.try_exclusive('x')
        holder = mine.holder('y')
        assert holder is not None and holder['pid'] != process.pid
        process.kill()
        process.wait()
        mine.acquire('x', timeout=60)
        assert not mine.try_exclusive('y')
        os.kill(holder['pid'], signal.SIGKILL)
        mine.acquire('y', timeout=60)


def test_a_started_program_does_not_keep_them(path: str) -> None:
    with LockFile(path) as mine:
        mine.acquire('x')
        child = subprocess.Popen(['sleep', '60'], close_fds=False)
    try:
        with LockFile(path) as other:
            assert other.try_exclusive('x')
    finally:
        child.kill()
        child.wait()


def test_the_file_is_permanent_private_and_never_emptied(path: str) -> None:
    Path(path).write_text('kept')
    with LockFile(path) as mine:
        mine.acquire('x')
    assert Path(path).read_text() == 'kept'
    os.unlink(path)
    with LockFile(path) as mine:
        mine.acquire('x')
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(f'{path}.holders').stat().st_mode & 0o777 == 0o600


def test_a_lock_file_that_is_a_link_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / 'precious').write_text('kept')
    os.symlink('precious', path)
    with pytest.raises(OSError):
        LockFile(path)
    with Root(tmp_path) as root:
        (tmp_path / 'folder').symlink_to('/tmp')
        with pytest.raises(UserError, match='symbolic link'):
            LockFile('folder/locks-v1', root=root)
        with LockFile('made/locks-v1', root=root) as mine:
            assert mine.try_exclusive('x')
    assert (tmp_path / 'precious').read_text() == 'kept'


def test_a_holder_file_that_cannot_be_written_or_read_is_no_matter(path: str) -> None:
    def fail(operation: str, _: dict[str, Any]) -> None:
        if operation == 'write':
            raise OSError(errno.ENOSPC, 'No space left on device')

    with LockFile(path) as mine, LockFile(path) as other:
        with ops.inject(fail):
            assert mine.try_exclusive('x')
        assert other.holder('x') is None
        Path(f'{path}.holders').write_bytes(b'garbage' * 100_000)
        assert other.holder('x') is None
        assert not other.try_exclusive('x')
        message = str(LockTimeout('x', 3.0, None))
        assert 'held by another process' in message


def test_the_last_words_of_the_dead_are_not_repeated(path: str, start: Start) -> None:
    first = start(HOLD, path, 'shared', 'x')
    second = start(HOLD, path, 'shared', 'x')
    with LockFile(path) as mine:
        holder = mine.holder('x')
        assert holder is not None and holder['pid'] == second.pid
        second.kill()
        second.wait()
        assert mine.holder('x') is None  # the first still has it, but was overwritten
        assert mine.is_taken('x')
        first.kill()
        first.wait()
        assert not mine.is_taken('x')


def test_a_long_command_fits_a_slot(path: str) -> None:
    command = 'mlops run "ünïcode\n" ' * 100
    with LockFile(path, command=command) as mine, LockFile(path) as other:
        mine.acquire('x')
        holder = other.holder('x')
        assert holder is not None
        assert holder['command'].endswith('…') and command.startswith(holder['command'][:-1])
        assert Path(f'{path}.holders').stat().st_size <= SLOTS * SLOT_SIZE


def test_names_that_share_a_slot_do_not_share_a_lock(path: str) -> None:
    one = 'name-0'
    two = next(name for number in range(1, 100_000) if byte_of(name := f'name-{number}') % SLOTS == byte_of(one) % SLOTS)
    with LockFile(path) as mine, LockFile(path) as other:
        mine.acquire(one)
        assert other.try_exclusive(two)
        assert mine.holder(one) is None
        assert mine.holder(two) is not None


def test_the_byte_of_a_name_is_fixed() -> None:
    page = (Path(__file__).resolve().parents[2] / 'docs/formats/locks.md').read_text()
    for name, byte in (('store', 2466506152655423736), ('stage/train', 5341086982104376437)):
        assert byte_of(name) == byte
        assert f'| `{name}` | {byte} |' in page
    assert byte_of('outs/\udcff') < 1 << 63


def test_a_file_system_without_locks_has_leases(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(locks.fcntl, 'fcntl', refuse)
    with LockFile(path) as mine, LockFile(path) as other:
        assert not other.is_taken('x') and mine.try_exclusive('x') and not other.try_shared('x') and other.is_taken('x')
        with pytest.raises(LockTimeout):
            other.acquire('x', 'exclusive', timeout=0.05)
        mine.release('x')
        assert other.try_shared('x') and mine.try_shared('x')
    assert not [name for name in os.listdir(f'{path}.leases') if not name.endswith('.free')]


def test_another_error_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, 'Input/output error')

    with LockFile(path) as mine:
        monkeypatch.setattr(locks.fcntl, 'fcntl', refuse)
        with pytest.raises(OSError) as caught:
            mine.try_exclusive('x')
        monkeypatch.undo()
        assert caught.value.filename == path
        assert mine.try_exclusive('x')



def test_a_thousand_locks_at_once(path: str) -> None:
    with LockFile(path) as mine, LockFile(path) as other:
        for number in range(1000):
            assert mine.try_exclusive(f'outs/{number}')
        assert not any(other.try_shared(f'outs/{number}') for number in range(0, 1000, 50))
        for number in range(0, 1000, 2):
            mine.release(f'outs/{number}')
        assert other.try_exclusive('outs/500')
        assert not other.try_exclusive('outs/501')


def test_no_lock_is_waited_for_longer_than_the_process_may(path: str) -> None:
    with LockFile(path) as first, LockFile(path) as second:
        first.acquire('x')
        patience.limit_waiting(0.05)
        try:
            begin = time.monotonic()
            for timeout in (None, 300.0):
                with pytest.raises(LockTimeout):
                    second.acquire('x', timeout=timeout)
            with pytest.raises(LockTimeout):
                second.acquire('x', timeout=0.0)
            assert time.monotonic() - begin < 60
        finally:
            patience.limit_waiting(None)
        first.release('x')
        second.acquire('x')
