"""A folder looked at for the first time: processes beside ours read it, and say what a look by ourselves would say."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fsio.paths import Root
from mlops_cli.store import crew
from tests.support.indexes import Fresh, Later

ENOUGH = crew.ENOUGH


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    for number in range(60):
        write(tmp_path / f'p/data/d{number % 3}/f{number:02}', f'content {number}')
    write(tmp_path / 'p/data/d0/sub/deep/run', 'run', 0o755)
    write(tmp_path / 'p/data/top', 'top')
    write(tmp_path / 'p/data/large', 'x' * (2 << 20))
    write(tmp_path / 'p/data/d1/skipped.tmp', 'skipped')
    write(tmp_path / 'p/data/cache/skipped', 'skipped')
    (tmp_path / 'p/data/d2/link').symlink_to('../d0/f00')
    (tmp_path / 'p/data/nothing').mkdir()
    with Root(tmp_path / 'p') as opened:
        yield opened


@pytest.fixture
def read_here(read: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that this process reads, where a crew is worth it for a few."""
    monkeypatch.setattr(crew, 'ENOUGH', 5)
    monkeypatch.setattr(crew, '_PIECE', 4)
    return read


def write(path: Path, data: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    path.chmod(mode)


def look(root: Root, kind: type[Index] = Later) -> Workspace:
    """What a new command sees."""
    return Workspace(root, kind(Path(root.path, '.mlops/local/index-v1.sqlite'), root), Ignore.of('*.tmp\ncache/\n'))


def by_ourselves(root: Root, monkeypatch: pytest.MonkeyPatch, *, ignore: bool = True) -> ObjectRef | None:
    with monkeypatch.context() as patched:
        patched.setattr(crew, 'ENOUGH', 1 << 40)
        return look(root).ref('data', ignore=ignore)


@pytest.mark.parametrize('ignore', [True, False])
def test_it_is_the_same_and_known_from_then_on(root: Root, read_here: list[str], ignore: bool,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = look(root)
    found = workspace.ref('data', ignore=ignore)
    assert read_here == ['data/large']
    workspace.index.close()
    again = look(root)
    assert again.ref('data', ignore=ignore) == found
    assert read_here == ['data/large']
    assert not again.seen.unsettled
    os.unlink(Path(root.path, '.mlops/local/index-v1.sqlite'))
    assert by_ourselves(root, monkeypatch, ignore=ignore) == found


def test_what_is_ignored_is_not_read(root: Root, read_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    real = crew._pieces

    def pieces(work: crew.Work, text: int) -> Iterator[tuple[str, list[str], bool]]:
        for piece in real(work, text):
            sent.extend(f'{piece[0]}/{name}' for name in piece[1])
            yield piece

    monkeypatch.setattr(crew, '_pieces', pieces)
    look(root).ref('data')
    assert len(sent) == len(set(sent)) == 63
    assert not [path for path in sent if 'skipped' in path or 'link' in path]


def test_files_touched_just_now_are_looked_at_again(root: Root, read_here: list[str]) -> None:
    workspace = look(root, kind=Fresh)
    found = workspace.ref('data')
    assert len(workspace.seen.unsettled) == 63
    assert read_here == ['data/large']
    workspace.index.close()
    again = look(root)
    assert again.ref('data') == found
    assert len(read_here) == 64
    assert not again.seen.unsettled


def test_a_file_that_changed_since_they_read_it_is_read_here(root: Root, read_here: list[str],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    real = crew.Crew.records

    def records(self: crew.Crew, folder: str) -> crew.Records:
        found = real(self, folder)
        if 'f00' in found:
            found['f00'] = found['f03'][:1] + found['f00'][1:-1] + b'?'  # right in nothing but its state
            state = bytearray(found['f00'])
            state[20] ^= 1
            found['f00'] = bytes(state)
        return found

    monkeypatch.setattr(crew.Crew, 'records', records)
    found = look(root).ref('data')
    assert sorted(read_here) == ['data/d0/f00', 'data/large']
    assert found == by_ourselves(root, monkeypatch)


@pytest.mark.parametrize('code', ['raise SystemExit(1)', 'import sys, marshal; marshal.load(sys.stdin.buffer)'])
def test_without_them_all_is_read_here(root: Root, read_here: list[str], code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, '_CODE', code)
    found = look(root).ref('data')
    assert len(read_here) == 63
    assert found == by_ourselves(root, monkeypatch)


def test_a_few_files_are_read_here(root: Root, read_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, 'ENOUGH', ENOUGH)
    monkeypatch.setattr(crew, '_start', lambda *_: pytest.fail('a process was started'))
    assert look(root).ref('data')
    assert len(read_here) == 63


def test_a_folder_that_the_index_knows_is_not_theirs(root: Root, read_here: list[str]) -> None:
    first = look(root)
    first.ref('data/d1')
    first.index.close()
    read_here.clear()
    write(Path(root.path, 'data/d1/new'), 'new')
    look(root).ref('data')
    assert sorted(read_here) == ['data/d1/new', 'data/large']
