"""What every test may use."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project, under git."""
    from tests.support.project import Project

    made = Project(tmp_path / 'project')
    made.init_git()
    return made
