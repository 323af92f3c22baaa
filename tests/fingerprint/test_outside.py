"""What lies anywhere is hashed as the store would have it, and refused before much of it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint import outside


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError('a file was read')

    monkeypatch.setattr(outside, '_hash_file', read)


def refusal(path: Path, project: Path | None = None) -> str:
    with pytest.raises(UserError) as error:
        outside.hashed(str(path), project=str(project or ''))
    return str(error.value.message)


def test_a_folder_is_what_the_store_would_make_of_it(tmp_path: Path) -> None:
    (tmp_path / 'a/b').mkdir(parents=True)
    (tmp_path / 'a/one').write_text('1')
    (tmp_path / 'a/link').symlink_to('one')
    first = outside.hashed(str(tmp_path / 'a'))
    assert first.kind == 'tree' and first.size == 1
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    assert outside.hashed(str(tmp_path / 'link')) == first
    (tmp_path / 'a/b').rmdir()
    assert outside.hashed(str(tmp_path / 'a')) != first
    assert outside.hashed(str(tmp_path / 'a/one')).kind == 'file'


@pytest.mark.usefixtures('unread')
def test_too_many_files_are_refused_before_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, 'FILES', 10)
    for number in range(12):
        (tmp_path / str(number)).write_text('x')
    assert refusal(tmp_path) == f'{tmp_path} has more than 10 files'


@pytest.mark.usefixtures('unread')
def test_a_link_that_no_folder_can_hold_is_refused_before_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / 'a').write_text('x')
    (tmp_path / 'below').mkdir()
    (tmp_path / 'below/out').symlink_to('../../elsewhere')
    assert 'below/out' in refusal(tmp_path)


@pytest.mark.usefixtures('unread')
def test_what_a_project_lies_in_is_none_of_its_data(tmp_path: Path) -> None:
    project = tmp_path / 'of a team/project'
    project.mkdir(parents=True)
    (tmp_path / 'a').write_text('x')
    for above in (project, project.parent, tmp_path, Path('/'), Path('/proc/self/root')):
        assert refusal(above, project) == f'{os.path.realpath(above)} is where this project lies'


def test_a_folder_beside_a_project_of_a_longer_name_is_not_above_it(tmp_path: Path) -> None:
    (tmp_path / 'pro').mkdir()
    (tmp_path / 'project').mkdir()
    (tmp_path / 'pro/a').write_text('x')
    assert outside.hashed(str(tmp_path / 'pro'), project=str(tmp_path / 'project')).size == 1
