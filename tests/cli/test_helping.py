"""The help that is printed without the library is the library's, byte for byte, and printed only where it is."""

from __future__ import annotations

import os
import pty
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
import typer

from mlops_cli import __main__
from mlops_cli.cli import app, tree
from mlops_cli.cli.helping import VARIABLES, page


def _typed() -> list[list[str]]:
    """The words of every command and every group, none for mlops itself."""
    found: list[list[str]] = [[]]
    group: Any = typer.main.get_command(tree.app)
    for name in app.COMMANDS:
        found += [[name], *([name, inner] for inner in getattr(group.get_command(None, name), 'commands', ()))]
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('columns', ['80', '200', '0', 'wide', ''])
def test_every_help_is_the_librarys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv('COLUMNS', columns)
    for words in _typed():
        for flag in ('-h', '--help'):
            assert app.run([*words, flag]) == 0
            assert page([*words, flag]) == capsys.readouterr().out, words


@pytest.mark.parametrize(
    'words',
    ['', 'status', 'status x -h', 'status -h -h', 'statsu -h', 'runs lst -h', '-q status -h', 'status -q -h', 'lineage a -h',
     '\f -h', 'status -h x', 'mlops -h', '-- -h', 'run --help=1', 'runs list show -h'],
)  # fmt: skip
def test_whatever_else_is_left_to_the_library(words: str) -> None:
    assert page(words.split(' ')) == ''


@pytest.mark.parametrize('name', VARIABLES)
def test_what_comes_before_help_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert page(['status', '-h'])
    monkeypatch.setenv(name, 'x')
    assert page(['status', '-h']) == ''


def test_a_narrow_terminal_has_it_laid_out_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '79')
    assert page(['status', '-h']) == ''
    monkeypatch.delenv('COLUMNS')
    ours, theirs = pty.openpty()
    with os.fdopen(ours, 'rb'), os.fdopen(theirs, 'w') as terminal:
        monkeypatch.setattr(sys, '__stdout__', terminal)
        for columns, shown in ((60, False), (79, False), (80, True), (132, True), (0, True)):
            ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
            assert bool(page(['status', '-h'])) is shown, columns


def test_a_folder_that_is_gone_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / 'gone'
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert page(['-h']) == ''


def test_it_is_what_the_program_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['mlops', 'runs', 'list', '-h'])
    monkeypatch.setattr(app, 'run', lambda _arguments: pytest.fail('the library was asked'))
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == page(['runs', 'list', '-h'])


def test_the_library_meets_a_full_disk_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['mlops', '-h'])
    monkeypatch.setattr(app, 'run', lambda _arguments: 6)
    with open('/dev/full', 'w') as full:
        monkeypatch.setattr(sys, 'stdout', full)
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        assert ended.value.code == 6
        monkeypatch.undo()
        with pytest.raises(OSError, match='space'):
            full.close()
