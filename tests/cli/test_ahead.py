"""Which large file is hashed while the program is still being loaded, and that it makes no difference but in time."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from mlops_cli.cli import ahead
from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of_file
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.data import encode
from mlops_cli.store import mapped
from tests.support.project import Project


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def begin(fd: int) -> bool:
        found.append(os.readlink(f'/proc/self/fd/{fd}'))
        return True

    monkeypatch.setattr(mapped, 'begin', begin)
    monkeypatch.setattr(ahead, 'LARGE', 1000)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in ('data/deep/large.bin', 'small.txt', 'untracked.bin'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(10 if 'small' in path else 2000))
    for path in ('data/deep/large.bin', 'small.txt', 'gone.bin'):
        record = tmp_path / f'{layout.DATA}/{path}.json'
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text('{}')
    (tmp_path / 'pipeline.yaml').write_text('version: 1\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('command', ['status', 'plan', 'run'])
def test_a_large_tracked_file_without_an_index(folder: Path, begun: list[str], command: str) -> None:
    ahead.begin([command, '-v'])
    assert begun == [str(folder / 'data/deep/large.bin')]


@pytest.mark.parametrize('arguments', [[], ['add', 'x'], ['--version']])
def test_only_where_all_inputs_are_looked_at(folder: Path, begun: list[str], arguments: list[str]) -> None:
    ahead.begin(arguments)
    assert not begun


def test_only_what_changed_after_the_index_was_written(folder: Path, begun: list[str]) -> None:
    index = folder / layout.INDEX
    index.parent.mkdir(parents=True)
    index.write_bytes(b'')
    os.utime(index, ns=(0, (folder / 'data/deep/large.bin').stat().st_ctime_ns))
    ahead.begin(['status'])
    assert not begun
    os.utime(index, ns=(0, (folder / 'data/deep/large.bin').stat().st_ctime_ns - 1))
    ahead.begin(['status'])
    assert begun


@pytest.mark.parametrize('name', ['link.bin', 'linked/large.bin'])
def test_links_are_not_followed(folder: Path, begun: list[str], name: str) -> None:
    (folder / 'data/deep/large.bin').rename(folder / 'large.bin')
    (folder / 'link.bin').symlink_to('large.bin')
    (folder / 'linked').symlink_to('.')
    record = folder / f'{layout.DATA}/{name}.json'
    record.parent.mkdir(exist_ok=True)
    record.write_text('{}')
    ahead.begin(['status'])
    assert not begun


def test_what_is_no_project_is_left_alone(tmp_path: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ahead.begin(['status'])
    assert not begun


def test_what_it_says_is_what_the_bytes_are(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    path = project.path / 'big.bin'
    with open(path, 'wb') as file:
        file.truncate(ahead.LARGE)
    os.utime(path, (1, 1))
    project.write('pipeline.yaml', 'stages:\n  size: {cmd: wc -c < big.bin > size.txt, deps: [big.bin], outs: [size.txt]}\n')
    ref = ObjectRef(digest_of_file(str(path)), ahead.LARGE, 'file')
    project.write(f'{layout.DATA}/big.bin.json', encode('big.bin', ref))
    time.sleep(max(0.0, path.stat().st_ctime + 2.1 - time.time()))
    assert 'big.bin' not in project.mlops('status').out.partition('Data')[2]
    before = project.mlops('status', environ={'MLOPS_QUICK': '0'}).out
    shutil.rmtree(project.path / layout.LOCAL, ignore_errors=True)
    assert project.mlops('status').out == before
    with open(path, 'r+b') as file:
        file.write(b'changed')
    assert project.mlops('status').out != before


def test_no_link_to_other_records_is_followed(begun: list[str], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    records = folder / layout.DATA
    elsewhere = tmp_path_factory.mktemp('elsewhere') / 'data'
    records.rename(elsewhere)
    records.symlink_to(elsewhere)
    ahead.begin(['status'])
    assert begun == []
