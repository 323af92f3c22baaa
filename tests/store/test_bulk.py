"""Folders of many small files, which processes beside ours read and store: the same outcome as one by one, whatever happens."""
from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import RECORD_BYTES, make_record, pack, record_ref
from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.durable import Batch, Durability
from mlops_cli.fsio.paths import Root
from mlops_cli.store import bulk, crew, hand, staging
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from mlops_cli.store.shelf import SMALL
from mlops_cli.store.staging import Stage, Writer


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, 'ENOUGH', 5)
    monkeypatch.setattr(crew, '_PIECE', 4)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LocalStore]:
    """A store that adds one by one."""
    made = LocalStore(tmp_path / 'other', batch=Batch('none'))
    yield made
    made.batch.discard()
    made.close()


def write(path: Path, data: bytes | str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode('utf-8', 'surrogateescape') if isinstance(data, str) else data)
    path.chmod(mode)
    return path


def fill(folder: Path) -> None:
    for number in range(60):
        write(folder / f'out/d{number % 3}/f{number:02}', f'content {number}')
    for name in ('ünï', 'a"b', 'new\nline', '\udcff'):
        write(folder / 'out/names' / name, name)
    write(folder / 'out/d0/run', 'content 1', 0o755)
    write(folder / 'out/d0/sub/deep/f', 'content 2')
    write(folder / 'out/d1/large', bytes(SMALL + 1))
    write(folder / 'out/d1/empty', b'')
    (folder / 'out/nothing').mkdir()
    (folder / 'out/d2/link').symlink_to('../d0/run')


def in_ordinary_way(store: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch) -> Added:
    with monkeypatch.context() as patched:
        patched.setattr(bulk, 'ENOUGH', 1 << 40)
        added = store.add_path(root, 'out')
    assert not added.records
    store.batch.flush()
    return added


def objects(store: LocalStore) -> dict[str, tuple[bytes, int]]:
    found = (store.cache / 'objects-v1').rglob('*')
    return {path.parent.name + path.name: (path.read_bytes(), path.stat().st_mode & 0o7777) for path in found if path.is_file()}


def left_over(store: LocalStore) -> list[str]:
    return [name for name in os.listdir(store.cache / 'tmp') if name != 'quarantine']


@pytest.mark.parametrize('umask', [0o022, 0o077])
def test_all_is_as_if_added_one_by_one(store: LocalStore, other: LocalStore, root: Root, folder: Path, umask: int,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    before = os.umask(umask)
    try:
        added = store.add_path(root, 'out')
        store.batch.flush()
        expected = in_ordinary_way(other, root, monkeypatch)
    finally:
        os.umask(before)
    assert added.ref == expected.ref
    assert objects(store) == objects(other)
    assert [path for path, _, _ in added.files] == ['out/d1/large']
    rows = {f'{inside}/{name}': record for inside, records in added.records.items() for name, record in records.items()}
    wanted = {path: make_record(pack(facts), ref, False) for path, facts, ref in expected.files if path != 'out/d1/large'}
    assert rows == wanted
    assert not left_over(store) and not store.missing([added.ref], sure=True)
    modes = {path.stat().st_mode & 0o7777 for path in (store.cache / 'objects-v1').iterdir()}
    assert modes == {0o755 & ~umask}


def test_it_is_the_crew_that_reads(store: LocalStore, root: Root, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    opened: list[str] = []
    real = os.open

    def recorded(path: str, *args: Any, **options: Any) -> int:
        opened.append(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, 'open', recorded)
    counts: list[int] = []
    added = store.add_path(root, 'out', seen=counts.append)
    assert 'large' in opened
    assert 'f00' not in opened
    assert sum(counts) == sum(map(len, added.records.values())) == 67


def test_what_is_known_is_not_read_again(store: LocalStore, root: Root, folder: Path) -> None:
    fill(folder)
    first = store.add_path(root, 'out')
    known = {f'{inside}/{name}': record_ref(record) for inside, rows in first.records.items() for name, record in rows.items()}
    for number in range(20):
        write(folder / f'out/new/f{number}', f'new {number}')
    second = store.add_path(root, 'out', known=lambda path, _facts: known.get(path))
    assert set(second.records) == {'out/new'}
    assert len(second.records['out/new']) == 20
    assert not store.missing([second.ref])


def test_what_is_there_is_not_written_again_but_made_young(store: LocalStore, root: Root, folder: Path) -> None:
    fill(folder)
    first = store.add_path(root, 'out')
    paths = [path for path in (store.cache / 'objects-v1').rglob('*') if path.is_file()]
    inodes = {path: path.stat().st_ino for path in paths}
    old = store.cache / 'objects-v1' / (name := digest_of(b'content 7').hex)[:2] / name[2:]
    os.utime(old, (1, 1))
    write(folder / 'out/d0/another', 'another')
    again = store.add_path(root, 'out')
    assert again.ref != first.ref
    assert {path: path.stat().st_ino for path in paths} == inodes
    assert old.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize('damage', [b'CONTENT 7', b'cut'])
def test_a_damaged_object_is_healed(store: LocalStore, root: Root, folder: Path, damage: bytes) -> None:
    fill(folder)
    store.add_path(root, 'out')
    path = store.cache / 'objects-v1' / (name := digest_of(b'content 7').hex)[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(damage)
    added = store.add_path(root, 'out')
    store.batch.flush()
    assert not store.missing([added.ref], sure=True)
    assert len(os.listdir(store.cache / 'tmp/quarantine')) == 1


@pytest.mark.parametrize('code', [
    'raise SystemExit(1)',
    'import sys, marshal; marshal.load(sys.stdin.buffer); raise SystemExit(1)',
    'import sys, marshal; marshal.dump(b"short", sys.stdout.buffer)',
    'import sys, marshal; marshal.dump([1, 2], sys.stdout.buffer)',
    'import sys; sys.stdout.buffer.write(b"?" * 4000)',
    'import os, signal; os.kill(os.getpid(), signal.SIGKILL)',
    crew._CODE + '; raise SystemExit(1)',  # after all that it had to do
])
def test_when_a_process_fails_all_is_done_in_the_ordinary_way(
        store: LocalStore, other: LocalStore, root: Root, folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    monkeypatch.setattr(crew, '_CODE', code)
    added = store.add_path(root, 'out')
    store.batch.flush()
    assert not added.records
    assert added.ref == in_ordinary_way(other, root, monkeypatch).ref
    assert objects(store) == objects(other) and not left_over(store)


def test_without_processes_all_is_done_in_the_ordinary_way(store: LocalStore, root: Root, folder: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    monkeypatch.setattr('sys.executable', '/nowhere/python')
    assert not store.add_path(root, 'out').records
    store.batch.flush()
    assert not left_over(store)


def test_a_file_that_cannot_be_stored_is_refused_and_nothing_is_left(store: LocalStore, root: Root, folder: Path) -> None:
    fill(folder)
    os.mkfifo(folder / 'out/names/pipe')
    with pytest.raises(UserError, match='out/names/pipe is a named pipe'):
        store.add_path(root, 'out')
    store.batch.discard()
    assert not left_over(store)


def test_a_folder_that_changed_after_it_was_surveyed_is_read_again(store: LocalStore, root: Root, folder: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    real = crew.Crew.records

    def late(self: crew.Crew, inside: str) -> crew.Records:
        found = real(self, inside)
        if inside == 'out/d2':
            write(folder / 'out/d2/f00', 'late')
        return found

    monkeypatch.setattr(crew.Crew, 'records', late)
    added = store.add_path(root, 'out')
    store.batch.flush()
    assert 'out/d2' not in added.records and 'out/d1' in added.records
    assert digest_of(b'late') in {ref.digest for _, _, ref in added.files}
    assert not store.missing([added.ref])


# What one process does

@pytest.fixture
def writer(store: LocalStore) -> Iterator[tuple[Writer, Stage]]:
    with Stage(store) as stage:
        made = Writer(stage.fd, store.root.fd)
        yield made, stage
        made.close()


def test_what_it_cannot_do_it_leaves(root: Root, folder: Path, writer: tuple[Writer, Stage]) -> None:
    write(folder / 'd/f', 'x')
    os.mkfifo(folder / 'd/pipe')
    (folder / 'd/link').symlink_to('f')
    (folder / 'd/folder').mkdir()
    write(folder / 'd/large', bytes(SMALL + 1))
    (folder / 'linked').symlink_to('d')
    names = [b'f', b'pipe', b'link', b'folder', b'large', b'gone']
    answer = hand.read_all(root, b'd', names, writer[0], (-1, 0, 0))
    records = [answer[start:start + RECORD_BYTES] for start in range(0, len(answer), RECORD_BYTES)]
    assert record_ref(records[0]) == ObjectRef(digest_of(b'x'), 1, 'file')
    assert records[1:] == [hand.LEFT] * 5
    for inside in (b'linked', b'nowhere', b'../d'):
        assert hand.read_all(root, inside, [b'f'], writer[0], (-1, 0, 0)) == hand.LEFT


def test_a_file_that_changes_while_it_is_read_is_left(root: Root, folder: Path, writer: tuple[Writer, Stage],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / 'd/f', 'content')
    real = os.read

    def read(fd: int, size: int) -> bytes:
        data = real(fd, size)
        os.utime(path, ns=(0, 7))
        return data

    monkeypatch.setattr(os, 'read', read)
    assert hand.read_all(root, b'd', [b'f'], writer[0], (-1, 0, 0)) == hand.LEFT
    assert not os.listdir(writer[1].fd)


def test_settled_is_what_was_touched_before_the_limit(root: Root, folder: Path) -> None:
    facts = write(folder / 'd/f', 'content').stat()
    late = max(facts.st_mtime_ns, facts.st_ctime_ns)
    ref = ObjectRef(digest_of(b'content'), 7, 'file')
    for limits, settled in (((facts.st_dev, late + 1, 0), True), ((facts.st_dev, late, late + 1), False),
                            ((-1, late + 1, 0), False), ((-1, 0, late + 1), True)):
        assert hand.read_all(root, b'd', [b'f'], None, limits) == make_record(pack(facts), ref, settled)


def counted(counts: dict[str, int], name: str) -> Any:
    real = getattr(os, name)

    def counting(*args: Any, **options: Any) -> Any:
        counts[name] += 1
        return real(*args, **options)

    return counting


def test_a_file_takes_few_calls_of_the_system(root: Root, folder: Path, writer: tuple[Writer, Stage],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    names = [b'f%d' % number for number in range(50)]
    for name in names:
        write(folder / 'd' / name.decode(), name)
    counts = dict.fromkeys(('open', 'fstat', 'stat', 'read', 'write', 'close', 'mkdir', 'rename', 'link', 'unlink', 'fchmod',
                            'utime', 'lseek', 'dup', 'fsync'), 0)
    exact = Writer(writer[1].fd, os.open(os.devnull, os.O_RDONLY), exact=True)
    exact._open = {f'{number:02x}': writer[0]._enter(f'{number:02x}') for number in range(256)}
    for name in counts:
        monkeypatch.setattr(os, name, counted(counts, name))
    hand.read_all(root, b'd', names, exact, (-1, 0, 0))
    per_file = {name: round(count / len(names), 1) for name, count in counts.items() if count > 5}
    assert per_file == {'open': 2.0, 'fstat': 2.0, 'read': 1.0, 'write': 1.0, 'close': 2.0}


# Durable before named, children before parents

@pytest.mark.parametrize('durability', ['batch', 'full', 'none'])
@pytest.mark.parametrize('whole', [True, False])
def test_nothing_is_named_before_it_is_durable(tmp_path: Path, root: Root, folder: Path, durability: Durability, whole: bool,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    kind = 'ext4' if whole else 'unheard of'
    monkeypatch.setattr(filesystem, 'probe', lambda _: filesystem.FileSystem(kind, ordered=False, network=False))
    monkeypatch.setattr(staging, '_to_be_written', lambda: 0)
    done: list[tuple[str, str, str]] = []

    def note(operation: str, details: dict[str, Any]) -> None:
        done.append((operation, details.get('source') or '', details.get('target') or details.get('path') or ''))

    with Batch(durability) as batch:
        store = LocalStore(tmp_path / 'synced', batch=batch)
        with ops.record(note):
            added = store.add_path(root, 'out')
        assert not len(batch)  # all are named
        assert not store.missing([added.ref], sure=True)
        store.close()
    words = [operation for operation, _, _ in done]
    files, trees = [path for operation, _, path in done if operation == 'mkdir' and path.rpartition('/')[0].endswith('/tmp')]
    naming = ('rename_noreplace', 'rename', 'link')
    named = [[place for place, (operation, source, path) in enumerate(done)
              if operation in naming and source.startswith(stage) and '/objects-v1/' in path] for stage in (files, trees)]
    synced = [place for place, word in enumerate(words) if word in ('fsync', 'sync_filesystem')]
    assert all(named)
    assert named[0][-1] < named[1][0]
    if durability == 'none':
        assert not synced
        return
    assert ('sync_filesystem' in words) is (whole and durability == 'batch')
    assert synced[0] < named[0][0]
    assert any(named[0][-1] < place < named[1][0] for place in synced)
    assert synced[-1] > named[1][-1]
    if 'sync_filesystem' not in words:
        assert words.count('fsync') > sum(map(len, added.records.values()))


def test_others_data_are_not_waited_for_if_they_are_much(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr(ops, 'sync_filesystem', lambda fd: bool(called.append(fd)) or True)
    monkeypatch.setattr(filesystem, 'probe', lambda _: filesystem.FileSystem('ext4', ordered=False, network=False))
    with Batch('batch') as batch:
        other = LocalStore(store.cache, batch=batch)
        with Stage(other) as stage:
            for waiting, count in ((1 << 30, 1000), (1 << 20, 1000)):
                monkeypatch.setattr(staging, '_to_be_written', lambda waiting=waiting: waiting)
                stage.settle(count)
        assert len(called) == 1
        other.close()


@pytest.mark.parametrize('operation', ['mkdir', 'rename_noreplace', 'fsync', 'sync_filesystem', 'link', 'write'])
def test_an_error_leaves_no_temporary_and_no_folder_without_its_files(
        tmp_path: Path, root: Root, folder: Path, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    monkeypatch.setattr(filesystem, 'probe', lambda _: filesystem.FileSystem('ext4', ordered=False, network=False))
    monkeypatch.setattr(staging, '_to_be_written', lambda: 0)
    store = LocalStore(tmp_path / 'failing', batch=Batch('batch'))
    store.prepare()

    def fail(what: str, details: dict[str, Any]) -> None:
        if what == operation:
            raise OSError(5, 'Input/output error')

    try:
        with ops.inject(fail):
            store.add_path(root, 'out')
    except OSError as error:
        assert error.errno == 5
        store.batch.discard()
    else:
        assert operation == 'rename_noreplace'  # then each file is named by itself
    assert not left_over(store)
    for name, (data, _) in objects(store).items():
        assert digest_of(data).hex == name
    shutil.rmtree(tmp_path / 'failing/objects-v1')
    again = LocalStore(tmp_path / 'failing', batch=Batch('none'))
    assert not again.missing([again.add_path(root, 'out').ref])
    again.close()
    store.close()


def test_what_is_there_is_written_out_while_more_comes(tmp_path: Path, root: Root, folder: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    monkeypatch.setattr(filesystem, 'probe', lambda _: filesystem.FileSystem('ext4', ordered=False, network=False))
    monkeypatch.setattr(staging, '_to_be_written', lambda: 0)
    monkeypatch.setattr(staging, '_WORTH', 10)
    threads: list[str] = []
    with Batch('batch') as batch:
        store = LocalStore(tmp_path / 'ahead', batch=batch)
        real = ops.sync_filesystem
        monkeypatch.setattr(ops, 'sync_filesystem', lambda fd: threads.append(threading.current_thread().name) or real(fd))
        added = store.add_path(root, 'out')
        assert 'write-out' in threads
        assert threads.count('MainThread') == 4  # and everything once more, when nothing more comes
        assert not store.missing([added.ref], sure=True)

        def fail(fd: int) -> bool:
            if threading.current_thread().name == 'write-out':  # the system tells of an error once
                raise OSError(5, 'Input/output error')
            return True

        monkeypatch.setattr(ops, 'sync_filesystem', fail)
        write(folder / 'out/another', 'another')
        with pytest.raises(OSError, match='Input/output'):
            store.add_path(root, 'out')
        assert digest_of(b'another').hex not in objects(store)
        assert not left_over(store)
        store.close()
