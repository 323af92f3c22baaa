"""A workspace and a store beside it."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.local import LocalStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / 'project'
    made.mkdir()
    return made


@pytest.fixture
def root(folder: Path) -> Iterator[Root]:
    with Root(folder) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / 'cache', batch=Batch('none'))
    yield made
    made.batch.discard()
    made.close()
