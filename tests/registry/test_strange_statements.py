"""Statements that anybody may have written: each subject is refused or compared, and nothing ends as a bug."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import lineage_verify


@pytest.mark.parametrize('names', [
    ('/a/b', 'c/d'), ('/a', '/b'), ('../x', 'y'), ('../../x/a', '../../x/b'), ('a/../../b', 'a/c'), ('a\0b', 'a/c'), ('', 'a'),
    ('//a', 'b'), ('.', '..'), ('\ud800', 'a'),
])  # fmt: skip
def test_names_that_lead_elsewhere(tmp_path: Path, names: tuple[str, ...]) -> None:
    statement: dict[str, Any] = {'subject': [{'name': name, 'digest': {'sha256': 'A' * 64}} for name in names]}
    for path in ('', str(tmp_path)):
        found = list(lineage_verify._subjects(statement, path, str(tmp_path)))
        assert all(one.problem for one in found) and len(found) == len(names)
        assert not any('..' in one.path.split('/') for one in found)
