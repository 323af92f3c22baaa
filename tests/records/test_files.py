"""How records get to disk: whole or not at all, and nothing of it where git would see it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import files
from mlops_cli.records.files import names_in, prepare_folders, read_object, read_small, write_in_batch
from tests.support.project import Project

RECORD = f'{layout.STAGES}/x.json'


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def test_the_folders_are_made_once_and_git_sees_nothing_of_this_machine(project: Project) -> None:
    with Root(project.path) as root:
        prepare_folders(root)
        for path in ('cache/x', 'local/x', 'config.local.yaml', 'stages/x.json', 'config.yaml', 'local/journal/x'):
            project.write(f'.mlops/{path}', '')
        assert project.git('ls-files', '-o', '--exclude-standard').split() == [
            '.mlops/.gitignore',
            '.mlops/config.yaml',
            '.mlops/stages/x.json',
        ]
        changes: list[str] = []
        with ops.record(lambda operation, _: changes.append(operation)):
            prepare_folders(root)
        assert changes == []
    assert os.stat(project.path / layout.LOCAL).st_mode & 0o777 == 0o700


@pytest.mark.parametrize('text', ['', '/cache/\n', '# mine\n*.tmp', '/cache/\r\n/local/\r\n'])
def test_lines_that_are_missing_there_are_added(project: Project, text: str) -> None:
    project.write(layout.GITIGNORE, text.encode())
    with Root(project.path) as root:
        prepare_folders(root)
    lines = project.read(layout.GITIGNORE).split()
    assert set(layout.GITIGNORE_TEXT.split()) <= set(lines)
    assert project.read(layout.GITIGNORE).startswith(text.replace('\r', ''))
    assert len(lines) == len(set(lines)) or '#' in text


def test_what_killed_commands_were_writing_is_taken_away(root: Root) -> None:
    prepare_folders(root)
    name = '.mlops-tmp-00000000-1-1-1'
    path = Path(root.full(f'{layout.LOCAL}/{name}'))
    path.touch()
    os.utime(path, (1, 1))
    with Batch('none') as batch:
        write_in_batch(root, RECORD, b'mine', batch)
        prepare_folders(root)
        assert [found for found in os.listdir(root.full(layout.LOCAL)) if found == name] == []
        assert len(os.listdir(root.full(layout.LOCAL))) == 1, 'that of a process that lives stays'
    assert Path(root.full(RECORD)).read_bytes() == b'mine'


def test_what_the_first_command_was_writing_when_it_was_killed_is_taken_away(root: Root) -> None:
    """There was no folder for it yet but the one that git tracks."""
    root.makedirs(layout.ROOT)
    path = Path(root.full(f'{layout.ROOT}/.mlops-tmp-00000000-1-1-1'))
    path.touch()
    os.utime(path, (1, 1))
    prepare_folders(root)
    assert sorted(os.listdir(root.full(layout.ROOT))) == ['.gitignore', 'local', 'stages']


@pytest.mark.parametrize('durability', ['batch', 'full', 'none'])
@pytest.mark.parametrize('error', [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_disk_that_fails_at_any_step_leaves_the_old_record_or_the_new(tmp_path: Path, durability: str, error: int) -> None:
    number = 0
    while True:
        number += 1
        folder = tmp_path / f'{number}'
        folder.mkdir()
        with Root(folder) as root:
            prepare_folders(root)
            Path(root.full(RECORD)).write_bytes(b'old')
            if not _fails_at(number, error, root, durability):
                break
            assert Path(root.full(RECORD)).read_bytes() in (b'old', b'new')
            assert os.listdir(root.full(layout.STAGES)) == ['x.json']
            assert os.listdir(root.full(layout.LOCAL)) == []
    assert number > 3


def _fails_at(number: int, error: int, root: Root, durability: str) -> bool:
    count = 0

    def fail(operation: str, _: dict[str, object]) -> None:
        nonlocal count
        if operation in ('unlink', 'rmdir'):
            return  # cleaning up
        count += 1
        if count == number:
            raise OSError(error, os.strerror(error))

    batch = Batch(durability)  # type: ignore[arg-type]
    try:
        with ops.inject(fail):
            write_in_batch(root, RECORD, b'new', batch)
            batch.close()
    except OSError as raised:
        assert raised.errno == error
        assert raised.filename
        return True
    finally:
        batch.discard()
    return False


def test_a_record_may_be_the_first_thing_that_is_written(root: Root) -> None:
    with Batch('none') as batch:
        write_in_batch(root, f'{layout.RUNS}/2026-11/x.json', b'{}', batch)
    assert read_small(root, f'{layout.RUNS}/2026-11/x.json') == b'{}'


def test_what_is_called_for_when_it_is_named(root: Root) -> None:
    said: list[bytes] = []
    with Batch('none') as batch:
        write_in_batch(root, RECORD, b'{}', batch, after=lambda: said.append(Path(root.full(RECORD)).read_bytes()))
        assert said == []
        batch.flush()
        assert said == [b'{}']


def test_small_files_only(root: Root) -> None:
    Path(root.full('large')).write_bytes(b'x' * 101)
    assert len(read_small(root, 'large', 101)) == 101
    with pytest.raises(UserError, match='not a record of ours') as raised:
        read_small(root, 'large', 100)
    assert (str(raised.value.where), raised.value.exit_code) == ('large', ExitCode.FAILED)
    assert 'git checkout -- large' in raised.value.hint
    for path in ('.', 'missing/x'):
        with pytest.raises((UserError, OSError)):
            read_small(root, path)


def test_names_of_no_folder_are_none(root: Root) -> None:
    assert names_in(root, layout.STAGES) == []
    Path(root.full('file')).touch()
    assert names_in(root, 'file') == []


def test_lines_of_entries() -> None:
    data = b'{\r\n "a":1,\n "list":[\n  1,\n  2\n ]\n}\n'
    assert [
        files.line_of(data, 'a'),
        files.line_of(data, 'list'),
        files.line_of(data, 'list', 1),
        files.line_of(data, 'b'),
    ] == [2, 3, 5, 0]
    assert str(files.at('f', data, 'list', 0)) == 'f:4:1'
    assert str(files.at('f', data, 'b')) == 'f'


def test_half_of_a_character_is_damage() -> None:
    assert read_object(json.dumps({'schema': 's', 'a': '😀'}).encode(), 'f', 'w', 's')['a'] == '😀'
    assert read_object(b'{"schema": "s", "a": "caf\\udce9"}', 'f', 'w', 's')['a'] == 'caf\udce9'  # as files may be named
    with pytest.raises(UserError, match='half of a character') as caught:
        read_object(b'{"schema": "s",\n "a": "\\ud83d"}', 'f', 'w', 's')
    assert str(caught.value.where) == 'f:2:1'


@pytest.mark.parametrize(('data', 'line'), [
    (b'<<< x', 1), (b'a\r\n \t<<< x', 2), (b'a\rb\r\nc\n\n<<<', 5), (b'a <<<\nb<<<', 0), (b'x <<< <<<\n\x0b<<<', 2), (b'', 0),
])  # fmt: skip
def test_the_line_that_starts_so(data: bytes, line: int) -> None:
    lines = enumerate(re.split(rb'\r\n?|\n', data), 1)
    assert files.line_starting(data, b'<<<') == line == next((n for n, one in lines if one.lstrip().startswith(b'<<<')), 0)
