"""Whole files or none."""
from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root


def test_makes_and_replaces_with_folders(tmp_path: Path) -> None:
    write_file(str(tmp_path), 'a/b/c.json', b'one')
    with Root(tmp_path) as root:
        write_file(root, 'a/b/c.json', b'two', mode=0o600)
        assert read_file(root, 'a/b/c.json', 3) == b'two'
    assert os.listdir(tmp_path / 'a/b') == ['c.json']
    assert stat.S_IMODE((tmp_path / 'a/b/c.json').stat().st_mode) == 0o600


@pytest.mark.parametrize(('umask', 'file_mode', 'folder_mode'), [
    (0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o644, 0o755)])
def test_respects_the_umask_and_is_never_writable_by_others(tmp_path: Path, umask: int, file_mode: int,
                                                           folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        write_file(str(tmp_path), 'd/f', b'')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'd/f').stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / 'd').stat().st_mode) == folder_mode


def test_is_durable_before_and_after_the_rename(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    with ops.record(lambda operation, details: seen.append((operation, os.path.basename(details.get('path', ''))))):
        write_file(str(tmp_path), 'd/f', b'content')
    operations = [operation for operation, _ in seen]
    assert operations == ['mkdir', 'fsync', 'open', 'write', 'fsync', 'rename', 'fsync']
    assert seen[-1] == ('fsync', 'd')
    seen.clear()
    with ops.record(lambda operation, _: seen.append((operation, ''))):
        write_file(str(tmp_path), 'd/f', b'content', durable=False)
    assert [operation for operation, _ in seen] == ['open', 'write', 'rename']


def test_refuses_links_and_leaves_them(tmp_path: Path) -> None:
    (tmp_path / 'real').write_bytes(b'real')
    (tmp_path / 'link').symlink_to('real')
    (tmp_path / 'folder').symlink_to('.')
    for rel in ('link', 'folder/real'):
        with pytest.raises(UserError) as caught:
            write_file(str(tmp_path), rel, b'new')
        assert caught.value.exit_code == ExitCode.REFUSED
        with pytest.raises(UserError):
            read_file(str(tmp_path), rel, 100)
    assert (tmp_path / 'real').read_bytes() == b'real'
    assert sorted(os.listdir(tmp_path)) == ['folder', 'link', 'real']


def test_over_a_folder_is_an_error_without_litter(tmp_path: Path) -> None:
    (tmp_path / 'd').mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_file(str(tmp_path), 'd', b'')
    assert caught.value.filename2 == str(tmp_path / 'd')
    assert os.listdir(tmp_path) == ['d']


def test_reading_is_bounded_and_of_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / 'f').write_bytes(b'12345')
    os.mkfifo(tmp_path / 'pipe')
    assert read_file(str(tmp_path), 'f', 5) == b'12345'
    with pytest.raises(UserError, match='larger than the 4 bytes'):
        read_file(str(tmp_path), 'f', 4)
    for rel in ('pipe', '.'):
        with pytest.raises(UserError):
            read_file(str(tmp_path), rel, 5)
    with pytest.raises(FileNotFoundError) as caught:
        read_file(str(tmp_path), 'no', 5)
    assert caught.value.filename == str(tmp_path / 'no')


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    contents = {b'a' * 50_000, b'b' * 70_000}
    write_file(str(tmp_path), 'f', b'a' * 50_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                write_file(str(tmp_path), 'f', content, durable=False)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(500):
            assert read_file(str(tmp_path), 'f', 100_000) in contents
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert os.listdir(tmp_path) == ['f']
