"""Pages that must agree with the code."""
from __future__ import annotations

import re
from pathlib import Path

from mlops_cli.core.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / 'docs'
SOURCES = [path.read_text() for path in sorted((ROOT / 'mlops_cli').rglob('*.py'))]


def test_every_exit_code_is_documented_and_no_other() -> None:
    rows = re.findall(r'^\| (\d+) \| ([a-z ]+) \|', (DOCS / 'exit-codes.md').read_text(), re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(int(code), code.name.lower().replace('_', ' ')) for code in ExitCode]


def test_every_format_that_the_code_names_is_in_the_index() -> None:
    named = {page for source in SOURCES for page in re.findall(r'docs/formats/([a-z-]+\.md)', source)}
    assert named, 'no page found: this test would pass on nothing'
    assert named <= set(re.findall(r'\]\(([a-z-]+\.md)\)', (DOCS / 'formats' / 'README.md').read_text()))
