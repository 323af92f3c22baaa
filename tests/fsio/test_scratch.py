"""What is built aside ends in its place, or nowhere; what a kill leaves is where it is looked for."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.fsio import ops, scratch
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import owner_in


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / layout.LOCAL).mkdir(parents=True)
    (tmp_path / 'a').mkdir()
    return tmp_path


def seen(folder: Path, fails: Callable[[str, dict[str, Any]], None] = lambda *_: None) -> list[str]:
    """Where a file was built that is to be ``a/x``."""
    opened: list[str] = []

    def listen(operation: str, details: dict[str, Any]) -> None:
        fails(operation, details)
        if operation == 'open':
            opened.append(os.path.relpath(os.path.dirname(details['path']), folder))

    with ops.inject(listen):
        write_file(str(folder), 'a/x', b'new')
    assert (folder / 'a/x').read_bytes() == b'new'
    assert not [path for path in folder.rglob('*') if owner_in(path.name)]
    return opened


def test_it_is_built_where_git_does_not_look_and_the_next_command_does(project: Path) -> None:
    assert seen(project) == [layout.LOCAL]


def test_without_such_a_folder_it_is_built_beside(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    assert seen(tmp_path) == ['a']


def test_a_link_in_its_place_is_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (project / layout.LOCAL).rmdir()
    (project / layout.LOCAL).symlink_to(tmp_path_factory.mktemp('elsewhere'))
    assert seen(project) == ['a']


def test_where_that_is_another_mount_it_is_built_again_beside(project: Path) -> None:
    def fails(operation: str, details: dict[str, Any]) -> None:
        if operation == 'rename' and layout.LOCAL in details['source']:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    assert seen(project, fails) == [layout.LOCAL, 'a']


@pytest.mark.skipif(not os.path.isdir('/dev/shm'), reason='no second file system')
def test_nothing_is_built_on_another_file_system(project: Path) -> None:
    with Root(project) as root:
        other = os.open('/dev/shm', os.O_RDONLY | os.O_DIRECTORY)
        try:
            if os.fstat(other).st_dev == os.fstat(root.fd).st_dev:
                pytest.skip('that is the same file system')
            places = scratch.build(root, other, lambda place, _: (place == other, os.fstat(place).st_dev))
            assert places == (True, os.fstat(other).st_dev)
        finally:
            os.close(other)


def test_an_error_leaves_nothing_and_is_told(project: Path) -> None:
    def make(place: int, name: str) -> None:
        os.mkdir(name, dir_fd=place)
        raise OSError(errno.EIO, 'no')

    descriptors = len(os.listdir('/proc/self/fd'))
    with Root(project) as root, pytest.raises(OSError, match='no'):
        scratch.build(root, root.fd, make)
    assert not [*(project / layout.LOCAL).iterdir()]
    assert len(os.listdir('/proc/self/fd')) == descriptors
