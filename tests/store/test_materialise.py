"""Out of the store: verified bytes, swapped in whole, never through a link."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import pack, record_ref
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from mlops_cli.store.materialise import LinkMode
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import Link, MalformedTree, TreeEntry, build, encode


def put(store: LocalStore, data: bytes, kind: str = 'file') -> ObjectRef:
    ref = store.add_bytes(data)
    store.batch.flush()
    return ObjectRef(ref.digest, ref.size, kind)  # type: ignore[arg-type]


def put_tree(store: LocalStore, content: dict[str, ObjectRef | Link]) -> ObjectRef:
    ref, nodes = build(content)
    store.add_nodes(nodes.values())
    store.batch.flush()
    return ref


def sample(store: LocalStore) -> ObjectRef:
    return put_tree(store, {
        'a': put(store, b'a' * 100), 'sub/run': put(store, b'run', 'exec'), 'sub/l': Link('../a'), 'empty': put_tree(store, {}),
        'large': put(store, bytes(3 << 20))})


def object_file(store: LocalStore, digest: Digest) -> Path:
    return store.cache / 'objects-v1' / digest.hex[:2] / digest.hex[2:]


def damage(store: LocalStore, digest: Digest, data: bytes) -> None:
    path = object_file(store, digest)
    path.chmod(0o644)
    path.write_bytes(data)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')}


def paths(written: Added) -> set[str]:
    """The regular files that were written."""
    below = {f'{inside}/{name}' for inside, records in written.records.items() for name in records}
    return {path for path, _, _ in written.files} | below


def test_a_file_and_a_folder_come_out_as_they_went_in(store: LocalStore, root: Root, folder: Path) -> None:
    ref = sample(store)
    written = store.materialise(ref, root, 'deep/er/out')
    out = folder / 'deep/er/out'
    assert names(folder) == {'deep', 'deep/er', 'deep/er/out', *(f'deep/er/out/{name}' for name in (
        'a', 'sub', 'sub/run', 'sub/l', 'empty', 'large'))}
    assert (out / 'sub/run').stat().st_mode & 0o7777 == 0o755
    assert (out / 'a').stat().st_mode & 0o7777 == 0o644
    assert os.readlink(out / 'sub/l') == '../a'
    assert paths(written) == {'deep/er/out/a', 'deep/er/out/sub/run', 'deep/er/out/large'}
    for inside, records in written.records.items():
        for name, record in records.items():
            facts, kind = os.lstat(folder / inside / name), 'exec' if name == 'run' else 'file'
            assert record[:-33] == pack(facts) and record_ref(record) == ObjectRef(
                digest_of((folder / inside / name).read_bytes()), facts.st_size, kind)  # type: ignore[arg-type]
    assert store.add_path(root, 'deep/er/out').ref == ref
    (path, facts, got), = store.materialise(put(store, b'run', 'exec'), root, 'single').files
    assert (path, facts, got.kind) == ('single', os.lstat(folder / 'single'), 'exec')


def test_no_file_is_writable_for_others_whatever_the_umask(store: LocalStore, root: Root, folder: Path) -> None:
    before = os.umask(0)
    try:
        store.materialise(sample(store), root, 'out')
    finally:
        os.umask(before)
    assert not [path for path in folder.rglob('*') if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert not [path for path in store.cache.rglob('*') if path.stat().st_mode & 0o022]


def test_read_only_files_cannot_be_written(store: LocalStore, root: Root, folder: Path) -> None:
    store.materialise(sample(store), root, 'out', read_only=True)
    assert (folder / 'out/a').stat().st_mode & 0o7777 == 0o444
    assert (folder / 'out/sub/run').stat().st_mode & 0o7777 == 0o555


def test_pending_objects_can_be_placed(store: LocalStore, root: Root, folder: Path) -> None:
    ref = store.add_bytes(b'not flushed')
    modes: tuple[LinkMode, ...] = ('reflink', 'copy', 'hardlink', 'symlink')
    for mode in modes:
        store.materialise(ref, root, mode, links=[mode])
        assert (folder / mode).read_bytes() == b'not flushed'
    store.batch.flush()
    assert (folder / 'symlink').read_bytes() == b'not flushed'


# What is there already

def test_what_is_there_is_not_overwritten_unasked(store: LocalStore, root: Root, folder: Path) -> None:
    ref = sample(store)
    (folder / 'file').write_text('mine')
    (folder / 'folder').mkdir()
    (folder / 'link').symlink_to('nowhere')
    for name in ('file', 'folder', 'link'):
        for what in (ref, put(store, b'theirs')):
            with pytest.raises(UserError, match=f'{name} is there already') as caught:
                store.materialise(what, root, name)
            assert caught.value.exit_code is ExitCode.REFUSED
    assert names(folder) == {'file', 'folder', 'link'}
    assert (folder / 'file').read_text() == 'mine'


@pytest.mark.parametrize('there', ['file', 'folder', 'link to a file', 'link to a folder', 'dangling link'])
@pytest.mark.parametrize('kind', ['file', 'tree'])
@pytest.mark.parametrize('swaps', [True, False])
def test_with_replace_anything_gives_way_and_links_are_not_followed(
        store: LocalStore, root: Root, folder: Path, there: str, kind: str, swaps: bool) -> None:
    ref = sample(store) if kind == 'tree' else put(store, b'new')
    (folder / 'aside').mkdir()
    (folder / 'aside/f').write_text('untouched')
    match there:
        case 'file':
            (folder / 'out').write_text('old')
        case 'folder':
            (folder / 'out/below').mkdir(parents=True)
            (folder / 'out/below/f').write_text('old')
        case 'link to a file':
            (folder / 'out').symlink_to('aside/f')
        case 'link to a folder':
            (folder / 'out').symlink_to('aside')
        case _:
            (folder / 'out').symlink_to('aside/new')

    def no_exchange(operation: str, _details: dict[str, object]) -> None:
        if operation == 'exchange':
            raise OSError(95, 'Operation not supported')

    if swaps:
        store.materialise(ref, root, 'out', replace=True)
    else:
        with ops.inject(no_exchange):
            store.materialise(ref, root, 'out', replace=True)
    assert store.add_path(root, 'out').ref == ref
    assert names(folder / 'aside') == {'f'}
    assert (folder / 'aside/f').read_text() == 'untouched'
    assert not [name for name in os.listdir(folder) if name.startswith('.mlops')]


def test_a_link_on_the_way_is_refused(store: LocalStore, root: Root, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    (folder / 'link').symlink_to(outside)
    (folder / 'real').mkdir()
    (folder / 'real/link').symlink_to('../..')
    for path in ('link/out', 'real/link/out', 'real/link/x/y/out'):
        for ref in (put(store, b'x'), sample(store)):
            with pytest.raises(UserError, match='symbolic link') as caught:
                store.materialise(ref, root, path, replace=True)
            assert caught.value.exit_code is ExitCode.REFUSED
    assert not os.listdir(outside)


@pytest.mark.parametrize('path', ['../out', '/tmp/out', 'a/../../out', '', '.'])
def test_no_path_leads_out(store: LocalStore, root: Root, path: str) -> None:
    with pytest.raises(UserError):
        store.materialise(put(store, b'x'), root, path, replace=True)


@pytest.mark.parametrize('node', [
    b'mlops tree-v1\n["../evil","file","blake3:%s",1]\n' % (b'0' * 64),
    encode([TreeEntry('.git', 'dir', digest_of(b'mlops tree-v1\n'), 0)]),
    encode([TreeEntry('l', 'link', None, 0, '../../evil')]),
    encode([TreeEntry('l', 'link', None, 0, '/etc')]),
    b'#!/bin/sh\n',
])
def test_a_hostile_tree_writes_nothing(store: LocalStore, root: Root, folder: Path, node: bytes) -> None:
    ref = store.add_bytes(node)
    with pytest.raises((MalformedTree, UserError)):
        store.materialise(ObjectRef(ref.digest, 0, 'tree'), root, 'out')
    assert not os.listdir(folder)


# When it fails, what was there still is

@pytest.mark.parametrize('how', ['missing', 'bit', 'truncated', 'longer', 'link', 'folder'])
@pytest.mark.parametrize('mode', ['copy', 'hardlink', 'symlink', 'reflink'])
def test_damage_is_noticed_before_anything_is_replaced(
        store: LocalStore, root: Root, folder: Path, how: str, mode: LinkMode) -> None:
    ref = sample(store)
    victim = digest_of(b'a' * 100)
    path = object_file(store, victim)
    match how:
        case 'missing':
            path.unlink()
        case 'bit':
            damage(store, victim, b'b' + b'a' * 99)
        case 'truncated':
            damage(store, victim, b'a' * 99)
        case 'longer':
            damage(store, victim, b'a' * 101)
        case 'link':
            path.unlink()
            path.symlink_to('/etc/passwd')
        case _:
            path.unlink()
            path.mkdir()
    (folder / 'out').mkdir()
    (folder / 'out/mine').write_text('mine')
    with pytest.raises((Damaged, MissingObject)) as caught:
        store.materialise(ref, root, 'out', replace=True, links=[mode])
    assert caught.value.digest == victim
    assert names(folder) == {'out', 'out/mine'}
    assert not os.path.lexists(path), 'it was put aside'
    with pytest.raises(MissingObject):
        store.materialise(ref, root, 'out', replace=True, links=[mode])


@pytest.mark.parametrize('operation', ['open', 'write', 'mkdir', 'symlink', 'exchange'])
@pytest.mark.parametrize('skip', [0, 1])
def test_an_error_half_way_leaves_what_was_there(
        store: LocalStore, root: Root, folder: Path, operation: str, skip: int) -> None:
    ref = sample(store)
    (folder / 'out').mkdir()
    (folder / 'out/mine').write_text('mine')
    left = skip

    def fail(name: str, _details: dict[str, object]) -> None:
        nonlocal left
        if name == operation:
            left -= 1
            if left < 0:
                raise OSError(28, 'No space left on device')

    with ops.inject(fail):
        try:
            store.materialise(ref, root, 'out', replace=True)
        except OSError as error:
            assert error.errno == 28
            assert names(folder) == {'out', 'out/mine'}
        else:
            assert skip, 'each of them is done once at least'
            assert store.add_path(root, 'out').ref == ref


# Links into the cache

def test_a_hard_link_shares_the_inode_and_cannot_be_executed_into_being(store: LocalStore, root: Root, folder: Path) -> None:
    ref = sample(store)
    written = store.materialise(ref, root, 'out', links=['hardlink'])
    assert os.stat(folder / 'out/a').st_ino == object_file(store, digest_of(b'a' * 100)).stat().st_ino
    assert os.stat(folder / 'out/a').st_mode & 0o7777 == 0o444
    assert os.stat(folder / 'out/sub/run').st_nlink == 1, 'the object has no executable bit to share'
    assert paths(written) == {'out/a', 'out/sub/run', 'out/large'}
    assert store.add_path(root, 'out').ref == ref


def test_a_symbolic_link_into_the_cache_counts_as_its_object(store: LocalStore, root: Root, folder: Path) -> None:
    ref = sample(store)
    written = store.materialise(ref, root, 'out', links=['symlink'])
    assert os.readlink(folder / 'out/a') == str(object_file(store, digest_of(b'a' * 100)))
    assert paths(written) == {'out/sub/run'}
    assert store.add_path(root, 'out').ref == ref
    store.materialise(put(store, b'x'), root, 'single', links=['symlink'])
    assert store.add_path(root, 'single').ref == put(store, b'x')


# What a reference needs

def test_missing_names_every_object_that_is_not_here_once(store: LocalStore) -> None:
    ref = sample(store)
    assert store.missing([ref, ref]) == []
    other = LocalStore(store.cache, batch=store.batch)  # which has not found it whole yet
    gone = {digest_of(b'a' * 100), digest_of(b'run')}
    for digest in gone:
        object_file(store, digest).unlink()
    damage(store, digest_of(bytes(3 << 20)), b'short')
    assert set(other.missing([ref, ref])) == gone | {digest_of(bytes(3 << 20))}
    object_file(store, ref.digest).unlink()
    assert other.missing([ref]) == [ref.digest]
    other.close()


def test_to_be_sure_the_bytes_are_read(store: LocalStore) -> None:
    ref = sample(store)
    victim = digest_of(b'run')
    damage(store, victim, b'RUN')
    assert store.missing([ref]) == []
    assert store.missing([ref], sure=True) == [victim]
    file = ObjectRef(victim, 3, 'exec')
    assert store.missing([file, ref], sure=True) == [victim]
    store.add_bytes(b'run')
    assert store.missing([file, ref], sure=True) == []
