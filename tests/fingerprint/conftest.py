"""What the tests of looks at the workspace share."""

from __future__ import annotations

import os

import pytest

from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint import scan


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of folders that this process reads."""
    paths: list[str] = []
    real = scan.hash_open_file

    def recorded(fd: int, path: str) -> tuple[ObjectRef, os.stat_result]:
        paths.append(path)
        return real(fd, path)

    monkeypatch.setattr(scan, 'hash_open_file', recorded)
    return paths
