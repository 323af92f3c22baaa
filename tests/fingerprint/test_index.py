"""The index never misses an edit (F8), and knows what has aged without reading it."""
from __future__ import annotations

import itertools
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import SIGNATURE
from mlops_cli.fingerprint import index as module
from mlops_cli.fingerprint import indexed
from mlops_cli.fingerprint.index import Index, Moment
from mlops_cli.fsio import boots, filesystem, ops, wal
from mlops_cli.fsio.paths import Root

SECOND = 1_000_000_000


class Facts:
    """A stat_result whose times are replaced."""

    def __init__(self, facts: os.stat_result, *, mtime_ns: int, ctime_ns: int) -> None:
        self._facts = facts
        self.st_mtime_ns, self.st_ctime_ns = mtime_ns, ctime_ns

    def __getattr__(self, name: str) -> object:
        return getattr(self._facts, name)


def truncated(step_ns: int) -> Callable[[os.stat_result], os.stat_result]:
    """The times of a file system that keeps them in steps."""
    def coarse(facts: os.stat_result) -> os.stat_result:
        if isinstance(facts, Facts):
            return facts  # type: ignore[unreachable]
        return Facts(facts, mtime_ns=facts.st_mtime_ns // step_ns * step_ns,
                     ctime_ns=facts.st_ctime_ns // step_ns * step_ns)  # type: ignore[return-value]
    return coarse


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as opened:
        yield opened


def make(root: Root, **options: object) -> Index:
    warnings: list[str] = []
    index = Index(Path(root.path, '.mlops/local/index-v1.sqlite'), root, warn=warnings.append, **options)  # type: ignore[arg-type]
    index.warnings = warnings  # type: ignore[attr-defined]
    return index


def look(index: Index, root: Root, rel: str) -> tuple[ObjectRef, bool]:
    """(content, whether the index knew it), as the workspace does."""
    facts = os.lstat(root.full(rel))
    known = index.get(rel, facts)
    if known is not None:
        return known, True
    moment = index.moment()
    data = Path(root.full(rel)).read_bytes()
    facts = os.lstat(root.full(rel))
    ref = ObjectRef(digest_of(data), len(data), 'exec' if facts.st_mode & 0o100 else 'file')
    index.put_many([(rel, facts, ref)], moment=moment)
    return ref, False


def age(monkeypatch: pytest.MonkeyPatch, index: Index, seconds: float) -> None:
    """Let the file system's clock go on."""
    real = index._probe

    def later() -> Moment:
        device, before, foreign = real()
        return Moment(device, before + int(seconds * SECOND), foreign + int(seconds * SECOND))

    monkeypatch.setattr(index, '_probe', later)
    index._probed = float('-inf')


# Never miss an edit

def edit_in_place(path: Path, data: bytes) -> None:
    with open(path, 'r+b') as file:
        file.write(data)


def edit_and_restore_mtime(path: Path, data: bytes) -> None:
    before = path.stat()
    edit_in_place(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_over(path: Path, data: bytes) -> None:
    before = path.stat()
    other = path.with_name('other')
    other.write_bytes(data)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


def reuse_inode(path: Path, data: bytes) -> None:
    before = path.stat()
    path.unlink()
    path.write_bytes(data)  # most file systems give it the inode just freed
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


EDITS = (edit_in_place, edit_and_restore_mtime, rename_over, reuse_inode)


EDITS_EACH = 500
STEPS = {'2s': 2 * SECOND, '1s': SECOND, '10ms': SECOND // 100, '1ms': SECOND // 1000, 'as it is': 1}


@pytest.mark.parametrize('step_ns', STEPS.values(), ids=STEPS)
@pytest.mark.parametrize('edit', EDITS)
def test_no_edit_of_equal_size_is_missed(root: Root, tmp_path: Path, step_ns: int, edit: Callable[[Path, bytes], None]) -> None:
    """2,000 edits a step, each right after a look, so that the times often stay as they are."""
    index = make(root, stat_filter=truncated(step_ns))
    random.seed(step_ns)
    path = tmp_path / 'f'
    path.write_bytes(b'000000')
    missed = 0
    for number in range(EDITS_EACH):
        look(index, root, 'f')
        data = b'%06d' % (number + 1)
        edit(path, data)
        if random.random() < 0.3:  # a second edit, between two looks
            data = data[::-1]
            edit(path, data)
        ref, _ = look(index, root, 'f')
        missed += ref.digest != digest_of(data)
    assert missed == 0
    assert not index.warnings  # type: ignore[attr-defined]
    index.close()


@pytest.mark.parametrize('step_ns', [2 * SECOND, SECOND, SECOND // 100])
def test_the_filter_does_make_the_times_collide(tmp_path: Path, step_ns: int) -> None:
    coarse = truncated(step_ns)
    path = tmp_path / 'f'
    path.write_bytes(b'0')
    collisions = 0
    for number in range(200):
        before = module.pack(coarse(os.lstat(path)))
        edit_in_place(path, b'%d' % (number % 10))
        collisions += module.pack(coarse(os.lstat(path))) == before
    assert collisions > 100, 'else the tests above prove nothing'


def test_an_edit_while_the_file_is_read_is_not_missed(root: Root, tmp_path: Path) -> None:
    """Read, then edited within one step of the clock, then stated: the state belongs to the edit, the content does not."""
    index = make(root, stat_filter=truncated(2 * SECOND))
    path = tmp_path / 'f'
    path.write_bytes(b'old')
    moment = index.moment()
    ref = ObjectRef(digest_of(path.read_bytes()), 3, 'file')
    path.write_bytes(b'new')
    index.put_many([('f', os.lstat(path), ref)], moment=moment)
    assert index.get('f', os.lstat(path)) is None


def test_a_clock_that_is_set_back_makes_recent_rows_untrusted(
        root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    (tmp_path / 'f').write_bytes(b'x')
    age(monkeypatch, index, 5)
    assert look(index, root, 'f')[1] is False
    assert look(index, root, 'f')[1] is True
    for back in (-10, -3605, -86405):
        age(monkeypatch, index, back)
        assert index.get('f', os.lstat(tmp_path / 'f')) is None
        age(monkeypatch, index, -back)
    assert look(index, root, 'f')[1] is True


def test_times_in_the_future_are_never_trusted(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    path = tmp_path / 'f'
    path.write_bytes(b'x')
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 86400 * SECOND))
    age(monkeypatch, index, 3600)
    assert [look(index, root, 'f')[1] for _ in range(3)] == [False, False, False]


def test_without_a_clock_on_that_device_only_old_files_are_trusted(root: Root, tmp_path: Path) -> None:
    now = os.lstat(tmp_path).st_mtime_ns
    hours = itertools.count()
    index = make(root, stat_filter=elsewhere, clock=lambda: now + next(hours) * 3600 * SECOND)
    (tmp_path / 'f').write_bytes(b'x')
    assert look(index, root, 'f')[1] is False
    index._probed = float('-inf')
    look(index, root, 'f')
    index._probed = float('-inf')
    assert look(index, root, 'f')[1] is True


def elsewhere(facts: os.stat_result) -> os.stat_result:
    """Files of one byte on another device than the clock's."""
    if isinstance(facts, Facts):
        return facts  # type: ignore[unreachable]
    found = Facts(facts, mtime_ns=facts.st_mtime_ns, ctime_ns=facts.st_ctime_ns)
    found.st_dev = facts.st_dev + (facts.st_size == 1)  # type: ignore[attr-defined]
    return found  # type: ignore[return-value]


@pytest.mark.parametrize('field', ['st_dev', 'st_ino', 'st_size', 'st_mtime_ns', 'st_ctime_ns', 'st_mode'])
def test_every_field_counts(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    index = make(root)
    (tmp_path / 'f').write_bytes(b'xyz')
    age(monkeypatch, index, 5)
    look(index, root, 'f')
    facts = os.lstat(tmp_path / 'f')
    assert index.get('f', facts) is not None
    other = Facts(facts, mtime_ns=facts.st_mtime_ns, ctime_ns=facts.st_ctime_ns)
    setattr(other, field, getattr(facts, field) - 1)
    assert index.get('f', other) is None  # type: ignore[arg-type]


# Know what has aged

@pytest.mark.parametrize('step_ns', [2 * SECOND, SECOND // 100, 1])
def test_aged_files_are_always_known_also_by_the_next_command(
        root: Root, monkeypatch: pytest.MonkeyPatch, step_ns: int) -> None:
    names = [f'd{n % 7}/f{n}' for n in range(300)] + ['top', '\udcff', 'd0/é"\n']
    for name in names:
        path = Path(root.full(name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode('utf-8', 'surrogateescape'))
    os.chmod(root.full('top'), 0o755)
    index = make(root, stat_filter=truncated(step_ns))
    age(monkeypatch, index, 10)
    first = {name: look(index, root, name) for name in names}
    assert not any(known for _, known in first.values())
    index.close()
    again = make(root, stat_filter=truncated(step_ns))
    age(monkeypatch, again, 10)
    assert {name: look(again, root, name) for name in names} == {name: (ref, True) for name, (ref, _) in first.items()}
    assert first['top'][0].kind == 'exec'
    again.close()


def test_fresh_files_are_known_after_the_second_look(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    (tmp_path / 'f').write_bytes(b'x')
    index.moment(max_age_seconds=0)
    monkeypatch.setattr(module, 'FINE_SLOP_NS', 60 * SECOND)
    index._probed = float('-inf')
    assert [look(index, root, 'f')[1] for _ in range(2)] == [False, False]
    monkeypatch.setattr(module, 'FINE_SLOP_NS', 20_000_000)
    age(monkeypatch, index, 1)
    assert [look(index, root, 'f')[1] for _ in range(3)] == [False, True, True]


def test_what_is_put_again_without_a_moment_stays_known(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    (tmp_path / 'f').write_bytes(b'x')
    age(monkeypatch, index, 5)
    ref, _ = look(index, root, 'f')
    index.put_many([('f', os.lstat(tmp_path / 'f'), ref)])
    assert index.get('f', os.lstat(tmp_path / 'f')) == ref
    (tmp_path / 'f').write_bytes(b'y')
    index.put_many([('f', os.lstat(tmp_path / 'f'), ObjectRef(digest_of(b'y'), 1, 'file'))])
    assert index.get('f', os.lstat(tmp_path / 'f')) is None


def test_the_clock_is_read_where_the_project_is_and_rarely(root: Root, tmp_path: Path) -> None:
    index = make(root)
    touched: list[str] = []
    with ops.record(lambda operation, details: touched.append(str(details.get('path'))) if operation == 'utime' else None):
        moments = {index.moment(max_age_seconds=60) for _ in range(100)}
    assert len(moments) == 1
    assert touched == [str(tmp_path / '.mlops/local/clock')]
    touched_ns = (tmp_path / '.mlops/local/clock').stat().st_mtime_ns
    assert touched_ns - moments.pop().before_ns in (module.FINE_SLOP_NS, module.COARSE_SLOP_NS)


# Objects

def test_an_object_is_trusted_in_the_very_state_it_was_found_sound_in(
        root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    path = tmp_path / 'object'
    before = index.moment()
    path.write_bytes(b'x')
    digest = digest_of(b'x')
    index.set_verified(digest, os.lstat(path), before)
    assert not index.is_verified(digest, os.lstat(path)), 'touched a moment ago'
    age(monkeypatch, index, 5)
    index.set_verified(digest, os.lstat(path), index.moment())
    assert index.is_verified(digest, os.lstat(path))
    assert not index.is_verified(digest_of(b'y'), os.lstat(path))
    index.close()
    again = make(root)
    age(monkeypatch, again, 5)
    assert again.is_verified(digest, os.lstat(path))
    path.chmod(0o600)
    assert not again.is_verified(digest, os.lstat(path))
    again.close()


# A pure cache

def filled(root: Root, monkeypatch: pytest.MonkeyPatch, count: int = 50) -> Path:
    index = make(root)
    for number in range(count):
        Path(root.full(f'f{number}')).write_bytes(b'%d' % number)
    age(monkeypatch, index, 5)
    for number in range(count):
        look(index, root, f'f{number}')
    index.close()
    return Path(root.path, '.mlops/local/index-v1.sqlite')


@pytest.mark.parametrize('how', ['zeros', 'text', 'empty', 'cut', 'other tables', 'folder'])
def test_a_damaged_database_is_replaced_and_told_once(root: Root, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    database = filled(root, monkeypatch)
    size = database.stat().st_size
    match how:
        case 'zeros':
            database.write_bytes(bytes(size))
        case 'text':
            database.write_bytes(b'hello' * 1000)
        case 'empty':
            database.write_bytes(b'')
        case 'cut':
            database.write_bytes(database.read_bytes()[:size // 2])
        case 'other tables':
            database.unlink()
            connection = sqlite3.connect(database)
            connection.execute('CREATE TABLE folders (something)')
            connection.close()
        case _:
            database.unlink()
            database.mkdir()
    index = make(root)
    age(monkeypatch, index, 5)
    for _ in range(2):
        assert all(look(index, root, f'f{number}')[0].digest == digest_of(b'%d' % number) for number in range(50))
        index.flush()
    assert len(index.warnings) == (how != 'empty')  # type: ignore[attr-defined]
    assert index.get('f7', os.lstat(root.full('f7'))) is not None
    index.close()


def test_a_page_from_before_is_noticed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power loss any value may be an old one, or another's."""
    database = filled(root, monkeypatch)
    connection = sqlite3.connect(database)
    [(_, value)] = connection.execute('SELECT path, value FROM folders').fetchall()
    for wrong in (value[:-1], value[:-1] + bytes([value[-1] ^ 1]), value[16:], b'', b'\0' * 16):
        connection.execute('UPDATE folders SET value = ?', (wrong,))
        connection.commit()
        index = make(root)
        age(monkeypatch, index, 5)
        assert index.get('f7', os.lstat(root.full('f7'))) is None
        index.close()
    connection.execute('UPDATE folders SET path = ?, value = ?', (b'elsewhere', value))
    connection.commit()
    connection.close()
    index = make(root)
    assert index.folder('elsewhere') == {}
    index.close()


def test_who_makes_the_database_at_the_same_time_is_waited_for(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.makedirs('.mlops/local')
    other = sqlite3.connect(root.full('.mlops/local/index-v1.sqlite'), isolation_level=None, check_same_thread=False)
    other.execute('BEGIN IMMEDIATE')  # SQLite itself does not wait for one who does this, where the mode is to be changed
    waits = iter(['COMMIT'])
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: [other.execute(what) for what in waits])
    monkeypatch.setattr(wal, 'time', clock)
    told: list[str] = []
    index = Index(root.full('.mlops/local/index-v1.sqlite'), root, warn=told.append)
    assert index.folder('data') == {} and told == []
    assert not [*waits], 'it was not waited for'
    assert other.execute('SELECT count(*) FROM sqlite_master').fetchone()[0] > 0  # the tables are there, not in memory
    index.close()
    other.close()


def test_where_no_file_can_be_made_it_works_from_memory(root: Root, tmp_path: Path) -> None:
    (tmp_path / 'f').write_bytes(b'x')
    os.utime(tmp_path / 'f', (1, 1))
    (tmp_path / '.mlops').write_text('a file in the way')
    index = make(root)
    assert index.moment().device == -1
    assert look(index, root, 'f')[0].digest == digest_of(b'x')
    index.flush()
    index.close()
    assert len(index.warnings) == 1  # type: ignore[attr-defined]


def test_two_commands_with_many_threads_may_write_at_once(
        root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make(root), make(root)
    for index in (one, two):
        age(monkeypatch, index, 5)
    for number in range(80):
        (tmp_path / f'f{number}').write_bytes(b'%d' % number)
    failures: list[object] = []

    def work(index: Index, numbers: range) -> None:
        for number in numbers:
            for _ in range(2):
                ref, _ = look(index, root, f'f{number}')
                if ref.digest != digest_of(b'%d' % number):
                    failures.append(number)
            if number % 5 == 0:
                index.flush()

    threads = [threading.Thread(target=work, args=(index, range(start, 80, 4)))
               for start, index in enumerate((one, two, one, two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.close()
    two.close()
    assert not failures
    assert not one.warnings + two.warnings  # type: ignore[attr-defined]


def test_on_a_network_file_system_it_lies_in_the_users_cache(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(module.database_path(root, {}))
    assert here == Path(root.path, '.mlops/local/index-v1.sqlite')
    monkeypatch.setattr(module.filesystem, 'probe', lambda _fd: filesystem.FileSystem('nfs4', ordered=False, network=True))
    there = Path(module.database_path(root, {'XDG_CACHE_HOME': '/cache', 'HOME': '/home/ada'}))
    assert there.parent == Path('/cache/mlops')
    assert there.name.endswith('-index-v1.sqlite')
    assert module.database_path(root, {'HOME': '/home/ada'}) == f'/home/ada/.cache/mlops/{there.name}'


def test_seals_are_kept_replaced_and_forgotten(root: Root) -> None:
    index = make(root)
    ref = ObjectRef(Digest('ab' * 32), 7, 'tree')
    seal = module.Seal(b's' * 32, ref)
    index.put_seal('a/b', b'', seal)
    index.put_seal('a/b', b'v', module.Seal(b't' * 32, ref))
    index.put_seal('\udcff', b'', seal)
    index.close()
    index = make(root)
    assert index.seal('a/b', b'') == seal
    assert index.seal('\udcff', b'') == seal
    assert index.seal('a', b'') is None
    index.put_seal('a/b', b'', None)
    index.close()
    index = make(root)
    assert index.seal('a/b', b'') is None
    assert index.seal('a/b', b'v') is not None
    index.close()


def test_files_that_are_gone_are_forgotten_in_time(root: Root) -> None:
    index = make(root)
    record = module.make_record(bytes(SIGNATURE.size), ObjectRef(Digest('00' * 32), 0, 'file'), True)
    index.put_folder('d', {f'f{n}': record for n in range(1000)}, range(1000))  # type: ignore[arg-type]
    index.put_folder('d', {'new': record}, {'f1', 'f2', 'new'})
    assert index.folder('d').keys() == {'f1', 'f2', 'new'}


@pytest.mark.parametrize('keeps', [True, False])
def test_what_was_written_is_let_go_of_when_it_is_much(root: Root, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    monkeypatch.setattr(module, 'HELD', 25)
    index = Index(module.database_path(root, {}), root, keeps=lambda: keeps)
    record = module.make_record(bytes(SIGNATURE.size), ObjectRef(Digest('00' * 32), 0, 'file'), True)
    for number in range(20):
        index.put_folder(f'd{number}', {f'f{n}': record for n in range(10)}, range(10))  # type: ignore[arg-type]
    assert len(index._folders) == (2 if keeps else 20)
    assert all(len(index.folder(f'd{number}')) == 10 for number in range(20))
    index.close()


# After a new start of the machine

def started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boots, 'identity', lambda: 'another')


def test_files_written_shortly_before_are_read_once_more(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their times may have reached the medium, and what was written last into them not."""
    filled(root, monkeypatch, 3)
    index = make(root)
    age(monkeypatch, index, 5)
    assert index.get('f1', os.lstat(root.full('f1'))) is not None
    index.close()
    started_anew(monkeypatch)
    index = make(root)
    age(monkeypatch, index, 5)
    assert index.get('f1', os.lstat(root.full('f1'))) is None
    assert look(index, root, 'f1')[1] is False
    index.close()
    index = make(root)
    age(monkeypatch, index, 5)
    assert look(index, root, 'f1')[1] is True
    assert look(index, root, 'f2')[1] is False
    index.close()


def test_files_untouched_for_longer_stay_known(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    later = make(root, clock=lambda: time.time_ns() + indexed.UNWRITTEN_NS + 60 * SECOND)
    Path(root.full('f')).write_bytes(b'old')
    age(monkeypatch, later, 5)
    look(later, root, 'f')
    later.close()
    started_anew(monkeypatch)
    index = make(root)
    age(monkeypatch, index, 5)
    assert look(index, root, 'f') == (ObjectRef(digest_of(b'old'), 3, 'file'), True)
    index.close()


def test_seals_are_made_anew(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(root)
    index.put_seal('a', b'', module.Seal(b's' * 32, ObjectRef(Digest('ab' * 32), 7, 'tree')))
    index.close()
    started_anew(monkeypatch)
    index = make(root)
    assert index.seal('a', b'') is None
    index.close()


def test_rows_of_the_form_before_this_one_are_not_believed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    database = filled(root, monkeypatch, 2)
    connection = sqlite3.connect(database)
    [(value,)] = connection.execute('SELECT value FROM folders').fetchall()
    connection.execute('UPDATE folders SET value = ?', (indexed.sealed(b'', value[16 + indexed.BOOT.size:]),))
    connection.commit()
    connection.close()
    index = make(root)
    assert index.folder('') == {}
    index.close()


def test_where_nobody_can_say_what_is_there_it_ends_at_the_top(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os.path, 'isdir', lambda _path: False)
    module.ensure_folder(str(tmp_path / 'a/b'))
    assert (tmp_path / 'a/b').exists()
