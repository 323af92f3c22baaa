"""docs/variables.md: every variable that the code names is there, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

from mlops_cli.cli import tree
from mlops_cli.records import config

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'variables.md'
NAME = re.compile(r'\b_?MLOPS_[A-Z_]*[A-Z]\b')


def rows(title: str) -> dict[str, str]:
    part = PAGE.read_text().partition(f'## {title}\n')[2].partition('\n## ')[0]
    return dict(re.findall(r'^\| `([^`]+)` \| (.*) \|$', part, re.MULTILINE))


def named(*folders: str) -> set[str]:
    every = [path for folder in folders for path in (ROOT / folder).rglob('*')]
    files = [path for path in every if path.suffix in ('.py', '.sh') or path.name in ('check', 'setup')]
    found = {name for path in files for name in NAME.findall(path.read_text(errors='replace'))}
    return {'MLOPS_PARAM_...' if name.startswith('MLOPS_PARAM_') else name for name in found}


def test_every_variable_of_the_code_is_on_the_page_and_no_other() -> None:
    found = named('mlops_cli')
    assert found, 'no variable found: this test would pass on nothing'
    titles = ('That mlops reads', 'That a stage sees', 'Of what is exported', 'Between shells and mlops')
    not_ours = {'NO_COLOR', 'COLUMNS', 'TERM', 'CUDA_VISIBLE_DEVICES', 'HOME', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'TMPDIR'}
    assert found == {name for title in titles for name in rows(title)} - not_ours
    assert set(config.VARIABLES.values()) <= rows('That mlops reads').keys()


def test_those_of_the_tests_too() -> None:
    mine = rows('Of the tests').keys()
    assert mine and mine <= named('tests')


def test_every_global_option_has_one() -> None:
    command: Any = typer.main.get_command(tree.app)
    never = {'help', 'version', 'install_completion', 'show_completion'}
    options = {param.name: param.envvar for param in command.params if param.name not in never}
    assert options and all(options.values()), options
    assert set(options.values()) <= rows('That mlops reads').keys()
