"""Large files are hashed by another process; whatever happens to it, the digest is that of the bytes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.fsio import filesystem
from mlops_cli.store import mapped, shelf
from mlops_cli.store.mapped import hash_mapped
from mlops_cli.store.shelf import hash_rest


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mapped, 'MAPPED', 1 << 20)
    monkeypatch.setattr(shelf, 'MAPPED', 1 << 20)
    path = tmp_path / 'a file [1].bin'
    path.write_bytes(random.Random(1).randbytes((5 << 20) + 17))
    return path


def test_the_digest_is_the_same(large: Path) -> None:
    with large.open('rb') as file:
        expected = digest_of(file.read())
        file.seek(0)
        assert hash_mapped(file.fileno(), large.stat().st_size) == (expected, large.stat().st_size)
        assert hash_rest(file.fileno(), large.stat().st_size) == (expected, large.stat().st_size)


def test_the_bytes_count_not_the_name(large: Path) -> None:
    with large.open('rb') as file:
        expected = digest_of(file.read())
        large.rename(large.with_name('elsewhere'))
        large.write_bytes(b'another')
        assert hash_mapped(file.fileno(), 5 << 20) == (expected, (5 << 20) + 17)


def test_from_the_middle_the_rest_is_read(large: Path) -> None:
    with open(os.open(large, os.O_RDONLY), 'rb', buffering=0) as file:
        file.seek(100)
        assert hash_rest(file.fileno(), 5 << 20) == (digest_of(large.read_bytes()[100:]), (5 << 20) + 17 - 100)


def test_where_the_other_process_dies_the_file_is_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does where somebody cuts the file short."""
    monkeypatch.setattr(mapped, '_CODE', 'import os, signal; os.kill(os.getpid(), signal.SIGBUS)')
    with large.open('rb') as file:
        assert hash_mapped(file.fileno(), 5 << 20) is None
        assert hash_rest(file.fileno(), 5 << 20)[0] == digest_of(large.read_bytes())
    monkeypatch.setattr(sys, 'executable', '/nowhere/python')
    with large.open('rb') as file:
        assert hash_rest(file.fileno(), 5 << 20)[0] == digest_of(large.read_bytes())


def test_a_map_that_is_cut_short_kills_only_the_one_that_reads_it(large: Path) -> None:
    """Why it is another process: the very program, on a file that shrinks once it is mapped."""
    mapping = 'import mmap; seen = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n'
    cutting = 'os.truncate(os.readlink(f"/proc/self/fd/{fd}"), 10); seen[-1]\n'
    cut = mapped._CODE.replace('print(', f'{mapping}{cutting}print(')
    assert cut != mapped._CODE
    with large.open('rb') as file:
        done = subprocess.run(
            [sys.executable, '-c', cut, str(file.fileno()), *sys.path],
            pass_fds=(file.fileno(),),
            capture_output=True,
            check=False,
        )
    assert done.returncode < 0 and not done.stdout


def test_small_files_and_those_on_a_network_are_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with large.open('rb') as file:
        assert hash_mapped(file.fileno(), 1000) is None
        monkeypatch.setattr(filesystem, 'probe', lambda fd: filesystem.FileSystem('nfs', False, True))
        assert hash_mapped(file.fileno(), 5 << 20) is None


def test_an_answer_that_is_not_whole_is_none() -> None:
    """Who hashes may die while it says so."""
    said = f'{digest_of(b"")} 1234 1234\n'.encode()
    assert mapped._parsed(said) == (digest_of(b''), 1234)
    assert not any(mapped._parsed(said[:length]) for length in range(len(said)))
    assert not mapped._parsed(said.replace(b' 1234\n', b' 1235\n'))


# Begun before it is asked for: in a program of its own, since a fork needs a process without threads

BEGUN = """\
import os, signal, sys
from pathlib import Path
from mlops_cli.store import mapped
mapped.MAPPED, mapped._REST_NS = 1 << 20, -1 << 40
path = Path(sys.argv[1])

def begin():
    with path.open('rb') as file:
        return mapped.begin(file.fileno())

def hashed():
    with path.open('rb') as file:
        return mapped.hash_mapped(file.fileno(), 5 << 20)

def expected():
    from blake3 import blake3
    data = path.read_bytes()
    return mapped.Digest(blake3(data).hexdigest()), len(data)

assert begin() and mapped._ahead
process = mapped._ahead[1]
"""
SAME = 'assert hashed() == expected() and not mapped._ahead'
AFTERWARDS = {
    'waits for it': f'import subprocess; subprocess.run = None; {SAME}',
    'one at a time': f'assert not begin(); {SAME}',
    'other bytes': "file = path.open('r+b'); file.write(b'changed'); file.close(); assert hashed() == expected()",
    'other times': 'os.utime(path, ns=(0, 0)); assert hashed() == expected()',
    'another file': 'data = path.read_bytes(); path.unlink(); path.write_bytes(data[::-1]); assert hashed() == expected()',
    'killed': f'os.kill(process, signal.SIGKILL); {SAME}',
    'given up': """\
mapped.abandon()
mapped.abandon()
try:
    os.kill(process, 0)
except ProcessLookupError:
    print('ended')
else:
    raise SystemExit('it still runs')
""",
    'with threads': """\
mapped.abandon()
from mlops_cli.core.digest import digest_of_file
digest_of_file(str(path), threads=-1)
assert not begin() or len(os.sched_getaffinity(0)) == 1
""",
}


@pytest.mark.parametrize('afterwards', AFTERWARDS.values(), ids=AFTERWARDS)
def test_what_was_begun_makes_no_difference(large: Path, afterwards: str) -> None:
    program = f'{BEGUN}{afterwards}\nmapped.abandon()\n'
    words = [sys.executable, '-c', program, str(large)]
    done = subprocess.run(words, stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=250)
    assert done.returncode == 0, done.stdout


def begin(path: Path) -> bool:
    with path.open('rb') as file:
        return mapped.begin(file.fileno())


def test_nothing_is_begun_where_a_change_might_not_show(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'fork', lambda: pytest.fail('it was begun'))
    monkeypatch.setattr(mapped, '_alone', lambda: True)
    os.utime(large, ns=(0, time.time_ns() + 600 * 10**9))
    assert not begin(large)  # written just now, by its clock
    monkeypatch.setattr(mapped, '_REST_NS', -1 << 40)
    (large.parent / 'small').write_bytes(b'small')
    assert not begin(large.parent / 'small')
    monkeypatch.setattr(mapped, '_alone', lambda: False)
    assert not begin(large)
    monkeypatch.setattr(mapped, '_alone', lambda: True)
    monkeypatch.setattr(filesystem, 'probe', lambda _: filesystem.FileSystem('nfs', ordered=False, network=True))
    assert not begin(large)
