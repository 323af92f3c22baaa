"""Bit rot (F5): every damage is found, none is served."""
from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.local import LocalStore
from mlops_cli.store.materialise import LinkMode
from mlops_cli.store.objects import Damaged, MissingObject

COUNT = 200


def fill(store: LocalStore) -> dict[Digest, bytes]:
    random.seed(5)
    contents = [random.randbytes(random.choice((1, 100, 5000, 70_000))) for _ in range(COUNT)]
    found = {store.add_bytes(data).digest: data for data in contents}
    store.batch.flush()
    assert len(found) > COUNT * 0.7  # of one byte there are few
    return found


def path_of(store: LocalStore, digest: Digest) -> Path:
    return store.cache / 'objects-v1' / digest.hex[:2] / digest.hex[2:]


def damage(store: LocalStore, found: dict[Digest, bytes]) -> set[Digest]:
    """Flip a bit in, truncate, zero, lengthen or swap all of them."""
    digests = list(found)
    for number, digest in enumerate(digests):
        data = bytearray(found[digest])
        match number % 5:
            case 0:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            case 1:
                del data[random.randrange(len(data)):]
            case 2:
                data[:] = bytes(len(data)) if any(data) else b'\1' * len(data)
            case 3:
                data += b'\0'
            case _:
                data[:] = found[digests[number - 1]]
        path = path_of(store, digest)
        before = path.stat()
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(0o444)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return set(digests)


def test_verify_finds_every_damage_and_nothing_else(store: LocalStore) -> None:
    sound = {store.add_bytes(b'sound %d' % n).digest for n in range(20)}
    damaged = damage(store, fill(store))
    seen: dict[Digest, int] = {}
    found = list(store.verify(seen=seen.__setitem__))
    assert {finding.digest for finding in found} == damaged
    assert not any(finding.unreadable for finding in found)
    assert seen.keys() == damaged | sound
    assert store.has(damaged | sound) == sound
    assert list(store.verify()) == []
    assert len(os.listdir(store.cache / 'tmp/quarantine')) == len(damaged), 'put aside, not destroyed'


def test_nothing_damaged_is_served_by_any_way_out(store: LocalStore, root: Root, folder: Path) -> None:
    contents = fill(store)
    for number, digest in enumerate(damage(store, contents)):
        with pytest.raises(Damaged):
            match number % 3:
                case 0:
                    store.read(digest)
                case 1:
                    [b''.join(chunks) for _, chunks in store.get([digest])]
                case _:
                    store.materialise(ObjectRef(digest, len(contents[digest]), 'file'), root, 'out')
        with pytest.raises(MissingObject):
            store.read(digest)
    assert not os.listdir(folder)


def test_adding_the_content_again_heals(store: LocalStore) -> None:
    contents = fill(store)
    damage(store, contents)
    for data in contents.values():
        store.add_bytes(data)
    store.batch.flush()
    assert all(store.read(digest) == data for digest, data in contents.items())
    assert list(store.verify()) == []


def test_a_sample_looks_only_at_what_was_chosen(store: LocalStore) -> None:
    damaged = damage(store, fill(store))
    chosen = {digest for digest in damaged if digest.hex[0] in '0123'}
    assert {finding.digest for finding in store.verify(chosen.__contains__)} == chosen
    assert 0 < len(chosen) < len(damaged)


def test_things_that_are_no_objects_are_passed_over_and_links_are_damage(store: LocalStore) -> None:
    digest = store.add_bytes(b'content').digest
    store.batch.flush()
    objects = store.cache / 'objects-v1'
    (objects / 'README').write_text('hello')
    (objects / 'zz').mkdir()
    (objects / digest.hex[:2] / 'note').write_text('hello')
    path_of(store, digest).rename(store.cache / 'elsewhere')
    path_of(store, digest).symlink_to(store.cache / 'elsewhere')
    assert [finding.digest for finding in store.verify()] == [digest]


def test_a_read_error_is_told_apart_from_damage(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.add_bytes(b'content').digest
    store.batch.flush()
    real = os.read

    def read(fd: int, size: int) -> bytes:
        if digest.hex[2:] in os.readlink(f'/proc/self/fd/{fd}'):
            raise OSError(5, 'Input/output error')
        return real(fd, size)

    monkeypatch.setattr(os, 'read', read)
    assert [(finding.digest, finding.unreadable) for finding in store.verify()] == [(digest, True)]
    assert store.has([digest]) == {digest}


def test_who_may_read_it_is_put_right_where_that_is_all(store: LocalStore) -> None:
    sound, damaged = store.add_bytes(b'content').digest, store.add_bytes(b'other').digest
    store.batch.flush()
    path_of(store, damaged).chmod(0o644)
    path_of(store, damaged).write_bytes(b'OTHER')
    for digest in (sound, damaged):
        path_of(store, digest).chmod(0)
    found = {finding.digest: finding for finding in store.verify()}
    assert found[sound].mended and not found[sound].unreadable and not found[damaged].mended
    assert path_of(store, sound).stat().st_mode & 0o777 == 0o444 and not path_of(store, damaged).exists()
    assert list(store.verify()) == [] and store.read(sound) == b'content'


class Remembering:
    """A Verified that trusts its memory of stats."""

    def __init__(self) -> None:
        self.known: dict[Digest, os.stat_result] = {}
        self.asked = 0

    def moment(self) -> None:
        return None

    def is_verified(self, digest: Digest, facts: os.stat_result) -> bool:
        self.asked += 1
        return self.known.get(digest) == facts

    def set_verified(self, digest: Digest, facts: os.stat_result, _moment: object) -> None:
        self.known[digest] = facts


def test_what_was_found_sound_is_not_read_again_until_its_state_changes(tmp_path: Path, root: Root) -> None:
    memory = Remembering()
    store = LocalStore(tmp_path / 'cache', batch=Batch('none'), verified=memory)
    ref = store.add_bytes(b'content')
    store.batch.flush()
    assert store.sound(ref.digest, ref.size)
    assert memory.known
    os.utime(path_of(store, ref.digest))
    path = path_of(store, ref.digest)
    path.chmod(0o644)
    path.write_bytes(b'CONTENT')
    assert not store.sound(ref.digest, ref.size)
    with pytest.raises(MissingObject):
        store.materialise(ref, root, 'out', links=['hardlink'])
    store.close()


@pytest.mark.parametrize('link', ['copy', 'hardlink', 'symlink'])
def test_a_reference_with_a_wrong_size_does_not_take_a_sound_object_away(store: LocalStore, root: Root, link: LinkMode) -> None:
    ref = store.add_bytes(b'content')
    forged = ObjectRef(ref.digest, ref.size + 5, 'file')
    assert store.missing([forged]) == [ref.digest]
    store.batch.flush()
    assert store.missing([forged]) == store.missing([forged], sure=True) == [ref.digest]
    with pytest.raises(Damaged):
        store.materialise(forged, root, 'out', links=[link])
    assert root.stat('out') is None
    assert store.missing([ref], sure=True) == []
    assert store.read(ref.digest) == b'content'


def test_an_object_cut_short_is_put_aside_when_it_is_asked_for(store: LocalStore) -> None:
    ref = store.add_bytes(b'content')
    store.batch.flush()
    path = path_of(store, ref.digest)
    path.chmod(0o644)
    path.write_bytes(b'cont')
    assert store.missing([ref]) == [ref.digest]
    assert not path.exists()


def test_a_folder_deeper_than_a_tree_may_be_is_refused_and_not_a_crash(store: LocalStore, root: Root, folder: Path) -> None:
    deep = folder / 'out'
    for _ in range(300):
        deep = deep / 'd'
    deep.mkdir(parents=True)
    with pytest.raises(UserError, match='folders deep'):
        store.add_path(root, 'out')
