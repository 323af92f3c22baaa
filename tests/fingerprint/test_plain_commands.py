"""Commands that only read and write what their words name are read without looking at anything else, to the same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.fingerprint.closure import find_code
from mlops_cli.fingerprint.commands import read_command
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.pipeline.spec import Command

TEXTS = (
    'cp src/1.txt out/1.txt',
    'cp -r ./a ../b /etc/x',
    'sort --output=out/a.txt a.txt',
    'tail -n 5 1e5 7 a.b//c',
    'git add --all x=y',
    'true',
    'grep -c 4 a.txt\n',
    'ruff check src/a.py',
)


@pytest.mark.parametrize('text', TEXTS)
@pytest.mark.parametrize('wdir', ['.', 'sub'])
def test_quick_and_slow_agree(text: str, wdir: str, tmp_path: Path) -> None:
    def read(command: Command) -> object:
        return read_command(command, wdir, str(tmp_path), {'PATH': '/bin'}, ImportCache(), lambda _: None)

    assert read(Command('shell', (text,))) == read(Command('argv', tuple(text.split())))


def test_a_program_of_the_project_is_followed_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / 'pyproject.toml').write_text('[project.scripts]\ncp = "tool:main"\n')
    (tmp_path / 'tool.py').write_text('def main(): pass\n')
    found = find_code(Command('shell', ('cp a b',)), '.', str(tmp_path), environ={}, declared_outputs=frozenset(),
                      covered=lambda _: False)
    assert found.files == ('tool.py',)


def test_plain_inputs_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_text('a')
    (tmp_path / 'b.txt').write_text('b')

    def found(plain: str) -> tuple[str, ...]:
        return find_code(Command('shell', ('cp a.txt b.txt',)), '.', str(tmp_path), environ={}, declared_outputs=frozenset(),
                         covered=lambda _: False, plain=lambda path: path == plain).files

    assert found('') == ('a.txt', 'b.txt') and found('a.txt') == ('b.txt',)
