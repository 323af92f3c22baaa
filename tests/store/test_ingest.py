"""Files and folders into the store: what is hashed is what was copied, and nothing of the user's is touched."""
from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import tree
from mlops_cli.store.ingest import check_names
from mlops_cli.store.local import LocalStore
from mlops_cli.store.tree import TreeEntry, walk


def write(path: Path, data: bytes | str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    return path


def temporaries_of(store: LocalStore) -> list[str]:
    folder = store.cache / 'tmp'
    return [name for name in os.listdir(folder) if name != 'quarantine'] if folder.is_dir() else []


@pytest.mark.parametrize('size', [0, 1, 1 << 20, (1 << 20) + 1, (9 << 20) + 3])
def test_a_file_is_stored_under_its_blake3_read_only(store: LocalStore, root: Root, folder: Path, size: int) -> None:
    data = os.urandom(size)
    write(folder / 'f', data)
    ref = store.add_file(root, 'f')
    assert ref == ObjectRef(digest_of(data), size, 'file')
    assert store.read(ref.digest) == data  # also before the batch is flushed
    store.batch.flush()
    stored = store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]
    assert stored.read_bytes() == data
    assert stored.stat().st_mode & 0o7777 == 0o444
    assert (folder / 'f').read_bytes() == data
    assert not temporaries_of(store)
    assert not store.is_pending(ref.digest)


def test_the_executable_bit_is_in_the_reference_and_not_in_the_object(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'a', 'same', 0o755)
    write(folder / 'b', 'same', 0o644)
    write(folder / 'setuid', 'same', 0o4700)
    refs = [store.add_file(root, name) for name in ('a', 'b', 'setuid')]
    assert [ref.kind for ref in refs] == ['exec', 'file', 'exec']
    assert len({ref.digest for ref in refs}) == 1


def test_what_is_there_is_not_written_again(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'small', 'content')
    write(folder / 'large', bytes(3 << 20))
    refs = [store.add_file(root, name) for name in ('small', 'large')]
    store.batch.flush()
    inodes = [os.stat(store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]).st_ino for ref in refs]
    assert [store.add_file(root, name) for name in ('small', 'large')] == refs
    assert store.add_bytes(b'content') == refs[0]
    store.batch.flush()
    assert [os.stat(store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]).st_ino for ref in refs] == inodes
    assert not temporaries_of(store)


def test_a_hit_makes_an_old_object_young_so_that_gc_spares_it(store: LocalStore) -> None:
    ref = store.add_bytes(b'content')
    store.batch.flush()
    path = store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]
    os.utime(path, (1, 1))
    store.add_bytes(b'content')
    assert path.stat().st_mtime > time.time() - 60


def test_a_folder_is_a_tree_with_its_empty_folders_and_links(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'out/a.txt', 'a')
    write(folder / 'out/sub/run', 'run', 0o755)
    (folder / 'out/empty/below').mkdir(parents=True)
    (folder / 'out/sub/up').symlink_to('../a.txt')
    (folder / 'out/dangling').symlink_to('sub/nothing')
    added = store.add_path(root, 'out')
    entries = {path: (entry.kind, entry.target or entry.size) for path, entry in walk(added.ref, store.read)}
    assert entries == {
        'a.txt': ('file', 1), 'dangling': ('link', 'sub/nothing'), 'empty': ('dir', 0), 'empty/below': ('dir', 0),
        'sub': ('dir', 3), 'sub/run': ('exec', 3), 'sub/up': ('link', '../a.txt')}
    assert added.ref.size == 4
    assert {path for path, _, _ in added.files} == {'out/a.txt', 'out/sub/run'}
    assert all(facts == os.lstat(folder / path) for path, facts, _ in added.files)
    assert not store.missing([added.ref])


def test_names_that_are_not_text_are_kept(store: LocalStore, root: Root, folder: Path) -> None:
    names = [b'\xff\xfe', 'e\u0301'.encode(), b'new\nline', b'"quoted"', 'ü'.encode(), b' ']
    os.mkdir(folder / 'out')
    for name in names:
        write(Path(os.fsdecode(os.fsencode(folder / 'out') + b'/' + name)), name)
    ref = store.add_path(root, 'out').ref
    store.materialise(ref, root, 'again')
    assert sorted(os.listdir(os.fsencode(folder / 'again'))) == sorted(names)
    assert store.add_path(root, 'again').ref == ref


def test_ten_changed_files_write_twenty_one_objects_and_open_no_others(store: LocalStore, root: Root, folder: Path) -> None:
    for n in range(400):
        write(folder / f'out/d{n // 20:02}/f{n % 20:02}', f'{n}')
    first = store.add_path(root, 'out')
    store.batch.flush()
    known = {path: (facts, ref) for path, facts, ref in first.files}
    before = {digest for digest, _ in store.list()}
    for n in range(10):
        write(folder / f'out/d{n:02}/f05', f'changed {n}')
    asked: list[str] = []

    def lookup(path: str, facts: os.stat_result) -> ObjectRef | None:
        if path in known and known[path][0] == facts:
            return known[path][1]
        asked.append(path)
        return None

    second = store.add_path(root, 'out', known=lookup)
    store.batch.flush()
    assert len({digest for digest, _ in store.list()} - before) == 10 + 11
    assert asked == [f'out/d{n:02}/f05' for n in range(10)]
    assert second.ref == store.add_path(root, 'out').ref


def test_a_known_file_is_read_again_if_its_object_is_gone_or_cut_short(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'f', 'content')
    ref = store.add_file(root, 'f')
    store.batch.flush()
    path = store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]
    path.unlink()
    store.add_path(root, 'f', known=lambda _path, _facts: ref)
    assert store.read(ref.digest) == b'content'
    store.batch.flush()
    path.chmod(0o644)
    path.write_bytes(b'con')
    store.add_path(root, 'f', known=lambda _path, _facts: ref)
    store.batch.flush()
    assert store.read(ref.digest) == b'content'


def test_with_sure_a_damaged_object_does_not_count_as_a_copy(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'out/f', 'content')
    ref = store.add_path(root, 'out/f').ref
    store.batch.flush()
    path = store.cache / 'objects-v1' / ref.digest.hex[:2] / ref.digest.hex[2:]
    path.chmod(0o644)
    path.write_bytes(b'CONTENT')
    store.add_path(root, 'out', known=lambda _path, _facts: ref, sure=True)
    store.batch.flush()
    assert store.read(ref.digest) == b'content'


# What has no place in a store

SPECIAL = ('pipe', 'socket', 'absolute', 'out', 'hooks')


def special_files(folder: Path) -> None:
    os.mkfifo(folder / 'pipe')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / 'socket'))
    (folder / 'absolute').symlink_to('/etc/passwd')
    (folder / 'out').symlink_to('../..')
    (folder / 'hooks').symlink_to('.git/hooks')


@pytest.mark.parametrize('name', SPECIAL)
def test_pipes_sockets_and_links_out_are_refused_by_name(store: LocalStore, root: Root, folder: Path, name: str) -> None:
    (folder / 'made').mkdir()
    special_files(folder / 'made')
    for other in set(SPECIAL) - {name}:
        (folder / 'made' / other).unlink()
    for path in ('made', f'made/{name}'):
        with pytest.raises(UserError, match=f'made/{name} is ') as caught:
            store.add_path(root, path)
        assert caught.value.exit_code is ExitCode.REFUSED
        assert caught.value.hint


def test_a_device_is_refused_unread(store: LocalStore) -> None:
    with Root('/dev') as devices, pytest.raises(UserError, match='zero is a device'):
        store.add_file(devices, 'zero')


@pytest.mark.parametrize('names', [('.git',), ('sub', '.MLOPS'), ('a', 'A'), ('\u00e9', 'e\u0301'), ('GIT~1',)])
def test_names_a_tree_cannot_hold_are_refused(store: LocalStore, root: Root, folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write(folder / 'out/inner' / name / 'f', 'x')
    with pytest.raises(UserError, match='out/inner holds') as caught:
        store.add_path(root, 'out')
    assert caught.value.exit_code is ExitCode.REFUSED


def test_a_link_on_the_way_is_not_followed(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'real/f', 'x')
    (folder / 'link').symlink_to('real')
    for path in ('link/f', 'link'):
        with pytest.raises(UserError, match='symbolic link'):
            store.add_path(root, path)
    assert store.add_path(root, 'real/f').ref.size == 1


def test_nothing_at_all_is_an_ordinary_error(store: LocalStore, root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        store.add_path(root, 'nothing')


def test_temporaries_that_a_killed_command_left_do_not_count(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'out/f', 'x')
    ref = store.add_path(root, 'out').ref
    write(folder / 'out/.mlops-tmp-0123abcd-77-5f-1', 'half')
    assert store.add_path(root, 'out').ref == ref


# What does not hold still

@pytest.mark.parametrize('size', [100, 3 << 20])
def test_a_file_that_always_changes_is_refused_and_nothing_is_left(
        store: LocalStore, root: Root, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / 'f', bytes(size))
    real = os.fstat
    changes = iter(range(1, 1000))

    def fstat(fd: int) -> os.stat_result:
        if os.path.realpath(f'/proc/self/fd/{fd}') == str(path):
            os.utime(path, ns=(0, next(changes)))
        return real(fd)

    monkeypatch.setattr(os, 'fstat', fstat)
    with pytest.raises(UserError, match='f changed while reading it, 3 times') as caught:
        store.add_file(root, 'f')
    assert caught.value.exit_code is ExitCode.FAILED
    assert not temporaries_of(store)


def test_a_writer_at_work_never_gets_a_mixture_stored(store: LocalStore, root: Root, folder: Path) -> None:
    path = write(folder / 'f', b'a' * 2_000_000)
    stop = threading.Event()
    rest = 0.002  # seconds that it leaves a file alone: more, each time that none was got

    def rewrite() -> None:
        letter = 0
        while not stop.is_set():
            letter = (letter + 1) % 26
            write(folder / 'next', bytes([97 + letter]) * 2_000_000)
            os.replace(folder / 'next', path)
            with open(path, 'r+b') as file:
                file.write(bytes([65 + letter]) * 1000)
            stop.wait(rest)

    thread = threading.Thread(target=rewrite)
    thread.start()
    stored = 0
    try:
        for _ in range(15):
            try:
                data = store.read(store.add_file(root, 'f').digest)
            except UserError:
                rest *= 2
                continue
            stored += 1
            assert len(data) == 2_000_000
            assert len(set(data[1000:])) == 1
            assert data[:1000] in (data[1000:2000], data[1000:2000].upper())
    finally:
        stop.set()
        thread.join()
    assert stored


def test_a_folder_that_gains_a_file_while_it_is_read_is_read_again(
        store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'out/a', 'a')
    write(folder / 'out/b', 'b')

    def late(path: str, _facts: os.stat_result) -> None:
        if path == 'out/b' and not (folder / 'out/c').exists():
            write(folder / 'out/c', 'c')

    added = store.add_path(root, 'out', known=late)
    assert [path for path, _, _ in added.files] == ['out/a', 'out/b', 'out/c']
    assert added.ref == store.add_path(root, 'out').ref


def test_a_full_disk_leaves_no_temporary_and_no_object(store: LocalStore, root: Root, folder: Path) -> None:
    write(folder / 'small', 'x')
    write(folder / 'large', bytes(2 << 20))

    def full(operation: str, _details: dict[str, object]) -> None:
        if operation == 'write':
            raise OSError(28, 'No space left on device')

    for name in ('small', 'large'):
        with ops.inject(full), pytest.raises(OSError, match='No space'):
            store.add_file(root, name)
    assert not temporaries_of(store)
    assert (folder / 'large').stat().st_size == 2 << 20
    assert store.add_file(root, 'large').size == 2 << 20


def test_objects_become_durable_before_the_trees_that_name_them(tmp_path: Path, root: Root, folder: Path) -> None:
    write(folder / 'out/sub/f', 'x')
    order: list[str] = []
    with Batch('none') as batch:
        store = LocalStore(tmp_path / 'other', batch=batch)
        ref = store.add_path(root, 'out').ref
        trees = {ref.digest.hex, *(entry.ref.digest.hex for _, entry in walk(ref, store.read) if entry.kind == 'dir')}
        with ops.record(lambda operation, details: order.append(details['target'][-62:]) if operation == 'link' else None):
            batch.flush()
        store.close()
    is_tree = [any(name.endswith(digest[2:]) for digest in trees) for name in order]
    assert is_tree == sorted(is_tree)
    assert len(order) == 3


def test_the_page_has_vectors_that_hold(store: LocalStore) -> None:
    page = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'objects.md'
    paths = re.findall(r'`(objects-v1/../\w{62})` \|', page.read_text())
    for content, path in zip([b'', b'hello\n', tree.EMPTY], paths, strict=True):
        store.add_bytes(content)
        store.batch.flush()
        assert (store.cache / path).read_bytes() == content


ODD = ('', '.', '..', 'a/b', 'a\0', '.git', '.MLOPS', '.git ', '.g\u200bit', 'GIT~1', 'a\n.git', '\udc41',
       'x' * 300, 'B', '\ud800')


@pytest.mark.parametrize('name', ODD)
def test_a_bad_name_is_seen_among_plain_ones(name: str) -> None:
    plain = [f'f{number}.txt' for number in range(5)] + ['b', '-', '_x', '9']
    entries = [TreeEntry(one, 'link', None, 0, 'x') for one in plain]
    check_names('d', entries)
    for place in (0, 3, len(entries)):
        if name == 'a\n.git':
            check_names('d', [*entries[:place], TreeEntry(name, 'link', None, 0, 'x'), *entries[place:]])  # odd, but a name
            continue
        with pytest.raises(UserError, match='d holds'):
            check_names('d', [*entries[:place], TreeEntry(name, 'link', None, 0, 'x'), *entries[place:]])
