"""The processes that read many small files: what they are sent, pipes that hold little, few descriptors."""
from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.states import record_ref
from mlops_cli.fsio.paths import Root
from mlops_cli.store import bulk, crew, staging
from mlops_cli.store.crew import Crew
from mlops_cli.store.local import LocalStore
from mlops_cli.store.staging import Stage, Writer

NO_LIMITS = (-1, 0, 0)
A_PAGE = 4096


def fill(folder: Path, names: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with open(bytes(folder) + b'/' + name, 'wb') as file:
            file.write(b'content of ' + name)


def test_a_process_opens_the_file_that_was_meant_whatever_encoding_we_have(
        root: Root, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder / 'd\udcfc', [b'\xfc', b'\xc3\xbc', b'plain'])
    in_latin_1 = ['\xfc', '\xc3\xbc', 'plain']  # how those names look to a command whose file system is in Latin-1
    monkeypatch.setattr(os, 'fsencode', lambda text: text.encode('latin-1', 'surrogateescape'))
    with Crew(root, [('d\xfc', in_latin_1)], NO_LIMITS) as hands:
        records = hands.records('d\xfc')
        hands.finish()
    found = {name: record_ref(record).digest for name, record in records.items()}
    assert found == {name: digest_of(b'content of ' + name.encode('latin-1')) for name in in_latin_1}


@pytest.mark.parametrize('name', [b'n%04d', b'long' * 60 + b'%04d'])
def test_pipes_may_hold_a_page(root: Root, folder: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do for a user who has many."""
    names = [name % number for number in range(2000)]
    fill(folder / 'd', names)
    started: list[Any] = []
    real = crew._start

    def start(*arguments: Any) -> Any:
        process = real(*arguments)
        for pipe in (process.stdin, process.stdout):
            assert fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, A_PAGE) == A_PAGE
        started.append(process)
        return process

    monkeypatch.setattr(crew, '_start', start)
    monkeypatch.setattr(crew, 'processors', lambda: 2)
    too_long = threading.Timer(200, lambda: [process.kill() for process in started])  # then CrewLost is raised
    too_long.start()
    try:
        work = [('d', [part.decode() for part in names]), *((f'none{number}', ['f']) for number in range(9))]
        with Crew(root, work, NO_LIMITS) as hands:
            assert len(hands.records('d')) == len(names)
            assert not hands.records('none8')
            hands.finish()
    finally:
        too_long.cancel()


SCRIPT = """
import os, resource, sys
from mlops_cli.fsio import filesystem
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.local import LocalStore

limit, kind = int(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
filesystem.probe = lambda _: filesystem.FileSystem(kind, ordered=False, network=False)
with Root('project') as root, Batch('batch') as batch:
    store = LocalStore('cache', batch=batch)
    for turn in 'once', 'changed':
        for number in range(3000):
            with open(f'project/out/{number}', 'w') as file:
                file.write(f'{turn} {number}')
        added = store.add_path(root, 'out')
        assert len(added.records['out']) == 3000, 'read in the ordinary way'
        assert not store.missing([added.ref], sure=True)
    assert len(os.listdir('/dev/fd')) < 24
    store.close()
"""


@pytest.mark.parametrize(('limit', 'kind'), [(256, 'ext4'), (256, 'unheard of'), (64, 'unheard of')])
def test_few_descriptors_are_enough(tmp_path: Path, folder: Path, limit: int, kind: str) -> None:
    (folder / 'out').mkdir()
    done = subprocess.run([sys.executable, '-c', SCRIPT, str(limit), kind], cwd=tmp_path, timeout=250, check=False,
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_writer_lets_go_of_folders(store: LocalStore) -> None:
    with Stage(store) as stage:
        writer = Writer(stage.fd, store.root.fd, most_open=8)
        before = len(os.listdir('/dev/fd'))
        for number in range(600):
            data = str(number % 300).encode()
            assert writer.put(digest_of(data).hex, data)
            assert len(os.listdir('/dev/fd')) <= before + 8
        writer.close()
        assert len(os.listdir('/dev/fd')) == before
        assert sum(len(os.listdir(f'{store.cache}/{stage._path}/{shard}')) for shard in os.listdir(stage.fd)) == 300


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize('method', ['__init__', 'settle'])
@pytest.mark.parametrize('number', [errno.EMFILE, errno.ENFILE])
def test_without_descriptors_all_is_done_in_the_ordinary_way(
        store: LocalStore, root: Root, folder: Path, method: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, 'ENOUGH', 5)
    fill(folder / 'out', [b'f%d' % count for count in range(9)])
    with monkeypatch.context() as patched:
        patched.setattr(staging.Stage, method, failing(number))
        added = store.add_path(root, 'out')
    assert not added.records and len(added.files) == 9
    assert not store.missing([added.ref], sure=True)


def test_after_something_got_its_place_there_is_no_other_way(store: LocalStore, root: Root, folder: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, 'ENOUGH', 5)
    fill(folder / 'out', [b'f%d' % count for count in range(9)])
    monkeypatch.setattr(staging.Stage, 'place', failing(errno.EMFILE))
    with pytest.raises(OSError, match='Too many open files'):
        store.add_path(root, 'out')
