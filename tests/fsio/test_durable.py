"""Files that become durable in groups: data before names, names in order, nothing lost and nothing left."""
from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.durable import OBJECTS, RECORDS, RESULTS, TREES, Batch, Durability
from mlops_cli.fsio.filesystem import FileSystem
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import new_name


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as found:
        found.makedirs('tmp')
        yield found


@pytest.fixture(params=['ordered', 'unordered'])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of file system, whatever this machine has."""
    found = FileSystem('ext4', ordered=request.param == 'ordered', network=False)
    monkeypatch.setattr(filesystem, 'probe', lambda _: found)
    return str(request.param)


def add(batch: Batch, root: Root, final: str, content: bytes = b'content', level: int = OBJECTS, *, keep_open: bool = True,
        **options: Any) -> str:
    """A finished temporary, given to the batch."""
    temporary = f'tmp/{new_name()}'
    with root.parent(temporary) as (folder, name):
        fd = ops.open_new(name, dir_fd=folder)
    ops.write(fd, content)
    if not keep_open:
        os.close(fd)
    batch.add(temporary, final, level, fd=fd if keep_open else None, root=root, **options)
    return temporary


def tree(root: Root) -> dict[str, bytes]:
    files = [path for path in sorted(Path(root.path).rglob('*')) if path.is_file()]
    return {str(path.relative_to(root.path)): path.read_bytes() for path in files}


@pytest.mark.parametrize('durability', ['batch', 'full', 'none'])
@pytest.mark.parametrize('keep_open', [True, False])
@pytest.mark.usefixtures('order')
def test_files_get_their_names_at_the_flush(root: Root, durability: Durability, keep_open: bool) -> None:
    called: list[int] = []
    with Batch(durability, root=root) as batch:
        for level in (RECORDS, OBJECTS, RESULTS, TREES):
            add(batch, root, f'{level}/a/file', b'%d' % level, level, keep_open=keep_open, after=partial(called.append, level))
        temporary = batch.pending('2/a/file')
        assert temporary is not None and (Path(root.path) / temporary).read_bytes() == b'2'
        assert (len(batch), called, batch.pending('no')) == (4, [], None)
        batch.flush()
        assert tree(root) == {f'{level}/a/file': b'%d' % level for level in range(4)}
        assert (len(batch), called, batch.pending('2/a/file')) == (0, [3, 0, 2, 1], None)
    assert os.listdir(Path(root.path) / 'tmp') == []
    assert stat.S_IMODE((Path(root.path) / '0/a').stat().st_mode) & 0o022 == 0


class Trace:
    """What is on the medium, as far as the recorded operations promise it."""

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.written: set[tuple[int, int]] = set()  # inodes whose data was waited for
        self.safe: set[tuple[int, int]] = set()
        self.names: list[tuple[str, bool]] = []  # (final path, data was safe when it was named)
        self.loose: list[str] = []  # names that are not durable yet
        self.at_naming: dict[str, list[str]] = {}  # final path -> loose names at that moment

    def __call__(self, operation: str, details: dict[str, Any]) -> None:
        if operation == 'sync_range' and details['wait']:
            self.written.add(details['inode'])
        elif operation == 'fsync':
            self.safe.add(details['inode'])
            if self.ordered:
                self.safe |= self.written
                self.loose.clear()
            else:
                self.loose = [name for name in self.loose if os.path.dirname(name) != details['path']]
        elif operation in ('rename', 'link'):
            facts = os.stat(details['source'])
            self.at_naming[details['target']] = list(self.loose)
            self.names.append((os.path.basename(details['target']), (facts.st_dev, facts.st_ino) in self.safe))
            self.loose.append(details['target'])


@pytest.mark.parametrize('durability', ['batch', 'full'])
def test_data_is_durable_before_the_name_and_children_before_parents(root: Root, order: str, durability: Durability) -> None:
    trace = Trace(ordered=order == 'ordered' and durability == 'batch')
    with ops.record(trace):
        batch = Batch(durability, root=root)
        for group in range(3):
            for number in range(5):
                for level in (RECORDS, TREES, OBJECTS, RESULTS):
                    add(batch, root, f'd{number}/{group}-{level}-{number}', b'x' * 5000, level)
            batch.flush()
        batch.close()
    assert len(trace.names) == 60
    assert all(safe for _, safe in trace.names)
    levels = [(name.split('-')[0], name.split('-')[1]) for name, _ in trace.names]
    assert levels == sorted(levels)
    assert trace.loose == []
    if not trace.ordered:  # where order is not the file system's, each level's names are durable before the next level's
        for final, loose in trace.at_naming.items():
            mine = os.path.basename(final).split('-')[:2]
            assert all(os.path.basename(other).split('-')[:2] == mine for other in loose)


def test_trees_are_named_as_they_came(root: Root) -> None:
    """What is below was added first; were the other named before it, a full disk in between would leave that without it."""
    finals = [f'{name}/tree' for name in 'dbacaebd']
    finals = [f'{final}-{number}' for number, final in enumerate(finals)]
    named: list[str] = []

    def listen(operation: str, details: dict[str, Any]) -> None:
        if operation == 'link':
            named.append(os.path.relpath(details['target'], root.path))

    with Batch(root=root) as batch:
        for final in finals:
            add(batch, root, final, final.encode(), TREES)
        with ops.record(listen):
            batch.flush()
    assert named == finals


def test_one_fsync_per_group_where_the_file_system_is_ordered(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, 'probe', lambda _: FileSystem('xfs', ordered=True, network=False))
    count = 0
    seen: list[tuple[str, tuple[int, int]]] = []

    def listen(operation: str, details: dict[str, Any]) -> None:
        nonlocal count
        if operation == 'fsync':
            count += 1
            # That file has to be changed after all others were waited for, else its fsync need not cover them.
            assert count == 5 or [name for name, _ in seen[-2:]] == ['sync_range', 'chmod']
            assert count == 5 or seen[-1] == ('chmod', details['inode'])
        if 'inode' in details:
            seen.append((operation, details['inode']))

    with ops.record(listen):
        batch = Batch(root=root)
        for group in range(4):
            for number in range(100):
                add(batch, root, f'd/{group}-{number}')
            batch.flush()
        assert count == 4
        batch.close()
        assert count == 5


def test_names_on_another_disk_are_durable_before_what_leans_on_them(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    other_path = '/dev/shm'
    if not os.access(other_path, os.W_OK) or os.stat(other_path).st_dev == os.stat(root.path).st_dev:
        pytest.skip('needs a second file system at /dev/shm')
    monkeypatch.setattr(filesystem, 'probe', lambda _: FileSystem('ext4', ordered=True, network=False))
    seen: list[str] = []

    def listen(operation: str, details: dict[str, Any]) -> None:
        seen.append(f'{operation} {os.path.basename(details.get("target") or details["path"])}')

    with Root(other_path) as shm:
        folder = new_name('mlops-test-')
        try:
            with shm.sub(folder, create=True) as other:
                other.makedirs('tmp')
                with Batch(root=root) as batch:
                    add(batch, other, 'objects/a', level=OBJECTS)
                    add(batch, root, 'pins/a', level=RECORDS)
                    with ops.record(listen):
                        batch.flush()
                assert tree(other) == {'objects/a': b'content'}
        finally:
            shm.remove_tree(folder)
    assert seen.index('link a') < seen.index('fsync objects') < seen.index('rename a')


@pytest.mark.usefixtures('order')
def test_an_object_that_is_there_stays_and_is_freshened(root: Root) -> None:
    path = Path(root.path) / 'o/x'
    path.parent.mkdir()
    path.write_bytes(b'content')
    os.utime(path, ns=(1, 1))
    inode = path.stat().st_ino
    with Batch(root=root) as batch:
        add(batch, root, 'o/x')
        add(batch, root, 'o/x')
        add(batch, root, 'o/new')
        add(batch, root, 'o/new')
    assert tree(root) == {'o/x': b'content', 'o/new': b'content'}
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > time.time() - 60


def test_an_object_of_wrong_size_is_set_aside_and_replaced(root: Root) -> None:
    for name in ('x', 'y'):
        (Path(root.path) / 'o').mkdir(exist_ok=True)
        (Path(root.path) / 'o' / name).write_bytes(b'')
    (Path(root.path) / 'o/folder').mkdir()
    with Batch(root=root, quarantine=lambda final: f'quarantine/{os.path.basename(final)}') as batch:
        add(batch, root, 'o/x')
        add(batch, root, 'o/folder')
    with Batch(root=root) as batch:
        add(batch, root, 'o/y')
    found = tree(root)
    assert (found['o/x'], found['o/y'], found['o/folder'], found['quarantine/x']) == (b'content', b'content', b'content', b'')
    assert (Path(root.path) / 'quarantine/folder').is_dir()
    assert [name for name in found if name.startswith('o/y.damaged-')]


def test_replace_heals_an_object_of_right_size(root: Root) -> None:
    (Path(root.path) / 'x').write_bytes(b'c0ntent')
    with Batch(root=root) as batch:
        add(batch, root, 'x', replace=True)
    assert tree(root) == {'x': b'content'}


def test_results_and_records_replace(root: Root) -> None:
    for content in (b'one', b'two'):
        with Batch(root=root) as batch:
            add(batch, root, 'r', content, RESULTS)
            add(batch, root, 'p', content, RECORDS)
    assert tree(root) == {'r': b'two', 'p': b'two'}


@pytest.mark.parametrize('number', [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
@pytest.mark.parametrize('rename_too', [True, False])
def test_without_hard_links(root: Root, number: int, rename_too: bool) -> None:
    (Path(root.path) / 'o').mkdir()
    (Path(root.path) / 'o/there').write_bytes(b'content')

    def fail(operation: str, _: dict[str, Any]) -> None:
        if operation == 'link':
            raise OSError(number, os.strerror(number))
        if rename_too and operation == 'rename_noreplace':
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    with ops.inject(fail), Batch(root=root) as batch:
        add(batch, root, 'o/new')
        add(batch, root, 'o/there')
    assert tree(root) == {'o/new': b'content', 'o/there': b'content'}


def test_a_link_that_worked_but_said_it_exists(root: Root) -> None:
    """As network file systems do when they repeat a call whose answer got lost."""
    def link_first(operation: str, details: dict[str, Any]) -> None:
        if operation == 'link':
            os.link(details['source'], details['target'])

    with ops.inject(link_first), Batch(root=root) as batch:
        add(batch, root, 'o/x')
    assert tree(root) == {'o/x': b'content'}


def test_an_object_of_somebody_else_is_replaced_by_ours(root: Root) -> None:
    (Path(root.path) / 'x').write_bytes(b'content')
    inode = (Path(root.path) / 'x').stat().st_ino

    def fail(operation: str, _: dict[str, Any]) -> None:
        if operation == 'utime':
            raise PermissionError(errno.EPERM, 'Operation not permitted')

    with ops.inject(fail), Batch(root=root) as batch:
        add(batch, root, 'x')
    assert tree(root) == {'x': b'content'}
    assert (Path(root.path) / 'x').stat().st_ino != inode


def test_absolute_paths_without_a_root(tmp_path: Path, root: Root) -> None:
    with Batch() as batch:
        temporary = tmp_path / 'tmp' / new_name()
        temporary.write_bytes(b'x')
        batch.add(str(temporary), str(tmp_path / 'a/b/c'), OBJECTS)
        assert batch.pending(str(tmp_path / 'a/b/c')) == str(temporary)
    assert tree(root) == {'a/b/c': b'x'}


def test_a_folder_swapped_for_a_link_is_refused_and_nothing_is_written(tmp_path: Path, root: Root) -> None:
    (tmp_path / 'o').symlink_to('/tmp')
    batch = Batch(root=root)
    add(batch, root, 'o/mlops-test-must-not-exist')
    with pytest.raises(UserError, match='symbolic link'):
        batch.close()
    assert not os.path.exists('/tmp/mlops-test-must-not-exist')
    assert os.listdir(tmp_path / 'tmp') == []


@pytest.mark.usefixtures('order')
def test_many_files_do_not_use_up_descriptors(root: Root, request: pytest.FixtureRequest) -> None:
    import gc
    import resource

    gc.collect()  # what other tests left open
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(800)]  # what else the process has open is not the batch's
    request.addfinalizer(lambda: [os.close(fd) for fd in others])
    used = len(os.listdir('/proc/self/fd'))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 240, limits[1]))
    try:
        with Batch(root=root) as batch:
            for number in range(1200):
                add(batch, root, f'{number % 150}/{number}', level=number % 4)
            batch.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(tree(root)) == 1200
    assert len(os.listdir('/proc/self/fd')) == used


def test_due_by_number_and_by_age(root: Root) -> None:
    with Batch('none', root=root) as batch:
        assert not batch.flush_if_due(1, 0)
        add(batch, root, 'a')
        assert not batch.flush_if_due(2, 60)
        add(batch, root, 'b')
        assert batch.flush_if_due(2, 60)
        add(batch, root, 'c')
        time.sleep(0.02)
        assert batch.flush_if_due(100, 0.01)


@pytest.mark.usefixtures('order')
def test_after_a_failed_fsync_nothing_of_the_group_is_named_and_the_batch_refuses_more(root: Root) -> None:
    fsyncs = 0

    def fail(operation: str, _: dict[str, Any]) -> None:
        nonlocal fsyncs
        if operation == 'fsync':
            fsyncs += 1
            raise OSError(errno.EIO, 'Input/output error')

    called: list[int] = []
    batch = Batch(root=root)
    for number in range(3):
        add(batch, root, f'o/{number}', level=number, after=lambda: called.append(1))
    with ops.inject(fail), pytest.raises(OSError, match='Input/output error') as first:
        batch.flush()
    assert tree(root) == {}
    assert batch.pending('o/0') is None
    for call in (lambda: add(batch, root, 'o/later'), batch.flush, batch.flush_if_due, batch.close):
        with pytest.raises(OSError) as again:
            call()
        assert again.value is first.value
    assert (tree(root), called) == ({}, [])
    assert fsyncs <= 3  # never again on the same file


def test_an_exception_drops_what_waits(root: Root) -> None:
    with pytest.raises(ZeroDivisionError), Batch(root=root) as batch:
        add(batch, root, 'a')
        _ = 1 / 0
    assert tree(root) == {}


@pytest.mark.usefixtures('order')
def test_threads_may_add_while_others_flush(root: Root) -> None:
    failures: list[BaseException] = []
    done: list[str] = []

    def work(thread: int) -> None:
        try:
            for number in range(100):
                add(batch, root, f'{thread}/{number}', b'%d' % number, number % 4, after=lambda: done.append(''))
                if number % 10 == thread:
                    batch.flush()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            failures.append(error)

    with Batch(root=root) as batch:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (failures, len(done)) == ([], 400)
    assert tree(root) == {f'{thread}/{number}': b'%d' % number for thread in range(4) for number in range(100)}


@pytest.mark.full
def test_cost_of_durability(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints; what it costs depends on the disk.  The bound is far off, so that only a lost grouping breaks it."""
    def cost(how: Durability) -> float:
        start = time.perf_counter()
        with root.sub(new_name(how), create=True) as folder, Batch(how, root=folder) as batch:
            folder.makedirs('tmp')
            for number in range(3000):
                add(batch, folder, f'o/{number % 16:02x}/{number}', b'%08d' % number * 128)
                batch.flush_if_due()
        return (time.perf_counter() - start) / 3

    def each() -> float:
        start = time.perf_counter()
        fds = []
        for number in range(300):
            fds.append(ops.open_new(f'{root.path}/tmp/{number}'))
            ops.write(fds[-1], b'%08d' % number * 128)
            ops.fsync(fds[-1])
            os.close(fds[-1])
            ops.rename(f'{root.path}/tmp/{number}', f'{root.path}/{number}')
        return (time.perf_counter() - start) / 0.3

    none, batch, full = (min(cost(how) for _ in range(2)) for how in ('none', 'batch', 'full'))
    one_by_one = each()
    with capsys.disabled():
        print(f'\n3,000 files of 1 KiB, ms a file: none {none:.3f}, batch {batch:.3f} ({batch / none:.1f}x), '
              f'full {full:.3f} ({full / none:.1f}x), an fsync each {one_by_one:.3f} ({one_by_one / none:.1f}x)')
    assert batch < none * 12
