"""Folders of many small files, which processes beside ours place: the same outcome as one by one, whatever happens."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import make_record, pack
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import bulk_out, crew, hand_out
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from mlops_cli.store.materialise import LinkMode
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.shelf import SMALL

LINKS: list[list[LinkMode]] = [['copy'], ['hardlink'], ['hardlink', 'symlink'], ['reflink', 'copy']]


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_out, 'ENOUGH', 5)
    monkeypatch.setattr(crew, '_PIECE', 4)


@pytest.fixture
def tree(store: LocalStore, folder: Path, root: Root) -> ObjectRef:
    """What has everything that a folder may hold, in the store."""
    made = folder / 'made'
    for number in range(40):
        write(made / f'd{number % 3}/f{number:02}', f'content {number}')
    for name in ('ünï', 'a"b', 'new\nline', '\udcff', '[x] 🎉'):
        write(made / 'names' / name, name)
    write(made / 'd0/run', 'content 1', 0o755)
    write(made / 'd0/sub/deep/f', 'deep')
    write(made / 'd1/large', bytes(SMALL + 1))
    write(made / 'empty', b'')
    (made / 'nothing').mkdir()
    (made / 'd2/link').symlink_to('../d0/run')
    ref = store.add_path(root, 'made').ref
    store.batch.flush()
    return ref


def write(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode('utf-8', 'surrogateescape') if isinstance(data, str) else data)
    path.chmod(mode)


def in_ordinary_way(store: LocalStore, root: Root, ref: ObjectRef, name: str, links: Sequence[LinkMode],
                    monkeypatch: pytest.MonkeyPatch, **options: bool) -> Added:
    with monkeypatch.context() as patched:
        patched.setattr(bulk_out, 'ENOUGH', 1 << 40)
        return store.materialise(ref, root, name, links=links, **options)


def all_in(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """Path -> mode and content, of links where they point."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in folder.rglob('*'):
        mode = path.lstat().st_mode
        content = str(path.readlink()) if path.is_symlink() else b'' if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = mode, content
    return found


def at(store: LocalStore, data: bytes) -> Path:
    digits = digest_of(data).hex
    return Path(store.cache) / 'objects-v1' / digits[:2] / digits[2:]


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in ('made', 'out', 'other')]


@pytest.fixture
def done_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that this process brings."""
    from mlops_cli.store.materialise import Materialise

    names: list[str] = []
    real = Materialise._file

    def one(self: Materialise, ref: ObjectRef, folder: int, name: str) -> Any:
        names.append(name)
        return real(self, ref, folder, name)

    monkeypatch.setattr(Materialise, '_file', one)
    return names


@pytest.mark.parametrize('umask', [0o022, 0o077])
@pytest.mark.parametrize('read_only', [False, True])
@pytest.mark.parametrize('links', LINKS, ids='-'.join)
def test_all_is_as_if_placed_one_by_one(store: LocalStore, root: Root, folder: Path, tree: ObjectRef, done_here: list[str],
                                        links: list[LinkMode], read_only: bool, umask: int,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(umask)
    try:
        in_ordinary_way(store, root, tree, 'other', links, monkeypatch, read_only=read_only)
        done_here.clear()
        added = store.materialise(tree, root, 'out', links=links, read_only=read_only)  # links change the state of objects
        here = [name for name in done_here if not name.startswith('.')]
    finally:
        os.umask(before)
    assert here == ['large'] or (links == ['hardlink', 'symlink'] and here == ['run', 'large'])
    assert all_in(folder / 'out') == all_in(folder / 'other')
    assert len(all_in(folder / 'out')) == 57
    files = {str(path.relative_to(folder)): path for path in (folder / 'out').rglob('*')
             if path.is_file() and not path.is_symlink()}
    rows = {f'{inside}/{name}': record for inside, records in added.records.items() for name, record in records.items()}
    assert rows == {
        path: make_record(pack(file.stat()), ObjectRef(digest_of(data := file.read_bytes()), len(data),
              'exec' if file.stat().st_mode & 0o100 else 'file'), False)
        for path, file in files.items()
    }  # fmt: skip
    assert not left_over(folder)


def test_hard_links_are_of_the_objects(store: LocalStore, root: Root, folder: Path, tree: ObjectRef) -> None:
    store.materialise(tree, root, 'out', links=['hardlink'])
    assert (folder / 'out/d1/f07').stat().st_ino == at(store, b'content 7').stat().st_ino
    assert (folder / 'out/d0/run').stat().st_nlink == 1  # an executable is a file of its own


def test_a_cache_on_another_disk_is_copied_from(tmp_path: Path, root: Root, folder: Path) -> None:
    shm = Path('/dev/shm')
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip('no second file system')
    import tempfile

    with tempfile.TemporaryDirectory(dir=shm) as away:
        other = LocalStore(away, batch=Batch('none'))
        for number in range(20):
            write(folder / f'made/f{number}', f'content {number}')
        ref = other.add_path(root, 'made').ref
        other.batch.flush()
        other.materialise(ref, root, 'out', links=['hardlink'])
        assert all_in(folder / 'out') == all_in(folder / 'made')
        other.close()


def test_what_is_used_is_made_young(store: LocalStore, root: Root, tree: ObjectRef) -> None:
    os.utime(at(store, b'content 7'), (1, 1))
    store.materialise(tree, root, 'out', links=['copy'])
    assert at(store, b'content 7').stat().st_mtime > time.time() - 60


@pytest.mark.parametrize('links', [['copy'], ['hardlink']], ids='-'.join)
@pytest.mark.parametrize('damage', [b'CONTENT 7', b'cut', b'content 7 and more'])
def test_a_damaged_object_is_never_placed(store: LocalStore, root: Root, folder: Path, tree: ObjectRef, damage: bytes,
                                          links: list[LinkMode]) -> None:
    path = at(store, b'content 7')
    path.chmod(0o644)
    path.write_bytes(damage)
    with pytest.raises((Damaged, MissingObject)):
        store.materialise(tree, root, 'out', links=links)
    assert not (folder / 'out').exists() and not left_over(folder)
    assert not path.exists() and len(os.listdir(Path(store.cache) / 'tmp/quarantine')) == 1


def test_without_an_object_nothing_is_placed(store: LocalStore, root: Root, folder: Path, tree: ObjectRef) -> None:
    at(store, b'content 7').unlink()
    with pytest.raises(MissingObject):
        store.materialise(tree, root, 'out', links=['copy'])
    assert not (folder / 'out').exists() and not left_over(folder)


@pytest.mark.parametrize('code', [
    'raise SystemExit(1)',
    'import sys, marshal; marshal.load(sys.stdin.buffer); raise SystemExit(1)',
    'import sys, marshal; marshal.dump(b"short", sys.stdout.buffer)',
    'import os, signal; os.kill(os.getpid(), signal.SIGKILL)',
    crew._PLACING + '; raise SystemExit(1)',  # after all that it had to do
])
def test_when_a_process_fails_all_is_done_in_the_ordinary_way(
        store: LocalStore, root: Root, folder: Path, tree: ObjectRef, code: str, done_here: list[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, '_PLACING', code)
    store.materialise(tree, root, 'out', links=['copy'])
    assert all_in(folder / 'out') == all_in(folder / 'made') and not left_over(folder)
    assert len(set(done_here)) > 40


def test_without_processes_all_is_done_in_the_ordinary_way(store: LocalStore, root: Root, folder: Path, tree: ObjectRef,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.executable', '/nowhere/python')
    store.materialise(tree, root, 'out', links=['copy'])
    assert all_in(folder / 'out') == all_in(folder / 'made') and not left_over(folder)


def test_few_files_start_no_process(store: LocalStore, root: Root, folder: Path, tree: ObjectRef,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_out, 'ENOUGH', 50)
    monkeypatch.setattr(crew, '_start_with', lambda *_: pytest.fail('a process was started'))
    store.materialise(tree, root, 'out', links=['copy'])
    assert all_in(folder / 'out') == all_in(folder / 'made')


def test_what_was_swapped_for_a_link_leads_nowhere(store: LocalStore, root: Root, folder: Path, tmp_path: Path,
                                                   tree: ObjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a folder and what is put into it."""
    (tmp_path / 'outside').mkdir()
    real = bulk_out.Folders._make

    def make(self: bulk_out.Folders) -> bool:
        made = real(self)
        if made and self._made[-1][0] == 'd1':
            os.rmdir('d1', dir_fd=self.top.fd)
            os.symlink(tmp_path / 'outside', 'd1', dir_fd=self.top.fd)
        return made

    monkeypatch.setattr(bulk_out.Folders, '_make', make)
    with pytest.raises(Exception, match='d1'):
        store.materialise(tree, root, 'out', links=['copy'])
    assert not os.listdir(tmp_path / 'outside') and not left_over(folder)


# What one process does

@pytest.fixture
def hand(store: LocalStore, folder: Path, tree: ObjectRef) -> Iterator[hand_out.Hand]:
    del tree
    (folder / 'out').mkdir()
    with Root(folder / 'out') as place:
        yield hand_out.Hand(store.root.fd, place, ['copy'], (0o644, 0o755))


def asked(data: bytes, name: str = 'f', **other: Any) -> list[bytes]:
    given = {'digest': digest_of(data).hex, 'executable': False, 'size': len(data)} | other
    return [os.fsencode(hand_out.item(name=name, **given))]


@pytest.mark.parametrize('wanted', [
    asked(b'nobody has this'),
    asked(bytes(SMALL + 1)),
    asked(b'content 7', size=8),
    asked(b'content 7', name='taken'),
    asked(b'content 7', name='no/such'),
])
def test_what_it_cannot_do_it_leaves(hand: hand_out.Hand, folder: Path, wanted: list[bytes]) -> None:
    (folder / 'out/taken').write_text('mine')
    assert hand.place_all(b'', wanted) == hand_out.LEFT
    assert os.listdir(folder / 'out') == ['taken'] and (folder / 'out/taken').read_text() == 'mine'


def test_into_no_folder_it_puts_nothing(hand: hand_out.Hand) -> None:
    assert hand.place_all(b'nowhere', 3 * asked(b'content 7')) == 3 * hand_out.LEFT


def test_a_file_for_which_there_is_no_room_is_left(hand: hand_out.Hand, folder: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:3])
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(hand_out.ops, 'write', full)
    assert hand.place_all(b'', asked(b'content 7')) == hand_out.LEFT
    assert not os.listdir(folder / 'out')
