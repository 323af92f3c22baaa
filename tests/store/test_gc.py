"""What gc does to a cache: what is wanted stays or comes back, the rest goes in two steps, and nothing in between is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.locks import LockFile, hold_owner, owner_alive
from mlops_cli.fsio.paths import Root
from mlops_cli.store import gc, trash, users
from mlops_cli.store.local import LocalStore
from mlops_cli.store.marks import Marks, take_stock
from mlops_cli.store.objects import MissingObject
from mlops_cli.store.results import ResultEntry, Results

OLD = time.time() - 40 * 86_400
DAY = 86_400


@pytest.fixture
def cache(tmp_path: Path, store: LocalStore) -> Iterator[Root]:
    store.prepare()
    with Root(tmp_path / 'cache') as opened:
        yield opened


def put(store: LocalStore, data: bytes, *, age: float = 40 * DAY) -> ObjectRef:
    ref = store.add_bytes(data)
    store.batch.flush()
    touch(store, ref, age)
    return ref


def path_of(store: LocalStore, ref: ObjectRef) -> Path:
    return Path(store.objects) / ref.digest.hex[:2] / ref.digest.hex[2:]


def touch(store: LocalStore, ref: ObjectRef, age: float) -> None:
    os.utime(path_of(store, ref), (time.time() - age,) * 2)


def folder(store: LocalStore, root: Root, name: str, files: dict[str, bytes]) -> ObjectRef:
    """Stored and aged; the files stay in the workspace."""
    for path, data in files.items():
        target = Path(root.path) / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    ref = store.add_path(root, name).ref
    store.batch.flush()
    for digest in list(store.listed()):
        touch(store, ObjectRef(digest, 0, 'file'), 40 * DAY)
    return ref


def entry(key: str, outputs: dict[str, ObjectRef], **more: object) -> ResultEntry:
    return ResultEntry(Digest(key * 64), tuple(sorted(outputs.items())), '2026-11-20T10:15:22Z', **more)  # type: ignore[arg-type]


def planned(cache: Root, *wanted: ObjectRef, grace: float = 14 * DAY) -> tuple[gc.Plan, Marks]:
    stock = take_stock(cache)
    limit = gc.limit(time.time_ns(), grace, ())
    marks = Marks(cache, stock)
    marks.hold(wanted)
    gc.mark_young(marks, stock, limit)
    return gc.plan(marks, stock, limit), marks


def swept(cache: Root, *wanted: ObjectRef, grace: float = 14 * DAY) -> gc.Swept:
    return gc.sweep(cache, planned(cache, *wanted, grace=grace)[0], time.time_ns())


def test_what_nobody_wants_goes_and_the_rest_stays(store: LocalStore, cache: Root) -> None:
    wanted, other, young = put(store, b'wanted'), put(store, b'other'), put(store, b'young', age=DAY)
    done = swept(cache, wanted)
    assert (done.objects, done.bytes) == (1, 5)
    assert path_of(store, wanted).exists() and path_of(store, young).exists() and not path_of(store, other).exists()


def test_a_wanted_folder_keeps_all_that_is_in_it(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {'a': b'1', 'deep/er/b': b'2', 'deep/c': b'3'})
    put(store, b'stray')
    assert swept(cache, ref).objects == 1
    assert store.missing([ref]) == []


def test_a_young_folder_that_nobody_wants_keeps_its_old_files(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {'a': b'1', 'b': b'2'})
    touch(store, ref, 0)
    assert swept(cache).objects == 0


def test_a_young_result_keeps_what_it_names_and_an_old_one_goes_with_it(store: LocalStore, cache: Root, tmp_path: Path) -> None:
    results = Results(tmp_path / 'cache', store.batch)
    output, log = put(store, b'output'), put(store, b'log')
    made = entry('a', {'model': output}, log=log)
    results.put(made)
    store.batch.flush()
    assert swept(cache).objects == 0
    os.utime(tmp_path / 'cache/results-v1/aa' / made.file_name, (OLD, OLD))
    done = swept(cache)
    assert (done.objects, done.results) == (2, 1)
    assert results.lookup(made.key) == (made,), 'it is missed, so it is back'
    assert store.read(output.digest) == b'output'
    results.close()


def test_who_misses_an_object_has_it_back_and_touched(store: LocalStore, cache: Root) -> None:
    ref = put(store, b'missed')
    swept(cache)
    assert not path_of(store, ref).exists()
    assert store.read(ref.digest) == b'missed'
    assert time.time() - path_of(store, ref).stat().st_mtime < 60
    assert swept(cache).objects == 0


@pytest.mark.parametrize('ask', ['has', 'open', 'missing', 'sound', 'materialise', 'freshen'])
def test_every_way_to_ask_finds_what_is_in_the_trash(store: LocalStore, cache: Root, root: Root, ask: str) -> None:
    ref = put(store, b'asked for')
    swept(cache)
    match ask:
        case 'has':
            assert store.has([ref.digest]) == {ref.digest}
        case 'open':
            os.close(store.open(ref.digest)[0])
        case 'missing':
            assert store.missing([ref]) == []
        case 'sound':
            assert store.sound(ref.digest)
        case 'materialise':
            store.materialise(ref, root, 'out')
        case _:
            assert store.freshen(ref.digest)
    assert path_of(store, ref).exists()


def test_what_was_never_there_is_still_missing(store: LocalStore, cache: Root) -> None:
    put(store, b'other')
    swept(cache)
    with pytest.raises(MissingObject):
        store.open(Digest('0' * 64))


def test_undo_puts_back_all_of_it_and_nothing_over_anything(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {f'{number}': b'%d' % number for number in range(50)})
    again = put(store, b'made again')
    before = {digest: store.read(digest) for digest in store.listed()}
    assert swept(cache).objects == len(before)
    assert list(store.listed()) == []
    store.add_bytes(b'made again')
    store.batch.flush()
    made = path_of(store, again).stat().st_ino
    undone = gc.undo(cache)
    assert {digest: store.read(digest) for digest in store.listed()} == before
    assert undone.files == len(before) - 1 and path_of(store, again).stat().st_ino == made
    assert store.missing([ref]) == [] and trash.folders(cache) == ()
    assert gc.undo(cache).stamp == ''


def test_undo_keeps_the_sound_one_where_a_damaged_one_has_its_place(store: LocalStore, cache: Root) -> None:
    ref = put(store, b'sound')
    swept(cache)
    place = path_of(store, ref)
    place.write_bytes(b'rotten')
    undone = gc.undo(cache)
    assert undone.taken == [f'objects-v1/{ref.digest.hex[:2]}/{ref.digest.hex[2:]}']
    place.unlink()
    assert store.read(ref.digest) == b'sound'


def aged(cache: Root, stamp: str, age: float) -> str:
    """Gives a folder of the trash another time."""
    older = trash.new_stamp(time.time() - age)
    os.rename(f'{cache.path}/trash/{stamp}', f'{cache.path}/trash/{older}')
    os.utime(f'{cache.path}/trash/{older}', (time.time() - age,) * 2)
    return older


def test_the_trash_is_deleted_after_a_day_and_not_before(store: LocalStore, cache: Root) -> None:
    put(store, b'x')
    stamp = swept(cache).stamp
    assert gc.old_folders(cache, time.time_ns(), ()) == []
    stamp = aged(cache, stamp, 23 * 3600)
    assert gc.old_folders(cache, time.time_ns(), ()) == []
    stamp = aged(cache, stamp, 25 * 3600)
    assert gc.old_folders(cache, time.time_ns(), ()) == [stamp]
    assert gc.remove(cache, gc.take_out(cache, [stamp])) == (1, 1)
    assert os.listdir(f'{cache.path}/trash') == [] and os.listdir(f'{cache.path}/tmp') == []


def test_a_name_of_long_ago_alone_does_not_make_a_folder_old(store: LocalStore, cache: Root) -> None:
    """A clock may have been wrong when it was made."""
    put(store, b'x')
    stamp = aged(cache, swept(cache).stamp, 25 * 3600)
    os.utime(f'{cache.path}/trash/{stamp}')
    assert gc.old_folders(cache, time.time_ns(), ()) == []


def test_a_writer_that_saw_it_go_keeps_the_trash(store: LocalStore, cache: Root) -> None:
    put(store, b'x')
    stamp = aged(cache, swept(cache).stamp, 48 * 3600)
    before, after = ('w', time.time_ns() - 60 * 3600 * 10**9), ('w', time.time_ns() - 3600 * 10**9)
    assert gc.old_folders(cache, time.time_ns(), [before]) == []
    assert gc.old_folders(cache, time.time_ns(), [after]) == [stamp]


def test_what_is_wanted_again_comes_back_before_the_trash_is_deleted(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {'a': b'1', 'b/c': b'2'})
    put(store, b'not wanted')
    aged(cache, swept(cache).stamp, 25 * 3600)
    plan, _ = planned(cache, ref)
    assert gc.bring_back(cache, plan) == 4
    gc.remove(cache, gc.take_out(cache, gc.old_folders(cache, time.time_ns(), ())))
    assert store.missing([ref]) == [] and len(list(store.listed())) == 4


def test_a_damaged_folder_that_is_wanted_stops_everything(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {'a': b'1'})
    place = path_of(store, ref)
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(UserError) as refused:
        planned(cache, ref)
    assert refused.value.exit_code == 5 and ref.digest.hex in str(refused.value) and 'verify' in refused.value.hint


def test_a_result_of_a_later_version_stops_everything_and_a_damaged_one_does_not(
    store: LocalStore, cache: Root, tmp_path: Path
) -> None:
    results = tmp_path / 'cache/results-v1/bb'
    results.mkdir(parents=True)
    later = results / f'{"b" * 64}-12345678.json'
    later.write_text('not json')
    assert planned(cache)[0].results == []
    later.write_text('{"schema": "mlops/result/v2"}')
    with pytest.raises(UserError, match='later version'):
        planned(cache)


def test_what_is_touched_between_the_look_and_the_rename_stays(store: LocalStore, cache: Root) -> None:
    ref, other = put(store, b'in use'), put(store, b'other')
    plan, _ = planned(cache)
    os.utime(path_of(store, ref))
    done = gc.sweep(cache, plan, time.time_ns())
    assert (done.objects, done.spared) == (1, 1) and path_of(store, ref).exists() and not path_of(store, other).exists()


def test_what_is_touched_in_the_last_moment_is_put_back(store: LocalStore, cache: Root) -> None:
    ref = put(store, b'in use')
    plan, _ = planned(cache)

    def touched(operation: str, details: dict[str, object]) -> None:
        if operation == 'rename':
            os.utime(str(details['source']))

    with ops.record(touched):
        done = gc.sweep(cache, plan, time.time_ns())
    assert (done.objects, done.spared) == (0, 1) and path_of(store, ref).exists()


def test_while_a_writer_lives_nothing_goes_that_it_may_rely_on(store: LocalStore, cache: Root) -> None:
    began = time.time_ns() - 10 * DAY * 10**9
    limit = gc.limit(time.time_ns(), 0.0, [('writer', began)])
    assert limit == began - 25 * 3600 * 10**9
    assert gc.limit(time.time_ns(), 30 * DAY, [('writer', began)]) < limit


def test_a_writer_is_seen_from_its_first_moment_until_it_ends(cache: Root, tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        'import sys\n'
        'from mlops_cli.fsio.locks import LockFile, hold_owner\n'
        'from mlops_cli.fsio.paths import Root\n'
        'from mlops_cli.store import users\n'
        f'locks = LockFile({str(tmp_path / "cache/locks-v1")!r})\n'
        'hold_owner(locks)\n'
        f'users.begin(Root({cache.path!r}))\n'
        'print("ready", flush=True)\n'
        'sys.stdin.read()\n'
    )
    with LockFile(str(tmp_path / 'cache/locks-v1')) as locks:
        hold_owner(locks)
        users.begin(cache)
        before = users.now_ns(cache)
        with subprocess.Popen([sys.executable, '-c', program], stdin=-1, stdout=-1) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b'ready\n'
            ((_, began),) = users.writers(cache, owner_alive(locks))
            assert before <= began <= users.now_ns(cache)
            writer.communicate()
        assert list(users.writers(cache, owner_alive(locks))) == []


def test_projects_are_listed_once_and_found_where_they_were_moved_with_the_cache(tmp_path: Path) -> None:
    project = tmp_path / 'one'
    (project / '.mlops/cache').mkdir(parents=True)
    with Root(project / '.mlops/cache') as cache:
        for _ in range(2):
            users.register(cache, str(project), lambda: True)
        users.register(cache, str(tmp_path / 'other'), lambda: False)
        assert sorted((one.path, one.in_git) for one in users.projects(cache)) == [
            (str(project), True), (str(tmp_path / 'other'), False)]
    project.rename(tmp_path / 'two')
    with Root(tmp_path / 'two/.mlops/cache') as cache:
        assert {one.path for one in users.projects(cache)} == {str(tmp_path / 'two'), str(tmp_path / 'other')}
        assert users.forget(cache, str(tmp_path / 'other')) and not users.forget(cache, str(tmp_path / 'other'))
        assert {one.path for one in users.projects(cache)} == {str(tmp_path / 'two')}


def test_a_list_of_projects_that_cannot_be_read_is_an_error(cache: Root) -> None:
    users.register(cache, '/somewhere', lambda: False)
    (file,) = os.listdir(f'{cache.path}/roots/projects')
    Path(cache.path, 'roots/projects', file).write_text('{}')
    with pytest.raises(UserError) as refused:
        users.projects(cache)
    assert refused.value.exit_code == 5


def test_a_kill_in_the_middle_leaves_no_folder_without_its_files(store: LocalStore, cache: Root, root: Root) -> None:
    """Nodes go before files, and come back after them."""
    folder(store, root, 'data', {f'{number}': b'%d' % number for number in range(20)})
    plan, _ = planned(cache)
    moved: list[str] = []

    def seen(operation: str, details: dict[str, object]) -> None:
        if operation == 'rename':
            moved.append(str(details['source']))
            if len(moved) == 10:
                raise KeyboardInterrupt

    with ops.record(seen), pytest.raises(KeyboardInterrupt):
        gc.sweep(cache, plan, time.time_ns())
    left = take_stock(cache)
    marks = Marks(cache, left)
    assert not any(marks.is_tree(digest) for digest in left.objects)
    undone = gc.undo(cache)
    assert undone.files == 9 and len(list(store.listed())) == 21


@pytest.mark.parametrize('how', ['added', 'known', 'placed', 'placed folder', 'saved', 'linked', 'sent'])
def test_what_is_relied_on_counts_as_used(store: LocalStore, cache: Root, root: Root, how: str) -> None:
    """Else gc would take it while what names it is not written yet."""
    ref = folder(store, root, 'data', {'a': b'content'})
    file = ObjectRef(Digest(next(one.hex for one in store.listed() if one != ref.digest)), 7, 'file')
    expected = [file]
    match how:
        case 'added':
            store.add_bytes(b'content')
        case 'known':
            store.add_path(root, 'data', known=lambda _path, _facts: file)
            expected = [file, ref]
        case 'placed':
            store.materialise(file, root, 'out')
        case 'placed folder':
            store.materialise(ref, root, 'out')
            expected = [file, ref]
        case 'saved':
            assert store.missing([ref], sure=True) == []
            expected = [file, ref]
        case 'linked':
            store.materialise(file, root, 'out', links=('hardlink',))
        case _:
            store.put([(file.digest, [b'content'])])
    assert all(time.time() - path_of(store, one).stat().st_mtime < 60 for one in expected)


def test_who_only_looks_touches_nothing(store: LocalStore, cache: Root, root: Root) -> None:
    ref = folder(store, root, 'data', {'a': b'content'})
    before = {path: path.stat().st_mtime_ns for path in Path(store.objects).rglob('*')}
    assert store.missing([ref]) == [] and store.has([ref.digest]) and store.read(ref.digest)
    assert {path: path.stat().st_mtime_ns for path in Path(store.objects).rglob('*')} == before
