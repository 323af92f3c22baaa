"""A folder just added to the store: what is known of it without another look, and that a look says the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.added import Whole
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fingerprint.scan import Scan
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store import bulk
from mlops_cli.store.local import LocalStore
from tests.support.indexes import Fresh, Later


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    for number in range(60):
        write(tmp_path / f'p/data/d{number % 3}/f{number:02}', f'content {number}')
    write(tmp_path / 'p/data/d0/sub/deep/run', 'run', 0o755)
    write(tmp_path / 'p/data/d0/ünï', 'name')
    write(tmp_path / 'p/data/top', 'top')
    write(tmp_path / 'p/data/d1/large', 'x' * (2 << 20))
    (tmp_path / 'p/data/d2/link').symlink_to('../d0/f00')
    (tmp_path / 'p/data/nothing').mkdir()
    with Root(tmp_path / 'p') as opened:
        yield opened


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of which a look knew no content."""
    monkeypatch.setattr(bulk, 'ENOUGH', 5)
    paths: list[str] = []
    real = Scan._rebuild

    def recorded(scan: Scan, fd: int, rel: str, *rest: Any) -> ObjectRef:
        paths.append(rel)
        return real(scan, fd, rel, *rest)

    monkeypatch.setattr(Scan, '_rebuild', recorded)
    return paths


def write(path: Path, data: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    path.chmod(mode)


def add(root: Root, rules: str = '', kind: type[Index] = Later) -> tuple[ObjectRef, bool]:
    """As ``mlops add`` does; what was added, and whether all of it counts."""
    index = kind(Path(root.path, '.mlops/local/index-v1.sqlite'), root)
    store = LocalStore(Path(root.path, '.mlops/cache'), batch=Batch('none'), verified=index)
    whole = Whole(index, Ignore.of(rules))
    try:
        added = store.add_path(root, 'data', known=index.get, listed=whole.listed)
        store.batch.flush()
    finally:
        store.close()
    index.put_added(added)
    whole.remember()
    index.close()
    return added.ref, whole.is_counted


def look(root: Root, rules: str = '', kind: type[Index] = Later) -> ObjectRef | None:
    """What a new command sees."""
    index = kind(Path(root.path, '.mlops/local/index-v1.sqlite'), root)
    try:
        return Workspace(root, index, Ignore.of(rules)).ref('data')
    finally:
        index.close()


def test_the_next_look_knows_each_folder_whose_files_a_crew_has_read(root: Root, rebuilt: list[str]) -> None:
    ref, counted = add(root)
    assert counted and look(root) == ref
    # one has a large file, which no crew reads; those above are known by what is in them
    assert rebuilt == ['data/d1']
    rebuilt.clear()
    assert look(root) == ref and not rebuilt


@pytest.mark.parametrize('kind', [Later, Fresh])
def test_what_may_change_unseen_is_not_taken_for_known(root: Root, rebuilt: list[str], kind: type[Index]) -> None:
    ref, _ = add(root, kind=kind)
    assert look(root, kind=kind) == ref
    assert ('data/d0' in rebuilt) == (kind is Fresh)


EDITS: dict[str, Callable[[Path], object]] = {
    'in place': lambda data: (data / 'd0/f00').write_text('another 0'),
    'new': lambda data: (data / 'd0/sub/new').write_text('new'),
    'gone': lambda data: (data / 'd2/f02').unlink(),
    'renamed': lambda data: (data / 'd2/f02').rename(data / 'd2/f2'),
    'executable': lambda data: (data / 'd2/f02').chmod(0o755),
    'a link': lambda data: ((data / 'd2/link').unlink(), (data / 'd2/link').symlink_to('../d0/f03')),
    'a folder': lambda data: (data / 'nothing').rmdir(),
}


@pytest.mark.parametrize('edit', EDITS)
def test_an_edit_is_seen(root: Root, rebuilt: list[str], edit: str) -> None:
    ref, _ = add(root)
    EDITS[edit](Path(root.path, 'data'))
    changed = look(root)
    assert rebuilt and changed is not None and changed != ref
    Path(root.path, '.mlops/local/index-v1.sqlite').unlink()
    assert look(root) == changed


@pytest.mark.parametrize('rules, name', [
    ('*.tmp', 'd0/half.tmp'), ('', 'd2/.DS_Store'), ('', '.ipynb_checkpoints'), ('/data/d1/only', 'd1/only'),
    ('nothing/', 'nothing'), ('data/d0/sub', 'd0/sub'), ('', 'd0/__pycache__'), ('skipped', 'd1/skipped'), ('link', 'd2/link'),
    ('large', 'd1/large'),
])
def test_what_is_ignored_is_noticed(root: Root, rebuilt: list[str], rules: str, name: str) -> None:
    place = Path(root.path, 'data', name)
    if not os.path.lexists(place):
        write(place / 'file' if place.suffix == '' and '__' in name else place, 'left out')
    ref, counted = add(root, rules)
    assert not counted
    found = look(root, rules)
    assert found is not None and found != ref and rebuilt


def test_what_is_ignored_but_for_one(root: Root, rebuilt: list[str]) -> None:
    rules = '*.tmp\n!kept.tmp'
    write(Path(root.path, 'data/d0/kept.tmp'), 'kept')
    ref, counted = add(root, rules)
    assert counted and look(root, rules) == ref and rebuilt == ['data/d1']


@pytest.mark.usefixtures('rebuilt')
def test_what_a_killed_command_left_is_not_added(root: Root) -> None:
    before, _ = add(root)
    write(Path(root.path, 'data/d0/.mlops-tmp-8186a824-13399-5ab2dc-8'), 'half')
    Path(root.path, '.mlops/local/index-v1.sqlite').unlink()
    ref, counted = add(root)
    assert ref == before and counted and look(root) == ref
