"""Data behind a link that leads out of a project: read as if it lay there, and never written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.elsewhere import Linked
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby


@pytest.fixture
def root(tmp_path: Path) -> Linked:
    share, project = tmp_path / 'share', tmp_path / 'project'
    (share / 'scans/deep').mkdir(parents=True)
    (share / 'scans/a.tif').write_text('a')
    (share / 'scans/deep/b.tif').write_text('b')
    (share / 'one.bin').write_text('one')
    (share / 'scans/out').symlink_to('/etc')
    (project / 'data').mkdir(parents=True)
    (project / 'data/scans').symlink_to(share / 'scans')
    (project / 'one.bin').symlink_to(share / 'one.bin')
    (project / 'mine.txt').write_text('mine')
    return Linked(project, {'data/scans': str(share / 'scans'), 'one.bin': str(share / 'one.bin'), 'gone': '/nowhere'})


def read(root: Root, rel: str) -> bytes:
    fd = root.open(rel)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_read_as_if_it_lay_there(root: Linked, tmp_path: Path) -> None:
    assert read(root, 'data/scans/a.tif') == b'a' and read(root, 'data/scans/deep/b.tif') == b'b'
    assert read(root, 'one.bin') == b'one' and read(root, 'mine.txt') == b'mine'
    assert {entry.name for entry in root.scandir('data/scans')} == {'a.tif', 'deep', 'out'}
    assert {entry.name for entry in root.scandir('data/scans/deep')} == {'b.tif'}
    looked = ['data', 'data/scans', 'data/scans/a.tif', 'data/scans/nothing', 'data/scans/deep/b.tif', 'gone', 'one.bin', 'x/y']
    share = tmp_path / 'share'
    places = [tmp_path / 'project/data', share / 'scans', share / 'scans/a.tif', None, share / 'scans/deep/b.tif', None,
              share / 'one.bin', None]  # fmt: skip
    wanted = [place.stat().st_ino if place else None for place in places]
    with Nearby(root) as nearby:
        for _ in range(2):
            found = [nearby.stat(rel) for rel in looked]
            assert [facts.st_ino if facts else None for facts in found] == wanted
    for stats in (map(root.stat, looked), root.stat_many(looked)):
        assert [facts.st_ino if facts else None for facts in stats] == wanted
    assert root.readlink('data/scans/out') == '/etc'


CHANGES: dict[str, Callable[[Root], object]] = {
    'a new file': lambda root: root.open('data/scans/new', os.O_WRONLY | os.O_CREAT),
    'a file written': lambda root: root.open('data/scans/a.tif', os.O_WRONLY),
    'the file linked to, written': lambda root: root.open('one.bin', os.O_WRONLY),
    'written and renamed': lambda root: write_file(root, 'data/scans/deep/b.tif', b'x'),
    'a folder': lambda root: root.makedirs('data/scans/new/deeper'),
    'the folder itself': lambda root: root.makedirs('data/scans'),
    'removed': lambda root: root.unlink('data/scans/a.tif'),
    'all removed': lambda root: root.remove_tree('data/scans/deep'),
    'moved out': lambda root: root.rename('data/scans/a.tif', 'a.tif'),
    'moved in': lambda root: root.rename('mine.txt', 'data/scans/mine.txt'),
    'swapped': lambda root: root.exchange('mine.txt', 'data/scans/a.tif'),
}


@pytest.mark.parametrize('what', CHANGES)
def test_never_written(root: Linked, tmp_path: Path, what: str) -> None:
    def state() -> dict[str, object]:
        return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in (tmp_path / 'share').rglob('*')}

    before = state()
    with Nearby(root) as nearby:
        nearby.stat('data/scans/a.tif')
        nearby.stat('data/scans/deep/b.tif')
        with pytest.raises(UserError) as caught:
            nearby.parent('data/scans/deep/b.tif', create=True)
        assert caught.value.exit_code == ExitCode.REFUSED
    with pytest.raises(UserError) as caught:
        CHANGES[what](root)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert state() == before and (tmp_path / 'project/mine.txt').read_text() == 'mine'


def test_the_link_itself_is_the_projects(root: Linked, tmp_path: Path) -> None:
    root.rename('data/scans', 'data/aside')
    root.remove_tree('one.bin')
    assert (tmp_path / 'share/scans/a.tif').exists() and (tmp_path / 'share/one.bin').exists()
    assert root.stat('data/scans') is None and root.stat('one.bin') is None


@pytest.mark.parametrize('rel', ['data/scans', 'data/scans/a.tif', 'data/scans/deep/b.tif'])
def test_only_while_the_link_says_what_was_confirmed(root: Linked, tmp_path: Path, rel: str) -> None:
    link = tmp_path / 'project/data/scans'
    link.unlink()
    link.symlink_to(tmp_path / 'share' / '..' / 'share' / 'scans')
    with pytest.raises(UserError) as caught:
        root.open(rel)
    assert caught.value.exit_code == ExitCode.REFUSED and 'link' in str(caught.value)
    link.unlink()
    link.mkdir()
    (link / 'a.tif').write_text('in the project')
    assert read(root, 'data/scans/a.tif') == b'in the project'


def test_links_behind_it_are_not_followed(root: Linked) -> None:
    for rel in ('data/scans/out', 'data/scans/out/passwd'):
        with pytest.raises(UserError, match='symbolic link'):
            root.open(rel)


def test_a_folder_that_became_a_link(root: Linked, tmp_path: Path) -> None:
    (tmp_path / 'share/scans').rename(tmp_path / 'share/other')
    (tmp_path / 'share/scans').symlink_to('/etc')
    with pytest.raises(OSError, match='scans'):
        root.open('data/scans/passwd')
