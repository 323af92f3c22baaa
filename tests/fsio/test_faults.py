"""Each single change of the disk fails in turn, once or from then on: what was there stays whole, nothing is left lying about,
and the error is told with its path."""
from __future__ import annotations

import errno
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode
from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.filesystem import FileSystem
from mlops_cli.fsio.journal import Journal, decode
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import new_name, owner_in, sweep_temporaries

OLD, NEW = b'old content', b'new content, longer'
ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]


class Failing:
    """Fails the ``number``-th change (from 0), and with ``sticky`` all after it; counts them."""

    def __init__(self, number: int, sticky: bool, error: int) -> None:
        self.number, self.sticky, self.error = number, sticky, error
        self.count = 0
        self.failed = ''
        self._lock = threading.Lock()

    def __call__(self, operation: str, _details: dict[str, Any]) -> None:
        with self._lock:
            position, self.count = self.count, self.count + 1
            if position == self.number:
                self.failed = operation
        if position == self.number or (self.sticky and position > self.number):
            raise OSError(self.error, os.strerror(self.error))


def replace_file(folder: Path) -> None:
    write_file(str(folder), 'file', NEW)


def make_file_in_new_folders(folder: Path) -> None:
    write_file(str(folder), 'a/b/file', NEW)


def batch_of_five(folder: Path) -> None:
    """Two objects, one of them there already and one there but damaged, a tree, a result and a pin."""
    with Root(folder) as root, Batch(root=root) as batch:
        for final, level in (('o/there', 0), ('o/damaged', 0), ('o/tree', 1), ('r/new', 2), ('pin', 3)):
            temporary = f'tmp/{new_name()}'
            with root.parent(temporary) as (fd, name):
                file = ops.open_new(name, dir_fd=fd)
            try:
                ops.write(file, NEW)
            except OSError:
                os.close(file)
                ops.remove_quietly(f'{folder}/{temporary}')
                raise
            batch.add(temporary, final, level, fd=file)


def prepare(folder: Path) -> None:
    folder.mkdir()
    for name, content in (('file', OLD), ('o/there', NEW), ('o/damaged', b''), ('pin', OLD)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / 'tmp').mkdir()


def check(folder: Path) -> None:
    """Each file is all old or all new; who names others is new only if they are there."""
    content = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    content = {name: data for name, data in content.items() if owner_in(os.path.basename(name)) is None}
    damaged = [name for name in content if name.startswith('o/damaged.damaged-')]
    assert all(content.pop(name) == b'' for name in damaged)
    assert content.pop('file') in (OLD, NEW)
    assert content.pop('a/b/file', NEW) == NEW
    assert content.pop('o/there') == NEW
    assert content.pop('o/damaged', NEW) in (b'', NEW)
    tree, result, pin = content.pop('o/tree', None), content.pop('r/new', None), content.pop('pin')
    assert (tree, result, pin) in [(None, None, OLD), (NEW, None, OLD), (NEW, NEW, OLD), (NEW, NEW, NEW)]
    assert content == {}


@pytest.fixture(params=['ordered', 'unordered'])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    found = FileSystem('ext4', ordered=request.param == 'ordered', network=False)
    monkeypatch.setattr(filesystem, 'probe', lambda _: found)


def each_failure(run: Callable[[Path], None], tmp_path: Path, sticky: bool) -> Iterator[tuple[Path, OSError]]:
    """For each change that ``run`` makes, a fresh folder after that one failed, and the error."""
    prepare(tmp_path / 'whole')
    counter = Failing(-1, False, 0)
    with ops.inject(counter):
        run(tmp_path / 'whole')
    check(tmp_path / 'whole')
    assert counter.count > 4
    gc.collect()  # what tests before this one left open is not counted
    descriptors = len(os.listdir('/proc/self/fd'))
    for number in range(counter.count):
        for error in ERRORS:
            folder = tmp_path / f'{number}-{error}'
            prepare(folder)
            failing = Failing(number, sticky, error)
            try:
                with ops.inject(failing):
                    run(folder)
            except OSError as failure:
                yield folder, failure
            else:  # an object that we may not freshen is replaced by ours
                assert (failing.failed, error) == ('utime', errno.EACCES)
                check(folder)
    assert len(os.listdir('/proc/self/fd')) == descriptors
    assert not [thread for thread in threading.enumerate() if thread.name == 'fsync']


@pytest.mark.parametrize('run', [replace_file, make_file_in_new_folders, batch_of_five])
@pytest.mark.usefixtures('order')
def test_one_failure_leaves_everything_whole_and_tidy(run: Callable[[Path], None], tmp_path: Path) -> None:
    for folder, error in each_failure(run, tmp_path, sticky=False):
        assert str(folder) in error.filename
        told = machine_error(error, 'do it')
        assert (told.exit_code, bool(told.hint), str(folder) in told.message) == (ExitCode.MACHINE, True, True)
        check(folder)
        left = [path.name for path in folder.rglob('*') if owner_in(path.name)]
        assert len(left) <= (1 if run is batch_of_five else 0), error  # the unlink itself that failed


@pytest.mark.parametrize('run', [replace_file, make_file_in_new_folders, batch_of_five])
@pytest.mark.usefixtures('order')
def test_a_lasting_failure_leaves_everything_whole_and_what_a_sweep_removes(run: Callable[[Path], None],
                                                                           tmp_path: Path) -> None:
    for folder, error in each_failure(run, tmp_path, sticky=True):
        assert str(folder) in error.filename
        check(folder)
        with Root(folder) as root:
            sweep_temporaries(root, lambda _: False)
            sweep_temporaries(root, lambda _: False, 'tmp')
            if root.exists('a/b'):
                sweep_temporaries(root, lambda _: False, 'a/b')
        assert not [path.name for path in folder.rglob('*') if owner_in(path.name)]
        check(folder)


@pytest.mark.parametrize('sticky', [False, True])
@pytest.mark.parametrize('error', ERRORS)
def test_journal_keeps_what_it_took_and_nothing_else(tmp_path: Path, sticky: bool, error: int) -> None:
    whole = 3  # write, fsync, fsync of the folder
    for number in range(whole):
        journal = Journal(str(tmp_path), f'j{number}')
        journal.append({'n': 'before'})
        with ops.inject(Failing(number, sticky, error)), pytest.raises(OSError) as caught:
            journal.append({'n': 'failed'}, sync=True)
        assert str(tmp_path) in caught.value.filename
        journal.append({'n': 'after'})
        journal.close(remove=False)
        records, _ = decode((tmp_path / f'j{number}.jsonl').read_bytes())
        assert records[0] == {'n': 'before'} and records[-1] == {'n': 'after'}
        if not sticky or number == 0:
            assert len(records) == 2


def test_a_journal_that_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    before = len(os.listdir('/proc/self/fd'))
    for number in range(2):
        with ops.inject(Failing(number, True, errno.ENOSPC)), pytest.raises(OSError):
            Journal(str(tmp_path / 'journal'), 'x')
    assert not (tmp_path / 'journal/x.jsonl').exists()
    assert len(os.listdir('/proc/self/fd')) == before


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')  # a runner may have threads; the child ends without them
@pytest.mark.parametrize('run', [replace_file, make_file_in_new_folders, batch_of_five])
@pytest.mark.usefixtures('order')
def test_a_kill_before_any_change_leaves_everything_whole(run: Callable[[Path], None], tmp_path: Path) -> None:
    """And the next process, seeing that the owner is gone, removes what it left; then the same again goes through."""
    for number in range(100):
        folder = tmp_path / str(number)
        prepare(folder)
        child = os.fork()
        if not child:
            counter = iter(range(number))
            with ops.inject(lambda *_, counter=counter: next(counter, None) is None and os._exit(9)):
                run(folder)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        check(folder)
        with Root(folder) as root:
            for rel in ('', 'tmp', 'a/b'):
                if root.exists(rel):
                    sweep_temporaries(root, rel=rel)
        assert not [path.name for path in folder.rglob('*') if owner_in(path.name)]
        check(folder)
        run(folder)
        check(folder)
        if status == 0:
            break
        assert status == 9
    assert 4 < number < 99
