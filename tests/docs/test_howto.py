"""The parts of pages that no session replays: YAML, pictures, names of tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mlops_cli import yamlfile
from mlops_cli.pipeline.load import load
from tests.docs.tour import ROOT

DOCS = ROOT / 'docs'
YAML = re.compile(r'(?m)^(?P<above><!-- file: .*? -->\n)?```yaml\n(?P<text>.*?)^```$', re.DOTALL)
PROMISES = DOCS / 'guarantees.md'
CHECKS = {'.github/workflows/': 'vendor.github-workflows', '.gitlab-ci.yml': 'vendor.gitlab-ci'}


def yaml_blocks() -> list[tuple[str, str]]:
    """(page, text) of the YAML in tutorials, how-tos and explanations that is not written to a file and run there."""
    pages = [*sorted((DOCS / 'howto').glob('*.md')), *sorted((DOCS / 'explanation').glob('*.md')), *DOCS.glob('tutorial.md')]
    blocks = [(str(page.relative_to(DOCS)), found) for page in pages for found in YAML.finditer(page.read_text())]
    return [(page, found['text']) for page, found in blocks if not found['above']]


def named(text: str) -> str:
    """The file that a block says it is, by the comment in its first line."""
    first = text.partition('\n')[0]
    return first.removeprefix('# ').strip() if first.startswith('# ') else ''


@pytest.mark.parametrize(('page', 'text'), yaml_blocks(), ids=lambda item: item if item.endswith('.md') else '')
def test_yaml_can_be_read(page: str, text: str, tmp_path: Path) -> None:
    document = yamlfile.read(text.encode(), page).value
    assert document is not None
    if isinstance(document, dict) and isinstance(document.get('stages'), dict):
        (tmp_path / 'pipeline.yaml').write_text(text)
        (tmp_path / 'params.yaml').write_text(PARAMS)
        found = load(tmp_path, environ={})
        assert found.stages


PARAMS = 'train: {rate: 0.1, depth: 8, share: 0.5}\nmodel: {depth: 3, penalty: 0.5}\ntop: 3\ndepth: 8\n'


def ci_files() -> list[tuple[str, str]]:
    return [(named(text), text) for _, text in yaml_blocks() if any(named(text).startswith(start) for start in CHECKS)]


def test_there_are_files_for_ci() -> None:
    assert {name for name, _ in ci_files()} == {
        '.github/workflows/pipeline.yml', '.github/workflows/up-to-date.yml', '.gitlab-ci.yml'
    }  # fmt: skip


@pytest.mark.parametrize(('name', 'text'), ci_files(), ids=lambda item: item if item.endswith('.yml') else '')
def test_files_for_ci_are_what_the_services_take(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / 'ci.yml'
    path.write_text(text)
    schema = next(schema for start, schema in CHECKS.items() if name.startswith(start))
    done = subprocess.run(
        [sys.executable, '-m', 'check_jsonschema', '--builtin-schema', schema, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_job_calls_exists() -> None:
    """Each ``mlops`` line of the CI files is a command that there is, with options that it has."""
    from tests.cli.contract import commands

    steps = [text.partition('steps:')[2] or text for _, text in ci_files()]
    lines = [line for text in steps for line in re.findall(r'mlops ([a-z][^\n|]*)', text)]
    assert len(lines) >= 6
    for line in lines:
        words = line.split()
        path = next((tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in commands()), None)
        if path is None:
            assert line.startswith(('-', 'name'))
            continue
        known = {name for param in commands()[path]['params'] for name in param['names']}
        assert {word for word in words if word.startswith('--')} <= known, line


@pytest.mark.parametrize('picture', sorted(DOCS.rglob('*.svg')), ids=lambda path: path.name)
def test_pictures_are_whole_and_safe(picture: Path) -> None:
    text = picture.read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == '{http://www.w3.org/2000/svg}svg' and root.get('aria-label')
    assert not re.search(r'<script|href=|url\((?!#)|on\w+=', text)


def test_each_promise_names_tests_that_there_are() -> None:
    text = PROMISES.read_text()
    links = re.findall(r'\[`(test_\w+)`\]\(([^)]+)\)', text)
    assert len(links) > 20
    for name, path in links:
        tree = ast.parse((PROMISES.parent / path).resolve().read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f'{path} has no {name}'
    promises = re.findall(r'(?ms)^\*\*(.*?)\*\*(.*?)(?=^\*\*|^## |\Z)', text)
    assert [title for title, body in promises if 'test_' not in body] == []
