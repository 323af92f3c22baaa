"""What every test may use."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project, under git."""
    made = Project(tmp_path / 'project')
    made.init_git()
    return made
