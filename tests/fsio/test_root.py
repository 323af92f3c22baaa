"""Paths are walked, never trusted: no link is followed, nothing outside is touched."""
from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops, removal
from mlops_cli.fsio.paths import Root


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    (tmp_path / 'project').mkdir()
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside/secret').write_bytes(b'secret')
    return tmp_path / 'project'


@pytest.fixture
def root(inside: Path) -> Iterator[Root]:
    with Root(inside) as found:
        yield found


def read(root: Root, rel: str) -> bytes:
    fd = root.open(rel)
    try:
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def test_opens_reads_lists_inside(root: Root, inside: Path) -> None:
    (inside / 'a/b').mkdir(parents=True)
    (inside / 'a/b/file').write_bytes(b'content')
    (inside / 'a/b/link').symlink_to('nowhere')
    (inside / 'a/b/folder').mkdir()
    os.mkfifo(inside / 'a/b/pipe')
    assert read(root, 'a/b/file') == b'content'
    assert root.stat('a/b/file').st_size == 7
    assert stat.S_ISDIR(root.stat('').st_mode)
    assert root.readlink('a/b/link') == 'nowhere'
    found = {entry.name: entry for entry in root.scandir('a/b', stats=True)}
    types = {name: entry.type for name, entry in found.items()}
    assert types == {'file': 'file', 'link': 'link', 'folder': 'dir', 'pipe': 'other'}
    assert found['file'].stat().st_size == 7
    assert (found['file'].is_file(), found['folder'].is_dir(), found['link'].is_symlink()) == (True, True, True)
    assert [entry.name for entry in root.scandir('.')] == ['a']
    with pytest.raises(ValueError):
        root.scandir('a')[0].stat()


def test_absent_is_none_not_an_error(root: Root, inside: Path) -> None:
    (inside / 'file').touch()
    assert root.stat('no') is None
    assert root.stat('no/such') is None
    assert root.stat('file/below') is None
    assert not root.exists('no')
    (inside / 'dangling').symlink_to('nowhere')
    assert root.exists('dangling')
    root.remove_tree('no/such')
    with pytest.raises(FileNotFoundError) as caught:
        root.open('no/such')
    assert caught.value.filename == str(inside / 'no')


def test_many_at_once_are_as_one_by_one(root: Root, inside: Path) -> None:
    (inside / 'a/b').mkdir(parents=True)
    for name in ('a/one', 'a/two', 'a/b/three', 'four'):
        (inside / name).write_bytes(name.encode())
    (inside / 'a/dangling').symlink_to('nowhere')
    (inside / 'link').symlink_to('a')
    rels = ['a/b/no', 'a/b/three', 'a/dangling', 'a/one', 'a/two', 'four', 'four/below', 'no/such', 'no/such2']
    assert root.stat_many(rels) == [root.stat(rel) for rel in rels]
    assert [facts is None for facts in root.stat_many(rels)] == [True, False, False, False, False, False, True, True, True]
    for rel in ('link/one', '../outside/secret', 'a/../x', 'a/..', '/etc/passwd', '/etc', 'a/', 'a/.', 'a/\0', 'a//one'):
        for first in ('a/one', 'four'):
            with pytest.raises(UserError):
                root.stat_many([first, rel])


@pytest.mark.parametrize('rel', ['/etc/passwd', '../outside/secret', 'a/../../outside/secret', 'a//b', 'a/', './a', 'a/.',
                                 'a\0b'])
@pytest.mark.parametrize('call', ['open', 'stat', 'scandir', 'makedirs', 'remove_tree', 'readlink', 'unlink', 'sub'])
def test_paths_that_could_lead_out_are_refused(root: Root, rel: str, call: str) -> None:
    with pytest.raises(UserError) as caught:
        getattr(root, call)(rel)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert repr(rel) in caught.value.message


@pytest.mark.parametrize('call', ['open', 'unlink', 'remove_tree', 'readlink'])
def test_the_root_itself_is_no_target(root: Root, call: str) -> None:
    with pytest.raises(UserError):
        getattr(root, call)('')


def calls(rel: str) -> dict[str, Any]:
    return {
        'read': lambda root: root.open(rel), 'create': lambda root: root.open(rel, os.O_WRONLY | os.O_CREAT),
        'stat': lambda root: root.stat(rel), 'list': lambda root: root.scandir(os.path.dirname(rel)),
        'make': lambda root: root.makedirs(os.path.join(os.path.dirname(rel), 'new')),
        'remove': lambda root: root.remove_tree(rel),
        'unlink': lambda root: root.unlink(rel), 'rename away': lambda root: root.rename(rel, 'taken'),
        'rename there': lambda root: root.rename('mine', rel), 'readlink': lambda root: root.readlink(rel),
        'sub': lambda root: root.sub(os.path.dirname(rel)), 'open_dir': lambda root: root.open_dir(os.path.dirname(rel)),
    }


@pytest.mark.parametrize('target', ['../outside', '/tmp', '.', 'real'])
@pytest.mark.parametrize('call', list(calls('x')))
def test_a_link_on_the_way_is_refused_by_name(root: Root, inside: Path, call: str, target: str) -> None:
    (inside / 'real').mkdir()
    (inside / 'real/secret').touch()
    (inside / 'mine').touch()
    (inside / 'link').symlink_to(target)
    before = sorted(os.listdir(inside.parent / 'outside')), sorted(os.listdir(inside))
    with pytest.raises(UserError) as caught:
        calls('link/secret')[call](root)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert "symbolic link" in caught.value.message
    assert (sorted(os.listdir(inside.parent / 'outside')), sorted(os.listdir(inside))) == before


def test_a_link_as_the_last_name_is_refused_for_reading(root: Root, inside: Path) -> None:
    (inside / 'link').symlink_to('../outside/secret')
    (inside / 'dirlink').symlink_to('../outside')
    for call in (lambda: root.open('link'), lambda: root.open_dir('dirlink'), lambda: root.scandir('dirlink'),
                 lambda: root.makedirs('dirlink')):
        with pytest.raises(UserError, match='is a symbolic link'):
            call()


def test_a_pipe_does_not_hang(root: Root, inside: Path) -> None:
    os.mkfifo(inside / 'pipe')
    fd = root.open('pipe')
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    os.close(fd)


def test_descriptors_are_not_inherited_and_none_is_lost(root: Root, inside: Path) -> None:
    (inside / 'a/b/c').mkdir(parents=True)
    (inside / 'a/b/c/file').touch()
    (inside / 'link').symlink_to('a')
    before = len(os.listdir('/proc/self/fd'))
    fds = [root.open('a/b/c/file'), root.open_dir('a/b'), root.open_dir(''), root.sub('a').fd]
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd in fds:
        os.close(fd)
    for rel in ('link/b', 'a/x/y', 'a/b/c/file/x'):
        with pytest.raises((OSError, UserError)):
            root.open(rel)
    assert len(os.listdir('/proc/self/fd')) == before


def test_parent_makes_folders_with_the_mode_asked_for(root: Root, inside: Path) -> None:
    with root.parent('x/y/z', create=True, mode=0o700) as (fd, name):
        os.close(ops.open_new(name, dir_fd=fd))
    assert (inside / 'x/y/z').exists()
    assert stat.S_IMODE((inside / 'x/y').stat().st_mode) == 0o700
    root.makedirs('x/y')
    with root.sub('x/w', create=True) as below:
        assert below.path == str(inside / 'x/w')


def test_makedirs_over_a_file_says_so(root: Root, inside: Path) -> None:
    (inside / 'file').touch()
    with pytest.raises(OSError) as caught:
        root.makedirs('file/below')
    assert (caught.value.errno, caught.value.filename) == (errno.ENOTDIR, str(inside / 'file'))


def test_rename_and_unlink(root: Root, inside: Path) -> None:
    (inside / 'a').mkdir()
    (inside / 'a/one').write_bytes(b'1')
    root.makedirs('b')
    root.rename('a/one', 'b/two')
    assert (inside / 'b/two').read_bytes() == b'1'
    (inside / 'b/three').write_bytes(b'3')
    root.exchange('b/two', 'b/three')
    assert (inside / 'b/two').read_bytes() == b'3'
    root.unlink('b/two')
    assert not root.exists('b/two')


def test_swapping_a_folder_for_a_link_never_leads_out(root: Root, inside: Path) -> None:
    (inside / 'd').mkdir()
    (inside / 'd/secret').write_bytes(b'mine')
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(inside / 'd', inside / 'aside')
            os.symlink('../outside', inside / 'd')
            os.unlink(inside / 'd')
            os.rename(inside / 'aside', inside / 'd')

    thread = threading.Thread(target=swap)
    thread.start()
    results = set()
    try:
        for _ in range(2000):
            try:
                results.add(read(root, 'd/secret'))
            except (UserError, FileNotFoundError, NotADirectoryError):  # the last where it was put right before we looked why
                results.add(b'refused')
    finally:
        stop.set()
        thread.join()
    assert results <= {b'mine', b'refused'}


def deep_tree(top: Path, depth: int) -> None:
    """A chain of folders with a file in each, deeper than one path can name."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir('down', dir_fd=fd)
        below = os.open('down', os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        os.close(os.open('file', os.O_CREAT, dir_fd=below))
        fd = below
    os.close(fd)


def test_remove_tree_removes_links_not_what_they_lead_to(root: Root, inside: Path) -> None:
    (inside / 'tree/a/b').mkdir(parents=True)
    (inside / 'tree/a/file').touch()
    (inside / 'tree/a/out').symlink_to('../../../outside')
    (inside / 'tree/a/b/.deep-0').mkdir()
    os.mkfifo(inside / 'tree/pipe')
    (inside / 'link').symlink_to('../outside')
    root.remove_tree('tree')
    root.remove_tree('link')
    assert os.listdir(inside) == []
    assert (inside.parent / 'outside/secret').exists()


@pytest.mark.parametrize(('depth', 'limit'), [(60, 3), pytest.param(3000, 48, marks=pytest.mark.full)])
def test_remove_tree_is_not_bound_by_depth(root: Root, inside: Path, depth: int, limit: int,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, '_DEEPEST', limit)
    (inside / 'tree').mkdir()
    deep_tree(inside / 'tree', depth)
    before = len(os.listdir('/proc/self/fd'))
    root.remove_tree('tree')
    assert not (inside / 'tree').exists()
    assert len(os.listdir('/proc/self/fd')) == before


NOT_ROOT = """
import os, sys
from mlops_cli.fsio.paths import Root
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
with Root(sys.argv[1]) as root:
    os.makedirs(sys.argv[1] + '/tree/locked/below')
    open(sys.argv[1] + '/tree/locked/file', 'w').close()
    os.chmod(sys.argv[1] + '/tree/locked/below', 0)
    os.chmod(sys.argv[1] + '/tree/locked', 0o555)
    os.chmod(sys.argv[1] + '/tree', 0o500)
    root.remove_tree('tree')
    print(os.listdir(sys.argv[1]))
"""


def test_remove_tree_gets_into_read_only_folders() -> None:
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:  # outside pytest's own, which only its owner may enter
        os.chmod(folder, 0o777)
        found = subprocess.run([sys.executable, '-c', NOT_ROOT, folder], capture_output=True, text=True)
        assert (found.stdout, found.stderr) == ('[]\n', '')


@pytest.mark.skipif(os.geteuid() != 0, reason='mounts something')
def test_remove_tree_refuses_what_is_mounted_inside(tmp_path: Path) -> None:
    program = f"""
import os, subprocess
from mlops_cli.fsio.paths import Root
os.makedirs({str(tmp_path)!r} + '/tree/mounted')
done = subprocess.run(['mount', '-t', 'tmpfs', 'none', {str(tmp_path)!r} + '/tree/mounted'])
if done.returncode: raise SystemExit(77)
open({str(tmp_path)!r} + '/tree/mounted/precious', 'w').close()
try:
    Root({str(tmp_path)!r}).remove_tree('tree')
except OSError as error:
    print(error.errno, os.listdir({str(tmp_path)!r} + '/tree/mounted'), error.filename)
"""
    found = subprocess.run(['unshare', '-m', sys.executable, '-c', program], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f'cannot mount here: {found.stderr.strip()[-200:]}')
    assert found.stdout == f"{errno.EXDEV} ['precious'] {tmp_path}/tree/mounted\n"
