"""Tests of records see no settings of whoever runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import GIT


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without anything in it, and git as it comes."""
    home = tmp_path_factory.mktemp('home')
    for name, value in {**GIT, 'HOME': str(home), 'XDG_CONFIG_HOME': ''}.items():
        monkeypatch.setenv(name, value)
    return home
