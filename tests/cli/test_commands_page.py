"""docs/commands.md is about the commands there are: each with its options and codes, and what its examples print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mlops_cli.cli import app, tree
from tests.support.project import Project

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'commands.md'
GLOBAL = {'-C', '-q', '--quiet', '-v', '--verbose', '-h', '--help', '-V', '--version', '--yes', '--lock-timeout'}
SHELLS = {'--install-completion', '--show-completion'}
IDS = ('6hx2aa8k', '7k2p01dm', '7m3q9w2x', '83fzt5na', '8c0r6vke', '9q1b7h4j', 'a5n0w3ze')  # of runs on the page, in order


def sections() -> dict[str, str]:
    found = re.split(r'^## ', PAGE.read_text(), flags=re.MULTILINE)
    return {text.partition('\n')[0]: text for text in found[1:]}


def commands() -> Iterator[tuple[str, str, Any]]:
    """(heading, what to type, command) of every command."""
    group = typer.main.get_command(tree.app)
    for name in app.COMMANDS:
        command = group.get_command(None, name)  # type: ignore[attr-defined, arg-type]
        if hasattr(command, 'commands'):
            for inner in command.commands:
                yield f'mlops {name}', f'mlops {name} {inner}', command.get_command(None, inner)
        else:
            yield f'mlops {name}', f'mlops {name}', command


def options(command: Any) -> set[str]:
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts) if name.startswith('-')}


@pytest.mark.parametrize(
    ('heading', 'typed', 'command'), list(commands()), ids=lambda item: item if isinstance(item, str) else ''
)
def test_every_option_is_on_the_page(heading: str, typed: str, command: Any) -> None:
    text = sections()[heading]
    assert f'`{typed}' in text, f'{typed} is not in its section'
    missing = {
        name for name in options(command) - GLOBAL if not re.search(rf'`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])', text)
    }
    assert not missing


@pytest.mark.parametrize('heading', sorted({heading for heading, _, _ in commands()}))
def test_every_option_on_the_page_exists(heading: str) -> None:
    text = sections()[heading].split('```')
    shown = set(re.findall(r'(?<![\w-])(--?[a-zA-Z][\w-]*)', ' '.join(re.findall(r'`([^`\n]+)`', ''.join(text[::2])))))
    known = set().union(*(options(command) for of, _, command in commands() if of == heading))
    assert shown <= known | GLOBAL


def test_global_options_are_on_the_page() -> None:
    group = typer.main.get_command(tree.app)
    text = sections()['Options of every command']
    assert options(group) - SHELLS - {name for name in GLOBAL if f'`{name}' in text} == set()
    assert GLOBAL - {name for name in GLOBAL if f'`{name}' in text} == set()


@pytest.mark.parametrize(
    ('heading', 'typed', 'command'), list(commands()), ids=lambda item: item if isinstance(item, str) else ''
)
def test_exit_codes_are_on_the_page(heading: str, typed: str, command: Any) -> None:
    """Those that the help of the command names."""
    ending = sections()[heading].rpartition('Ends with ')[2]
    codes = re.findall(r'(?<=[ ,])(\d+) [a-z]', command.epilog)
    assert '0' in codes and [code for code in codes if not re.search(rf'\b{code}\b', ending)] == []


def test_every_command_has_a_section_and_no_other() -> None:
    assert {name for name in sections() if name.startswith('mlops ')} == {f'mlops {name}' for name in app.COMMANDS}


# The examples


class Session:
    """Types the page's commands into a copy of the example."""

    def __init__(self, project: Project) -> None:
        self.project = project
        shutil.copytree(ROOT / 'examples' / 'words', project.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns('.mlops'))

    def ids(self) -> dict[str, str]:
        """What a run is called here -> what it is called on the page."""
        records = sorted((self.project.path / '.mlops' / 'runs').rglob('*.json'))
        return {path.stem.partition('-')[2]: name for path, name in zip(records, IDS, strict=False)}

    def run(self, command: str) -> str:
        for here, there in self.ids().items():
            command = command.replace(there, here)
        done = subprocess.run(
            ['/bin/sh', '-c', command],
            cwd=self.project.path,
            env={**self.project.environ, 'COLUMNS': '80'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        text = done.stdout.replace(str(self.project.path.parent), '/home/ada')
        for here, there in self.ids().items():
            text = text.replace(here, there)
        text = text.replace(os.uname().nodename, 'gpu1')  # last: a short name may stand in the middle of an id
        return re.sub(r'by( +)\S+ on', r'by\1ada on', text)


def played(session: Session, page: str) -> str:
    """The page with what its commands print now."""

    def block(found: re.Match[str]) -> str:
        lines = []
        for line in found[1].splitlines():
            if line.startswith('$ '):
                lines += [line, *session.run(line[2:]).splitlines()]
        return '```console\n' + '\n'.join(lines) + '\n```'

    return re.sub(r'```console\n(.*?)\n```', block, page, flags=re.DOTALL)


def steady(page: str) -> list[list[str]]:
    """The blocks of a page without what differs from machine to machine and from day to day, lines in no order."""
    for pattern, text in (
        (r'[<~]?\d+(\.\d+)?s\b|\d+m\d\ds', 'TIME'),
        (r'TIME-TIME', 'TIME'),
        (r'Time .*', 'Time.'),
        (r' \([^()]* (of work|by the cache)\)', ''),
        (r'this machine \([^)]*\)', 'this machine'),
        (r'\d+(\.\d+)? ([kMG]?B)\b', 'SIZE'),
        (r'\d+ objects?', 'OBJECTS'),
        (r'just now|\d+ min ago', 'AGO'),
        (r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ| UTC)', 'DATE'),
        (r'(HEAD \(|commit )[0-9a-f]{7}', r'\1COMMIT'),
        (r' +', ' '),
    ):
        page = re.sub(pattern, text, page)
    return [
        sorted(line.strip() for line in block.splitlines()) for block in re.findall(r'```console\n(.*?)```', page, re.DOTALL)
    ]


@pytest.mark.full
@pytest.mark.skipif(shutil.which('strace') is None, reason='no strace')
def test_the_examples_print_what_the_page_says(tmp_path: Path) -> None:
    project = Project(tmp_path / 'words')
    project.init_git()
    now = played(Session(project), PAGE.read_text())
    if os.environ.get('MLOPS_PIN'):
        PAGE.write_text(now)
    assert steady(now) == steady(PAGE.read_text())
