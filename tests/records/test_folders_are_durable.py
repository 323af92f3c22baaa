"""Folders on the way to what is durable are durable themselves, also where the file system has no order of its own."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import prepare_folders
from mlops_cli.store import users
from mlops_cli.store.shelf import make_folders


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced, and in between the folders that are made."""
    found: list[str] = []

    def note(operation: str, details: dict[str, Any]) -> None:
        if operation in ('fsync', 'mkdir'):
            found.append(f'{operation} {Path(details["path"]).name}')

    monkeypatch.setattr(ops, '_listeners', (note,))
    ops._set_hooks()
    return found


@pytest.fixture(autouse=True)
def no_hooks_left(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield
    monkeypatch.undo()
    ops._set_hooks()


def kind(monkeypatch: pytest.MonkeyPatch, *, ordered: bool) -> None:
    monkeypatch.setattr(filesystem, 'probe', lambda _fd: filesystem.FileSystem('some', ordered=ordered, network=False))


@pytest.mark.parametrize('ordered', [False, True])
def test_those_of_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str], ordered: bool) -> None:
    kind(monkeypatch, ordered=ordered)
    make_folders(str(tmp_path / 'a/b'))
    assert synced == (['mkdir a', 'mkdir b'] if ordered else ['mkdir a', f'fsync {tmp_path.name}', 'mkdir b', 'fsync a'])
    synced.clear()
    make_folders(str(tmp_path / 'a/b'))
    assert synced == []


def test_those_of_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]) -> None:
    kind(monkeypatch, ordered=False)
    with Root(tmp_path) as root:
        prepare_folders(root)
        assert synced[:2] == ['mkdir .mlops', f'fsync {tmp_path.name}']
        assert synced[-2:] == ['mkdir stages', 'fsync .mlops']
        synced.clear()
        prepare_folders(root)
        assert synced == []


def test_those_on_the_way_to_the_list_of_who_uses_a_cache(tmp_path: Path, synced: list[str]) -> None:
    """Who is not in it would lose to a sweep what nobody else needs."""
    with Root(tmp_path) as cache:
        users.register(cache, str(tmp_path / 'project'), lambda: False)
    assert synced[:4] == ['mkdir roots', f'fsync {tmp_path.name}', 'mkdir projects', 'fsync roots']
    assert synced[-1] == 'fsync projects'


def test_a_disk_that_says_of_nothing_whether_it_is_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str, *_: object, **__: object) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    with monkeypatch.context() as meanwhile, pytest.raises(OSError, match='Input/output error') as caught:
        meanwhile.setattr(os, 'stat', fails)
        make_folders(str(tmp_path / 'a/b'))
    assert caught.value.filename == str(tmp_path / 'a/b')
