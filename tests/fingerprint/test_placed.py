"""A folder just placed by us: the next look need not read what nobody else can have changed unseen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import newest
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import bulk_out
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from mlops_cli.store.materialise import LinkMode
from tests.support.indexes import Fresh

SETTLED_SECONDS = 0.05  # more than what a file system with fine times needs


class Place:
    """A project with a folder in its cache that is nowhere else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for number in range(40):
            write(path / f'made/d{number % 3}/f{number:02}', f'content {number}')
        write(path / 'made/d0/sub/run', 'run', 0o755)
        write(path / 'made/large', 'x' * (2 << 20))
        (path / 'made/d2/link').symlink_to('../d0/f00')
        with Root(path) as root:
            store = self.store(None)
            self.ref = store.add_path(root, 'made').ref
            store.batch.flush()
            store.close()

    def store(self, index: Index | None) -> LocalStore:
        return LocalStore(self.path / '.mlops/cache', batch=Batch('none'), verified=index)

    def index(self, root: Root, kind: type[Index] = Index) -> Index:
        return kind(self.path / '.mlops/local/index-v1.sqlite', root)

    def place(self, kind: type[Index] = Index, links: tuple[LinkMode, ...] = ('copy',), *, clock: bool = True,
              pause: float = SETTLED_SECONDS) -> Added:  # fmt: skip
        """As checkout does, with a pause between the last byte and the moment in which the folder gets its name."""
        with Root(self.path) as root:
            index = self.index(root, kind)
            store = self.store(index if clock else None)
            store.links = links
            with store.placing(root) as placing, placing.building([('data', self.ref)]) as built:
                time.sleep(pause)
                added = placing.put(built[0])
            index.put_added(added)
            index.close()
            store.close()
        return added

    def look(self) -> ObjectRef | None:
        """What a new command sees."""
        with Root(self.path) as root:
            index = self.index(root)
            try:
                return Workspace(root, index, Ignore()).ref('data')
            finally:
                index.close()


def write(path: Path, data: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    path.chmod(mode)


@pytest.fixture(params=['crew', 'alone'])
def place(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(bulk_out, 'ENOUGH', 5 if request.param == 'crew' else 1 << 40)
    return Place(tmp_path / 'p')


def test_what_was_copied_is_not_read_again(place: Place, read: list[str]) -> None:
    place.place()
    assert place.look() == place.ref
    assert not read


@pytest.mark.parametrize('how', ['no clock', 'just now'])
def test_what_may_change_unseen_is(place: Place, read: list[str], how: str) -> None:
    place.place(Fresh if how == 'just now' else Index, clock=how != 'no clock')
    assert place.look() == place.ref
    assert len(read) == 42


def test_what_was_touched_last_before_the_folder_got_its_name_is(place: Place, read: list[str],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    def at_the_last(_index: Index, _device: int) -> int:
        made = [path for path in place.path.rglob('f*') if '.mlops-tmp' in str(path)]
        limits.append(max(path.stat().st_ctime_ns for path in made))
        return limits[0]

    monkeypatch.setattr(Index, 'settled_before', at_the_last)
    added = place.place()
    late = [name for records in added.records.values() for name, record in records.items() if newest(record) >= limits[0]]
    assert place.look() == place.ref
    assert late and sorted(path.rpartition('/')[2] for path in read) == sorted(late)  # a quick disk makes all in one instant


def test_hard_links_are(place: Place, read: list[str]) -> None:
    """Others may write to the object, though its permissions ask them not to."""
    place.place(links=('hardlink',))
    assert place.look() == place.ref
    assert len(read) == 41  # an executable is a file of its own


EDITS: dict[str, Callable[[Path], object]] = {
    'in place, of the same size': lambda data: (data / 'd1/f07').write_text('CONTENT 7'),
    'with its time put back': lambda data: put_back(data / 'd1/f07'),
    'by another file': lambda data: ((data / 'other').write_text('CONTENT 7'), (data / 'other').rename(data / 'd1/f07')),
    'of an executable': lambda data: (data / 'd0/sub/run').write_text('RUN'),
    'gone': lambda data: (data / 'd1/f07').unlink(),
}


def put_back(path: Path) -> None:
    before = path.stat()
    path.write_text('CONTENT 7')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize('edit', EDITS)
@pytest.mark.parametrize('pause', [0, SETTLED_SECONDS])
def test_an_edit_right_afterwards_is_seen(place: Place, edit: str, pause: float) -> None:
    place.place(pause=pause)
    EDITS[edit](place.path / 'data')
    changed = place.look()
    assert changed not in (None, place.ref)
    (place.path / '.mlops/local/index-v1.sqlite').unlink()
    assert place.look() == changed


def test_only_what_is_in_a_folder_is_remembered_of_it(place: Place) -> None:
    with Root(place.path) as root:
        index = place.index(root)
        index.put_folder('data/d1', {'before': bytes(77)}, ['before'])
        index.close()
    place.place()
    with Root(place.path) as root:
        index = place.index(root)
        assert sorted(index.folder('data/d1')) == [f'f{number:02}' for number in range(1, 40, 3)]
        index.close()
