"""Looking at many paths in a row says what looking at each says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import paths
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import FOLDERS, LARGEST, Nearby, read_plain

PATHS = ('', '.', 'a', 'a/b', 'a/b/c.txt', 'a/none', 'none/none', 'a/b/c.txt/d', 'link', 'link/c.txt', 'a/..', '../x', 'a//b',
         '/etc/passwd', 'a/./b', 'x\0y', 'dangling', 'a/b/')


def said(ask: Callable[[str], os.stat_result | None], path: str) -> object:
    try:
        facts = ask(path)
    except (UserError, OSError, ValueError) as error:
        return type(error), str(error)
    return facts and (facts.st_ino, facts.st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'a' / 'b' / 'c.txt').write_text('c')
    (tmp_path / 'link').symlink_to('a/b')
    (tmp_path / 'dangling').symlink_to('nowhere')
    return tmp_path


def test_each_path_is_told_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Root(folder) as root, Nearby(root) as nearby:
        for path in (*PATHS, *PATHS):
            alone: set[tuple[str, str, bool]] = set()
            monkeypatch.setattr(paths, 'asked', alone)
            expected = said(root.stat, path)
            among: set[tuple[str, str, bool]] = set()
            monkeypatch.setattr(paths, 'asked', among)
            assert said(nearby.stat, path) == expected, path
            assert among >= alone, path


def test_few_folders_are_held_and_none_stays(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        before = len(os.listdir('/proc/self/fd'))
        with Nearby(root) as nearby:
            for number in range(FOLDERS + 9):
                (tmp_path / str(number)).mkdir()
                assert nearby.stat(f'{number}/none') is None
            assert len(os.listdir('/proc/self/fd')) <= before + FOLDERS
        assert len(os.listdir('/proc/self/fd')) == before


def test_only_small_regular_files_are_read(folder: Path) -> None:
    (folder / 'large').write_bytes(b'x' * (LARGEST + 1))
    os.mkfifo(folder / 'pipe')
    with Root(folder / 'a') as inner, Root(folder) as root:
        assert read_plain(inner.fd, 'b') is None and read_plain(root.fd, 'link') is None
        assert [read_plain(root.fd, name) for name in ('large', 'pipe', 'none', 'dangling')] == [None] * 4
        (folder / 'empty').touch()
        assert read_plain(root.fd, 'empty') == b''
        (folder / 'full').write_text('c')
        assert read_plain(root.fd, 'full') == b'c'
