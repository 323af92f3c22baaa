"""DVC itself, for the tests that hold against it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import tools


@pytest.fixture(scope='session')
def dvc_program() -> str:
    """The program, from PyPI; MLOPS_TEST_DVC names one that is there."""
    given = os.environ.get('MLOPS_TEST_DVC')
    return given or tools.dvc(Path.home() / '.cache' / 'mlops-tests').argv()[0]


@pytest.fixture(scope='session')
def dvc_python(dvc_program: str) -> str:
    return str(Path(dvc_program).parent / 'python')
